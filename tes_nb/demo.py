"""The main job in one command: watch this machine while a small process pool works, then leave files to look at."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tes_nb.session.session import Session
from tes_nb.session.start import start

DEFAULT_SECONDS = 15.0
POOL_SIZE = 2
DRAWN = 40_000
"""Points one job draws: some tens of milliseconds of real work."""


def estimate_pi(seed: int) -> float:
    """A job of the pool: estimate π by drawing points."""
    import random  # noqa: PLC0415 - in the worker

    random.seed(seed)
    hits = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(DRAWN))  # noqa: S311 - no secret
    return 4 * hits / DRAWN


def run_demo(folder: Path, seconds: float = DEFAULT_SECONDS) -> list[Path]:
    """Watch for so long and export; return the files written. Everything it started is ended."""
    with start() as session, ProcessPoolExecutor(POOL_SIZE, mp_context=get_context("spawn")) as pool:
        print(f"The collector listens at {session.url}; watching this machine for {seconds:g} s.")  # noqa: T201
        _work_while_waiting(session, pool, seconds)
        session.to_csv(folder)
        session.report(folder / "report.html", title="tes_nb demo")
    return sorted(path for path in folder.iterdir() if path.is_file())


def _work_while_waiting(session: Session, pool: ProcessPoolExecutor, seconds: float) -> None:
    """Keep the pool about half busy, in bursts, so that workers are seen both idle and working."""
    began = time.monotonic()
    seed = 0
    estimates: list[float] = []

    def feed_pool(_message: object) -> None:
        nonlocal seed
        if int(time.monotonic() - began) % 6 < 4:  # four seconds of work, two of rest
            seed += 1
            pool.submit(estimate_pi, seed).add_done_callback(lambda done: estimates.append(done.result()))

    off = session.metrics.on_message(feed_pool)
    session.metrics.wait(seconds=seconds)
    off()
    if estimates:
        session.gauge("pi_estimate", sum(estimates) / len(estimates))
