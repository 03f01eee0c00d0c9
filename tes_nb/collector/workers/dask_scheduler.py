"""One observed Dask scheduler: asked twice a second, listed beside its workers, a gap while it does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

import psutil

from tes_nb.collector.logs import logger
from tes_nb.collector.workers.dask_identity import Identity, SchedulerAddress, checksum
from tes_nb.collector.workers.dask_jobs import DaskGroups, DaskJobs
from tes_nb.collector.workers.dask_life import DaskLives
from tes_nb.collector.workers.dask_reader import SchedulerReader
from tes_nb.collector.workers.source import Scaler
from tes_nb.errors import ConnectionFailed, DecodeError
from tes_nb.model import WorkerFacts
from tes_nb.net.endpoints import is_loopback
from tes_nb.wire.events import Gap, GapBook

AGAIN_S = 3.0
"""A search reads all sockets of the machine: for what was not found it is repeated at most so often."""


class ListeningProcesses:
    """Finds which process of this machine listens at an address, and remembers it (decisions/0027)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pids: dict[str, int | None] = {}
        self._looked_at = float("-inf")

    async def pids(self, addresses: Collection[str]) -> Mapping[str, int | None]:
        """Return address → pid; `None` = it is elsewhere, or somebody else's process. Looks in a thread."""
        self._pids = {
            address: pid
            for address, pid in self._pids.items()
            if address in addresses and (pid is None or psutil.pid_exists(pid))
        }
        news = [address for address in addresses if self._pids.get(address) is None]
        if set(news) - set(self._pids) or (news and self._clock() - self._looked_at >= AGAIN_S):
            self._looked_at = self._clock()
            self._pids.update(await asyncio.to_thread(_find, news))
        return self._pids


def _find(addresses: list[str]) -> dict[str, int | None]:
    """Return who listens at these `tcp://host:port` addresses."""
    places = {address: _place(address) for address in addresses}
    here = {one.address for those in psutil.net_if_addrs().values() for one in those}
    wanted = {port for host, port in places.values() if host in here or is_loopback(host)}
    pids: dict[int, int] = {}
    if wanted:
        with contextlib.suppress(psutil.Error, OSError):
            for socket in psutil.net_connections("tcp"):
                if socket.status == psutil.CONN_LISTEN and socket.pid is not None and socket.laddr:
                    pids[socket.laddr[1]] = socket.pid
    return {address: pids.get(port) if port in wanted else None for address, (_, port) in places.items()}


