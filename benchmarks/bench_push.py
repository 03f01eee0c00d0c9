"""P5, E3: from a change in the collector to the kernel's callback, against a push through bare `websockets`.

P5: on an idle machine. E3: beside a feed of 5,000 messages a second, and while the kernel runs a Python loop. The
callback is the user's: decode, store and recent messages come before it. The reference is read by a thread of this
process, as a client by hand would be; beside 5,000 messages a second it reads, inflates and decodes those, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import websockets

import tes_nb as tes
from benchmarks.bench_feed import KINDS, Case, feed, jwt, packed, ticks_of
from benchmarks.bench_nowgoal import some_ticks
from benchmarks.harness import Result, interleave, ratio
from benchmarks.workload import line, percentile, python
from tes_nb.model import Message

WARM_UP = 20
PUSHES_A_SECOND = 500
RATE = 5_000

BARE = """
import asyncio, logging, random, struct, time, websockets
logging.disable()  # a reader that leaves is no error
async def handler(socket):
    while True:
        await asyncio.sleep(random.uniform(0.001, 0.003))
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
        await asyncio.sleep(random.uniform(0.001, 0.003))
asyncio.run(main())
"""
"""Causes changes in the collector at random moments, from a process of its own."""


class Scene(NamedTuple):
    """What goes on meanwhile."""

    id: str
    name: str
    busy: bool
    """Whether the main thread runs a Python loop."""
    rate: int
    """So many messages a second come beside the pushes."""
    goals: dict[str, tuple[float, float]]
    """Name → share of the pushes, goal."""


SCENES = (
    Scene("P5", "push to a callback in the kernel", False, 0, {"p50": (0.5, 1.2), "p99": (0.99, 1.2)}),
    Scene(
        "E3",
        "push to a callback beside 5,000 messages/s",
        False,
        RATE,
        {"p99": (0.99, 1.3), "p99.9": (0.999, 1.3)},
    ),
    Scene(
        "E3",
        "push to a callback, kernel in a Python loop",
        True,
        0,
        {"p99": (0.99, 1.5), "p99.9": (0.999, 1.5)},
    ),
)


def run(*, quick: bool) -> Iterable[Result]:
    pushes = 200 if quick else 1_000
    with tes.start(ports=(0, 0)) as session, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages"
        ticks = (packed(json.dumps(some_ticks(1, seed), separators=(",", ":"))) for seed in range(KINDS))
        path.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in ticks))
        for scene in SCENES:
            ours: list[list[float]] = []
            theirs: list[list[float]] = []
            interleave(
                lambda scene=scene, ours=ours: _keep(ours, through_tes_nb(session, scene, path, pushes)),
                lambda scene=scene, theirs=theirs: _keep(theirs, by_hand(scene, path, pushes)),
                rounds=2 if quick else 5,
                warmup=0,
            )
            for name, (share, goal) in scene.goals.items():
                yield ratio(
                    scene.id,
                    f"{scene.name}, {name}",
                    [percentile(one, share) for one in ours],
                    [percentile(one, share) for one in theirs],
                    unit="ms",
                    against="a push through bare websockets into a thread of the same process",
                    at_most=goal,
                    packages=("aiohttp", "websockets"),
                    note="From the stamp in the sender to the callback in the receiver, one clock for both.",
                )
        yield from switched(session, path, pushes // 2)


def switched(session: tes.Session, path: Path, pushes: int) -> Iterable[Result]:
    """What `tes.options.switch_ms` gives a push while the kernel runs a Python loop, and what it costs the loop."""
    scene, usual = SCENES[-1], tes.options.switch_ms
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    loops: dict[float, list[float]] = {0.5: [], usual: []}

    def one(kept: list[list[float]], switch_ms: float) -> float:
        tes.options.switch_ms = switch_ms
        try:
            began = time.thread_time()
            turns = []
            kept.append(through_tes_nb(session, scene, path, pushes, turns))
            loops[switch_ms].append((time.thread_time() - began) / sum(turns) * 1e9)
        finally:
            tes.options.switch_ms = usual
        return 0.0

    interleave(lambda: one(ours, 0.5), lambda: one(theirs, usual), rounds=5, warmup=0)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        yield ratio(
            "E3",
            f"{scene.name}, options.switch_ms = 0.5, {name}",
            [percentile(one, share) for one in ours],
            [percentile(one, share) for one in theirs],
            unit="ms",
            against=f"the same with Python's {usual:g} ms",
        )
    yield ratio(
        "E3",
        "CPU time of a turn of that Python loop, options.switch_ms = 0.5",
        loops[0.5],
        loops[usual],
        unit="ns",
        against=f"the same with Python's {usual:g} ms",
    )


def _keep(rounds: list[list[float]], one: list[float]) -> float:
    rounds.append(one)
    return 0.0


@contextlib.contextmanager
def beside(scene: Scene, path: Path, pushes: int) -> Iterator[str | None]:
    """The address of the feed that goes on beside; `None` = none does."""
    if not scene.rate:
        yield None
        return
    seconds = pushes / PUSHES_A_SECOND * 3 + 10  # it ends with the round
    with feed(path, Case("", "", [], "ticks", 1, int(seconds * scene.rate), scene.rate, 0)) as url:
        yield url


def until(scene: Scene, enough: Callable[[], bool], turns: list[int] | None = None) -> None:
    """Wait as the scene's main thread does; note the turns of its loop."""
    if not scene.busy:
        while not enough():
            time.sleep(0.05)
        return
    count, looked = 0, time.monotonic()
    while True:
        count += 1
        if count % 100_000 == 0 and time.monotonic() - looked > 0.05:
            looked = time.monotonic()
            if enough():
                if turns is not None:
                    turns.append(count)
                return


