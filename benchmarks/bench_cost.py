"""P7: what tes_nb costs the kernel while everything runs and four views repaint."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import psutil

import tes_nb as tes
from benchmarks.harness import Result, figure, interleave, ratio

GOAL_PERCENT = 2.0


def run(*, quick: bool) -> Iterable[Result]:
    seconds = 2.0 if quick else 3.0
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=2)
        yield figure(
            "P7",
            "CPU of tes_nb's threads in the kernel, by wall time",
            [share_of_wall(seconds) for _ in range(5)],
            unit="percent",
            at_most=GOAL_PERCENT,
            packages=("websockets",),
        )
    with_us, without = measure_loop(5)
    yield ratio(
        "P7",
        "the user's own Python loop, with a running session",
        with_us,
        without,
        unit="s",
        against="the same loop without one",
        at_most=1.06,
        note="6 % is the noise of the loop itself on this kind of machine.",
    )


def share_of_wall(seconds: float) -> float:
    """The CPU share of every thread but the one that measures."""
    process, own = psutil.Process(), threading.get_native_id()

    def spent() -> float:
        return sum(one.user_time + one.system_time for one in process.threads() if one.id != own)

    before, began = spent(), time.monotonic()
    time.sleep(seconds)
    return (spent() - before) / (time.monotonic() - began) * 100


def loop() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(12_000_000):
        total += number
    return time.perf_counter() - began


def measure_loop(rounds: int) -> tuple[list[float], list[float]]:
    def with_session() -> float:
        with tes.start(ports=(0, 0)) as session:
            session.metrics.wait(rows=1)
            return loop()

    return interleave(with_session, loop, rounds=rounds, warmup=1)
