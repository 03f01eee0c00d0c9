"""Rows that a decoder leaves as the objects it decoded, so that those of many messages become columns at once."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, ClassVar, NamedTuple, TypeAlias, overload


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


Values: TypeAlias = Sequence[Any] | Same | Doubles
"""The values of one column: as they stand in rows, or in a form that is cheaper to store."""


class Batch(Sequence[tuple[Any, ...]]):
    """The rows of one message. A table turns the `items` of many into columns without making rows of them.

    Who looks at it sees a sequence of rows, made anew at each look. A subclass says once what the columns
    are. It holds nothing but its items: batches of one subclass are joined by joining those.
    """

    __slots__ = ("items",)
    __hash__: ClassVar[None]  # type: ignore[assignment]  # it equals a list of the same rows

    def __init__(self, items: list[Any]) -> None:
        """Take what was decoded, one object a row."""
        self.items = items

    @classmethod
    def columns(cls, items: list[Any]) -> Sequence[Values]:
        """Return the values of each column of the table, one for each item. Pure, and never raises."""
        raise NotImplementedError

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as plain tuples."""
        columns = [_plain(column, len(self.items)) for column in self.columns(self.items)]
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
        return self.rows() == list(other) if isinstance(other, (list, tuple, Batch)) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.rows())


def _plain(column: Values, count: int) -> Iterable[Any]:
    if isinstance(column, Same):
        return repeat(column.value, count)
    return column.plain() if isinstance(column, Doubles) else column
