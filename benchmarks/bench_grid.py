"""P6: how late the 500 ms grid is while the kernel computes, with 64 clients.

Lateness is taken where a client in a process of its own receives the message, against the grid that starts at the
first tick: at p99 over each kind of load. The note tells how late the collector itself stamped; the rest is the
client's own wait for a core. `TES_P6_DRIFT_S=600 python -m benchmarks P6` also watches one grid for ten minutes and
compares its last ticks with its first.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.harness import Result, Skipped, figure, usable_cores
from benchmarks.workload import READ_MANY, TOKEN, collector, line, percentile, python

CLIENTS = 64
GOAL_MS = 10.0
DRIFT_S = float(os.environ.get("TES_P6_DRIFT_S", "0"))
"""How long the grid is watched for drift; 0 = not at all."""

WATCH = """
import asyncio, sys, time, websockets
from tes_nb.wire.record import unpack_all
url, token = sys.argv[1:]
async def main():
    headers = {"X-TES-Dev-Token": token}
    async with websockets.connect(url, proxy=None, compression=None, additional_headers=headers) as socket:
        async for record in socket:
            arrived = time.monotonic_ns()
            for message in unpack_all("grid", record):
                print(message.seq, arrived, message.t_mono_ns, flush=True)
asyncio.run(main())
"""


def run(*, quick: bool) -> Iterable[Result]:
    if usable_cores() < 2:
        raise Skipped("One core cannot run a kernel and a collector at the same time.")
    seconds = 5 if quick else 12
    with collector() as running:
        base = f"ws://127.0.0.1:{running.ports[0]}"
        with (
            python(READ_MANY, f"{base}/ws/server-metrics/live", CLIENTS) as readers,
            python(WATCH, f"{base}/ws/relay/metrics?after=0", TOKEN) as watch,
        ):
            line(readers.stdout)
            number, _, began = tick(watch)  # the stamp of the first tick is where the grid begins
            first = number, began
            for name, load in LOADS.items():
                yield lateness(name, load, seconds, first, watch)
            if DRIFT_S:
                yield drift(DRIFT_S, first, watch)


def tick(watch: subprocess.Popen[str]) -> tuple[int, int, int]:
    """The next tick's number, when it arrived, and when it was stamped (monotonic ns)."""
    number, arrived, stamped = line(watch.stdout).split()
    return int(number), int(arrived), int(stamped)


def lateness(
    name: str,
    load: Callable[[float], None],
    seconds: float,
    first: tuple[int, int],
    watch: subprocess.Popen[str],
) -> Result:
    began = time.monotonic_ns()
    load(seconds)
    ended = time.monotonic_ns()
    late, own, numbers = [], [], []
    while True:
        number, arrived, stamped = tick(watch)
        if arrived > ended:
            break
        if arrived >= began:
            numbers.append(number)
            late.append(behind(first, number, arrived))
            own.append(behind(first, number, stamped))
    lost = numbers[-1] - numbers[0] + 1 - len(numbers)
    return figure(
        "P6",
        f"grid of 500 ms, kernel in {name}: late at p99",
        [percentile(late, 0.99)],
        unit="ms",
        at_most=GOAL_MS,
        packages=("aiohttp",),
        note=f"{len(late)} ticks, {lost} lost; median {percentile(late, 0.5):.2f} ms, worst {max(late):.2f} ms; "
        f"stamped {percentile(own, 0.99):.2f} ms late at p99.",
    )


def behind(first: tuple[int, int], number: int, at_ns: int) -> float:
    """How late that was on the grid (ms)."""
    return (at_ns - first[1]) / 1e6 - (number - first[0]) * 500


def drift(seconds: float, first: tuple[int, int], watch: subprocess.Popen[str]) -> Result:
    """How much later than at first the grid runs at the end: the least late of 20 ticks, at both ends."""
    stamps = []
    until = time.monotonic_ns() + int(seconds * 1e9)
    while not stamps or stamps[-1][1] < until:
        number, _, stamped = tick(watch)
        stamps.append((number, stamped))
    late = [behind(first, *stamp) for stamp in stamps]
    lost = stamps[-1][0] - stamps[0][0] + 1 - len(stamps)
    return figure(
        "P6",
        f"grid of 500 ms: drift over {seconds:.0f} s",
        [min(late[-20:]) - min(late[:20])],
        unit="ms",
        at_most=1.0,
        packages=("aiohttp",),
        note=f"{len(late)} ticks, {lost} lost.",
    )


def python_loop(seconds: float) -> None:
    until = time.monotonic() + seconds
    total = 0
    while time.monotonic() < until:
        for number in range(10_000):
            total += number


def matmul(seconds: float) -> None:
    matrix = np.random.default_rng(0).random((600, 600))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        matrix = matrix @ matrix
        matrix /= np.abs(matrix).max()


def gil_hold(seconds: float) -> None:
    """Calls that hold the interpreter for seconds each: a regular expression that backtracks."""
    until = time.monotonic() + seconds
    length = 22
    while time.monotonic() < until:
        began = time.monotonic()
        re.match(r"(a+)+$", "a" * length + "b")
        length += time.monotonic() - began < 2


LOADS = {"a Python loop": python_loop, "numpy matmul": matmul, "a GIL hold": gil_hold, "sleep": time.sleep}
