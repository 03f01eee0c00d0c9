"""A table with a column of every dtype, and rows for it."""

from __future__ import annotations

from hypothesis import strategies as st

from tes_nb.model import Column, Doubles, RowBatch, Same, Table
from tes_nb.store.memory.columns import Columns

NOON = 1_767_268_800_000_000_000
"""2026-01-01T12:00:00Z in Unix nanoseconds."""
SECOND = 1_000_000_000

EVERY_DTYPE = Table(
    "probe",
    "One column of every dtype.",
    (
        Column("load", "float64", "percent", "gauge", "A float."),
        Column("ticks", "int64", "", "counter", "An int that is always there."),
        Column("rss", "Int64", "bytes", "gauge", "An int that may be absent."),
        Column("alive", "boolean", "", "flag", "A flag."),
        Column("name", "str", "", "text", "A text."),
        Column("state", "category", "", "label", "A word."),
        Column("started", "datetime64[ns, UTC]", "", "time", "A time."),
    ),
)
DTYPES = {
    "sent_at": "datetime64[ns, UTC]",
    "seq": "int64",
    "conn": "int64",
    "source": "category",
} | {column.name: column.dtype for column in EVERY_DTYPE.columns}

NUMBERS = Table(
    "numbers",
    "Two numbers.",
    (Column("x", "float64", "", "gauge", "A float."), Column("n", "int64", "", "counter", "An int.")),
)

int64s = st.integers(-(2**63), 2**63 - 1)
instants = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "'", "=1+1", "a;=2", "\t", "NA", "nan", "007", '"', "\r\n", "\0", "a,b", " x "]
)
"""Any text of the kind that can be encoded."""
words = st.sampled_from(["idle", "working", "error", "-1", ""])
rows = st.tuples(
    st.none() | st.floats(),
    int64s,
    st.none() | int64s,
    st.none() | st.booleans(),
    st.none() | texts,
    st.none() | words,
    st.none() | instants,
)
"""Rows of `EVERY_DTYPE`."""


class PlainBatch(RowBatch):
    """Rows of `EVERY_DTYPE`, kept as they are; its numbers and what is the same all along in their cheap forms."""

    __slots__ = ()

    @classmethod
    def columns(cls, items):
        return [_cheapest(list(column)) for column in zip(*items, strict=True)] or [Same(None)] * 7


def _cheapest(values):
    if all(value is values[0] for value in values):
        return Same(values[0])
    return Doubles.of(values) if all(isinstance(value, float) for value in values) else values


def filled(table: Table, rows_in, *, cap: int = 1_000_000, start: int = NOON, step: int = SECOND) -> Columns:
    """Columns with one message per row, a step apart."""
    columns = Columns(table, stream="test", cap=cap)
    for seq, row in enumerate(rows_in, 1):
        at = start + (seq - 1) * step
        columns.append([row], time_ns=at, sent_at_ns=at - 5, seq=seq, conn=1, source="test")
    return columns


def number_rows(count: int, first: int = 0):
    """Rows of `NUMBERS` that agree with themselves: x is n / 2."""
    return [(n / 2, n) for n in range(first, first + count)]
