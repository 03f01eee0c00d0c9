"""The rows of a table as a browser takes them, and columns that stand beside a table's own, such as names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tes_nb.model import Column, Table
from tes_nb.streams.browser_json import json_float, json_text


def plain_rows(columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> list[list[Any]]:
    """Return the rows, values in the order of `names`. columns: as `Columns.since` gives them."""
    plain = [_plain_column(columns[name]) for name in names]
    return [list(row) for row in zip(*plain, strict=True)]


def _plain_column(cells: npt.NDArray[Any]) -> list[Any]:
    if cells.dtype.kind == "M":
        times: list[Any] = (cells.astype("M8[ns]").astype(np.int64) / 1e9).tolist()
        return [None if gone else time for time, gone in zip(times, np.isnat(cells).tolist(), strict=True)]
    if cells.dtype.kind == "f":
        return [json_float(value) for value in cells.tolist()]
    if cells.dtype.kind == "O":
        return [None if value is None else json_text(str(value)) for value in cells.tolist()]
    others: list[Any] = cells.tolist()
    return others


@dataclass(frozen=True, slots=True)
class Lookup:
    """More columns for each row, looked up by one of its own."""

    columns: tuple[Column, ...]
    by: str
    """The column of the table by whose value they are looked up."""
    find: Callable[[Sequence[Any]], Sequence[Sequence[Any]]]
    """Values of `by`, all of them → the cells of each, `None` where there is nothing. Called at each repaint."""
    version: Callable[[], int]
    """A number that changes when there is something else to find: then all rows are sent again."""

    def insert(self, table: Table, own: Sequence[Any], more: Sequence[Any]) -> list[Any]:
        """Return what belongs to the table's own columns with `more` behind the column by which it is looked up."""
        at = table.names.index(self.by) + 1
        return [*own[:at], *more, *own[at:]]

    def join(self, table: Table, rows: Sequence[list[Any]]) -> list[list[Any]]:
        """Return the rows with the cells of these columns."""
        at = table.names.index(self.by)
        cells = self.find([row[at] for row in rows])
        return [self.insert(table, row, more) for row, more in zip(rows, cells, strict=True)]


def all_columns(table: Table, lookup: Lookup | None) -> Sequence[Column]:
    """Return the columns that a live table shows, in their order."""
    return table.columns if lookup is None else lookup.insert(table, table.columns, lookup.columns)
