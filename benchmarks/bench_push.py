"""P5: from a change in the collector to the message in a reader of another process, against bare `websockets`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable

import websockets

from benchmarks.harness import Result, ratio
from benchmarks.workload import TOKEN, collector, line, percentile, python
from tes_nb.model import Message
from tes_nb.net.control import ControlClient
from tes_nb.net.relay import RelayReader

BARE = """
import asyncio, struct, time, websockets
async def handler(socket):
    async for message in socket:
        await socket.send(struct.pack("<q", time.monotonic_ns()) + b"x" * 100)
async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


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
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with collector() as running, python(BARE) as bare:
        base = f"ws://127.0.0.1:{running.ports[0]}"
        async with websockets.connect(
            f"ws://127.0.0.1:{line(bare.stdout)}", proxy=None, compression=None
        ) as socket:
            arrivals: list[float] = []

            def arrived(message: Message) -> None:
                arrivals.append((time.monotonic_ns() - message.t_mono_ns) / 1e6)

            reader = RelayReader(f"{base}/ws/relay/kernel", "kernel", token=TOKEN, on_message=arrived)
            control = ControlClient(f"{base}/ws/control", TOKEN)
            await reader.start()
            await control.start()
            for turn in range(rounds + 1):
                arrivals.clear()
                for _ in range(pushes):
                    await control.call("kernel", row={"type": "gauge", "name": "push", "value": 1.0})
                    await asyncio.sleep(random.uniform(0.001, 0.004))
                pushed = [await bare_push(socket) for _ in range(pushes)]
                if turn:
                    ours.append(list(arrivals))
                    theirs.append(pushed)
            await reader.stop()
            await control.stop()
    return ours, theirs


async def bare_push(socket: websockets.ClientConnection) -> float:
    await asyncio.sleep(random.uniform(0.001, 0.004))
    await socket.send(b"go")
    answer = await socket.recv(decode=False)
    return (time.monotonic_ns() - int.from_bytes(answer[:8], "little", signed=True)) / 1e6