def through_tes_nb(
    session: tes.Session, scene: Scene, path: Path, pushes: int, turns: list[int] | None = None
) -> list[float]:
    """Milliseconds of so many pushes. turns: takes the turns of the main thread's loop."""
    arrivals: list[float] = []

    def arrived(message: Message) -> None:
        arrivals.append((time.monotonic_ns() - message.t_mono_ns) / 1e6)

    with beside(scene, path, pushes) as url:
        watched = None
        if url is not None:
            watched = session.watch(tes.NOWGOAL.with_endpoint(url=url, token=jwt(), name="feed"))
            until(scene, lambda: watched.store.tables["ticks"].received > scene.rate // 2)
        with python(CAUSE, f"ws://127.0.0.1:{session.ports[0]}/ws/control", str(session.token)):
            off = session.kernel.on_message(arrived)
            until(scene, lambda: len(arrivals) >= pushes + WARM_UP, turns)
            off()
        if watched is not None:
            session.unwatch(watched)
    return arrivals[WARM_UP : WARM_UP + pushes]


def by_hand(scene: Scene, path: Path, pushes: int) -> list[float]:
    """The same for a client by hand."""
    arrivals: list[float] = []
    rows: list[dict[str, object]] = []

    async def read_pushes(port: int) -> None:
        async with websockets.connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None) as socket:
            while len(arrivals) < pushes + WARM_UP:
                message = await socket.recv(decode=False)
                sent_at = int.from_bytes(message[:8], "little", signed=True)
                arrivals.append((time.monotonic_ns() - sent_at) / 1e6)

    async def read_feed(url: str) -> None:
        async with websockets.connect(url, proxy=None, compression=None) as socket:
            async for payload in socket:
                received = time.time_ns()
                rows.extend({"time": received, **row} for row in ticks_of(payload))

    async def read(port: int, url: str | None) -> None:
        feeding = None if url is None else asyncio.create_task(read_feed(url))
        while feeding is not None and len(rows) < scene.rate // 2:  # noqa: ASYNC110 - a client that reads, no event
            await asyncio.sleep(0.05)
        await read_pushes(port)
        if feeding is not None:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding

    with beside(scene, path, pushes) as url, python(BARE) as bare:
        reader = threading.Thread(target=asyncio.run, args=(read(int(line(bare.stdout)), url),))
        reader.start()
        until(scene, lambda: not reader.is_alive())
        reader.join()
    return arrivals[WARM_UP : WARM_UP + pushes]
