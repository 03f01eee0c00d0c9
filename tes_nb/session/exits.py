"""Exit codes of the kernel's own children, which no other process can learn.

Nothing is reaped here: `waitid(WNOWAIT)` looks at a dead child and leaves it to whoever waits for it. A child that
somebody else reaps first is found through multiprocessing's own objects, or not at all: then its code stays NA.
"""

from __future__ import annotations

import multiprocessing.process
import os
from collections.abc import Iterator
from pathlib import Path


class ExitWatch:
    """Tells each child's exit code once."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def new_exits(self) -> Iterator[tuple[int, int]]:
        """Yield (pid, exit code) of children that ended since the last look; negative = killed by that signal."""
        for pid, code in (*_unreaped(), *_multiprocessing()):
            if pid not in self._told:
                self._told.add(pid)
                yield pid, code
        if len(self._told) > 10_000:
            self._told.clear()


def _unreaped() -> Iterator[tuple[int, int]]:
    """The dead child that the system would give next; the one behind it shows when this one is reaped."""
    for pid in _children():
        try:
            seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except (ChildProcessError, AttributeError):
            continue
        if seen is not None:
            code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
            yield pid, code


def _children() -> list[int]:
    """The pids of this process's children, dead ones included; empty where the system does not tell cheaply."""
    found: list[int] = []
    try:
        for thread in Path("/proc/self/task").iterdir():
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    except OSError:
        pass
    return found


def _multiprocessing() -> Iterator[tuple[int, int]]:
    """Processes of the multiprocessing module that are joined already keep their exit code on their object."""
    for process in tuple(getattr(multiprocessing.process, "_dangling", ())):
        popen = getattr(process, "_popen", None)
        code = getattr(popen, "returncode", None)  # as known; asking `exitcode` could reap
        if process.pid is not None and code is not None:
            yield process.pid, code
