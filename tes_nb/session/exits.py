"""Exit codes of the kernel's children, as they end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing.process
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

# Nothing is reaped here: `waitid(WNOWAIT)` looks at a dead child and leaves it to whoever waits for it, who may be
# quicker. A pidfd says at once when a child ends, mostly in time. multiprocessing's own objects keep the code of a
# child that was waited for, and are held here until they have it, since pools drop them at once. A child of which
# neither has the code is not reported, and its code stays NA.

MOST_HANDLES = 500


class ExitWatch:
    """Reports each child's exit code once."""

    def __init__(self) -> None:
        self._reported: set[int] = set()
        self._children = Children()
        self._handles: dict[int, int] = {}
        """pid → pidfd of a child that lives."""
        self._processes: dict[int, Any] = {}
        """pid → multiprocessing's `Popen` of a child whose code it does not have yet."""
        self._finished: WeakSet[Any] = WeakSet()
        """Those whose code was reported: their pid may be another process's by now."""

    def new_exits(self) -> Iterator[tuple[int, int]]:
        """Yield (pid, exit code) of children that ended since the last look; negative = killed by that signal."""
        for pid, code in (*self._unreaped(), *self._multiprocessing()):
            if pid not in self._reported:
                self._reported.add(pid)
                yield pid, code
        if len(self._reported) > 10_000:
            self._reported.clear()

    def _multiprocessing(self) -> Iterator[tuple[int, int]]:
        """Processes of the multiprocessing module that were waited for keep their exit code on their object."""
        for process in tuple(getattr(multiprocessing.process, "_dangling", ())):
            popen = getattr(process, "_popen", None)  # `None` = it was not started, or is closed
            if popen is not None and popen not in self._finished:
                self._processes[popen.pid] = popen
        for pid, popen in tuple(self._processes.items()):
            if popen.returncode is not None:  # as it is; asking `exitcode` could reap
                self._finished.add(self._processes.pop(pid))
                yield pid, popen.returncode

    def follow(self, on_exit: Callable[[int, int], None]) -> None:
        """Call `on_exit(pid, code)` in the running loop when a child that lives now ends (Linux)."""
        if not hasattr(os, "pidfd_open"):
            return
        loop = asyncio.get_running_loop()
        for pid in self._children.pids():
            if pid in self._handles or len(self._handles) >= MOST_HANDLES:
                continue
            with contextlib.suppress(OSError):  # it ended just now, or there are no descriptors left
                handle = self._handles[pid] = os.pidfd_open(pid)
                self._reported.discard(pid)  # another process had that pid
                loop.add_reader(handle, self._ended, pid, on_exit)

    def _ended(self, pid: int, on_exit: Callable[[int, int], None]) -> None:
        handle = self._handles[pid]
        code = _exit_code(os.P_PIDFD, handle)
        self._forget(pid)
        if code is not None and pid not in self._reported:
            self._reported.add(pid)
            on_exit(pid, code)

    def _unreaped(self) -> Iterator[tuple[int, int]]:
        """The dead child that the system would give next; the one behind it shows when this one is reaped."""
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return  # one call that says it for all, mostly
        except (ChildProcessError, AttributeError):
            return
        for pid in self._children.pids():
            if (code := _exit_code(os.P_PID, pid)) is not None:
                yield pid, code

    def close(self) -> None:
        """Follow no process any more."""
        for pid in tuple(self._handles):
            self._forget(pid)

    def _forget(self, pid: int) -> None:
        handle = self._handles.pop(pid)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


def _exit_code(kind: int, which: int) -> int | None:
    """Return the code of a dead child that was not reaped yet; `None` = it lives, or was reaped first."""
    try:
        status = os.waitid(kind, which, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


class Children:
    """The pids of this process's children, dead ones included; none where the system does not list them cheaply.

    The system lists them by the thread that started them. Each file that is opened gives the interpreter away to a cell
    that computes, for 5 ms and more, so a process of many threads would be deaf for a third of a second. While a cell
    computes (a read that lasts), the main thread's list alone is read: that is where cells start their processes.
    """

    CONTENDED_S = 0.003

    def __init__(self) -> None:
        self._main = Path(f"/proc/self/task/{os.getpid()}/children")

    def pids(self) -> list[int]:
        """Return the pids, in no order."""
        begun = time.monotonic()
        pids = _pids(self._main)
        if time.monotonic() - begun < self.CONTENDED_S:
            with contextlib.suppress(OSError):
                for thread in Path("/proc/self/task").iterdir():
                    if thread.name != self._main.parent.name:
                        pids += _pids(thread / "children")
        return pids


def _pids(file: Path) -> list[int]:
    try:
        return [int(pid) for pid in file.read_text().split()]
    except OSError:
        return []
