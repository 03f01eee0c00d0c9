"""The workers of one Dask scheduler from answer to answer: who came, restarted, fell silent, left (decisions/0027).

A worker is known by its name, which a nanny keeps when it restarts the process at another address. One without a name
of its own is known by its nanny, else by its address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tes_nb.collector.samplers.worker_life import exit_sentence, safe_name
from tes_nb.collector.workers.dask_identity import (
    KEEP_ENDED_S,
    DaskWorker,
    Identity,
    Rates,
    id_part,
    shown_name,
)
from tes_nb.collector.workers.dask_jobs import DaskJob
from tes_nb.model import WorkerFacts

SILENT_AFTER_S = 15.0
"""Heartbeats come once a second or so; one who has sent none for so long is in trouble."""
_NO_RATES = Rates()


@dataclass
class _Life:
    """One worker. `facts` is what readers get; it is replaced, never changed."""

    address: str
    facts: WorkerFacts
    pid: int | None
    last_seen: float | None
    heard_at: float
    """Monotonic seconds of its newest heartbeat, as far as we have seen."""
    gone_at: float | None = None
    """`None` = the scheduler lists it."""
    errors: int = 0
    last_error: str | None = None


class DaskLives:
    """What is known of the workers of one scheduler."""

    def __init__(
        self,
        place: str,
        pool: str,
        *,
        exit_code: Callable[[int], int | None] = lambda _pid: None,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """place: tells this scheduler's ids from those of others. pool: what people call the cluster.

        exit_code: how a process ended, if its parent has said so.
        """
        self._place, self._pool = place, pool
        self._clock, self._wall_ms = clock, wall_ms
        self._lives: dict[str, _Life] = {}
        self._exits: dict[int, int] = {}
        self._exit_code = exit_code
        self.exits_are_reported = False
        """Whether every death is reported, so that a worker that leaves without a report was ended on purpose."""
        self.seen = False
        """Whether the scheduler has ever answered."""

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return all that are listed."""
        return tuple(life.facts for life in self._lives.values())

    def report_exit(self, pid: int, code: int) -> None:
        """Take in how a worker's process ended, as its nanny says; negative = killed by that signal."""
        self._exits[pid] = code
        while len(self._exits) > 1000:
            del self._exits[next(iter(self._exits))]
        for life in self._lives.values():
            if life.pid == pid and life.gone_at is not None:
                self._explain(life)

    def take(
        self,
        identity: Identity,
        pids: Mapping[str, int | None],
        jobs: Mapping[str, DaskJob] | None = None,
    ) -> bool:
        """Take in an answer of the scheduler. pids: address → its process on this machine, `None` = it is elsewhere.

        jobs: address → what runs there, where that is known.

        Returns whether who is listed or how one is has changed.
        """
        before = [_health(one) for one in self.facts()]
        now, here = self._clock(), set()
        for address, worker in identity.workers.items():
            key = _key(worker, address)
            here.add(key)
            job = (jobs or {}).get(address) if worker.metrics.task_counts.running else None
            self._take_one(key, address, worker, pids.get(address), now)
            self._set_job(self._lives[key], job)
        for key, life in list(self._lives.items()):
            if key not in here and life.gone_at is None:
                self._leave(life, now)
            elif life.gone_at is not None and now - life.gone_at >= KEEP_ENDED_S:
                del self._lives[key]
        self.seen = True
        return before != [_health(one) for one in self.facts()]

    def lose(self, trouble: str) -> None:
        """The scheduler does not answer: nobody knows how its workers are."""
        for life in self._lives.values():
            if life.gone_at is None:
                life.facts = replace(
                    life.facts, status="error", last_error=trouble, executing=None, queue_depth=0
                )

    def _take_one(self, key: str, address: str, worker: DaskWorker, pid: int | None, now: float) -> None:
        life = self._lives.get(key)
        if life is None:
            facts = self._first_facts(key, address, worker)
            life = self._lives[key] = _Life(address, facts, pid, worker.last_seen, now)
        elif life.address != address or life.gone_at is not None:
            self._restarted(life, address, pid, now)
            if life.facts.status not in ("error", "terminated"):  # nobody has seen it gone: say so once
                life.facts = replace(
                    life.facts, status="error", errors=life.errors, last_error=life.last_error
                )
                return
        if worker.last_seen != life.last_seen:
            life.last_seen, life.heard_at = worker.last_seen, now
        life.pid = (
            life.pid if pid is None else pid
        )  # a scheduler lists one that is dead for a while, and nobody listens
        life.facts = self._facts(life, worker, now)

    def _set_job(self, life: _Life, job: DaskJob | None) -> None:
        """Say what it runs; of one who has ended the last job stays."""
        if life.facts.status in ("idle", "working") and (
            job is not None or life.facts.current_job is not None
        ):
            current = None if job is None else job.facts()
            seconds = None if job is None else max(0.0, (self._wall_ms() - job.started_ms) / 1000)
            life.facts = replace(life.facts, current_job=current, job_s=seconds)

    def _restarted(self, life: _Life, address: str, pid: int | None, now: float) -> None:
        """It is back, or another process stands in its place."""
        if life.gone_at is None:
            life.last_error = self._cause(life)
        if life.last_error is not None and life.facts.status != "error":
            life.errors += 1
        if life.last_error is not None:  # else it was ended on purpose, and is wanted again
            life.last_error = f"{life.last_error}; restarted at {safe_name(address)}"
        life.address, life.pid, life.gone_at, life.heard_at = address, pid, None, now

    def _leave(self, life: _Life, now: float) -> None:
        life.gone_at = now
        self._explain(life)

    def _explain(self, life: _Life) -> None:
        """Say how it ended: an exit code other than 0 is an error, and so is an end that was not on purpose."""
        code = self._code(life)
        failed = code not in (None, 0)
        if failed and life.facts.status != "error":
            life.errors += 1
        is_expected = code == 0 or (code is None and self.exits_are_reported)
        life.last_error = None if is_expected else self._cause(life)
        life.facts = replace(
            life.facts,
            status="error" if failed else "terminated",
            errors=life.errors,
            last_error=life.last_error,
            exit_code=code,
            ended_at_ms=life.facts.ended_at_ms or self._wall_ms(),
            queue_depth=0,
            rss=None,
            cpu_percent=None,
            threads=None,
            executing=None,
            managed=None,
            spilled=None,
            descriptors=None,
            disk_read_rate=None,
            disk_write_rate=None,
            net_read_rate=None,
            net_write_rate=None,
        )

    def _code(self, life: _Life) -> int | None:
        return None if life.pid is None else self._exits.get(life.pid, self._exit_code(life.pid))

    def _cause(self, life: _Life) -> str:
        code = self._code(life)
        who = "its process" if life.pid is None else f"process {life.pid}"
        cause = (
            f"{who} left the scheduler, cause unknown" if code is None else f"{exit_sentence(code)} ({who})"
        )
        job, seconds = life.facts.current_job, life.facts.job_s or 0.0
        ran = "" if job is None else f" while running {job['type']} (job {job['id']}), {seconds:.1f} s"
        return cause + ran

    def _first_facts(self, key: str, address: str, worker: DaskWorker) -> WorkerFacts:
        return WorkerFacts(
            id=f"dask-{id_part(key)}-{self._place}",
            pid=None,
            name=shown_name(worker, address),
            kind="dask",
            status="idle",
            created_at_ms=self._wall_ms(),
            role="dask worker",
            pool=self._pool,
        )

    def _facts(self, life: _Life, worker: DaskWorker, now: float) -> WorkerFacts:
        metrics, tasks = worker.metrics, worker.metrics.task_counts
        executing = tasks.running
        trouble = self._trouble(life, worker, now)
        disk, net, spilled = (
            metrics.host_disk_io or _NO_RATES,
            metrics.host_net_io or _NO_RATES,
            metrics.spilled_bytes,
        )
        return replace(
            life.facts,
            pid=life.pid,
            address=safe_name(life.address),
            status="error" if trouble else "working" if executing else "idle",
            errors=life.errors,
            last_error=trouble or life.last_error,
            exit_code=None,
            ended_at_ms=None,
            rss=metrics.memory,
            cpu_percent=metrics.cpu,
            threads=worker.nthreads,
            executing=executing,
            queue_depth=tasks.waiting_to_run,
            managed=metrics.managed_bytes,
            spilled=None if spilled is None else spilled.disk,
            descriptors=metrics.num_fds,
            disk_read_rate=disk.read_bps,
            disk_write_rate=disk.write_bps,
            net_read_rate=net.read_bps,
            net_write_rate=net.write_bps,
        )

    def _trouble(self, life: _Life, worker: DaskWorker, now: float) -> str | None:
        """Return what is wrong with a worker that the scheduler lists; `None` = nothing."""
        if worker.status == "paused":
            used = worker.metrics.memory
            share = f", {used / worker.memory_limit:.0%} of its limit" if used and worker.memory_limit else ""
            return f"paused: its memory is full{share}"
        silent = now - life.heard_at
        return f"no heartbeat for {silent:.0f} s" if silent >= SILENT_AFTER_S else None


def _key(worker: DaskWorker, address: str) -> str:
    named = worker.name is not None and str(worker.name) not in ("", address)
    if named and isinstance(worker.name, str) and worker.name.isdecimal():
        return f"'{worker.name}'"  # the text "0" is another worker than the number 0
    return str(worker.name) if named else worker.nanny or address


def _health(worker: WorkerFacts) -> tuple[object, ...]:
    """What makes a push."""
    return worker.id, worker.status, worker.errors, worker.last_error
