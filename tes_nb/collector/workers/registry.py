"""All workers of all sources, each once, with an id that stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

from tes_nb.collector.workers import NAMES
from tes_nb.collector.workers.processes import ProcessWorkers
from tes_nb.collector.workers.source import Handler, Scaler, SourceContext, WorkerSource
from tes_nb.errors import CollectorError
from tes_nb.model import WorkerFacts
from tes_nb.model.operation import Operation

_SUMS = ("errors",)
"""What source and system count each for itself."""


class WorkerRegistry:
    """Puts together what the sources say."""

    def __init__(self, context: SourceContext) -> None:
        """Make every source of `NAMES`; the processes are the first of them."""
        self.processes = ProcessWorkers.of(context)
        context = replace(context, processes=self.processes.by_pid, every_process=self.processes.facts)
        others = (import_module(f"tes_nb.collector.workers.{name}").SOURCE(context) for name in NAMES[1:])
        self.sources: tuple[WorkerSource, ...] = (self.processes, *others)
        self._parts: tuple[tuple[WorkerFacts, ...], ...] = ()
        self._facts: tuple[WorkerFacts, ...] = ()
        self._owners: dict[str, WorkerSource] = {}

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return all listed workers. Costs nothing while no source has news."""
        parts = tuple(source.facts() for source in self.sources)
        if len(parts) != len(self._parts) or any(
            new is not old for new, old in zip(parts, self._parts, strict=True)
        ):
            self._parts = parts
            self._put_together()
        return self._facts

    def find(self, worker_id: str) -> WorkerFacts | None:
        """Return the listed worker with that id; `None` = there is none."""
        return next((worker for worker in self.facts() if worker.id == worker_id), None)

    def owner(self, worker_id: str) -> WorkerSource:
        """Return the source that knows most of a listed worker. Raises `CollectorError` when none is listed."""
        self.facts()
        try:
            return self._owners[worker_id]
        except KeyError:
            raise CollectorError(
                "There is no worker of that id; s.workers.frame() lists those there are."
            ) from None

    async def snapshot(self, worker: WorkerFacts) -> Mapping[str, Any]:
        """Return what it holds, from the source that can say: a pool's process may not be put together with it yet."""
        for source in self.sources:
            if answer := await source.snapshot(worker):
                return answer
        return {}

    def operations(self) -> Mapping[type[Operation[Any]], Handler]:
        """Return what the sources carry out for the control socket."""
        return {
            operation: handler
            for source in self.sources
            for operation, handler in source.operations().items()
        }

    def scaler(self) -> Scaler | None:
        """Return what scales the workers of the last source that can; `None` = none can."""
        return next((scale for source in reversed(self.sources) if (scale := source.scaler())), None)

    async def start(self) -> None:
        """Let every source begin."""
        for source in self.sources:
            await source.start()

    async def close(self) -> None:
        """Let every source end."""
        for source in self.sources:
            await source.close()

    def _put_together(self) -> None:
        listed: dict[str, WorkerFacts] = {}
        owners: dict[str, WorkerSource] = {}
        by_pid, by_id = self.processes.by_pid(), {one.id: one for one in self.processes.facts()}
        for source, part in zip(self.sources, self._parts, strict=True):
            for entry in part:
                process = None
                if source is not self.processes and entry.pid is not None:
                    process = by_id.get(entry.id) or _lived_with(entry, by_pid.get(entry.pid))
                if process is None:
                    if not entry.id:
                        continue  # the process is not listed yet, or is forgotten
                    worker = entry
                else:
                    before = listed.pop(process.id, process)
                    worker = merged(entry, before)
                listed[worker.id], owners[worker.id] = worker, source
        self._facts = tuple(listed.values())
        self._owners = owners


def _lived_with(entry: WorkerFacts, process: WorkerFacts | None) -> WorkerFacts | None:
    """Return the process of its pid; `None` = there is none, or it began after the worker's end: the pid was free."""
    if process is None or entry.ended_at_ms is None or process.created_at_ms <= entry.ended_at_ms:
        return process
    return None


def merged(entry: WorkerFacts, process: WorkerFacts) -> WorkerFacts:
    """Return what a source says of a process together with what is seen of it.

    Who runs is as the source says, and has the system's figures where the source has none; who has ended, has ended as
    the system says, with the job it was running.
    """
    values: dict[str, Any] = {}
    for field in fields(WorkerFacts):
        own, seen = getattr(entry, field.name), getattr(process, field.name)
        values[field.name] = seen if own is None or own == "" else own
    for name in _SUMS:
        values[name] = getattr(entry, name) + getattr(process, name)
    values["created_at_ms"] = process.created_at_ms
    if process.status in ("error", "terminated"):
        values["status"], values["executing"] = process.status, None
        values["last_error"] = last_words(entry, process)
        values["job_s"] = _job_s(entry, process)
    return WorkerFacts(**values)


def last_words(entry: WorkerFacts, process: WorkerFacts) -> str | None:
    """Say why it ended, and during which job: "killed by SIGKILL while running load_chunk (job 17), 3.2 s"."""
    cause, job = process.last_error, entry.current_job
    if cause is None or job is None:
        return cause if cause is not None else entry.last_error
    seconds = _job_s(entry, process)
    lasted = "" if seconds is None else f", {seconds:.1f} s"
    return f"{cause} while running {job['type']} (job {job['id']}){lasted}"


def _job_s(entry: WorkerFacts, process: WorkerFacts) -> float | None:
    """How long its last job had run when it ended, in seconds."""
    job = entry.current_job
    if job is None or process.ended_at_ms is None or job.get("started_at") is None:
        return entry.job_s
    return max(0.0, (process.ended_at_ms - int(job["started_at"])) / 1000)
