"""The descendants of a process, from its threads' own lists of children where the system keeps them."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import psutil

SLICE_S = 0.0005


class LoopPace:
    """`await turn()` between two steps: it lets the loop do other things whenever a slice is used up."""

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._until = time.perf_counter() + slice_s

    async def turn(self) -> None:
        """Go on at once, or after everything else that is ready."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + self._slice_s


LOOKS_A_PASS = 50
"""One pass looks below so many known descendants; with more of them, each has its turn in a later pass."""
_ENOUGH = 4000
"""One read of a list gives about a page; a shorter answer is the whole list."""


def lists_of_children_exist() -> bool:
    """Return whether this system keeps /proc/<pid>/task/<tid>/children."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110 - one stat, no Path needed


class ChildFinder:
    """Finds descendants: on Linux by a small read a thread, elsewhere by a look at all processes.

    A child that ends meanwhile can hide its younger siblings from one read, so a process that is not found is
    not therefore gone.
    """

    def __init__(self, *, use_lists: bool | None = None) -> None:
        """`use_lists` chooses the way; `None` = the quick one where it exists."""
        self._use_lists = lists_of_children_exist() if use_lists is None else use_lists
        self._turn = 0

    def of_main_thread(self, pid: int) -> list[int]:
        """Return the children that the process's main thread started: one read. Empty without lists."""
        return _listed(pid, pid) if self._use_lists else []

    async def look(
        self, pid: int, descendants: Sequence[int], consider: Callable[[int], bool], pace: LoopPace
    ) -> None:
        """Call `consider` with each descendant found, zombies too, and below those for which it returns True.

        Looks at `pid` itself and, in turns, at the `descendants` that are known.
        """
        if not self._use_lists:
            for child in _table(pid):
                consider(child)
                await pace.turn()
            return
        waiting = deque([pid, *self._in_turn(descendants)])
        while waiting:
            for child in children_of(waiting.popleft()):
                if consider(child):
                    waiting.append(child)
                await pace.turn()
            await pace.turn()

    def _in_turn(self, descendants: Sequence[int]) -> Sequence[int]:
        start = self._turn if self._turn < len(descendants) else 0
        self._turn = start + LOOKS_A_PASS
        return descendants[start : self._turn]


def children_of(pid: int) -> list[int]:
    """Return the children of all threads of the process (Linux); none when it is gone or not ours to see."""
    folder = f"/proc/{pid}/task"
    try:
        threads = os.stat(folder).st_nlink - 2  # noqa: PTH116 - called for many processes twice a second
        if threads == 1:
            return _listed(pid, pid)
        return [child for thread in os.listdir(folder) for child in _listed(pid, int(thread))]  # noqa: PTH208 - same
    except OSError:
        return []


def _listed(pid: int, thread: int) -> list[int]:
    """Return the children of one thread; none when it is gone."""
    try:
        handle = os.open(f"/proc/{pid}/task/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        content = part = os.read(handle, 65536)
        while len(part) > _ENOUGH:
            part = os.read(handle, 65536)
            content += part
    except OSError:
        return []
    finally:
        os.close(handle)
    return [int(child) for child in content.split()]


def _table(pid: int) -> Iterator[int]:
    """Yield all descendants through psutil: one look at every process of the machine."""
    below: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        below.setdefault(process.info["ppid"] or 0, []).append(process.pid)
    waiting = [pid]
    while waiting:
        children = [child for child in below.pop(waiting.pop(), ()) if child != pid]
        waiting += children
        yield from children
