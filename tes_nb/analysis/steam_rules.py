"""The arithmetic of steam, once for a single tick and once for columns: both give the same bits.

What a frame and a stream must agree on exactly is defined here:

- velocity = |new - old| / |old|; 0 → x is 1 (100 %), 0 → 0 is 0; without both values there is none (NaN);
- a mean is the correctly rounded exact sum of the window, divided by its count: so it does not matter in
  which order anyone adds;
- times are whole nanoseconds; a tick at exactly `now - window` is outside.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

LARGE_SINGLE = "LARGE_SINGLE"
MULTI_RAPID = "MULTI_RAPID"

DEFAULT_BOOKMAKER = "nowgoal-ws"
"""Stands for a bookmaker that a tick does not name."""
NS_PER_MS = 1_000_000
LAST_MS = 9_000_000_000_000
"""Beyond the year 2255 a number of milliseconds is no time but a mistake."""
VELOCITY_SHIFT, VOLUME_SHIFT = 32, 14
"""Where the precision of the exact sums lies: see `exact`."""
FULL_VOLUME = 10_000.0
"""A mean volume from which on more volume changes nothing."""
HIGHEST = 1e300
"""A velocity or a volume above counts as this, so that sums stay finite."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def velocity(old: float, new: float) -> float:
    """Return the relative size of a move; NaN when either value is missing."""
    if not (math.isfinite(old) and math.isfinite(new)):
        return math.nan
    if old == 0:
        return 0.0 if new == 0 else 1.0
    return min(abs(new - old) / abs(old), HIGHEST)


def velocities(old: Floats, new: Floats) -> Floats:
    """Return `velocity` of each pair."""
    readable = np.isfinite(old) & np.isfinite(new)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        moved = np.minimum(np.abs(new - old) / np.abs(old), HIGHEST)
    moved = np.where(old == 0, (new != 0).astype(np.float64), moved)
    return np.where(readable, moved, np.nan)


def index(mean_velocity: Any, volume_share: Any, weight: Any) -> Any:
    """Return the steam index of numbers or arrays; `volume_share` = min(mean volume / FULL_VOLUME, 1)."""
    return 0.7 * mean_velocity * 100 + 0.3 * volume_share * weight * 10


def number(value: Any) -> float:
    """Return a cell as a float; NaN for what is missing or no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def numbers(cells: pd.Series) -> Floats:
    """Return `number` of each cell."""
    if cells.dtype == np.float64:
        return cells.to_numpy()
    return pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def volume(value: Any) -> float:
    """Return a tick's volume; 0 for what is missing, negative or no number."""
    given = number(value)
    return min(given, HIGHEST) if given > 0 else 0.0


def volumes(cells: pd.Series) -> Floats:
    """Return `volume` of each cell."""
    given = numbers(cells)
    return np.minimum(np.where(given > 0, given, 0.0), HIGHEST)


def unix_ns(value: Any) -> int | None:
    """Return a time as Unix nanoseconds; `None` for what is none.

    Numbers are Unix milliseconds, times without a zone are UTC.
    """
    if value.__class__ is int and abs(value) <= LAST_MS:
        return int(value) * NS_PER_MS
    if isinstance(value, (pd.Timestamp, datetime, np.datetime64)):
        stamp: Any = pd.Timestamp(value)
        if pd.isna(stamp):
            return None
        stamp = stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp
        return int(stamp.as_unit("ns").value)
    ms = int(value) if isinstance(value, (int, np.integer)) else number(value)
    if not abs(ms) <= LAST_MS:  # NaN too
        return None
    whole = math.floor(ms)
    return int(whole) * NS_PER_MS + round((ms - whole) * NS_PER_MS)


def unix_ns_of(cells: pd.Series) -> tuple[Ints, Bools]:
    """Return `unix_ns` of each cell and which cells are times; the others say 0."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype) or cells.dtype.kind == "M":
        known = cells.notna().to_numpy()
        stamps = cells.dt.tz_convert(UTC).dt.tz_localize(None) if cells.dt.tz is not None else cells
        return np.where(known, stamps.to_numpy().astype("datetime64[ns]").view(np.int64), 0), known
    if cells.dtype.kind in "iu" and cells.notna().all():
        ms = cells.to_numpy(dtype=np.int64)
        known = np.abs(ms) <= LAST_MS
        return np.where(known, ms, 0) * NS_PER_MS, known
    times = [unix_ns(cell) for cell in cells.astype(object)]
    known = np.array([time is not None for time in times], dtype=np.bool_)
    return np.array([time or 0 for time in times], dtype=np.int64), known
