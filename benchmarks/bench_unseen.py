"""E8: what 40 charts, 20 tables and 10 dashboards cost the kernel while nobody looks at them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import tes_nb as tes
from benchmarks.harness import Result, figure
from tes_nb.views.live import LiveView
from tes_nb.views.push import UNHEARD_S

CHARTS, TABLES, DASHBOARDS = 40, 20, 10


def run(*, quick: bool) -> Iterable[Result]:
    rounds, seconds = (2, 1.0) if quick else (5, 2.0)
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=2)
        without = [share_of_core(seconds) for _ in range(rounds)]
        views: list[LiveView] = [session.metrics.plot() for _ in range(CHARTS)]
        views += [session.workers.table() for _ in range(TABLES)]
        views += [session.dashboard() for _ in range(DASHBOARDS)]
        time.sleep(UNHEARD_S + 1.0)  # no browser says that it shows one
        unseen = [share_of_core(seconds) for _ in range(rounds)]
        for view in views:
            view.close()
    yield figure(
        "E8",
        f"CPU of {CHARTS} charts, {TABLES} tables and {DASHBOARDS} dashboards that nobody looks at",
        [max(one - sum(without) / rounds, 0.0) for one in unseen],
        unit="percent of a core",
        at_most=1,
        note=f"Beyond {sum(without) / rounds:.2f} % of a core that the session takes without views.",
    )


def share_of_core(seconds: float) -> float:
    """CPU time of this process by wall time, in percent, while it sleeps."""
    cpu, wall = time.process_time(), time.monotonic()
    time.sleep(seconds)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - wall)
