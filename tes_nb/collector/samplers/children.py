"""The descendants of a process, and how they end.

They are found in the lists of children that the system keeps for each thread, where it keeps any. A pidfd becomes
readable when its process ends. From Linux 6.15 on it gives the exit code to whoever opened it before, also after the
parent has waited for the process; before, a zombie shows it, if the parent is slower than we are. No process is
reaped here (decisions/0037).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import psutil

SLICE_S = 0.0005


class LoopPace:
    """`await turn()` between two steps: it lets the loop do other things whenever a slice is used up."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_S

    async def turn(self) -> None:
        """Go on at once, or after everything else that is ready."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + SLICE_S


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


MOST_SHARE = 4
"""A fourth of the descriptors that this process may have is for this."""
_SIZE = 64
_INFO_EXIT = 1 << 3
_GET_INFO = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_CODE_AT = 60


def exit_code_of(handle: int) -> int | None:
    """Return the exit code of a pidfd's process, below 0 = killed by that signal; `None` = the system does not say."""
    import fcntl  # noqa: PLC0415 - Windows has none

    info = bytearray(_SIZE)
    struct.pack_into("<Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(handle, _GET_INFO, info)
    except OSError:
        return None
    (flags,) = struct.unpack_from("<Q", info)
    return (
        os.waitstatus_to_exitcode(struct.unpack_from("<i", info, _CODE_AT)[0]) if flags & _INFO_EXIT else None
    )


class EndWatch:
    """Calls when processes end. Everything belongs on one running loop; without one it does nothing."""

    def __init__(self, on_end: Callable[[int, int | None], None]) -> None:
        """on_end: called with pid and exit code; `None` = the system does not tell it here."""
        self._on_end = on_end
        self._handles: dict[int, int] = {}
        """pid → pidfd."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._most = 0

    def follow(self, pid: int) -> None:
        """Call when this process ends, as far as the system can do that."""
        if not hasattr(os, "pidfd_open"):
            return
        if self._loop is None:
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            import resource  # noqa: PLC0415 - Windows has none

            self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // MOST_SHARE
        self.forget(pid)  # another process had that pid
        if len(self._handles) >= self._most:
            return
        with contextlib.suppress(OSError):  # it has ended already
            handle = self._handles[pid] = os.pidfd_open(pid)
            self._loop.add_reader(handle, self._ended, pid)

    def code(self, pid: int) -> int | None:
        """Return the exit code of one that is followed; `None` = it lives, or the system does not tell."""
        handle = self._handles.get(pid)
        return None if handle is None else exit_code_of(handle)

    def forget(self, pid: int) -> None:
        """Follow it no more."""
        handle = self._handles.pop(pid, None)
        if handle is not None:
            assert self._loop is not None
            self._loop.remove_reader(handle)
            os.close(handle)

    def close(self) -> None:
        """Follow nobody any more."""
        for pid in tuple(self._handles):
            self.forget(pid)

    def _ended(self, pid: int) -> None:
        code = self.code(pid)
        self.forget(pid)
        self._on_end(pid, code)
