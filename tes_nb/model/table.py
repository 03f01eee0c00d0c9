"""Columns and tables: the one description from which frames, CSV headers, docs and views follow."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from types import EllipsisType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, overload

import msgspec


class Same(NamedTuple):
    """A column with one value in all its rows."""

    value: Any


class Doubles(NamedTuple):
    """A column of numbers, none absent."""

    data: bytes
    """Eight bytes for each number, as `struct` packs a "d" on this machine."""
    factor: int | None = None
    """`None` = the numbers as they are; else each is rounded (halves to even) and multiplied, within 64 bits."""

    def plain(self) -> list[Any]:
        """Return the numbers as a row has them."""
        numbers = struct.unpack(f"={len(self.data) // 8}d", self.data)
        return list(numbers) if self.factor is None else [round(number) * self.factor for number in numbers]

    @classmethod
    def of(cls, numbers: Sequence[float], factor: int | None = None) -> Doubles:
        """Pack numbers."""
        return cls(struct.pack(f"={len(numbers)}d", *numbers), factor)


class Woven(NamedTuple):
    """A column whose rows take turns: the first value of each part, then the second of each."""

    parts: tuple[Sequence[Any] | Same, ...]
    """A part that stands there twice is stored as fast as once."""
    each: int
    """Values of a part."""

    def plain(self) -> list[Any]:
        """Return the values as rows have them."""
        rows: list[Any] = [None] * (len(self.parts) * self.each)
        for place, part in enumerate(self.parts):
            rows[place :: len(self.parts)] = [part.value] * self.each if isinstance(part, Same) else part
        return rows


Values: TypeAlias = Sequence[Any] | Same | Doubles | Woven
"""The values of one column: as they stand in rows, or in a form that is cheaper to store."""


class RowBatch(Sequence[tuple[Any, ...]]):
    """The rows of one message. A table turns the `items` of many into columns without making rows of them.

    Who looks at it sees a sequence of rows, made anew at each look. A subclass says once what the columns
    are, and `__len__` where an item is more than a row. It holds nothing but its items: batches of one subclass are
    joined by joining those (decisions/0013).
    """

    __slots__ = ("items",)
    __hash__: ClassVar[None]  # type: ignore[assignment]  # it equals a list of the same rows

    def __init__(self, items: list[Any]) -> None:
        """Take what was decoded."""
        self.items = items

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the values of each column of the table, one for each row. Pure, and never raises."""
        raise NotImplementedError

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as plain tuples."""
        columns = [_plain(column, len(self)) for column in self.columns(self.items)]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows())

    @overload
    def __getitem__(self, place: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, place: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        return self.rows()[place]

    def __eq__(self, other: object) -> bool:
        return self.rows() == list(other) if isinstance(other, (list, tuple, RowBatch)) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.rows())


def _plain(column: Values, count: int) -> Iterable[Any]:
    if isinstance(column, Same):
        return repeat(column.value, count)
    return column.plain() if isinstance(column, Doubles | Woven) else column


Row = tuple[Any, ...]
"""The values of one row, in the order of `Table.columns`; `None` (NaN for float64) is absent."""


Dtype = Literal["float64", "int64", "Int64", "boolean", "str", "category", "datetime64[ns, UTC]"]
"""float64: absent is NaN. int64: never absent. Int64, boolean, str, category, datetime64: absent is NA
(`None` in a row). datetime64 cells are integers in a row: Unix nanoseconds, UTC."""

ColumnKind = Literal["gauge", "counter", "label", "time", "text", "flag"]
"""gauge: goes up and down. counter: only rises, drawn as a rate. label: splits series. text: free text."""


Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that fits a column; anything larger makes the message undecodable instead of wrapping around."""


@dataclass(frozen=True, slots=True)
class Field:
    """What the type of a message's field does not say. Put it into `Annotated`."""

    unit: str
    doc: str
    kind: ColumnKind = "gauge"
    dtype: Dtype | None = None
    """`None` = follows from the type: int → Int64, float → float64, str → str, bool → boolean."""
    words: tuple[tuple[str, str], ...] = ()
    """As `Column.words`."""
    title: str = ""
    """As `Column.title`."""
    quantity: str = ""
    """As `Column.quantity`."""
    head: str = ""
    """As `Column.head`."""


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
    words: tuple[tuple[str, str], ...] = ()
    """(value, what views show for it), where the wire's word misleads those who read it; data and files keep it."""
    title: str = ""
    """What people call it, in a few words; "" = its name, with spaces."""
    quantity: str = ""
    """What is measured, such as "Memory": lines of one quantity and unit share a panel, which is called so (0028)."""
    head: str = ""
    """What a table's head calls it, where no panel's title stands above; "" = its title, or else its name in words."""

    @property
    def caption(self) -> str:
        """What views call it."""
        return self.title or self.name.replace("_", " ")

    @property
    def heading(self) -> str:
        """What the head of a table calls it, without its unit; "" = its name in words will do."""
        return self.head or ("" if self.quantity else self.title)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a subject's number is now from where its first row in memory had it."""

    column: Column
    """How views call and describe it."""
    of: tuple[str, ...]
    """The columns it is made of: the first one that has a number in both rows counts."""


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """Why something makes no sense with some rows."""

    where: Mapping[str, tuple[str | None, ...] | EllipsisType] = field(hash=False)
    """Column → the values that it has in such rows, `None` = absent; `...` = any but absent. All columns count."""
    why: str
    """A sentence."""


@dataclass(frozen=True, slots=True)
class RowAction:
    """An operation of the control socket that is about one row; a live table has a button for it."""

    op: str
    title: str
    """The button's word."""
    doc: str
    """What its answer says, in a few words."""
    argument: str
    """The operation's argument that gets the row's key."""
    refusals: tuple[RowRefusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a stream. Frames put `time`, `sent_at`, `seq`, `conn`, `source` before these columns."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """The columns that tell one row's subject from another's, for example ("id",); () = one subject."""
    plot: tuple[str, ...] = ()
    """The columns that are drawn where none are chosen; () = all gauges and counters."""
    complete: bool = False
    """Whether each message lists every subject there is: one that is missing is gone. False = only what changed."""
    empty: str = ""
    """What a view says where messages come and list no subject."""
    label: tuple[str, ...] = ()
    """The columns by which people know a subject, such as ("name", "pid"); () = the key."""
    panel_by: str = ""
    """The label column that splits a chart into panels, such as "market"; "" = none does."""
    unit_by: str = ""
    """The column in which each row says the unit of its gauges: it splits lines, too; "" = the columns' units hold."""
    first: tuple[str, ...] = ()
    """The columns that a view shows at first, in the order of their worth; the rest are a click away. Names of `moves`
    and of columns that a view looks up may be among them. () = all, as they stand."""
    moves: tuple[Difference, ...] = ()
    """What a view shows beside the columns: how far something has moved since the first row of a subject."""
    actions: tuple[RowAction, ...] = ()
    """What can be done with one row, where its subject is alive and not recorded."""
    undrawn: tuple[str, tuple[str, ...]] | None = None
    """(column, its values) of rows that stand in tables, and that charts leave out unless they are chosen: helpers."""

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
