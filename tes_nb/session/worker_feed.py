"""What the feed of workers can do beyond others: ask one what it does, and what it holds."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model.operation import Operation, R
from tes_nb.model.work_control import GetStack, ProcessStack, StackFrame, TakeSnapshot, ThreadStack
from tes_nb.session.extras import Extras
from tes_nb.session.feed import Feed


class Stack:
    """What a process did at one instant: `print(stack)` shows it like a traceback, innermost call last."""

    def __init__(self, said: ProcessStack) -> None:
        self.pid = said.pid
        self.place = said.place
        """Where the main thread was in the user's own code, in words; `None` = nowhere there."""
        self.door = said.door
        """How it was looked at: faulthandler, or py-spy."""
        self.took_ms = said.took_ms
        """How long that took, in milliseconds."""
        self.threads: list[ThreadStack] = said.threads
        """Each with a name and frames, innermost first: function, file, line, and whether it is the user's."""

    def __str__(self) -> str:
        parts = [f"process {self.pid}, {self.place or 'not in your code'} ({self.door}, {self.took_ms:g} ms)"]
        for thread in self.threads:
            parts += [f"{thread.name}:", *(_line(frame) for frame in reversed(thread.frames))]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def checked_id(worker: object) -> str:
    """Return a worker's id. Raises `ArgumentError` for what is none, such as a pid, which another may have later."""
    if isinstance(worker, str):
        return worker
    raise ArgumentError(
        f"A worker is given by its id, a text such as '4242-81733', not by {worker!r}: "
        "s.workers.frame()[['id', 'pid', 'name']] has them."
    )


def _line(frame: StackFrame) -> str:
    return f"{'>' if frame.mine else ' '} {frame.function}, {frame.file} line {frame.line}"


class WorkersFeed(Feed):
    """The workers: `s.workers.frame()`, `s.workers.table()`, `s.workers.stack(id)`."""

    def stack(self, worker: str) -> Stack:
        """Return what a worker does now: functions, files and lines of each thread, no values.

        worker: an id of `s.workers.frame()`. Raises `CollectorError` where it cannot be seen, with the cause and what
        to do; `SessionError` where this is a recording.
        """
        return Stack(self._ask("stack()", GetStack(worker=checked_id(worker))))

    def snapshot(self, worker: str) -> dict[str, Any]:
        """Return what can be known of a worker from outside, once in 10 s for each.

        worker: an id of `s.workers.frame()`. The result has "worker" (its row, memory in bytes), "process" (the
        system's figures: memory, CPU times, threads, descriptors, I/O; `None` = it is no process of this machine),
        "stack" (as `stack()` has it; `None` = it could not be read), "holds" (of a process of an observed pool:
        "objects" with counts by type, "allocations" by site in bytes where tracemalloc is on in it), "partial" (whether
        something is missing) and "unread" (what could not be read, and why; `None` = nothing).
        No arguments, environment, names of open files or contents of memory. Raises as `stack`
        does.
        """
        seen: dict[str, Any] = msgspec.to_builtins(
            self._ask("snapshot()", TakeSnapshot(worker=checked_id(worker)))
        )
        return seen

    def _ask(self, what: str, operation: Operation[R]) -> R:
        if self.ask is None:
            raise SessionError(
                f"A recording holds no processes that could be asked; s.workers.{what} is for live ones."
            )
        result: R = self.ask(operation)
        return result


EXTRAS = Extras(feed=WorkersFeed)
