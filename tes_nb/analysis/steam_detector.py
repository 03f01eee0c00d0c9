"""Steam tick by tick: the answers of `steam.detect` but for rounding, from a memory of one window."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from tes_nb.analysis import steam_rules as rules
from tes_nb.analysis.steam_rules import (
    DEFAULTS,
    LARGE_SINGLE,
    MULTI_RAPID,
    NS_PER_MS,
    Setting,
    SteamSettings,
)

COMPACT_FROM = 64
"""Forgotten ticks are dropped when there are so many of them and they are the greater part."""


class RangeSums:
    """A list of numbers that grows at its end, and the sum of any range of it in few steps.

    Over the numbers lie the sums of pairs, over those the sums of pairs of pairs, and so on. Nothing is ever
    subtracted, so that large numbers of the past leave no error behind (see `steam.window_sums`).
    """

    def __init__(self, terms: Iterable[float] = ()) -> None:
        self._levels: list[list[float]] = [[]]
        for term in terms:
            self.append(term)

    @property
    def terms(self) -> list[float]:
        """The numbers themselves."""
        return self._levels[0]

    def append(self, value: float) -> None:
        """Add a number at the end."""
        for level in self._levels:
            level.append(value)
            if len(level) & 1:
                return
            value = level[-2] + value
        self._levels.append([value])

    def of(self, low: int, high: int) -> float:
        """Return the sum of `terms[low:high]`."""
        total = 0.0
        for level in self._levels:
            if low >= high:
                break
            if low & 1:
                total += level[low]
                low += 1
            if high & 1:
                high -= 1
                total += level[high]
            low >>= 1
            high >>= 1
        return total


class WindowMemory:
    """What is remembered of one key."""

    def __init__(self) -> None:
        self._head = 0
        """Ticks before it are forgotten, though still there."""
        self._times: list[int] = []
        self._velocities = RangeSums()
        self._volumes: RangeSums | None = None
        """Made with the first volume: most feeds have none."""
        self._reached: dict[float, list[int]] = {}
        """Threshold → how many of the first n ticks reach it; made when the threshold is first asked for."""

    def __len__(self) -> int:
        return len(self._times) - self._head

    @property
    def newest(self) -> int:
        """The time of the newest tick, in nanoseconds."""
        return self._times[-1]

    def add(self, at: int, velocity: float, volume: float) -> int:
        """Put a tick in its place in time, after those of the same time; return the place."""
        if not self._times or at >= self._times[-1]:
            self._times.append(at)
            self._append(velocity, volume)
            return len(self._times) - 1
        place = bisect_right(self._times, at, lo=self._head)
        self._times.insert(place, at)
        velocities = self._velocities.terms[place:]
        volumes = [0.0] * len(velocities) if self._volumes is None else self._volumes.terms[place:]
        self._cut(0, place)
        for move in zip((velocity, *velocities), (volume, *volumes), strict=True):
            self._append(*move)
        return place

    def window(self, place: int, setting: Setting) -> tuple[int, float, float]:
        """Return the moves that reach the threshold, mean velocity and mean volume of the window up to `place`."""
        since = self._times[place] - setting.window_ms * NS_PER_MS
        low = bisect_right(self._times, since, lo=self._head)
        high = place + 1
        counts = self._counts(setting.threshold)
        velocity = self._velocities.of(low, high) / (high - low)
        volume = 0.0 if self._volumes is None else self._volumes.of(low, high) / (high - low)
        return counts[high] - counts[low], velocity, volume

    def forget(self, longest_ns: int) -> None:
        """Forget what is a whole longest window older than the newest tick."""
        old = self._times[-1] - longest_ns
        if self._times[self._head] > old:
            return
        self._head = bisect_right(self._times, old, lo=self._head)
        if self._head >= COMPACT_FROM and 2 * self._head >= len(self._times):
            del self._times[: self._head]
            self._cut(self._head, None)
            self._head = 0

    def _append(self, velocity: float, volume: float) -> None:
        if volume and self._volumes is None:
            self._volumes = RangeSums([0.0] * len(self._velocities.terms))
        self._velocities.append(velocity)
        if self._volumes is not None:
            self._volumes.append(volume)
        for threshold, counts in self._reached.items():
            counts.append(counts[-1] + (velocity >= threshold))

    def _cut(self, start: int, end: int | None) -> None:
        """Keep the moves from `start` to `end` (`None` = the last) and their totals."""
        self._velocities = RangeSums(self._velocities.terms[start:end])
        if self._volumes is not None:
            self._volumes = RangeSums(self._volumes.terms[start:end])
        last = None if end is None else end + 1
        for threshold, counts in self._reached.items():
            self._reached[threshold] = counts[start:last]

    def _counts(self, threshold: float) -> list[int]:
        counts = self._reached.get(threshold)
        if counts is None:
            counts = self._reached[threshold] = [0]
            for velocity in self._velocities.terms:
                counts.append(counts[-1] + (velocity >= threshold))
        return counts


SWEEP_EVERY = 4096
"""Ticks between two looks for keys that have gone quiet."""
QUIET_MS = 60_000
"""A key is forgotten when its last tick is so much older than the longest window before the newest tick."""


class TickVerdict(NamedTuple):
    """What one tick is."""

    velocity: float
    """NaN = the tick has no old or no new value."""
    steam_index: float
    """NaN = the tick has no velocity or no time."""
    rule: str | None
    """LARGE_SINGLE or MULTI_RAPID; `None` = no steam."""

    @property
    def steam(self) -> bool:
        """Whether the tick is steam."""
        return self.rule is not None


class SteamDetector:
    """Judges ticks one after the other.

    For ticks in time order the verdicts are those of `detect` on all of them, but for rounding (see
    `steam_rules`). A late tick, one older than another of its key that came before it, is judged by those before
    it in time that are still remembered, and later ticks count it in their windows; verdicts that were given do
    not change. A tick that is a whole longest window older than the newest of its key finds nothing remembered
    and is judged alone.

    Remembered are, for each key, the ticks within the longest window before its newest one. Keys that are
    quiet for a minute more than that, by the time stamps of the ticks, are forgotten.

    >>> detector = SteamDetector()
    >>> tick = {"game_id": "7", "odds_type": "spread", "league": "NBA"}
    >>> detector.add(tick | {"timestamp": 0, "old_value": 1.90, "new_value": 1.99}).rule
    >>> detector.add(tick | {"timestamp": 400, "old_value": 1.99, "new_value": 2.08}).rule
    'MULTI_RAPID'
    """

    def __init__(self, settings: SteamSettings = DEFAULTS) -> None:
        self.settings = settings
        self._longest_ns = settings.longest_window_ms * rules.NS_PER_MS
        self._keys: dict[Hashable, WindowMemory] = {}
        self._newest_ns = -math.inf
        self._since_sweep = 0

    def add(self, tick: Mapping[str, Any]) -> TickVerdict:
        """Judge one tick: a mapping with the columns that `detect` reads; what is absent is NA."""
        get = tick.get
        velocity = rules.velocity(rules.number(get("old_value")), rules.number(get("new_value")))
        at = rules.unix_ns(get("timestamp"))
        large = LARGE_SINGLE if velocity >= self.settings.large else None
        if at is None or math.isnan(velocity):
            return TickVerdict(velocity, math.nan, large)
        setting = self.settings.of_tick(get("league"), get("odds_type"))
        memory = self._memory(tick, at)
        volume = get("volume")
        place = memory.add(at, velocity, 0.0 if volume is None else rules.volume(volume))
        reached, mean, mean_volume = memory.window(place, setting)
        index = rules.index(mean, min(mean_volume / rules.FULL_VOLUME, 1.0), setting.volume_weight)
        rapid = rules.is_rapid(index, reached, setting.moves, self.settings.least_index)
        memory.forget(self._longest_ns)
        return TickVerdict(velocity, index, large or (MULTI_RAPID if rapid else None))

    def add_frame(self, ticks: pd.DataFrame) -> pd.DataFrame:
        """Judge the ticks of a frame in its row order; return it with the four columns that `detect` adds."""
        columns = [name for name in _READ if name in ticks.columns]
        cells = [ticks[name].tolist() for name in columns]
        verdicts = [self.add(dict(zip(columns, row, strict=True))) for row in zip(*cells, strict=True)]
        result = ticks.copy(deep=False)
        result["velocity"] = [verdict.velocity for verdict in verdicts]
        result["steam_index"] = [verdict.steam_index for verdict in verdicts]
        words = [verdict.rule for verdict in verdicts]
        result["rule"] = pd.Categorical(words, categories=[LARGE_SINGLE, MULTI_RAPID])
        result["steam"] = [verdict.steam for verdict in verdicts]
        return result.astype({"velocity": "float64", "steam_index": "float64", "steam": "bool"})

    def __len__(self) -> int:
        """Return how many ticks are remembered."""
        return sum(len(memory) for memory in self._keys.values())

    def _memory(self, tick: Mapping[str, Any], at: int) -> WindowMemory:
        self._newest_ns = max(self._newest_ns, at)
        self._since_sweep += 1
        if self._since_sweep >= SWEEP_EVERY:
            self._sweep()
        key = _key(tick)
        if key is None:
            return WindowMemory()
        memory = self._keys.get(key)
        if memory is None:
            memory = self._keys[key] = WindowMemory()
        return memory

    def _sweep(self) -> None:
        self._since_sweep = 0
        quiet = self._newest_ns - self._longest_ns - QUIET_MS * rules.NS_PER_MS
        for key in [key for key, memory in self._keys.items() if memory.newest <= quiet]:
            del self._keys[key]


_READ = (
    *("game_id", "bookmaker_id", "odds_type", "market", "side", "line"),
    *("league", "old_value", "new_value", "timestamp", "volume"),
)


def _key(tick: Mapping[str, Any]) -> Hashable:
    """Return the key of a tick; `None` = it has no game or no odds type, and belongs to nothing."""
    get = tick.get
    game, odds_type = _cell(get("game_id")), _cell(get("odds_type"))
    if game is None or odds_type is None:
        return None
    bookmaker = _cell(get("bookmaker_id")) or rules.DEFAULT_BOOKMAKER
    return game, bookmaker, odds_type, _cell(get("market")), _cell(get("side")), _cell(get("line"))


def _cell(value: Any) -> Any:
    """Return a cell, every kind of NA as `None`."""
    if value.__class__ is str:
        return value
    return None if value is None or value is pd.NA or value != value else value  # noqa: PLR0124 - NaN is not itself
