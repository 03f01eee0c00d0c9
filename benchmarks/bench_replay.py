"""R1: how exactly a replay at speed 1 keeps the recorded spacing, where a client of its plain endpoint receives it.

A recording of the metrics stream at 50 messages a second, played once; each message's arrival is compared with its
recorded time; the median delay, which no client can see, is taken off.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

import tes_nb as tes
from benchmarks.harness import Result, figure
from benchmarks.workload import line, percentile, python
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.session.schema import SourceInfo
from tes_nb.store.session.writer import SessionWriter

GOAL_MS = 5.0
SPACING_NS = 20_000_000
CLIENT = """
import asyncio, json, sys, time, websockets
async def main(url):
    async with websockets.connect(url, proxy=None, compression=None) as socket:
        print("ready", flush=True)
        async for message in socket:
            arrived = time.monotonic_ns()
            print(json.loads(message).get("n"), arrived, flush=True)
asyncio.run(main(sys.argv[1]))
"""


def run(*, quick: bool) -> Iterable[Result]:
    rounds, count = (2, 100) if quick else (5, 250)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "even.tes"
        record(path, count)
        late = [lateness(path, count) for _ in range(rounds)]
    yield figure(
        "R1",
        "replay at speed 1: off the recorded spacing at p99",
        [percentile(one, 0.99) for one in late],
        unit="ms",
        at_most=GOAL_MS,
        packages=("aiohttp", "websockets"),
        note=f"{count} messages, 20 ms apart; worst of all rounds {max(map(max, late)):.2f} ms.",
    )


def record(path: Path, count: int) -> None:
    """Write a session whose messages are evenly spaced on both clocks."""
    began = time.time_ns()
    writer = SessionWriter(path, time=(began, SPACING_NS))
    messages = [
        Message(
            source="metrics",
            direction=Direction.IN,
            opcode=Opcode.TEXT,
            payload=msgspec.json.encode({"type": "metrics", "timestamp": began // 1_000_000, "n": number}),
            t_wall_ns=began + number * SPACING_NS,
            t_mono_ns=number * SPACING_NS,
            conn=0,
            seq=number,
        )
        for number in range(1, count + 1)
    ]
    try:
        writer.append([SourceInfo("metrics", "metrics"), *messages])
    finally:
        writer.close()


def lateness(path: Path, count: int) -> list[float]:
    """Play it once; return how far each arrival is from where the recording has it, in ms."""
    with tes.replay(path, paused=True) as replay:
        url = f"ws://127.0.0.1:{replay.ports[0]}/ws/server-metrics/live"
        with python(CLIENT, url) as client:
            assert line(client.stdout) == "ready"
            replay.resume()
            arrivals: dict[int, int] = {}
            while len(arrivals) < count:
                number, arrived = line(client.stdout).split()
                if number != "None":  # what greets a client is no message of the recording
                    arrivals[int(number)] = int(arrived)
    off = [arrived - number * SPACING_NS for number, arrived in sorted(arrivals.items())]
    middle = statistics.median(off)
    return [abs(one - middle) / 1e6 for one in off]
