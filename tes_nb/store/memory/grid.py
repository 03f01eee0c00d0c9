"""Several frames on one grid of times: a row for each interval, a column for each column and subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.memory.timespec import Span, span_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tes_nb.store.memory.cells import Array
    from tes_nb.wire.events import Gap

LARGEST_GRID = 10_000_000
How: TypeAlias = Literal["last", "first", "mean", "min", "max", "sum", "ohlc"]
Fill: TypeAlias = Literal["latest"]
OHLC = {"open": "first", "high": "max", "low": "min", "close": "last"}
_LEFT_OUT = {column.name for column in BASE_COLUMNS}


def align(
    frames: Mapping[str, pd.DataFrame],
    every: Span = "1s",
    *,
    fill: Fill | None = None,
    how: Mapping[str, How] | None = None,
    gaps: Mapping[str, Iterable[Gap]] | None = None,
) -> pd.DataFrame:
    """Return one frame with a row for each interval of length `every`, and the columns of all `frames`.

    The index `time` holds the starts of the intervals (multiples of `every` since 1970, as pandas' `floor`
    makes them), from the first to the last row of any frame, without holes. A cell is the last value received
    within its interval; where none was, it is NA: nothing is carried over from before, so gaps and silences
    stay visible. This holds for gauges and counters alike: a counter's rate is then `.diff() / seconds`.

    fill="latest" carries the last value on until there is another, but across no gap: `gaps` has those of each frame.
    how: name of a frame → what becomes of the numbers of an interval: "last" (where none is named), "first", "mean",
    "min", "max", "sum", or "ohlc", which gives four columns (`…_open`, `…_high`, `…_low`, `…_close`; an interval
    without rows has the close before it in all four, if it is filled). Other columns give their last value.

    Columns are called `<name>_<column>`; those of a frame with several subjects (`.attrs["key"]`, for example
    workers) `<name>_<column>[<subject>]`. Flat names and no MultiIndex, because that is what plots, CSV and
    `frame.column` take without ado. `sent_at`, `seq`, `conn`, `source` and the key columns are left out;
    int64 columns are Int64. Times are in the zone of the first frame with rows; `.attrs` has `units`.

    Raises `ArgumentError` for an interval that cannot be understood, for one so short that the grid would
    have more than 10 million rows, and for names that make two columns the same.
    """
    step = span_ns(every, name="every")
    chosen = _chosen(how or {}, frames, fill)
    subjects = {name: _Subjects.of(frame, step) for name, frame in frames.items()}
    grid = _grid([one.interval for one in subjects.values()], step, every)
    parts: dict[str, Any] = {}
    units: dict[str, str] = {}
    for name, frame in frames.items():
        mine: dict[str, Any] = {}
        for column, label, cells in subjects[name].columns(grid, step, chosen.get(name, "last")):
            if f"{name}_{label}" in parts or f"{name}_{label}" in mine:
                raise ArgumentError(
                    f"Two columns would be called '{name}_{label}': give a frame another name."
                )
            mine[f"{name}_{label}"] = cells
            if unit := frame.attrs.get("units", {}).get(column):
                units[f"{name}_{label}"] = unit
        if fill == "latest":
            lost = [gap.began_ns for gap in (gaps or {}).get(name, ())]
            mine = _filled(mine, np.searchsorted(np.sort(np.array(lost, np.int64)), grid, "left"))
        parts |= mine
    aligned = pd.DataFrame(parts, index=pd.RangeIndex(len(grid)))
    zones = [_index_of(frame).tz for frame in frames.values() if len(frame)]
    aligned.index = pd.DatetimeIndex(grid, dtype=pd.DatetimeTZDtype("ns", "UTC"), name="time").tz_convert(
        zones[0] if zones else "UTC"
    )
    aligned.attrs["units"] = units
    return aligned


def _chosen(how: Mapping[str, How], frames: Mapping[str, pd.DataFrame], fill: Fill | None) -> dict[str, How]:
    if fill is not None and fill not in get_args(Fill):
        raise ArgumentError(f"fill={fill!r} is not known: give 'latest', or None for NA where nothing came.")
    for name, one in how.items():
        if name not in frames:
            raise ArgumentError(f"how= names '{name}', which is not among {', '.join(frames)}.")
        if one not in get_args(How):
            raise ArgumentError(f"how={one!r} is not known: give one of {', '.join(get_args(How))}.")
    return dict(how)


@dataclass(slots=True)
class _Subjects:
    """The rows of a frame with the interval and the subject of each."""

    rows: pd.DataFrame
    interval: Array
    """Start of each row's interval, in Unix ns."""
    subject: Array
    """The place of each row's subject in `labels`."""
    labels: Sequence[str]
    """What comes behind the name of each subject's columns; [""] = the frame has one subject."""

    @classmethod
    def of(cls, frame: pd.DataFrame, step: int) -> _Subjects:
        key = [name for name in frame.attrs.get("key", ()) if name in frame]
        interval = _index_of(frame).as_unit("ns").asi8 // step * step
        rows = frame[[name for name in frame if name not in _LEFT_OUT and name not in key]]
        if not key:
            return cls(rows, interval, np.zeros(len(frame), np.intp), [""])
        grouped = frame.groupby(key, observed=True, sort=True)
        subject = grouped.ngroup().fillna(-1).to_numpy(np.intp)
        there = subject >= 0  # those without a subject, such as what stands for a gap, are left out
        labels = [
            f"[{', '.join(map(str, one))}]" for one in grouped.size().index.to_frame().itertuples(index=False)
        ]
        return cls(rows[there], interval[there], subject[there], labels)

    def columns(self, grid: Array, step: int, how: How) -> Iterator[tuple[str, str, Any]]:
        """Yield (column, label, cells on the grid), subject by subject."""
        size = len(grid)
        first = int(grid[0]) if size else 0
        place = self.subject * size + (self.interval - first) // step
        made: list[tuple[str, str, Any]] = []
        for name in map(str, self.rows.columns):
            values = self.rows[name]
            plain = values.dtype == np.float64
            number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(
                values.dtype
            )
            if how == "last" or not number:
                cells = _scattered(values, place, len(self.labels) * size, plain=plain)
                made.append((name, name, cells))
                continue
            groups = values.astype("float64").groupby(place)
            for suffix, reduce in OHLC.items() if how == "ohlc" else [("", how)]:
                reduced = groups.sum(min_count=1) if reduce == "sum" else groups.agg(reduce)
                cells = _scattered(reduced, reduced.index.to_numpy(), len(self.labels) * size, plain=True)
                made.append((name, f"{name}_{suffix}" if suffix else name, cells))
        for number_, label in enumerate(self.labels):
            part = slice(number_ * size, (number_ + 1) * size)
            for name, column, cells in made:
                yield name, f"{column}{label}", cells[part]


