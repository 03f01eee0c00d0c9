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
Places: TypeAlias = npt.NDArray[np.intp]

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
    here, there = measures(a, seconds), measures(b, seconds)
    if min(len(a), len(b)) < FEWEST:
        return [
            Finding(name, float(x), float(y), math.nan, math.nan, TOO_LITTLE)
            for name, x, y in zip(STATISTICS, here, there, strict=True)
        ]
    rng = np.random.default_rng(seed)
    drawn = [_drawn(one, seconds, rng) for one in (a, b)]
    spread = drawn[1] - drawn[0]
    rest = [np.delete(one, np.argpartition(one, -STRAY)[-STRAY:]) for one in (a, b)]
    peaks = [_block_peaks(one, rng) for one in rest]
    x, y = float(rest[0].max()), float(rest[1].max())
    lasting = Lasting(x, y, y - x - _furthest(peaks[1] - peaks[0]))
    width = NormalDist().inv_cdf(1 - ERROR / (2 * max(questions, 1))) * spread.std(axis=1, ddof=1)
    findings = []
    for place, name in enumerate(STATISTICS):
        x, y = float(here[place]), float(there[place])
        change, half = y - x, float(width[place])
        if name == "peak":  # what blocks miss of a peak is on one side, which the spread does not show
            half = max(half, _furthest(spread[place]))
        margin = least * abs(x)
        word = MORE if change - half > margin else LESS if change + half < -margin else NONE
        findings.append(
            Finding(name, x, y, change - half, change + half, word, lasting if name == "peak" else None)
        )
    return findings


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
    """Return median, 95th percentile, peak and area of the values."""
    ranked = np.sort(values)
    return np.array([*ranked[_ranks(len(values))], values.mean() * seconds])


def _ranks(count: int) -> Places:
    """Return which of so many sorted values are median, 95th percentile and peak."""
    return np.array([(count - 1) // 2, math.ceil(0.95 * (count - 1)), count - 1])


def _furthest(values: Floats) -> float:
    """Return how far the furthest value is from the median."""
    return float(np.abs(values - np.median(values)).max())


def _drawn(values: Floats, seconds: float, rng: np.random.Generator) -> Floats:
    """Return `measures` of `DRAWS` series put together from blocks: an array of four rows.

    The series are not made. How often each value is in them is enough: sums over the sorted values then say where a
    series' median lies, which takes a sixth of the time that sorting the series takes.
    """
    count, length = len(values), _block_length(len(values))
    starts = rng.integers(0, count - length + 1, (DRAWS, -(-count // length)), dtype=np.int32).astype(np.intp)
    ends = starts + length
    ends[:, -1] -= starts.shape[1] * length - count
    first = np.arange(DRAWS)[:, None] * (count + 1)
    steps = [
        np.bincount((first + places).ravel(), minlength=DRAWS * (count + 1)) for places in (starts, ends)
    ]
    often = (steps[0] - steps[1]).cumsum().reshape(DRAWS, count + 1)[:, :count].astype(np.int16)
    order = np.argsort(values)
    # Every series has `count` values, so one sum over all of them is in order, and one search is enough.
    up_to = often[:, order].cumsum(dtype=np.min_scalar_type(DRAWS * count))
    wanted = (np.arange(DRAWS) * count + _ranks(count)[:, None]).astype(up_to.dtype)
    ranked = values[order][np.searchsorted(up_to, wanted, side="right") % count]
    sums = np.concatenate([[0.0], values.cumsum()])
    return np.vstack([ranked, (sums[ends] - sums[starts]).sum(axis=1) / count * seconds])


def _block_peaks(values: Floats, rng: np.random.Generator) -> Floats:
    """Return the highest value of `DRAWS` such series, without making them."""
    length = _block_length(len(values))
    highest = np.lib.stride_tricks.sliding_window_view(values, length).max(axis=1)
    starts = rng.integers(0, len(highest), (DRAWS, -(-len(values) // length)))
    peaks: Floats = highest[starts].max(axis=1)
    return peaks


def _block_length(count: int) -> int:
    return max(min(round(2 * math.sqrt(count)), count // 4), 1)
