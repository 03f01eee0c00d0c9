"""E6: reading a relay's log, wherever in it, against a short one."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench_nowgoal import compare
from benchmarks.harness import Result
from tes_nb.collector.http.relay import MOST_NEW
from tes_nb.collector.hub import Log

LONG, SHORT = 300_000, 1_000
TIMES = 500


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    record = b"x" * 200
    long, short = Log(2**30), Log(2**30)
    for log, count in ((long, LONG), (short, SHORT)):
        for _ in range(count):
            log.append(record)
    for place, name in ((0, "the beginning"), (LONG // 2, "the middle"), (LONG - SHORT, "the end")):
        yield compare(
            "E6",
            f"a relay's backlog of {LONG:,} records read at {name}",
            lambda place=place: [long.after(place, MOST_NEW) for _ in range(TIMES)],
            lambda: [short.after(0, MOST_NEW) for _ in range(TIMES)],
            against=f"the same of {SHORT:,} records",
            at_most=1.2,
            rounds=5 if quick else 11,
            note=f"each round {TIMES} times {MOST_NEW:,} records",
        )
