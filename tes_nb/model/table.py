"""Columns and tables: the one description from which frames, CSV headers, docs and views follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["float64", "int64", "Int64", "boolean", "str", "category", "datetime64[ns, UTC]"]
"""float64: absent is NaN. int64: never absent. Int64, boolean, str, category, datetime64: absent is NA
(`None` in a row). datetime64 cells are integers in a row: Unix nanoseconds, UTC."""

ColumnKind = Literal["gauge", "counter", "label", "time", "text", "flag"]
"""gauge: goes up and down. counter: only rises, drawn as a rate. label: splits series. text: free text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    """snake_case, from the wire path."""
    dtype: Dtype
    unit: str
    """"" = none; else a unit a reader knows: "bytes", "ms", "s", "percent", "1/s", "MiB", "cores", "ratio"."""
    kind: ColumnKind
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a stream. Frames put `time`, `sent_at`, `seq`, `conn`, `source` before these columns."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """The columns that tell one row's subject from another's, for example ("id",); () = one subject."""
    plot: tuple[str, ...] = ()
    """The columns that are drawn when nobody chooses; () = all gauges and counters."""
    complete: bool = False
    """Whether each message lists every subject there is: one that is missing is gone. False = only what changed."""

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)


BASE_COLUMNS: tuple[Column, ...] = (
    Column("time", "datetime64[ns, UTC]", "", "time", "When the collector received the message (UTC)."),
    Column(
        "sent_at", "datetime64[ns, UTC]", "", "time", "When the sender says it was sent; NA if it does not."
    ),
    Column("seq", "int64", "", "counter", "The message's position in its source."),
    Column("conn", "int64", "", "label", "The upstream connection's number; 0 = our own samplers."),
    Column("source", "category", "", "label", "The relay source the message came from."),
)
"""What every frame and CSV file begins with; `time` is a frame's index."""
