"""How processes end, at once and with the code: also of those that are not our children, and are reaped by theirs.

A pidfd becomes readable when its process ends. Linux 6.15 and later tells the code through it to whoever opened it
before, also after the parent has waited for the process; before, there is a zombie to look at, if the parent is slower
than we are. Nobody's child is reaped here (decisions/0037).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable

MOST_SHARE = 4
"""A fourth of the descriptors that this process may have is for this."""
_SIZE = 64
_INFO_EXIT = 1 << 3
_GET_INFO = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_CODE_AT = 60


def exit_code_of(handle: int) -> int | None:
    """Return the exit code of a pidfd's process, below 0 = killed by that signal; `None` = the system does not tell."""
    import fcntl  # noqa: PLC0415 - Windows has none

    info = bytearray(_SIZE)
    struct.pack_into("<Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(handle, _GET_INFO, info)
    except OSError:
        return None
    (said,) = struct.unpack_from("<Q", info)
    return (
        os.waitstatus_to_exitcode(struct.unpack_from("<i", info, _CODE_AT)[0]) if said & _INFO_EXIT else None
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
