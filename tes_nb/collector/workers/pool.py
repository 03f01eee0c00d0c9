"""Managed worker processes: what `POST /api/workers/scale` starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tes_nb.collector.logs import logger
from tes_nb.errors import CollectorError

CAP = 16
GRACE_S = 1.0
"""A worker that is told to end and does not is killed after this time."""
DEFAULT_COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("worker.py")))
_SECRETS = ("TES_DEV_TOKEN", "TES_NOWGOAL_TOKEN")
_MOST_DIGITS = 9


OnStart = Callable[[int], None]
"""pid. A ValueError from it is nothing to worry about."""
OnExit = Callable[[int, int, bool], None]
"""(pid, exit code, whether the end was asked for)"""


def parse_count(body: Any, *, cap: int = CAP) -> int:
    """Return the count in the body of a scale request: `{"count": 3}`, or its text `{"count": "3"}`.

    Raises ValueError with a sentence for everything else: 0 to `cap` and nothing but digits.
    """
    if not isinstance(body, dict) or set(body) != {"count"}:
        raise ValueError(
            'The body must be a JSON object with "count" and nothing else, for example {"count": 2}.'
        )
    value = body["count"]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f'"count" must be a whole number from 0 to {cap}.')
    return _check_count(value, cap)


def _check_count(count: int, cap: int) -> int:
    if not 0 <= count <= cap:
        text = count if abs(count) < 10**_MOST_DIGITS else "a number of that size"
        raise ValueError(f'"count" must be from 0 to {cap}, not {text}.')
    return count


class WorkerPool:
    """Keeps as many workers as it was last told to start, minus those that ended by themselves.

    A worker that dies is reported with its exit code and not replaced: what it says should not be hidden. The
    newest end first. Each worker's standard input is a pipe from here: should this process be killed, the
    pipe ends, and so do they.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        cap: int = CAP,
        grace_s: float = GRACE_S,
        on_start: OnStart | None = None,
        on_exit: OnExit | None = None,
    ) -> None:
        """`command` runs one worker; `None` = the small one that ships with tes_nb."""
        self.cap = cap
        self._command = tuple(command or DEFAULT_COMMAND)
        self._grace_s = grace_s
        self._on_start = on_start
        self._on_exit = on_exit
        self._workers: dict[int, Process] = {}
        self._ending: set[int] = set()
        self._watches: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The running workers, oldest first."""
        return tuple(self._workers)

    async def scale(self, count: int) -> tuple[int, int]:
        """Start or end workers until there are `count`; return (created, terminated).

        Raises ValueError for a count outside 0 to `cap`, and `CollectorError` when workers cannot be started,
        in which case those that were started for this call are ended again.
        """
        _check_count(count, self.cap)
        async with self._lock:
            if self._closed:
                raise CollectorError("The collector is ending; it starts no more workers.")
            before = list(self._workers)
            if count <= len(before):
                surplus = before[count:]
                await self._end(surplus)
                return 0, len(surplus)
            return await self._start(count - len(before)), 0

    async def close(self) -> None:
        """End all workers: SIGTERM, and SIGKILL for those still there after the grace time. Idempotent."""
        self._closed = True
        async with self._lock:
            await self._end(list(self._workers))
            if self._watches:
                await asyncio.wait(self._watches, timeout=self._grace_s)

    async def _start(self, number: int) -> int:
        started: list[int] = []
        try:
            for _ in range(number):
                started.append(await self._start_worker())  # noqa: PERF401 - what was started must be known on failure
        except OSError as error:
            await self._end(started)
            raise CollectorError(
                f"A worker could not be started ({error}); check the worker command and the process limit."
            ) from error
        return len(started)

    async def _start_worker(self) -> int:
        environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._workers[process.pid] = process
        watch = asyncio.create_task(self._watch(process), name=f"worker {process.pid}")
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        if self._on_start is not None:
            with contextlib.suppress(ValueError):  # it has ended already: its exit code will say so
                self._on_start(process.pid)
        return process.pid

    async def _watch(self, process: Process) -> None:
        """Wait for the worker's end and tell of it."""
        code = await process.wait()
        del self._workers[process.pid]
        if process.stdin is not None:
            process.stdin.close()
        expected = process.pid in self._ending
        self._ending.discard(process.pid)
        if not expected:
            logger.warning("Worker %d ended by itself with exit code %d.", process.pid, code)
        if self._on_exit is not None:
            self._on_exit(process.pid, code, expected)

    async def _end(self, pids: list[int]) -> None:
        """End these workers and wait until they are gone."""
        ending = [self._workers[pid] for pid in pids if pid in self._workers]
        self._ending.update(process.pid for process in ending)
        for process in ending:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if await self._still_there(ending, self._grace_s):
            for process in ending:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await self._still_there(ending, self._grace_s)

    async def _still_there(self, processes: list[Process], seconds: float) -> bool:
        """Wait until they are gone, at most so long; return whether one is left."""
        waits = [asyncio.ensure_future(process.wait()) for process in processes]
        if not waits:
            return False
        _, pending = await asyncio.wait(waits, timeout=seconds)
        for wait in pending:
            wait.cancel()
        return bool(pending)
