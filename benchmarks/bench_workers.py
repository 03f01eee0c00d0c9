"""P16: what it costs to watch workers: a hundred processes, a message of a hundred to many clients, a Dask scheduler.

Costs are CPU times, which other programs on the machine do not lengthen. A graph of 10,000 tasks is measured in CPU
time of scheduler and workers, observed and not, turn by turn.
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
from benchmarks.harness import Result, Skipped, figure, interleave, ratio
from benchmarks.workload import collector, python
from tes_nb.collector.hub import Hub
from tes_nb.collector.produced import Channel, Client, text_frame
from tes_nb.collector.workers.processes import ProcessWorkers
from tes_nb.model.control import ObserveScheduler, UnobserveScheduler
from tes_nb.net.control_client import ControlClient
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
    yield from graphs(1_000 if quick else 10_000, 5 if quick else 7)


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


CLUSTER = """
import os, sys
def main():
    from distributed import Client, LocalCluster
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                           worker_dashboard_address="127.0.0.1:0", silence_logs=40)
    client = Client(cluster)
    print(cluster.scheduler_address, *client.run(os.getpid).values(), flush=True)
    for line in sys.stdin:
        client.gather(client.map(hex, range(int(line)), pure=False))
        print("done", flush=True)
if __name__ == "__main__":
    main()
"""


def graphs(tasks: int, rounds: int) -> Iterable[Result]:
    """The same graph with and without an observer."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise Skipped("distributed is not installed") from None
    with python(CLUSTER) as user, collector() as running:
        address, *pids = user.stdout.readline().split()
        processes = [psutil.Process(pid) for pid in (user.pid, *map(int, pids))]
        for goal, with_tasks in ((1.01, False), (1.05, True)):

            def observed(with_tasks: bool = with_tasks) -> float:
                with observing(running, address, with_tasks):
                    return graph(user, processes, tasks)

            ours, theirs = interleave(
                observed, lambda: graph(user, processes, tasks), rounds=rounds, warmup=1
            )
            yield ratio(
                "P16",
                f"{tasks:,} Dask tasks, scheduler and workers observed{' with tasks=True' if with_tasks else ''}, CPU",
                ours,
                theirs,
                unit="s",
                against="the same unobserved",
                at_most=goal,
                packages=("distributed",),
            )


def graph(user: subprocess.Popen[str], processes: list[psutil.Process], tasks: int) -> float:
    """CPU seconds of scheduler, client and workers for a graph."""
    before = sum(sum(one.cpu_times()[:2]) for one in processes)
    user.stdin.write(f"{tasks}\n")
    user.stdin.flush()
    user.stdout.readline()
    return sum(sum(one.cpu_times()[:2]) for one in processes) - before


@contextlib.contextmanager
def observing(running, address: str, with_tasks: bool) -> Iterator[None]:
    """Let the collector observe the scheduler meanwhile."""

    async def call(operation):
        client = ControlClient(f"ws://127.0.0.1:{running.ports[0]}/ws/control", "benchmark-token")
        await client.start()
        try:
            return await client.call(operation)
        finally:
            await client.stop()

    seen = asyncio.run(call(ObserveScheduler(address=address, tasks=with_tasks)))
    try:
        yield
    finally:
        asyncio.run(call(UnobserveScheduler(id=seen.id)))
