"""DataFrames of tables: typed, sorted by receive time, with units in `.attrs`; `grid` puts several on one grid."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.memory.cells import NAT, Array, Cells, Snapshot, read_only, renumbered
from tes_nb.store.memory.timespec import Instant, Span, Zone, instant_ns, span_ns, zone

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from tes_nb.model import Table
    from tes_nb.store.memory.columns import Columns
    from tes_nb.wire.events import Gap


BLOCK = 65_536
"""Rows of a block of text: so many at most are made anew at the end of each frame (docs/decisions/0013)."""
_MAX_BLOCK_BYTES = 32 * BLOCK
"""A block of longer texts is not kept: the memory of a table must not grow with the looking at it."""

_ARROW = pd.StringDtype(na_value=float("nan")).storage == "pyarrow"
"""Without pyarrow pieces cannot be joined without a copy, so that keeping them gains nothing."""

_LATEST = int(np.iinfo(np.int64).max)


def frame(
    rows: Columns | Snapshot,
    start: Instant | None = None,
    end: Instant | None = None,
    *,
    last: Span | None = None,
    tz: Zone = None,
    copy: bool = True,
    gaps: Iterable[Gap] | None = None,
    now_ns: int | None = None,
) -> pd.DataFrame:
    """Return the rows as a DataFrame with the receive time as index `time` (UTC, ns, sorted, may repeat).

    Columns are `sent_at`, `seq`, `conn`, `source`, then the table's own, with the dtypes the table declares,
    also when it is empty. The categories of a category column are the words that occur, sorted. `.attrs`
    holds `stream`, `table`, `units` (column → unit, where it has one) and, where a table has several
    subjects, `key`: the columns that tell them apart.

    `start` and `end` (both included, as with `.loc`; `None` = open) are anything `pandas.Timestamp` knows,
    in `tz` where they name no offset. `last` ("10min", seconds, a timedelta) counts back from `now_ns` (Unix
    ns), or from the newest row if that is `None`. `tz` shows all times in that zone; `None` = UTC.

    `copy=True` gives a frame to do with as you like. `copy=False` gives one that shares the table's memory
    where it can and cannot be written to; it does not change when the table grows.

    `gaps` puts one row without values into each gap after the first row, so that no line is drawn across it;
    all int64 columns are Int64 then. Raises `ArgumentError` for times that cannot be understood.
    """
    home = zone(tz)
    chosen, high = selected(rows, start, end, last=last, tz=home, now_ns=now_ns)
    time, cells = chosen.time, dict(chosen.cells)
    if gaps is not None:
        at, moments = _places_of(gaps, time, high)
        time = np.insert(time, at, moments)
        cells = {name: piece.with_absent(at) for name, piece in cells.items()}
    index = _times(time.copy() if copy else time, home).rename("time")
    arrays = {name: pandas_array(piece, home) for name, piece in cells.items()}
    result = pd.DataFrame(arrays, index=index, copy=copy)
    result.attrs.update(attributes(chosen.stream, chosen.table))
    return result


def selected(
    rows: Columns | Snapshot,
    start: Instant | None = None,
    end: Instant | None = None,
    *,
    last: Span | None = None,
    tz: Zone = None,
    now_ns: int | None = None,
) -> tuple[Snapshot, int]:
    """Return the rows of a range in the order of their times, as `frame` chooses them, and its last instant."""
    snapshot = (rows if isinstance(rows, Snapshot) else rows.snapshot()).by_time()
    low, high = _bounds(snapshot, start, end, last, zone(tz), now_ns)
    first = int(np.searchsorted(snapshot.time, low, side="left"))
    return snapshot.slice(first, int(np.searchsorted(snapshot.time, high, side="right"))), high


def attributes(stream: str, table: Table) -> dict[str, Any]:
    """Return what frames of `table` carry in `.attrs`."""
    units = {column.name: column.unit for column in table.columns if column.unit}
    key = {"key": list(table.key)} if table.key else {}
    return {"stream": stream, "table": table.name, "units": units, **key}


def describe(table: Table) -> pd.DataFrame:
    """Return a frame with one row per column: its name, dtype, unit ("" = none) and doc."""
    columns = (*BASE_COLUMNS, *table.columns)
    rows = [(column.name, column.dtype, column.unit, column.doc) for column in columns]
    return pd.DataFrame(rows, columns=["name", "dtype", "unit", "doc"], dtype="str")


def _bounds(  # noqa: PLR0917 - the words of `frame`, handed on
    snapshot: Snapshot,
    start: Instant | None,
    end: Instant | None,
    last: Span | None,
    home: dt.tzinfo,
    now_ns: int | None,
) -> tuple[int, int]:
    """Return the first and the last instant of a frame, in Unix ns."""
    if last is not None:
        if start is not None or end is not None:
            raise ArgumentError("last= cannot go together with start= or end=: give the one or the others.")
        newest = int(snapshot.time[-1]) if len(snapshot) else 0
        back_from = newest if now_ns is None else now_ns
        return max(back_from - span_ns(last, name="last"), NAT), _LATEST
    low = NAT if start is None else instant_ns(start, name="start", tz=home)
    high = _LATEST if end is None else instant_ns(end, name="end", tz=home)
    if low > high:
        raise ArgumentError(f"start={start!r} is later than end={end!r}: swap them.")
    return low, high


def _places_of(gaps: Iterable[Gap], time: Array, high: int) -> tuple[Array, Array]:
    """Return where to insert a row for each gap, and the moment in the gap for which it stands."""
    moments = sorted(_moment_in(gap) for gap in gaps)
    inside = [moment for moment in moments if time.size and time[0] < moment <= high]
    places = np.array(inside, dtype=np.int64)
    return np.searchsorted(time, places, side="right"), places


def _moment_in(gap: Gap) -> int:
    moment = gap.lost_at_ns if gap.last_seen_ns is None else max(gap.lost_at_ns, gap.last_seen_ns + 1)
    return moment if gap.back_at_ns is None else min(moment, gap.back_at_ns - 1)


def pandas_array(cells: Cells, tz: dt.tzinfo) -> Any:
    """Return the cells as what a DataFrame's column is made of; without copying where that is possible.

    What it returns cannot be written to: a frame that shares it must say so instead of changing the table.
    """
    if cells.dtype == "category":
        return _categorical(cells)
    if cells.dtype == "str":
        array = text_array(cells)
        array._readonly = True  # noqa: SLF001 - pandas' own mark; without it the frame is writable, but harmless
        return array
    if cells.dtype == "datetime64[ns, UTC]":
        return _times(cells.values, tz).array
    if cells.mask is None:
        return cells.values  # noqa: PD011 - a numpy array already
    kind = pd.arrays.IntegerArray if cells.dtype == "Int64" else pd.arrays.BooleanArray
    return kind(cells.values, cells.mask)


def _times(ns: Array, tz: dt.tzinfo) -> pd.DatetimeIndex:
    # as integers of a dtype with a zone: pandas would copy them in tz_localize
    return pd.DatetimeIndex(ns, dtype=pd.DatetimeTZDtype("ns", "UTC"), copy=False).tz_convert(tz)


def text_array(cells: Cells) -> Any:
    """Return the cells as what a column of dtype `str` is made of; blocks of them are made once for all frames."""
    if cells.blocks is None or len(cells) < BLOCK or not _ARROW:
        return _text(cells)
    first, last = -(-cells.start // BLOCK), (cells.start + len(cells)) // BLOCK
    head = cells.slice(0, first * BLOCK - cells.start)
    tail = cells.slice(max(last, first) * BLOCK - cells.start, len(cells))
    pieces = [_text(head), *(_block(cells, number) for number in range(first, last)), _text(tail)]
    return type(pieces[0])._concat_same_type(pieces)  # noqa: SLF001 - of pandas' interface for arrays


def _block(cells: Cells, number: int) -> Any:
    assert cells.blocks is not None, "only cells of a growing column have blocks"
    array = cells.blocks.get(number)
    if array is None:
        low = number * BLOCK - cells.start
        array = _text(cells.slice(low, low + BLOCK))
        if array.nbytes <= _MAX_BLOCK_BYTES:
            cells.blocks[number] = array
    return array


def _text(cells: Cells) -> Any:
    words, places = cells.compact()
    return pd.array(words, dtype="str").take(places, allow_fill=True)


def _categorical(cells: Cells) -> pd.Categorical:
    words, places = cells.compact()
    ranked = sorted(words)
    if ranked != words:
        rank = {word: place for place, word in enumerate(ranked)}
        places = renumbered(places, np.array([rank[word] for word in words], np.int32))
    return pd.Categorical.from_codes(read_only(places), dtype=_categories(tuple(ranked)), validate=False)


@lru_cache(maxsize=1024)
def _categories(words: tuple[str, ...]) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(pd.Index(words, dtype="str"))
