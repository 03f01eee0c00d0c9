"""The ticks of one key in time order, with running totals: any window is a difference, and exact."""

from __future__ import annotations

from bisect import bisect_right

from tes_nb.analysis.exact import GrowingSums
from tes_nb.analysis.steam_rules import NS_PER_MS, VELOCITY_SHIFT, VOLUME_SHIFT
from tes_nb.analysis.steam_settings import Setting

COMPACT_FROM = 64
"""Forgotten ticks are dropped when there are so many of them and they are the greater part."""


class Memory:
    """What is remembered of one key."""

    def __init__(self) -> None:
        self._head = 0
        """Ticks before it are forgotten, though still there."""
        self._times: list[int] = []
        self._velocities: list[float] = []
        self._volumes: list[float] = []
        self._velocity_sums = GrowingSums(VELOCITY_SHIFT)
        self._volume_sums: GrowingSums | None = None
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
        later = list(zip(self._velocities[place:], self._volumes[place:], strict=True))
        self._times.insert(place, at)
        self._cut(0, place)
        for move in ((velocity, volume), *later):
            self._append(*move)
        return place

    def window(self, place: int, setting: Setting) -> tuple[int, float, float]:
        """Return the moves that reach the threshold, mean velocity and mean volume of the window up to `place`."""
        since = self._times[place] - setting.window_ms * NS_PER_MS
        low = bisect_right(self._times, since, lo=self._head)
        high = place + 1
        counts = self._counts(setting.threshold)
        velocity = self._velocity_sums.of(self._velocities, low, high) / (high - low)
        sums = self._volume_sums
        volume = 0.0 if sums is None else sums.of(self._volumes, low, high) / (high - low)
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
        self._velocities.append(velocity)
        self._volumes.append(volume)
        self._velocity_sums.append(velocity)
        if self._volume_sums is not None:
            self._volume_sums.append(volume)
        elif volume:
            self._volume_sums = GrowingSums(VOLUME_SHIFT)
            for earlier in self._volumes:
                self._volume_sums.append(earlier)
        for threshold, counts in self._reached.items():
            counts.append(counts[-1] + (velocity >= threshold))

    def _cut(self, start: int, end: int | None) -> None:
        """Keep the moves from `start` to `end` (`None` = the last) and their totals."""
        self._velocities = self._velocities[start:end]
        self._volumes = self._volumes[start:end]
        self._velocity_sums.cut(start, end)
        if self._volume_sums is not None:
            self._volume_sums.cut(start, end)
        last = None if end is None else end + 1
        for threshold, counts in self._reached.items():
            self._reached[threshold] = counts[start:last]

    def _counts(self, threshold: float) -> list[int]:
        counts = self._reached.get(threshold)
        if counts is None:
            counts = self._reached[threshold] = [0]
            for velocity in self._velocities:
                counts.append(counts[-1] + (velocity >= threshold))
        return counts
