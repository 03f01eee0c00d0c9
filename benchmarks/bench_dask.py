"""P17: what an observed Dask cluster pays: CPU time of scheduler, client and workers, observed and not, turn by turn.

A graph takes as long as it takes on a machine with other work; the questions come twice a second whatever that is. So
there are two figures: of a core while tasks run that only wait, and of a graph of 10,000 tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator

import psutil

from benchmarks.harness import Result, Skipped, figure, ratio
from benchmarks.workload import TOKEN, collector, python
from tes_nb.collector.process import CollectorProcess
from tes_nb.model.control import ObserveScheduler, SeenScheduler, UnobserveScheduler
from tes_nb.model.operation import Operation, R
from tes_nb.net.control_client import ControlClient

CLUSTER = """
import os, sys, time
def main():
    from distributed import Client, LocalCluster
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                           worker_dashboard_address="127.0.0.1:0", silence_logs=40)
    client = Client(cluster)
    print(cluster.scheduler_address, *client.run(os.getpid).values(), flush=True)
    for line in sys.stdin:
        count, seconds = line.split()
        act = hex if seconds == "0" else lambda _, s=float(seconds): time.sleep(s)
        client.gather(client.map(act, range(int(count)), pure=False))
        print("done", flush=True)
if __name__ == "__main__":
    main()
"""


class Cluster:
    """A cluster with its user in another process."""

    def __init__(self, user: subprocess.Popen[str]) -> None:
        self._user = user
        self.address, *pids = user.stdout.readline().split()
        self._processes = [psutil.Process(pid) for pid in (user.pid, *map(int, pids))]

    def spent(self, tasks: int, seconds: float = 0) -> tuple[float, float]:
        """Run such tasks; return the CPU and the wall seconds that took."""
        before, began = self._cpu(), time.monotonic()
        self._user.stdin.write(f"{tasks} {seconds}\n")
        self._user.stdin.flush()
        self._user.stdout.readline()
        return self._cpu() - before, time.monotonic() - began

    def _cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._processes)


def run(*, quick: bool) -> Iterable[Result]:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise Skipped("distributed is not installed") from None
    tasks, waits = (500, 8) if quick else (10_000, 40)
    with python(CLUSTER) as user, collector() as running:
        cluster = Cluster(user)
        cluster.spent(tasks)

        def share() -> float:
            cpu, wall = cluster.spent(waits, 0.4)
            return cpu / wall * 100

        def graph() -> float:
            return cluster.spent(tasks)[0]

        bare, *observed = turns(running, cluster, share, 5)
        for (at_most, words), ours in zip(WAYS, observed, strict=True):
            yield figure(
                "P17",
                f"a Dask cluster whose tasks wait, {words}: CPU more, of a core",
                [mine - before for mine, before in zip(ours, bare, strict=True)],
                unit="percent",
                at_most=at_most,
                packages=("distributed",),
            )
        bare, *observed = turns(running, cluster, graph, 3)
        for (at_most, words), ours in zip(WAYS, observed, strict=True):
            yield ratio(
                "P17",
                f"a graph of {tasks:,} Dask tasks, {words}: CPU",
                ours,
                bare,
                unit="s",
                against="the same unobserved",
                at_most=1 + at_most / 100,
                packages=("distributed",),
            )


WAYS = ((1, "observed"), (5, "observed with tasks=True"))
"""What each may cost, in percent."""


def turns(
    running: CollectorProcess, cluster: Cluster, act: Callable[[], float], rounds: int
) -> list[list[float]]:
    """What `act` gives unobserved, observed, and observed with tasks, in turn."""
    samples: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        samples[0].append(act())
        for place, with_tasks in ((1, False), (2, True)):
            with observing(running, cluster.address, with_tasks):
                samples[place].append(act())
    return samples


@contextlib.contextmanager
def observing(running: CollectorProcess, address: str, with_tasks: bool) -> Iterator[None]:
    """Let the collector observe the scheduler meanwhile."""

    async def call(operation: Operation[R]) -> R:
        client = ControlClient(f"ws://127.0.0.1:{running.ports[0]}/ws/control", TOKEN)
        await client.start()
        try:
            return await client.call(operation)
        finally:
            await client.stop()

    seen: SeenScheduler = asyncio.run(call(ObserveScheduler(address=address, tasks=with_tasks)))
    try:
        yield
    finally:
        asyncio.run(call(UnobserveScheduler(id=seen.id)))
