"""Which tasks the workers of a Dask scheduler run now, and where in their code, for those who asked for it.

The scheduler answers `call_stack` by asking each of its workers: read-only, too, but it costs each a moment, so it is
asked once a second and by wish (decisions/0027). A task's start is when it was first seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.errors import DecodeError

_MOST_FRAMES = 200
_SUFFIX = re.compile(r"(-[0-9a-f]{8}\b[0-9a-f-]*|-[0-9a-f]{32}|-\d+)+$")
"""What Dask puts behind a function's name to make a key of it."""
_FRAME = re.compile(r'\s*File "(.{0,500})", line (\d{1,9}), in (.{1,200})')
_OWN = ("threading.py", "threadpoolexecutor.py", "_concurrent_futures_thread.py")
_decoder: msgspec.msgpack.Decoder[dict[str, dict[Any, list[str]]]] = msgspec.msgpack.Decoder(
    dict[str, dict[Any, list[str]]]
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
            said = _decoder.decode(answer)
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
            raise DecodeError("its answer is not one of running tasks", reason="schema") from None
        now, before = self._wall_ms(), self._jobs
        self._jobs = {
            address: {job.key: job for job in _jobs(tasks, before.get(address, {}), now)}
            for address, tasks in said.items()
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
        known = before.get(text)
        yield DaskJob(text, function_of(key), now if known is None else known.started_ms, _frames(frames))


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
