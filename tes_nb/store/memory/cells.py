"""Immutable pieces of columns, and of tables: what frames, views and exports read.

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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tes_nb.model import Dtype, Table


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


class WordCounts:
    """How often each word occurs in a column's memory. The next piece costs what came and what went since (0042)."""

    def __init__(self) -> None:
        self._last: tuple[int, Array, Array] | None = None
        """Where the piece began that was counted last, its places, and how often each occurs; replaced as a whole."""

    def places(self, piece: Cells) -> Array:
        """Return the places that occur in a piece of this memory, in order."""
        start, values, counts = piece.start, piece.values, None
        if self._last is not None:
            before, old, counted = self._last
            went, common = start - before, before + len(old) - start
            if went >= 0 and 0 <= common <= len(values) and went + len(values) - common <= common:
                came = _counts(values[common:], len(counted))
                counts = came - np.pad(_counts(old[:went], len(counted)), (0, len(came) - len(counted)))
                counts[: len(counted)] += counted
        if counts is None:
            counts = _counts(values, 1)
        self._last = (start, values, counts)
        return np.flatnonzero(counts[1:])


COUNTED_ROWS = 65_536
"""In more rows than that the words in use are counted, and the counts kept; a search through fewer costs less."""


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
    blocks: dict[int, Any] | None = None
    """What frames have made of that memory (`frames.text_array`), which it goes with. `None` = nothing."""
    usage: WordCounts | None = None
    """Which words occur in that memory. `None` = not counted."""

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, low: int, high: int) -> Cells:
        """Return the cells `low` to `high`, without copying."""
        mask = None if self.mask is None else self.mask[low:high]
        values, start = self.values[low:high], self.start + low
        return Cells(self.dtype, values, mask, self.words, start, self.blocks, self.usage)

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
        if self.usage is not None and len(self) > COUNTED_ROWS:
            used = self.usage.places(self)
        else:
            used = _places_in_use(self.values)
        if not len(used):
            return [], self.values
        top = int(used[-1])
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows in the order they were received. It never changes, and costs nothing to take."""

    stream: str
    """The stream's name; "" = unknown."""
    table: Table
    time: Array
    """int64, Unix ns, UTC: when each row was received. Read-only."""
    cells: Mapping[str, Cells]
    """`sent_at`, `seq`, `conn`, `source`, then the table's own columns, each as long as `time`."""
    ordered: bool
    """False = the wall clock jumped back somewhere among these rows."""
    dropped: int = 0
    """How many older rows the table had to drop before these."""

    def __len__(self) -> int:
        return len(self.time)

    def slice(self, low: int, high: int) -> Snapshot:
        """Return the rows `low` to `high`, without copying."""
        cells = {name: piece.slice(low, high) for name, piece in self.cells.items()}
        return replace(self, time=self.time[low:high], cells=cells)

    def by_time(self) -> Snapshot:
        """Return the rows sorted by time, those of one time in the order received."""
        if self.ordered:
            return self
        order = np.argsort(self.time, kind="stable")
        cells = {name: piece.take(order) for name, piece in self.cells.items()}
        return replace(self, time=self.time[order], cells=cells, ordered=True)

    def chunks(self, rows: int) -> Iterator[Snapshot]:
        """Yield the rows in pieces of at most so many."""
        for low in range(0, len(self), rows):
            yield self.slice(low, low + rows)


_FEW = 64


def _places_in_use(values: Array) -> Array:
    """Return the places that occur, in order."""
    top = int(values.max(initial=-1))
    if top > len(values):
        return np.unique(values[values >= 0])
    if top >= _FEW:
        return np.flatnonzero(_counts(values, top + 2)[1:])
    if top > 0 and int(values.min()) == top:
        return np.array([top], np.intp)
    newest = set(values[-4096:].tolist())  # most words occur there; each other one costs a search
    return np.array(
        [place for place in range(top + 1) if place in newest or (values == place).any()], np.intp
    )


def _counts(values: Array, least: int) -> Array:
    """Return how often -1 occurs, 0, 1 and so on, for at least so many."""
    return np.bincount(values.astype(np.intp) + 1, minlength=least)


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