def _place(address: str) -> tuple[str, int]:
    """Split an address; what is none is nowhere."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port or 0
    return "", 0


PERIOD_S = 0.5
TASKS_PERIOD_S = 1.0
SLOWEST_S = 5.0
"""One that does not answer is asked less and less often, down to this."""
_WAITING = ("queued", "no-worker")
"""States of tasks that wait on the scheduler; those on a worker wait in its own queue."""


class DaskScheduler:
    """Polls from `start` to `close`. `scaler` starts and ends its workers; `None` = nobody can."""

    def __init__(
        self,
        address: SchedulerAddress,
        *,
        name: str = "",
        on_change: Callable[[], None],
        on_gap: Callable[[Gap], None],
        exit_code: Callable[[int], int | None],
        with_tasks: bool = False,
    ) -> None:
        """name: what people call the cluster; "" = its address. with_tasks: ask what runs on each worker, too."""
        self.address = address
        self.id = f"dask-scheduler-{checksum(str(address))}"
        self.name = name or str(address)
        self.scaler: Scaler | None = None
        self.trouble: str | None = "it has not answered yet"
        """What is wrong, in a sentence's part; `None` = it answers."""
        self.lives = DaskLives(checksum(str(address)), self.name, exit_code=exit_code)
        self.groups = DaskGroups(checksum(str(address)), self.name)
        self._reader = SchedulerReader(address)
        self.jobs = DaskJobs()
        self._with_tasks = with_tasks
        self._asking: asyncio.Task[None] | None = None
        self._on_change, self._on_gap = on_change, on_gap
        self._listeners = ListeningProcesses()
        self._gaps = GapBook()
        self._task: asyncio.Task[None] | None = None
        self._first_attempt = asyncio.Event()
        self._conn = 1
        self._created_ms = time.time_ns() // 1_000_000
        self._pid: int | None = None
        self._unreadable = 0
        self._facts: tuple[WorkerFacts, ...] = ()
        self._renew()

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return the scheduler and its workers; the same tuple while nothing has changed."""
        return self._facts

    async def start(self, patience_s: float) -> None:
        """Begin to ask, and wait for the first answer, at most so long."""
        self._task = asyncio.create_task(self._poll(), name=self.id)
        if self._with_tasks:
            self._asking = asyncio.create_task(self._ask_tasks(), name=f"tasks of {self.id}")
        try:
            async with asyncio.timeout(patience_s):
                await self._first_attempt.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """Ask no more. Idempotent."""
        tasks = [task for task in (self._task, self._asking) if task is not None]
        self._task = self._asking = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.close()

    async def _poll(self) -> None:
        loop, wait_s = asyncio.get_running_loop(), PERIOD_S
        while True:
            began = loop.time()
            try:
                await self._ask()
                wait_s = PERIOD_S
            except ConnectionFailed as error:
                self._lose(str(error))
                wait_s = min(wait_s * 1.5, SLOWEST_S)
            except Exception:
                logger.exception("Asking a Dask scheduler failed; it goes on.")
                self._lose("tes_nb failed on its answer; the collector's log says more")
            self._first_attempt.set()
            await asyncio.sleep(max(0.05, began + wait_s - loop.time()))

    async def _ask_tasks(self) -> None:
        """Ask every second what the workers run; one that is held may keep the answer away."""
        while True:
            try:
                answer = await self._reader.call_stacks()
                if answer is not None:
                    self.jobs.take(answer)
            except (ConnectionFailed, DecodeError):
                self.jobs.clear()
            await asyncio.sleep(TASKS_PERIOD_S)

    async def _ask(self) -> None:
        identity = await self._reader.read()
        pids = await self._listeners.pids([*identity.workers, identity.address])
        changed = self.lives.take(identity, pids, self.jobs.current())
        answer = await self._reader.groups() if self._with_tasks else None
        if answer is not None:
            with contextlib.suppress(DecodeError):  # one that does not know the question has no groups
                changed |= self.groups.take(answer)
        self._pid = pids.get(identity.address)
        self._unreadable = identity.unreadable
        came_back, self.trouble = self.trouble is not None, None
        now = time.time_ns()
        gap = self._gaps.end(now)
        self._gaps.note_message(now)
        if gap is not None:
            self._conn += 1
            self._on_gap(gap)
        self._renew(identity)
        if changed or came_back:
            self._on_change()

    def _lose(self, trouble: str) -> None:
        """Say of it and of its workers that nobody knows how they are."""
        first = self.trouble != trouble
        self.trouble, self._pid = trouble, None
        self.lives.lose(f"{self.name} does not answer: {trouble}")
        self.groups.lose(f"{self.name} does not answer: {trouble}")
        if self.lives.seen:
            gap = self._gaps.begin(
                self._conn, f"the Dask scheduler {self.name} does not answer: {trouble}", time.time_ns()
            )
            if gap is not None:
                self._on_gap(gap)
        self._renew()
        if first:
            self._on_change()

    def _renew(self, identity: Identity | None = None) -> None:
        """Put together the facts that readers get."""
        tally = self._reader.tally if identity is not None else {}
        note = None
        if self.trouble is not None:
            note = f"does not answer: {self.trouble}"
        elif self._unreadable:
            note = f"{self._unreadable} of its workers are not listed: what it says of them cannot be read"
        busy = tally.get("processing", 0) > 0 or any(worker.executing for worker in self.lives.facts())
        scheduler = WorkerFacts(
            id=self.id,
            pid=self._pid,
            name=f"scheduler of {self.name}" if self.name != str(self.address) else self.name,
            kind="dask",
            status="error" if self.trouble else "working" if busy else "idle",
            created_at_ms=self._created_ms,
            last_error=note,
            queue_depth=sum(tally.get(state, 0) for state in _WAITING),
            role="dask scheduler",
            pool=self.name,
            address=str(self.address),
            failed=tally.get("erred"),
        )
        self._facts = (scheduler, *self.lives.facts(), *self.groups.facts())
