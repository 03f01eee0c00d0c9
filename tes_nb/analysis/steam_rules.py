"""The rules of steam: what of each league counts, the index, and when it is MULTI_RAPID.

`steam.detect` and `SteamDetector` go by them, the one in columns, the other tick by tick:

- velocity = |new - old| / |old|; 0 → x is 1 (100 %), 0 → 0 is 0; without both values there is none (NaN);
- times are whole nanoseconds; a tick at exactly `now - window` is outside;
- a mean is that of the window up to the tick, this one included.

Both give the same velocities to the last bit. Their sums over a window may differ by rounding, since each adds
in an order of its own: an index by less than 1 part in 10**12, and so, in theory, a rule where an index is that
near to its bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from tes_nb.errors import TesError

BetKind = Literal["prop", "main"]
"""prop: a bet on a player. main: everything else."""

OTHER = "other"
"""The league word for every league that has no row of its own."""
LEAGUE_WORDS = {"ncaab": "wncaab", "euro": "euroleague"}
PROPS = frozenset({"player_prop", "prop"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What MULTI_RAPID asks of one league and kind."""

    threshold: float
    """A move counts from this velocity on; 0.03 = 3 %."""
    window_ms: int
    """Moves within so many milliseconds belong together; one exactly that old no longer does."""
    moves: int
    """So many moves must reach the threshold."""
    volume_weight: float = 0.5

    def __post_init__(self) -> None:
        if not (self.threshold >= 0 and self.window_ms > 0 and self.moves > 0):
            raise TesError(
                f"{self} makes no sense: the threshold is at least 0, window and moves are above 0."
            )


@dataclass(frozen=True)
class SteamSettings:
    """All settings. Immutable: `changed` and `replace` return new ones.

    >>> DEFAULTS.of("WNCAAB", "prop").window_ms
    1500
    >>> DEFAULTS.changed("nba", "main", threshold=0.05).of("NBA", "main").threshold
    0.05
    """

    rows: Mapping[tuple[str, BetKind], Setting]
    """(league in lower-case letters, kind) → setting; the league "other" is for all that have no row."""
    large: float = 0.10
    """A single move of at least this velocity is steam by itself: LARGE_SINGLE."""
    least_index: float = 1.5
    """MULTI_RAPID asks for at least this steam index."""
    _cache: dict[tuple[Any, bool], Setting] = field(default_factory=dict, repr=False, compare=False)

    def of(self, league: Any, kind: BetKind) -> Setting:
        """Return the setting for a league as frames spell it (NA or unknown = other) and a kind."""
        return self.rows.get((normal_league(league), kind)) or self.rows[OTHER, kind]

    def of_tick(self, league: Any, odds_type: Any) -> Setting:
        """Return the setting for a tick's league and odds type."""
        key = (league if isinstance(league, str) else None, odds_type in PROPS)
        if key not in self._cache:
            self._cache[key] = self.of(league, "prop" if key[1] else "main")
        return self._cache[key]

    @cached_property
    def longest_window_ms(self) -> int:
        """The longest window of all rows: nothing older is ever looked at."""
        return max(setting.window_ms for setting in self.rows.values())

    def changed(self, league: str, kind: BetKind, **changes: Any) -> SteamSettings:
        """Return settings in which one league and kind differ in the named fields of `Setting`.

        A league that had no row gets one, begun from that of `other`.
        """
        key = (normal_league(league), kind)
        return SteamSettings(
            rows={**self.rows, key: replace(self.of(league, kind), **changes)},
            large=self.large,
            least_index=self.least_index,
        )

    def table(self) -> pd.DataFrame:
        """Return the settings as a frame: one row per league and kind."""
        rows = [
            (league, kind, one.threshold, one.window_ms, one.moves, one.volume_weight)
            for (league, kind), one in self.rows.items()
        ]
        columns = ["league", "kind", "threshold", "window_ms", "moves", "volume_weight"]
        return pd.DataFrame(rows, columns=columns).set_index(["league", "kind"])


def normal_league(league: Any) -> str:
    """Return the league in lower-case letters only, synonyms as one word; "other" for what is no text."""
    if not isinstance(league, str):
        return OTHER
    letters = "".join(letter for letter in league.lower() if letter.isalpha())
    return LEAGUE_WORDS.get(letters, letters) or OTHER


DEFAULTS = SteamSettings(
    rows={
        ("wncaab", "prop"): Setting(threshold=0.03, window_ms=1500, moves=2),
        ("wncaab", "main"): Setting(threshold=0.025, window_ms=2000, moves=2),
        ("nba", "prop"): Setting(threshold=0.05, window_ms=1000, moves=3),
        ("nba", "main"): Setting(threshold=0.04, window_ms=1500, moves=2),
        (OTHER, "prop"): Setting(threshold=0.03, window_ms=1500, moves=2),
        (OTHER, "main"): Setting(threshold=0.03, window_ms=1500, moves=2),
    }
)
"""The defaults of TES."""


LARGE_SINGLE = "LARGE_SINGLE"
MULTI_RAPID = "MULTI_RAPID"

DEFAULT_BOOKMAKER = "nowgoal-ws"
"""Stands for a bookmaker that a tick does not name."""
NS_PER_MS = 1_000_000
LAST_MS = 9_000_000_000_000
"""Beyond the year 2255 a number of milliseconds is no time but a mistake."""
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


def is_rapid(steam_index: Any, reached: Any, moves: Any, least_index: float) -> Any:
    """Whether numbers or arrays are MULTI_RAPID; `reached` = moves in the window that reach the threshold."""
    return (steam_index >= least_index) & (reached >= moves)


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
    size = number(value)
    return min(size, HIGHEST) if size > 0 else 0.0


def volumes(cells: pd.Series) -> Floats:
    """Return `volume` of each cell."""
    sizes = numbers(cells)
    return np.minimum(np.where(sizes > 0, sizes, 0.0), HIGHEST)


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
        valid = cells.notna().to_numpy()
        stamps = cells.dt.tz_convert(UTC).dt.tz_localize(None) if cells.dt.tz is not None else cells
        return np.where(valid, stamps.to_numpy().astype("datetime64[ns]").view(np.int64), 0), valid
    if cells.dtype.kind in "iu" and cells.notna().all():
        ms = cells.to_numpy(dtype=np.int64)
        valid = np.abs(ms) <= LAST_MS
        return np.where(valid, ms, 0) * NS_PER_MS, valid
    times = [unix_ns(cell) for cell in cells.astype(object)]
    valid = np.array([time is not None for time in times], dtype=np.bool_)
    return np.array([time or 0 for time in times], dtype=np.int64), valid
