"""Columns that a table shows beside its own: what is known of a row's subject from elsewhere, such as names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tes_nb.model import Column, Table


@dataclass(frozen=True, slots=True)
class Known:
    """More columns for each row, found by one of its own."""

    columns: tuple[Column, ...]
    by: str
    """The column of the table by whose value they are found."""
    find: Callable[[Sequence[Any]], Sequence[Sequence[Any]]]
    """Values of `by`, all of them → the cells of each, `None` where nothing is known. Called at each repaint."""
    version: Callable[[], int]
    """A number that changes when what is known does: then everything is told again."""

    def place(self, table: Table) -> int:
        """Return where they stand: behind the column by which they are found."""
        return table.names.index(self.by) + 1

    def shown(self, table: Table) -> tuple[Column, ...]:
        """Return all columns, in the order in which they are shown."""
        at = self.place(table)
        return (*table.columns[:at], *self.columns, *table.columns[at:])

    def joined(self, table: Table, rows: Sequence[list[Any]]) -> list[list[Any]]:
        """Return the rows with the cells that are known of them."""
        at = self.place(table)
        found = self.find([row[at - 1] for row in rows])
        return [[*row[:at], *cells, *row[at:]] for row, cells in zip(rows, found, strict=True)]
