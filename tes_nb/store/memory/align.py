"""Several frames on one grid of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.memory.timespec import Span, span_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_GRID = 10_000_000
_LEFT_OUT = {column.name for column in BASE_COLUMNS}


def align(frames: Mapping[str, pd.DataFrame], every: Span = "1s") -> pd.DataFrame:
    """Return one frame with a row for each interval of length `every`, and the columns of all `frames`.

    The index `time` holds the starts of the intervals (multiples of `every` since 1970, as pandas' `floor`
    makes them), from the first to the last row of any frame, without holes. A cell is the last value received
    within its interval; where none was, it is NA: nothing is carried over from before, so gaps and silences
    stay visible. This holds for gauges and counters alike: a counter's rate is then `.diff() / seconds`.

    Columns are called `<name>_<column>`; those of a frame with several subjects (`.attrs["key"]`, for example
    workers) `<name>_<column>[<subject>]`. Flat names and no MultiIndex, because that is what plots, CSV and
    `frame.column` take without ado. `sent_at`, `seq`, `conn`, `source` and the key columns are left out;
    int64 columns are Int64. Times are in the zone of the first frame with rows; `.attrs` has `units`.

    Raises `ArgumentError` for an interval that cannot be understood, for one so short that the grid would
    have more than 10 million rows, and for names that make two columns the same.
    """
    step = span_ns(every, name="every")
    parts: dict[str, pd.Series] = {}
    units: dict[str, str] = {}
    for name, frame in frames.items():
        units_of = frame.attrs.get("units", {})
        for column, label, values in _last_values(frame, step):
            if f"{name}_{label}" in parts:
                raise ArgumentError(
                    f"Two columns would be called '{name}_{label}': give a frame another name."
                )
            parts[f"{name}_{label}"] = values
            if column in units_of:
                units[f"{name}_{label}"] = units_of[column]
    grid = _grid(parts, step, every)
    aligned = pd.DataFrame({name: values.reindex(grid) for name, values in parts.items()}, index=grid)
    zones = [_times(frame).tz for frame in frames.values() if len(frame)]
    aligned.index = pd.DatetimeIndex(grid, dtype=pd.DatetimeTZDtype("ns", "UTC"), name="time").tz_convert(
        zones[0] if zones else "UTC"
    )
    aligned.attrs["units"] = units
    return aligned


def _last_values(frame: pd.DataFrame, step: int) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield each column with its label in the result and its last values by start of interval, in Unix ns."""
    key = [name for name in frame.attrs.get("key", ()) if name in frame]
    names = [str(name) for name in frame if name not in _LEFT_OUT and name not in key]
    for subject, rows in frame.groupby(key, observed=True, sort=True) if key else [((), frame)]:
        # int64 as Int64: there are intervals without a value
        values = rows[names].astype(dict.fromkeys(rows[names].select_dtypes("int64").columns, "Int64"))
        last = values.groupby(_times(rows).as_unit("ns").asi8 // step * step).last()
        suffix = f"[{', '.join(map(str, subject))}]" if key else ""
        yield from ((name, f"{name}{suffix}", last[name]) for name in names)


def _times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise ArgumentError(
            "align() takes frames as frame() gives them: with an index of times in a time zone."
        )
    return frame.index


def _grid(parts: Mapping[str, pd.Series], step: int, every: Span) -> pd.Index:
    starts = [values.index for values in parts.values() if len(values)]
    if not starts:
        return pd.Index(np.empty(0, np.int64))
    first, last = min(int(index[0]) for index in starts), max(int(index[-1]) for index in starts)
    if (last - first) // step >= LARGEST_GRID:
        raise ArgumentError(
            f"every={every!r} is too short for rows that span {pd.Timedelta(last - first)}: the grid would "
            f"have more than {LARGEST_GRID:,} rows. Give a longer interval, or frames with start=."
        )
    return pd.Index(np.arange(first, last + 1, step, dtype=np.int64))
