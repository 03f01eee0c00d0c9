"""Workers that only somebody else knows: what executors and Dask schedulers report about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tes_nb.collector.samplers.worker_id import check_id
from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.model import WorkerFacts

_ERROR_MOST = 500


class ReportedWorkers:
    """The last report of each source. A report replaces the source's earlier one; an empty one ends it."""

    def __init__(self, cap: int) -> None:
        """Keep at most `cap` workers over all sources."""
        self._cap = cap
        self._by_source: dict[str, dict[str, WorkerFacts]] = {}

    def __len__(self) -> int:
        return sum(len(workers) for workers in self._by_source.values())

    def all(self) -> list[WorkerFacts]:
        """Return the workers of all sources."""
        return [worker for workers in self._by_source.values() for worker in workers.values()]

    def update(self, source: str, workers: Iterable[WorkerFacts]) -> None:
        """Replace what `source` said. Raises ValueError, changing nothing, for a bad id or too many."""
        told = {check_id(worker.id): _for_display(worker) for worker in workers}
        others = {name: known for name, known in self._by_source.items() if name != source}
        if len(told) + sum(len(known) for known in others.values()) > self._cap:
            raise ValueError(f"More than {self._cap} workers were reported; report fewer, or sums of them.")
        twice = next((name for known in others.values() for name in known if name in told), None)
        if twice is not None:
            raise ValueError(f"The worker id '{twice}' is reported by another source too; make ids unlike.")
        self._by_source = {**others, source: told} if told else others


def _for_display(worker: WorkerFacts) -> WorkerFacts:
    error = worker.last_error
    return replace(
        worker,
        name=safe_name(worker.name),
        last_error=None if error is None else error[:_ERROR_MOST],
    )
