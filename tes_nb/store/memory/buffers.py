"""The growing memory of one column."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tes_nb.model import Doubles, RowBatch, Same
from tes_nb.store.memory.cells import (
    STORED,
    Array,
    Cells,
    Encoded,
    Words,
    encode,
    encode_doubles,
    read_only,
    width_for,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tes_nb.model import Dtype, Row, Values


def transposed(groups: Sequence[Sequence[Row]], width: int) -> tuple[Sequence[Values], Sequence[int]]:
    """Return the values of each column, and the places of the rows that had another number of values."""
    kind = type(groups[0])
    if issubclass(kind, RowBatch) and len(set(map(type, groups))) == 1:
        return _columns_of(kind, list(chain.from_iterable([group.items for group in groups])), width)  # type: ignore[attr-defined]
    rows = list(chain.from_iterable(groups))
    columns = _zipped(rows, width)
    if columns is not None:
        return columns, ()
    odd = [place for place, row in enumerate(rows) if len(row) != width]
    return _zipped([row for row in rows if len(row) == width], width) or [], odd


def tail(column: Values, count: int) -> Values:
    """Return the last `count` values."""
    if isinstance(column, Same):
        return column
    return (column.plain() if isinstance(column, Doubles) else column)[-count:]


def _zipped(rows: list[Row], width: int) -> list[tuple[Any, ...]] | None:
    """Return the rows' values column by column; `None` when a row has another width."""
    try:
        columns = list(zip(*rows, strict=True))
    except ValueError:
        return None
    return columns if len(columns) == width else None


def _columns_of(kind: type[RowBatch], items: list[Any], width: int) -> tuple[Sequence[Values], Sequence[int]]:
    try:
        columns = kind.columns(items)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a stream's mistake must not end the feed; its rows are counted as refused
        columns = ()
    if len(columns) == width and {_length(column, len(items)) for column in columns} <= {len(items)}:
        return columns, ()
    return [], range(len(items))


def _length(column: Values, count: int) -> int:
    if isinstance(column, Same):
        return count
    return len(column.data) // 8 if isinstance(column, Doubles) else len(column)


class Buffer:
    """Cells in one piece of memory with room at the end.

    Written cells are never written again: when room runs out the living ones move to a new buffer, and pieces
    given out keep the old one. That is what makes `cells` free of copies and safe without a lock.
    """

    def __init__(self, dtype: Dtype) -> None:
        self._dtype = dtype
        self._values: Array = np.empty(0, STORED[dtype])
        self._mask: Array | None = np.empty(0, np.bool_) if dtype in {"Int64", "boolean"} else None
        self._words = Words() if dtype in {"str", "category"} else None
        self._kept: dict[int, Any] | None = {} if dtype == "str" else None

    def encode(self, values: Values, count: int) -> Encoded:
        """Return the cells of a batch of `count` Python values, to be written into this buffer."""
        if isinstance(values, Same):
            return self.encode((values.value,), 1).repeated(count)
        if isinstance(values, Doubles):
            return encode_doubles(self._dtype, values) or self.encode(values.plain(), count)
        return encode(self._dtype, values) if self._words is None else self._words.encode(values)

    def write(self, at: int, cells: Encoded) -> None:
        """Put cells at place `at`; there must be room."""
        if self._words is not None:
            self._widen()
        end = at + len(cells.values)
        self._values[at:end] = cells.values
        if self._mask is not None:
            self._mask[at:end] = cells.mask

    def _widen(self) -> None:
        assert self._words is not None
        wider = np.dtype(width_for(len(self._words)))
        if wider.itemsize > self._values.itemsize:
            self._values = self._values.astype(wider)

    def moved(self, low: int, high: int, capacity: int) -> Buffer:
        """Return a buffer with the cells `low` to `high` alone and room for `capacity`."""
        other = Buffer(self._dtype)
        living = self._values[low:high]
        if self._words is not None:
            other._words, living = self._words.cleaned(living)
        other._values = _roomy(living, capacity)
        if self._mask is not None:
            other._mask = _roomy(self._mask[low:high], capacity)
        return other

    def cells(self, low: int, high: int) -> Cells:
        """Return the cells `low` to `high`, read-only and without copying."""
        mask = None if self._mask is None else read_only(self._mask[low:high])
        words = None if self._words is None else self._words.known
        return Cells(self._dtype, read_only(self._values[low:high]), mask, words, low, self._kept)


def _roomy(living: Array, capacity: int) -> Array:
    memory = np.empty(capacity, living.dtype)
    memory[: len(living)] = living
    return memory
