"""Whether two series of numbers differ, and by how much: intervals by block bootstrap, made for all questions together.

Neighbours in time are alike, so that whole blocks are drawn and not single values. Many columns are looked at together,
so that each interval is as much wider as keeps the chance that any one of them is wrong at 5 %. Two runs of the same
work are never quite alike, so that a difference counts only beyond a margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int32]

STATISTICS = ("median", "p95", "peak", "area")
CELL_COLUMNS = ("wall_s", "cpu_s", "rss_peak", "rss_mean", "children_cpu_s", "children_peak", "total_peak")
DRAWS = 300
ERROR = 0.05
STRAY = 2
"""So many of the highest values may be stray ones: what is judged by its peak is judged by the next one."""
FEWEST = 20
"""Values of a series below which nothing is said of it."""
MORE, LESS, NONE, TOO_LITTLE = "more", "less", "no difference seen", "too little to tell"


@dataclass(frozen=True, slots=True)
class Lasting:
    """A peak without stray values: the third-highest value of each, and the lower end of the interval of b - a."""

    a: float
    b: float
    low: float

    @property
    def percent(self) -> float:
        """The difference in percent of a; NaN where a is 0."""
        return 100 * (self.b - self.a) / abs(self.a) if self.a else math.nan


@dataclass(frozen=True, slots=True)
class Finding:
    """How one statistic of `b` differs from that of `a`."""

    statistic: str
    a: float
    b: float
    low: float
    """The interval of b - a; NaN = there is too little to tell."""
    high: float
    word: str
    lasting: Lasting | None = None
    """Of a peak: what remains of it without stray values; `None` = it is no peak, or there is too little."""

    @property
    def change(self) -> float:
        """The difference b - a."""
        return self.b - self.a

    @property
    def percent(self) -> float:
        """The same of a; NaN where a is 0."""
        return 100 * self.change / abs(self.a) if self.a else math.nan


def differences(
    a: Floats, b: Floats, *, questions: int, least: float, seconds: float, seed: int = 0
) -> list[Finding]:
    """Return how median, 95th percentile, peak and area of `b` differ from those of `a`.

    a, b: values at even distances, without NaN; they need not be of one length. questions: how many intervals are made
    in all. least: the share of a's value that a difference must exceed. seconds: how long both last, for the area.
    """
    here, there = measures(a[None, :], seconds)[:, 0], measures(b[None, :], seconds)[:, 0]
    if min(len(a), len(b)) < FEWEST:
        return [
            Finding(name, float(x), float(y), math.nan, math.nan, TOO_LITTLE)
            for name, x, y in zip(STATISTICS, here, there, strict=True)
        ]
    rng = np.random.default_rng(seed)
    drawn = [measures(one[_blocks(len(one), rng)], seconds) for one in (a, b)]
    spread = drawn[1] - drawn[0]
    rest = [np.delete(one, np.argpartition(one, -STRAY)[-STRAY:]) for one in (a, b)]
    peaks = [_block_peaks(one, rng) for one in rest]
    x, y = float(rest[0].max()), float(rest[1].max())
    lasting = Lasting(x, y, y - x - _furthest(peaks[1] - peaks[0]))
    width = NormalDist().inv_cdf(1 - ERROR / (2 * max(questions, 1))) * spread.std(axis=1, ddof=1)
    found = []
    for place, name in enumerate(STATISTICS):
        x, y = float(here[place]), float(there[place])
        change, half = y - x, float(width[place])
        if name == "peak":  # what blocks leave out of a peak is on one side, and no spread tells it
            half = max(half, _furthest(spread[place]))
        margin = least * abs(x)
        word = MORE if change - half > margin else LESS if change + half < -margin else NONE
        found.append(
            Finding(name, x, y, change - half, change + half, word, lasting if name == "peak" else None)
        )
    return found


def cells_beside(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return what each cell that ran once in both has cost, a row per cell and column: a, b, difference, percent, unit.

    a, b: as `s.cells()` gives them. One run of a cell is one value, so that there is no interval.
    """
    once = [cells[~cells["number"].duplicated(keep=False)].set_index("number") for cells in (a, b)]
    names = [name for name in CELL_COLUMNS if name in a and name in b]
    long = [cells[names].astype("float64").rename_axis("column", axis=1).stack() for cells in once]  # noqa: PD013
    both = pd.concat(long, axis=1, keys=["a", "b"], join="inner").reset_index()
    both["difference"] = both["b"] - both["a"]
    both["percent"] = (100 * both["difference"] / both["a"].abs()).where(both["a"] != 0)
    return both.assign(unit=both["column"].map(a.attrs.get("units", {})))


def measures(values: Floats, seconds: float) -> Floats:
    """Return median, 95th percentile, peak and area of each row: an array of four rows."""
    count = values.shape[1]
    middle, high = (count - 1) // 2, math.ceil(0.95 * (count - 1))
    ordered = np.partition(values, sorted({middle, high}), axis=1)
    return np.stack([ordered[:, middle], ordered[:, high], values.max(axis=1), values.mean(axis=1) * seconds])


def _furthest(values: Floats) -> float:
    """Return how far the furthest value is from the median."""
    return float(np.abs(values - np.median(values)).max())


def _blocks(count: int, rng: np.random.Generator) -> Places:
    """Return the places of `DRAWS` series put together from blocks."""
    length = _block_length(count)
    starts = rng.integers(0, count - length + 1, (DRAWS, -(-count // length)), dtype=np.int32)
    places = starts[:, :, None] + np.arange(length, dtype=np.int32)
    return places.astype(np.int32, copy=False).reshape(DRAWS, -1)[:, :count]


def _block_peaks(values: Floats, rng: np.random.Generator) -> Floats:
    """Return the highest value of `DRAWS` such series, without making them."""
    length = _block_length(len(values))
    highest = np.lib.stride_tricks.sliding_window_view(values, length).max(axis=1)
    starts = rng.integers(0, len(highest), (DRAWS, -(-len(values) // length)))
    peaks: Floats = highest[starts].max(axis=1)
    return peaks


def _block_length(count: int) -> int:
    return max(min(round(2 * math.sqrt(count)), count // 4), 1)
