"""Which tasks the workers of a Dask scheduler run now, and where in their code, for those who asked for it.

The scheduler answers `call_stack` by asking each of its workers: read-only, too, but it costs each a moment, so it is
asked once a second and by wish (decisions/0027). A task's start is when it was first seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.collector.workers.dask_identity import KEEP_ENDED_S, id_part
from tes_nb.errors import DecodeError
from tes_nb.model import WorkerFacts
from tes_nb.model.observation import TASK_GROUP, WorkerStatus

MOST_GROUPS = 50
"""So many functions have a row; a program that makes up names for ever has no more."""
_MOST_FRAMES = 200
_SUFFIX = re.compile(r"(-[0-9a-f]{8}\b[0-9a-f-]*|-[0-9a-f]{32}|-\d+)+$")
"""What Dask puts behind a function's name to make a key of it."""
_FRAME = re.compile(r'\s*File "(.{0,500})", line (\d{1,9}), in (.{1,200})')
_OWN = ("threading.py", "threadpoolexecutor.py", "_concurrent_futures_thread.py")
_decoder: msgspec.msgpack.Decoder[dict[str, dict[Any, list[str]]]] = msgspec.msgpack.Decoder(
    dict[str, dict[Any, list[str]]]
)
_groups_decoder: msgspec.msgpack.Decoder[dict[str, dict[str, int]]] = msgspec.msgpack.Decoder(
    dict[str, dict[str, int]]
)


@dataclass(frozen=True, slots=True)
class DaskJob:
    """One task that runs."""

    key: str
    function: str
    started_ms: int
    """When it was first seen, in Unix milliseconds."""
    frames: tuple[str, ...]
    """Outermost first, `file.py:12 in function`; no values, and no source."""

    def facts(self) -> dict[str, Any]:
        """Return it as `WorkerFacts.current_job` has it."""
        return {"id": self.key, "type": self.function, "started_at": self.started_ms}


class DaskJobs:
    """The tasks that run, by the worker's address; of several on one worker the oldest."""

    def __init__(self, wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._wall_ms = wall_ms
        self._jobs: dict[str, dict[str, DaskJob]] = {}

    def take(self, answer: bytes) -> None:
        """Take in an answer in MessagePack. Raises `DecodeError` for what is none."""
        try:
            calls = _decoder.decode(answer)
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
            raise DecodeError("its answer is not one of running tasks", reason="schema") from None
        now, before = self._wall_ms(), self._jobs
        self._jobs = {
            address: {job.key: job for job in _jobs(tasks, before.get(address, {}), now)}
            for address, tasks in calls.items()
        }

    def current(self) -> Mapping[str, DaskJob]:
        """Return each busy worker's oldest task."""
        return {
            address: min(jobs.values(), key=lambda job: job.started_ms)
            for address, jobs in self._jobs.items()
            if jobs
        }

    def clear(self) -> None:
        """Forget all: nobody knows what runs."""
        self._jobs = {}


def _jobs(tasks: Mapping[Any, list[str]], before: Mapping[str, DaskJob], now: int) -> Iterable[DaskJob]:
    for key, frames in tasks.items():
        text = safe_name(str(key))
        earlier = before.get(text)
        yield DaskJob(text, function_of(key), now if earlier is None else earlier.started_ms, _frames(frames))


def function_of(key: Any) -> str:
    """Return the function's name in a task's key: "load" of "load-4f1d…-7" and of ("load-4f1d…", 7)."""
    while isinstance(key, tuple | list) and key:
        key = key[0]
    text = str(key)
    return safe_name(_SUFFIX.sub("", text) or text)


def _frames(lines: list[str]) -> tuple[str, ...]:
    """The calls of the task itself: function names, files and line numbers."""
    matches = [match for line in lines[-_MOST_FRAMES:] if (match := _FRAME.match(line))]
    first = max((place + 1 for place, match in enumerate(matches) if match[1].endswith(_OWN)), default=0)
    return tuple(safe_name(f"{match[1]}:{match[2]} in {match[3]}") for match in matches[first:])


class DaskGroups:
    """The functions whose tasks one scheduler knows, for those who asked for tasks.

    It answers `get_task_prefix_states` out of what it counts anyway; nothing is asked of its workers. Tasks that wait
    on the scheduler itself are in no function's count there.
    """

    def __init__(
        self,
        place: str,
        pool: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """place: tells this scheduler's ids from those of others. pool: what people call the cluster."""
        self._place, self._pool = place, pool
        self._clock, self._wall_ms = clock, wall_ms
        self._facts: dict[str, WorkerFacts] = {}
        self._gone_at: dict[str, float] = {}

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return a row for each function; one without tasks stays for a minute."""
        return tuple(self._facts.values())

    def take(self, answer: bytes) -> bool:
        """Take in an answer; return whether who is listed or how one is has changed. Raises `DecodeError`."""
        try:
            by_function = _groups_decoder.decode(answer)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise DecodeError("its answer is not one of tasks by function", reason="schema") from None
        before, now = [(one.id, one.status) for one in self.facts()], self._clock()
        for name, states in by_function.items():
            if name in self._facts or len(self._facts) < MOST_GROUPS:
                self._facts[name] = self._counted(name, states)
                self._gone_at.pop(name, None)
        for name in [name for name in self._facts if name not in by_function]:
            if now - self._gone_at.setdefault(name, now) >= KEEP_ENDED_S:
                del self._facts[name], self._gone_at[name]
            else:
                self._facts[name] = replace(self._facts[name], status="terminated", executing=None)
        return before != [(one.id, one.status) for one in self.facts()]

    def lose(self, trouble: str) -> None:
        """The scheduler does not answer: nobody knows what runs."""
        self._facts = {
            name: one
            if one.status == "terminated"
            else replace(one, status="error", last_error=trouble, executing=None)
            for name, one in self._facts.items()
        }

    def _counted(self, name: str, states: Mapping[str, int]) -> WorkerFacts:
        processing, erred = states.get("processing", 0), states.get("erred", 0)
        status: WorkerStatus = "working" if processing else "error" if erred else "idle"
        before = self._facts.get(name)
        return WorkerFacts(
            id=f"dask-tasks-{id_part(name)}-{self._place}",
            pid=None,
            name=safe_name(name),
            kind="dask",
            status=status,
            created_at_ms=self._wall_ms() if before is None else before.created_at_ms,
            errors=erred,
            last_error=f"{erred} of its tasks failed" if erred else None,
            role=TASK_GROUP,
            pool=self._pool,
            executing=processing,
            failed=erred,
        )
