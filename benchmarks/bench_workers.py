"""P16: what it costs to watch workers: a hundred processes, and a message of a hundred to many clients.

Costs are CPU times, which other programs on the machine lengthen little.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import psutil

from benchmarks.bench_fanout import drain, pairs
from benchmarks.harness import Result, figure, interleave, ratio
from benchmarks.workload import collector
from tes_nb.collector.hub import Hub
from tes_nb.collector.produced import Channel, Client, text_frame
from tes_nb.collector.workers.processes import ProcessWorkers
from tes_nb.streams import get
from tests.support.observations import observation

PROCESSES, CLIENTS, PERIOD_S = 100, 64, 0.5


def run(*, quick: bool) -> Iterable[Result]:
    rounds = 5 if quick else 9
    with crowd(PROCESSES):
        yield figure(
            "P16",
            f"a look at {PROCESSES} processes, CPU",
            asyncio.run(looks(rounds)),
            unit="ms",
            at_most=25,
            packages=("psutil",),
        )
    yield figure(
        "P16",
        f"the collector with {PROCESSES} idle processes more, of a core",
        collector_shares(5 if quick else 10),
        unit="percent",
        at_most=3,
        packages=("psutil",),
    )
    ours, theirs = asyncio.run(messages(rounds, 5 if quick else 20))
    yield ratio(
        "P16",
        f"a message of {PROCESSES} workers to {CLIENTS} clients, CPU",
        ours,
        theirs,
        unit="ms",
        against="built and encoded once, and sock.send of the ready frame",
        at_most=1.5,
        packages=("msgspec", "websockets"),
    )


@contextlib.contextmanager
def crowd(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many children that sleep."""
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(count)]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


async def looks(rounds: int) -> list[float]:
    """CPU time of each refresh, in ms, once all are listed."""
    workers, spent = ProcessWorkers(), []
    while len(workers.facts()) < PROCESSES:
        await workers.refresh()
    for _ in range(rounds):
        began = time.process_time()
        await workers.refresh()
        spent.append((time.process_time() - began) * 1e3)
        await asyncio.sleep(PERIOD_S)
    await workers.close()
    return spent


def collector_shares(seconds: float) -> list[float]:
    """How much more of a core a collector uses with the processes than without them, in percent."""
    with collector() as running:
        process = psutil.Process(running.pid)

        def share() -> float:
            time.sleep(3)  # who is new is looked at more closely
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            time.sleep(seconds)
            return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began) * 100

        def crowded() -> float:
            with crowd(PROCESSES):
                return share()

        ours, theirs = interleave(crowded, share, rounds=3, warmup=0)
    return [mine - bare for mine, bare in zip(ours, theirs, strict=True)]


async def messages(rounds: int, count: int) -> tuple[list[float], list[float]]:
    """CPU time of a message of a hundred workers: by the channel, and by the least that must be done."""
    loop, stream = asyncio.get_running_loop(), get("workers")
    assert stream.producer is not None
    seen = observation()
    workers = tuple(replace(seen.workers[0], id=f"{pid}-1", pid=pid) for pid in range(PROCESSES))
    seen = replace(seen, workers=workers)
    near, far = pairs(CLIENTS)
    raw_near, raw_far = pairs(CLIENTS)
    channel = Channel(stream, stream.producer, Hub(2**26), lambda: seen)
    transports = [(await loop.create_connection(asyncio.Protocol, sock=one))[0] for one in near]
    channel.clients.update(Client(transport, 2**24) for transport in transports)

    def spent(act: Callable[[], None], sockets: list) -> float:
        total = 0.0
        for _ in range(count):
            began = time.process_time()
            act()
            total += time.process_time() - began
            drain(sockets)
        return total / count * 1e3

    def least() -> None:
        import msgspec

        frame = text_frame(msgspec.json.encode(stream.producer.build(seen)))
        for one in raw_near:
            one.send(frame)

    ours, theirs = interleave(
        lambda: spent(channel.tick, far), lambda: spent(least, raw_far), rounds=rounds, warmup=1
    )
    for transport in transports:
        transport.abort()
    for one in (*far, *raw_near, *raw_far):
        one.close()
    await asyncio.sleep(0)
    return ours, theirs
