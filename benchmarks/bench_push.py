"""P5: from a change in the collector to the message in a reader of another process, against bare `websockets`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import websockets

from benchmarks.harness import Result, ratio
from benchmarks.workload import TOKEN, collector, line, percentile, python
from tes_nb.model import Message
from tes_nb.net.relay_client import RelayReader

WARM_UP = 20

BARE = """
import asyncio, random, struct, time, websockets
async def handler(socket):
    while True:
        await asyncio.sleep(random.uniform(0.002, 0.006))
        await socket.send(struct.pack("<q", time.monotonic_ns()) + b"x" * 100)
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""
"""Pushes 108 bytes at random moments; the first eight are the sender's clock."""

CAUSE = """
import asyncio, random, sys
from tes_nb.model.control import Gauge, KernelReport
from tes_nb.net.control_client import ControlClient
async def main():
    control = ControlClient(sys.argv[1], sys.argv[2])
    await control.start()
    while True:
        await control.call(KernelReport(row=Gauge(name="push", value=1.0)))
        await asyncio.sleep(random.uniform(0.002, 0.006))
asyncio.run(main())
"""
"""Causes changes in the collector at random moments, from a process of its own."""


def run(*, quick: bool) -> Iterable[Result]:
    rounds, pushes = (5, 60) if quick else (9, 300)
    ours, theirs = asyncio.run(measure(rounds, pushes))
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        yield ratio(
            "P5",
            f"push to a reader in another process, {name}",
            [percentile(one, share) for one in ours],
            [percentile(one, share) for one in theirs],
            unit="ms",
            against="a push through bare websockets",
            at_most=1.2,
            packages=("aiohttp", "websockets"),
            note="From the stamp in the sender to the callback in the receiver, one clock for both.",
        )


async def measure(rounds: int, pushes: int) -> tuple[list[list[float]], list[list[float]]]:
    """In turns: so many pushes through the relay, so many through bare websockets. Milliseconds."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with collector() as running:
        base = f"ws://127.0.0.1:{running.ports[0]}"
        for turn in range(rounds + 1):
            with python(CAUSE, f"{base}/ws/control", TOKEN):
                relayed = await through_the_relay(f"{base}/ws/relay/kernel", pushes)
            with python(BARE) as bare:
                pushed = await through_bare_websockets(int(line(bare.stdout)), pushes)
            if turn:
                ours.append(relayed)
                theirs.append(pushed)
    return ours, theirs


async def through_the_relay(url: str, pushes: int) -> list[float]:
    arrivals: list[float] = []
    enough = asyncio.Event()

    def arrived(message: Message) -> None:
        arrivals.append((time.monotonic_ns() - message.t_mono_ns) / 1e6)
        if len(arrivals) >= pushes + WARM_UP:
            enough.set()

    reader = RelayReader(url, "kernel", token=TOKEN, on_message=arrived, after=10**15)
    await reader.start()
    await enough.wait()
    await reader.stop()
    return arrivals[-pushes:]  # what the relay had kept from the round before came first


async def through_bare_websockets(port: int, pushes: int) -> list[float]:
    arrivals = []
    async with websockets.connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None) as socket:
        for _ in range(pushes + WARM_UP):
            message = await socket.recv(decode=False)
            arrivals.append((time.monotonic_ns() - int.from_bytes(message[:8], "little", signed=True)) / 1e6)
    return arrivals[-pushes:]