def _scattered(values: pd.Series, place: Array, size: int, *, plain: bool) -> Any:
    """Return an array with the last value that is there for each place, absent elsewhere."""
    there = values.notna().to_numpy(bool)
    at = place[there]
    if plain:
        cells = np.full(size, np.nan)
        cells[at] = values.to_numpy()[there]
        return cells
    if pd.api.types.is_integer_dtype(values.dtype):  # there are intervals without a value
        values = values.astype("Int64")
    rows = np.full(size, -1, np.intp)
    rows[at] = np.flatnonzero(there)
    return pd.api.extensions.take(values.array, rows, allow_fill=True)


def _filled(parts: dict[str, Any], epoch: Array) -> dict[str, Any]:
    """Carry values on within each epoch; a bar that is filled is flat."""
    if not parts or not len(epoch):
        return parts
    frame = pd.DataFrame(parts)
    carried = frame.groupby(epoch).ffill() if epoch[0] != epoch[-1] else frame.ffill()
    for name in parts:
        stem, _, rest = name.partition("_close")
        for word in ("open", "high", "low"):
            if rest[:1] in {"", "["} and (other := f"{stem}_{word}{rest}") in parts and "_close" in name:
                carried[other] = frame[other].fillna(carried[name])
    return {name: carried[name].array for name in parts}


def _index_of(frame: pd.DataFrame) -> pd.DatetimeIndex:
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise ArgumentError(
            "align() takes frames as frame() gives them: with an index of times in a time zone."
        )
    return frame.index


def _grid(intervals: Iterable[Array], step: int, every: Span) -> Array:
    starts = [one for one in intervals if len(one)]
    if not starts:
        return np.empty(0, np.int64)
    first, last = min(int(one.min()) for one in starts), max(int(one.max()) for one in starts)
    if (last - first) // step >= LARGEST_GRID:
        raise ArgumentError(
            f"every={every!r} is too short for rows that span {pd.Timedelta(last - first)}: the grid would "
            f"have more than {LARGEST_GRID:,} rows. Give a longer interval, or frames with start=."
        )
    return np.arange(first, last + 1, step, dtype=np.int64)
