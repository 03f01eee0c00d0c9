"""Marks as a table of their own, so that they travel in exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tes_nb.model import Column, Table
from tes_nb.store.columns import Columns
from tes_nb.store.export import TableExport

if TYPE_CHECKING:
    from tes_nb.wire.events import Mark

NAME = "marks"
STREAM = "session"
TABLE = Table(
    NAME,
    "What was marked on the time line; a mark stands once, though every source carries it.",
    (Column("label", "str", "", "text", "What the user called it."),),
)


def marks_export(marks: Iterable[Mark]) -> TableExport:
    """Return the marks, which are in the order of time, ready to be written."""
    columns = Columns(TABLE, stream=STREAM)
    for mark in marks:
        columns.append([(mark.label,)], time_ns=mark.at_ns)
    rows = columns.snapshot()
    return TableExport(NAME, STREAM, TABLE, [rows], len(rows))
