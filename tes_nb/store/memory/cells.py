"""Immutable pieces of columns, and how Python values of a row become them.

A piece (`Cells`) is never changed after it was made: frames, views and exports may keep one as long as they
like, without a lock, while the table goes on growing.

    dtype               values                        absent
    float64             float64                       NaN
    int64               int64                         never
    Int64, boolean      int64, bool                   mask is True
    str, category       int8/16/32: place in `words`  -1
    datetime64[ns, UTC] int64: Unix ns                NAT
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Doubles, Dtype


Array = npt.NDArray[Any]

NAT = int(np.iinfo(np.int64).min)
"""What stands for an absent time: numpy's and pandas' own value of NaT."""

STORED: dict[Dtype, type[np.generic]] = {
    "float64": np.float64,
    "int64": np.int64,
    "Int64": np.int64,
    "boolean": np.bool_,
    "str": np.int8,
    "category": np.int8,
    "datetime64[ns, UTC]": np.int64,
}
"""How values lie in memory; places in `words` start as int8 and widen."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A run of one column's cells, as in the table above."""

    dtype: Dtype
    values: Array
    mask: Array | None = None
    words: Sequence[str] | None = None
    """Text only. Others may append to it; the places in `values` stay true."""
    start: int = 0
    """Where in the memory of its column this piece begins."""
    kept: dict[int, Any] | None = None
    """What `text_blocks` has made of that memory so far; it goes with the memory. `None` = it keeps nothing."""

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, low: int, high: int) -> Cells:
        """Return the cells `low` to `high`, without copying."""
        mask = None if self.mask is None else self.mask[low:high]
        return Cells(self.dtype, self.values[low:high], mask, self.words, self.start + low, self.kept)

    def take(self, order: Array) -> Cells:
        """Return the cells at the places in `order`, copied."""
        mask = None if self.mask is None else self.mask[order]
        return Cells(self.dtype, self.values[order], mask, self.words)

    def with_absent(self, at: Array) -> Cells:
        """Return a copy with an absent cell before each place in `at`; int64 becomes Int64, even for none."""
        mask, dtype = self.mask, self.dtype
        if dtype == "int64":
            mask, dtype = np.zeros(len(self), np.bool_), "Int64"
        if mask is not None:
            return Cells(dtype, np.insert(self.values, at, 0), np.insert(mask, at, True), self.words)
        nothing = np.nan if dtype == "float64" else NAT if self.words is None else -1
        return Cells(dtype, np.insert(self.values, at, nothing), None, self.words)

    def absent(self) -> Array:
        """Return a new boolean array: True where there is no value."""
        if self.mask is not None:
            return self.mask.copy()
        if self.dtype == "float64":
            return np.isnan(self.values)
        if self.words is not None:
            return self.values < 0
        return self.values == NAT if self.dtype == "datetime64[ns, UTC]" else np.zeros(len(self), bool)

    def compact(self) -> tuple[list[str], Array]:
        """Return the words that these cells use, and for each cell its place among them (-1 = absent)."""
        assert self.words is not None, "only text has words"
        top = int(self.values.max(initial=-1)) if self.words else -1
        if top < 0:
            return [], self.values
        if top == 0:
            return [self.words[0]], self.values
        if int(self.values.min()) == top:
            return [self.words[top]], np.zeros(len(self), np.int8)
        used = _places_in_use(self.values, top)
        if len(used) == top + 1:
            return list(self.words[: top + 1]), self.values
        moved = np.full(top + 1, -1, np.int32)
        moved[used] = np.arange(len(used))
        return [self.words[place] for place in used], renumbered(self.values, moved)

    def numpy(self) -> Array:
        """Return the cells as views draw them, read-only.

        Numbers and flags that may be absent are float64 with NaN; times are datetime64[ns] with NaT (UTC);
        text is an object array with None; int64 stays int64.
        """
        if self.mask is not None:
            plain = self.values.astype(np.float64)
            plain[self.mask] = np.nan
        elif self.words is not None:
            words, places = self.compact()
            plain = np.array([*words, None], dtype=object)[places]
        elif self.dtype == "datetime64[ns, UTC]":
            plain = self.values.view("M8[ns]")
        else:
            plain = self.values
        return read_only(plain)


_FEW = 64


def _places_in_use(values: Array, top: int) -> Array:
    """Return the places from 0 to `top` that occur, in order."""
    if top > len(values):
        return np.unique(values[values >= 0])
    if top >= _FEW:
        return np.flatnonzero(np.bincount(values.astype(np.intp) + 1)[1:])
    newest = set(values[-4096:].tolist())  # most words occur there; each other one costs a search
    return np.array(
        [place for place in range(top + 1) if place in newest or (values == place).any()], np.intp
    )


def renumbered(values: Array, moved: Array) -> Array:
    """Return places of words with `moved[place]` for each place; -1 stays -1."""
    if values.dtype == np.int8 and len(moved) < 2**7:
        table = bytearray(range(256))  # as bytes, -1 is 255
        table[: len(moved)] = moved.astype(np.int8).tobytes()
        return np.frombuffer(values.tobytes().translate(table), np.int8)  # twice as fast as an index
    return np.append(moved, -1)[values]


def read_only(array: Array) -> Array:
    """Return a view of `array` that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


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
    def known(self) -> Sequence[str]:
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


def width_for(words: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest integer type that holds the places of so many words."""
    if words < 2**7:
        return np.int8
    return np.int16 if words < 2**15 else np.int32
