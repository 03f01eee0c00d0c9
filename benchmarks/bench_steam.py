"""Steam on a million ticks: the vectorised `detect` against a plain Python loop over the same rows.

The loop is what one writes: `itertuples`, a deque per key, sums over the window. Both are fed the columns of the
table ticks, in time order, and give the same verdicts (the tests hold them to it).
"""

from __future__ import annotations

import gc
import time
from collections import deque
from typing import TYPE_CHECKING

from benchmarks.harness import Result, compare, figure
from tes_nb.analysis.steam import SteamDetector, detect
from tests.support.ticks import plain_steam, random_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable

TICKS = 300_000
QUICK_TICKS = 20_000
KEYS = 250
"""Games; with two bookmakers and four types eight times as many keys."""


def run(*, quick: bool) -> Iterable[Result]:
    """Yield the ratio of `detect` to the loop, and what a tick costs the streaming detector."""
    count = QUICK_TICKS if quick else TICKS
    # The table ticks has no volumes; the loop wants the column all the same.
    ticks = random_ticks(count, seed=1, keys=KEYS, step_ms=10).assign(volume=0.0)
    columns = ticks.drop(columns="volume")
    yield compare(
        "steam",
        f"steam.detect, {count:,} ticks",
        lambda: detect(columns),
        lambda: deque(plain_steam(ticks), maxlen=0),
        against="a Python loop over the rows",
        at_most=1 / 20,
        rounds=5,
        packages=("numpy", "pandas"),
    )
    yield figure(
        "steam",
        "SteamDetector, per tick",
        [_streamed(columns.head(count // 10)) for _ in range(5)],
        unit="µs",
        packages=("numpy", "pandas"),
    )


def _streamed(ticks) -> float:
    """Return the microseconds that one tick costs."""
    rows = ticks.to_dict("records")
    detector = SteamDetector()
    gc.collect()
    began = time.perf_counter()
    for row in rows:
        detector.add(row)
    return (time.perf_counter() - began) / len(rows) * 1e6
