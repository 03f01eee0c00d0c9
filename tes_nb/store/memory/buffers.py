"""The growing memory of one column: Python values of rows become cells in one piece of memory.

Batches of decoded objects become columns without becoming rows (docs/decisions/0013).
"""

from __future__ import annotations

import struct
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tes_nb.model import Doubles, RowBatch, Same, Woven
from tes_nb.store.memory.cells import NAT, STORED, Array, Cells, WordCounts, read_only, renumbered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Dtype, Row, Values


class Encoded(NamedTuple):
    """Cells made from a batch of Python values."""

    values: Array
    mask: Array | None
    unfit: tuple[int, ...] = ()
    """Places whose value was of the wrong type or range; they became absent, or 0 where nothing is absent."""

    def take(self, places: Array) -> Encoded:
        """Return the cells at `places`, each as often as it stands there."""
        mask = None if self.mask is None else self.mask[places]
        unfit = np.flatnonzero(np.isin(places, self.unfit)).tolist() if self.unfit else ()
        return Encoded(self.values[places], mask, tuple(unfit))

    def repeated(self, count: int) -> Encoded:
        """Return the one cell so many times."""
        if self.unfit:
            return self.take(np.zeros(count, np.intp))
        return Encoded(self.values.repeat(count), None if self.mask is None else self.mask.repeat(count))


_FAILURES = (struct.error, TypeError, ValueError, OverflowError)
"""What the C converters raise for a value that does not fit."""


def encode(dtype: Dtype, values: Sequence[Any]) -> Encoded:
    """Return the cells of a batch; anything but str and category, which need their dictionary."""
    convert = _CONVERTERS[dtype]
    try:
        cells, mask = convert(values)
    except _FAILURES:
        return _encode_one_by_one(dtype, values)
    return Encoded(cells, mask)


def encode_doubles(dtype: Dtype, values: Doubles) -> Encoded | None:
    """Return the cells of packed numbers; `None` = a column of this dtype takes them as any others."""
    numbers = np.frombuffer(values.data, np.float64)
    if values.factor is None:
        return Encoded(numbers, None) if dtype == "float64" else None
    if dtype in {"int64", "datetime64[ns, UTC]"}:
        return Encoded(np.rint(numbers).astype(np.int64) * values.factor, None)
    return None


def _encode_one_by_one(dtype: Dtype, values: Sequence[Any]) -> Encoded:
    """Save what can be saved of a batch in which some value does not fit."""
    convert = _CONVERTERS[dtype]
    fitting = list(values)
    unfit = []
    for place, value in enumerate(values):
        try:
            convert((value,))
        except _FAILURES:
            fitting[place] = 0 if dtype == "int64" else None
            unfit.append(place)
    cells, mask = convert(fitting)
    return Encoded(cells, mask, tuple(unfit))


def _floats(values: Sequence[Any]) -> tuple[Array, None]:
    try:
        packed = struct.pack(f"={len(values)}d", *values)
    except struct.error:  # None among them, or no numbers at all
        packed = struct.pack(f"={len(values)}d", *[np.nan if value is None else value for value in values])
    return np.frombuffer(packed, np.float64), None


def _integers(values: Sequence[Any]) -> tuple[Array, None]:
    # struct refuses what numpy would bend into an int without a word: 1.5, "7"
    return np.frombuffer(struct.pack(f"={len(values)}q", *values), np.int64), None


def _maybe_integers(values: Sequence[Any]) -> tuple[Array, Array]:
    gone = values.count(None)
    if gone == len(values):
        return np.zeros(gone, np.int64), np.ones(gone, bool)
    if not gone:
        return _integers(values)[0], np.zeros(len(values), bool)
    mask = np.fromiter([value is None for value in values], bool, len(values))
    return _integers([0 if value is None else value for value in values])[0], mask


def _flags(values: Sequence[Any]) -> tuple[Array, Array]:
    numbers, mask = _maybe_integers(values)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() <= 1:
        raise ValueError("a flag is neither True nor False")
    return numbers.astype(np.bool_), mask


def _times(values: Sequence[Any]) -> tuple[Array, None]:
    if values.count(None):
        values = [NAT if value is None else value for value in values]
    return _integers(values)


_CONVERTERS: dict[Dtype, Callable[[Sequence[Any]], tuple[Array, Array | None]]] = {
    "float64": _floats,
    "int64": _integers,
    "Int64": _maybe_integers,
    "boolean": _flags,
    "datetime64[ns, UTC]": _times,
}


_FEW_WORDS = 128
_SPARE = 1024
"""So many words may lie unused before the list is cleaned."""


class Words:
    """The words of one column. They only grow; cleaning makes a new list, so places given out stay true."""

    def __init__(self) -> None:
        self._list: list[str] = []
        self._places: dict[str | None, int] = {None: -1}

    def __len__(self) -> int:
        return len(self._list)

    @property
    def texts(self) -> Sequence[str]:
        """The words in order of their places; it goes on growing."""
        return self._list

    def encode(self, values: Sequence[Any]) -> Encoded:
        """Return the places of a batch of words as int32; what is no text becomes absent and is reported."""
        if len(values) > 1 and values[0] == values[-1] and values.count(values[0]) == len(values):
            return self.encode(values[:1]).repeated(len(values))
        try:
            places = itemgetter(*values, None)(self._places)  # with None there are always several
        except (KeyError, TypeError):
            return self._encode_new(values)
        return Encoded(np.frombuffer(struct.pack(f"={len(places)}i", *places), np.int32)[:-1], None)

    def _encode_new(self, values: Sequence[Any]) -> Encoded:
        places, unfit = [], []
        for row, value in enumerate(values):
            if value is None or isinstance(value, str):
                places.append(self._place(value))
            else:
                places.append(-1)
                unfit.append(row)
        return Encoded(np.array(places, np.int32), None, tuple(unfit))

    def _place(self, text: str | None) -> int:
        place = self._places.get(text)
        if place is None:
            assert text is not None, "None has had its place from the start"
            word = _plain(text)
            place = self._places.get(word, len(self._list))
            if place == len(self._list):
                self._list.append(word)  # first, so that an interrupt leaves no place without a word
                self._places[word] = place
        return place

    def cleaned(self, places: Array) -> tuple[Words, Array]:
        """Return the words that `places` uses and their new places; these ones while few lie unused.

        A few words are sorted: frames want the categories so, and need not renumber each row then.
        """
        if len(self._list) <= 2 * len(places) + _SPARE:
            if len(self._list) >= _FEW_WORDS or self._list == sorted(self._list):
                return self, places
            used = np.array(sorted(range(len(self._list)), key=self._list.__getitem__))
        else:
            used = np.unique(places[places >= 0])
        clean = Words()
        clean._list = [self._list[place] for place in used]
        clean._places.update((word, place) for place, word in enumerate(clean._list))
        moved = np.full(len(self._list), -1, places.dtype)
        moved[used] = np.arange(len(used), dtype=places.dtype)
        return clean, renumbered(places, moved)


def _plain(text: str) -> str:
    """Return a plain str that can be encoded: a StrEnum's value; lone surrogates become U+FFFD."""
    text = str.__str__(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _width_for(words: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest integer type that holds the places of so many words."""
    if words < 2**7:
        return np.int8
    return np.int16 if words < 2**15 else np.int32


def transposed(groups: Sequence[Sequence[Row]], width: int) -> tuple[Sequence[Values], Sequence[int]]:
    """Return the values of each column, and the places of the rows that had another number of values."""
    kind = type(groups[0])
    if issubclass(kind, RowBatch) and len(set(map(type, groups))) == 1:
        items = list(chain.from_iterable([group.items for group in groups]))  # type: ignore[attr-defined]
        return _columns_of(kind, items, width, sum(map(len, groups)))
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
    return (column.plain() if isinstance(column, Doubles | Woven) else column)[-count:]


def _zipped(rows: list[Row], width: int) -> list[tuple[Any, ...]] | None:
    """Return the rows' values column by column; `None` when a row has another width."""
    try:
        columns = list(zip(*rows, strict=True))
    except ValueError:
        return None
    return columns if len(columns) == width else None


def _columns_of(
    kind: type[RowBatch], items: list[Any], width: int, rows: int
) -> tuple[Sequence[Values], Sequence[int]]:
    try:
        columns = kind.columns(items)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a stream's mistake must not end the feed; its rows are counted as refused
        columns = ()
    if len(columns) == width and {_length(column, rows) for column in columns} == {rows}:
        return columns, ()
    return [], range(rows)


def _woven(parts: Sequence[Encoded]) -> Encoded:
    """Return cells that take turns."""
    values = np.stack([part.values for part in parts], axis=1).ravel()
    masks = [part.mask for part in parts if part.mask is not None]
    unfit = [place * len(parts) + turn for turn, part in enumerate(parts) for place in part.unfit]
    return Encoded(values, np.stack(masks, axis=1).ravel() if masks else None, tuple(sorted(unfit)))


def _length(column: Values, rows: int) -> int:
    """Return how many values a column has; `rows` where it has as many as one likes."""
    if isinstance(column, Same):
        return rows
    if isinstance(column, Doubles):
        return len(column.data) // 8
    if isinstance(column, Woven):
        lengths = {_length(part, column.each) for part in column.parts}
        return len(column.parts) * column.each if lengths == {column.each} else -1
    return len(column)


class Buffer:
    """Cells in one piece of memory with room at the end.

    Written cells are never written again: when room runs out the living ones move to a new buffer, and pieces
    given out keep the old one. That is what makes `cells` free of copies and safe without a lock (0008).
    """

    def __init__(self, dtype: Dtype) -> None:
        self._dtype = dtype
        self._values: Array = np.empty(0, STORED[dtype])
        self._mask: Array | None = np.empty(0, np.bool_) if dtype in {"Int64", "boolean"} else None
        self._words = Words() if dtype in {"str", "category"} else None
        self._blocks: dict[int, Any] | None = {} if dtype == "str" else None
        self._usage = None if self._words is None else WordCounts()

    def encode(self, values: Values, count: int) -> Encoded:
        """Return the cells of a batch of `count` Python values, to be written into this buffer."""
        if isinstance(values, Same):
            return self.encode((values.value,), 1).repeated(count)
        if isinstance(values, Doubles):
            return encode_doubles(self._dtype, values) or self.encode(values.plain(), count)
        if isinstance(values, Woven):
            cells = {id(part): self.encode(part, values.each) for part in values.parts}
            return _woven([cells[id(part)] for part in values.parts])
        return encode(self._dtype, values) if self._words is None else self._words.encode(values)

    def write(self, at: int, cells: Encoded) -> None:
        """Put cells at place `at`; there must be room."""
        if self._words is not None:
            wider = np.dtype(_width_for(len(self._words)))
            if wider.itemsize > self._values.itemsize:  # a copy: pieces given out keep the narrow ones
                self._values = self._values.astype(wider)
        end = at + len(cells.values)
        self._values[at:end] = cells.values
        if self._mask is not None:
            self._mask[at:end] = cells.mask

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
        words = None if self._words is None else self._words.texts
        return Cells(
            self._dtype, read_only(self._values[low:high]), mask, words, low, self._blocks, self._usage
        )


def _roomy(living: Array, capacity: int) -> Array:
    memory = np.empty(capacity, living.dtype)
    memory[: len(living)] = living
    return memory
