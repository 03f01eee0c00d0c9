"""Whom the lines of a chart are about: the columns that split them, and what people call each (docs/decisions/0028)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tes_nb.streams.browser_json import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Column, Table
    from tes_nb.views.source import Lookup

MAX_LABEL = 200
"""Characters of a label that travel; a longer one ends in an ellipsis and its length."""
LABEL_BETWEEN = " · "
NO_LABEL = "(none)"
_SETS = re.compile(r"^(?:train|training|val|valid|validation|test|eval|dev)[_/. -]+(?=.)", re.IGNORECASE)


def label_words(label: Iterable[Any]) -> tuple[str, ...]:
    """Return a label's values as text."""
    return tuple(NO_LABEL if _is_absent(word) else _plain(word) for word in label)


def joined(words: Iterable[str]) -> str:
    """Return words as one text, none longer than travels."""
    return LABEL_BETWEEN.join(json_text(word, MAX_LABEL) for word in words)


def colour_places(table: Table) -> dict[str, int]:
    """Return the colour's number of each column with numbers: the same in every view of the table."""
    numeric = [column.name for column in table.columns if column.kind in ("gauge", "counter")]
    return {name: place for place, name in enumerate(dict.fromkeys([*table.plot, *numeric]))}


def base_name(name: str) -> str:
    """Return "loss" for "val_loss" and "train/loss": one quantity of several sets of data."""
    return _SETS.sub("", name)


class Subjects:
    """How a table's lines are split, and what they are called."""

    def __init__(self, table: Table, by: Sequence[str] | None = None, lookup: Lookup | None = None) -> None:
        """by: the columns that split lines; `None` = the table's key, and the unit where rows say their own.

        lookup: more columns by which people know a subject, `None` = the table's own are all.
        """
        self.table = table
        own = dict.fromkeys((*table.key, *((table.unit_by,) if table.unit_by else ())))
        self.by = tuple(own if by is None else by)
        self.unit_by = table.unit_by
        self.panel_by = table.panel_by if table.panel_by in self.by else ""
        human = table.label if by is None and table.label else self.by
        self._human = [name for name in human if name not in (self.unit_by, self.panel_by)]
        self._lookup = lookup if lookup is not None and lookup.by in self._human else None
        self._words = {column.name: dict(column.words) for column in table.columns}

    @property
    def names(self) -> list[str]:
        """The columns to read of each row that is the first of its subject."""
        more = (name for name in (self.unit_by, self.panel_by) if name)
        return list(dict.fromkeys([*self.by, *self._human, *more]))

    @property
    def version(self) -> int:
        """A number that changes when subjects may be called otherwise."""
        return 0 if self._lookup is None or self._lookup.name is None else self._lookup.version()

    def describe(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return, for a row of each subject, {label, subject, part, unit}; unit `None` = as its column has it."""
        called = self._called(rows)
        human = self._telling(rows)
        return [self._describe(row, name, human) for row, name in zip(rows, called, strict=True)]

    def _telling(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The columns that tell subjects apart: what is the same in all rows need not be said in each."""
        differ = [name for name in self._human if len({str(row[name]) for row in rows}) > 1]
        return differ or self._human

    def _called(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[str | None]:
        if self._lookup is None or self._lookup.name is None or not rows:
            return [None] * len(rows)
        cells = self._lookup.find([row[self._lookup.by] for row in rows])
        return [self._lookup.name(one) for one in cells]

    def _describe(self, row: Mapping[str, Any], called: str | None, human: Sequence[str]) -> dict[str, Any]:
        looked_up = "" if self._lookup is None else self._lookup.by
        words = [
            called if called is not None and name == looked_up else self._word(name, row[name])
            for name in human
            if not _is_absent(row[name])
        ]
        label = joined(label_words(row[name] for name in self.by if name != self.unit_by))
        unit = None
        if self.unit_by:
            unit = "" if _is_absent(row[self.unit_by]) else json_text(str(row[self.unit_by]), 40)
        return {
            "label": label,
            "subject": joined(dict.fromkeys(words)) if words or not self._human else label,
            "part": json_text(self._word(self.panel_by, row[self.panel_by]), MAX_LABEL)
            if self.panel_by
            else "",
            "unit": unit,
        }

    def _word(self, name: str, value: Any) -> str:
        plain = NO_LABEL if _is_absent(value) else _plain(value)
        return self._words[name].get(plain, plain)


def line_title(subject: str, column: Column, *, alone: bool) -> str:
    """Return what people call a line. alone: the panel has no other column, so that its title says what it is."""
    title = "" if subject and alone else column.caption
    return LABEL_BETWEEN.join(filter(None, (subject, title)))


def _plain(value: Any) -> str:
    """A number of a label comes as a float where some are absent."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_absent(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN
