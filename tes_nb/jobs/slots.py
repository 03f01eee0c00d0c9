"""Who runs which job, in memory that a collector reads at any time: also of the killed, and while a kernel is held.

A pool has a folder. `pool` in it has the pool's counts, written by the process that submits; each process that runs
jobs has a file of its own, called by its pid, with a slot for each of its threads. Nobody waits for anybody: a writer
makes the slot's number odd, writes, and makes it even again; a reader reads until it has the same even number twice,
and takes what is there when the writer was killed in between.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time

from tes_nb.jobs import holds
from tes_nb.jobs.dumps import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

POOL = "pool"
"""The file of the pool's counts."""
FOLDER = "jobs-"
"""How the name of such a folder begins; the pid of who made it follows."""
SLOTS = 64
"""So many threads of one process have a slot; what the others run is counted, and not named."""
NAME_BYTES = 200
_SIZE = 256
_NUMBER = struct.Struct("<Q")
pack_number = _NUMBER.pack_into
_SLOT = struct.Struct(f"<QQqQQH{NAME_BYTES}s")
_COUNTS = struct.Struct(f"<QQQQBH{NAME_BYTES}s")
_PATIENCE = 20
RUNNING, CLOSED, BROKEN = 0, 1, 2
"""A pool's state."""


class JobSlot:
    """What one thread does."""

    def __init__(  # noqa: PLR0917 - in the order of the layout
        self, thread: int, job: int, started_ns: int, done: int, failed: int, name: str
    ) -> None:
        self.thread = thread
        """The system's number of the thread."""
        self.job = job
        """0 = it runs none."""
        self.started_ns = started_ns
        """When the job began, or the last one ended; Unix time."""
        self.done = done
        self.failed = failed
        self.name = name
        """The job's function."""


class JobCounts:
    """What was submitted to a pool, and what became of it."""

    def __init__(  # noqa: PLR0917 - in the order of the layout
        self,
        submitted: int = 0,
        done: int = 0,
        failed: int = 0,
        cancelled: int = 0,
        state: int = RUNNING,
        last_error: str = "",
    ) -> None:
        self.submitted = submitted
        self.done = done
        self.failed = failed
        self.cancelled = cancelled
        self.state = state
        self.last_error = last_error


class SharedCell:
    """A piece of shared memory with one writer."""

    def __init__(self, memory: mmap.mmap, offset: int, layout: struct.Struct) -> None:
        self._memory = memory
        self._offset = offset
        self._pack = layout.pack_into
        self._number = 0

    def write(self, text: str, *numbers: int) -> None:
        """Write all of it; called for each job, twice."""
        content = text.encode("utf-8", "replace")[:NAME_BYTES]
        memory, offset = self._memory, self._offset
        number = self._number = self._number + 2
        pack_number(memory, offset, number - 1)
        self._pack(memory, offset + 8, *numbers, len(content), content)
        pack_number(memory, offset, number)


def _read(memory: mmap.mmap | bytes, offset: int, layout: struct.Struct) -> tuple[int | str, ...] | None:
    """Return what a cell says; `None` = nothing was ever written."""
    content: bytes = b""
    for _ in range(_PATIENCE):
        content = bytes(memory[offset : offset + _SIZE])
        (number,) = _NUMBER.unpack_from(content)
        if number == 0:
            return None
        if not number & 1 and memory[offset : offset + 8] == content[:8]:
            break
    *numbers, length, text = layout.unpack_from(content, 8)
    return (*numbers, text[:length].decode("utf-8", "replace"))


def open_memory(path: str, size: int) -> mmap.mmap:
    """Make a file of that size, for this user alone, and map it. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        os.ftruncate(handle, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)


class PoolCounts:
    """The counts of a pool, in the process that submits. Any thread may count."""

    def __init__(self, folder: str) -> None:
        """Raises OSError when the folder cannot be written."""
        self._cell = SharedCell(open_memory(os.path.join(folder, POOL), _SIZE), 0, _COUNTS)  # noqa: PTH118
        self._lock = threading.RLock()  # the end of a pool is noticed by the garbage collector, anywhere
        self._pid = os.getpid()
        self.now = JobCounts()
        self._write()

    def add(
        self,
        *,
        submitted: int = 0,
        done: int = 0,
        failed: int = 0,
        cancelled: int = 0,
        state: int = RUNNING,
        last_error: str = "",
    ) -> None:
        """Count; "" leaves the last error as it was. In a forked copy of the process nothing happens."""
        if os.getpid() != self._pid:
            return
        now = self.now
        with self._lock:
            now.submitted += submitted
            now.done += done
            now.failed += failed
            now.cancelled += cancelled
            now.state = max(state, now.state)
            now.last_error = last_error or now.last_error
            self._write()

    def submitted(self) -> None:
        """Count a job that is about to be submitted."""
        if os.getpid() == self._pid:
            with self._lock:
                self.now.submitted += 1
                self._write()

    def done(self) -> None:
        """Count a job that gave a result."""
        if os.getpid() == self._pid:
            with self._lock:
                self.now.done += 1
                self._write()

    def _write(self) -> None:
        now = self.now
        self._cell.write(now.last_error, now.submitted, now.done, now.failed, now.cancelled, now.state)


class OwnSlot:
    """The slot of one thread, for that thread to write."""

    def __init__(self, cell: SharedCell) -> None:
        self._cell = cell
        self._thread = threading.get_native_id()
        self._done = self._failed = 0

    def begin(self, job: int, name: str) -> None:
        """Say that a job begins."""
        self._cell.write(name, self._thread, job, time.time_ns(), self._done, self._failed)

    def end(self, *, failed: bool) -> None:
        """Say that it has ended."""
        self._done += not failed
        self._failed += failed
        self._cell.write("", self._thread, 0, time.time_ns(), self._done, self._failed)


class _Here(threading.local):
    """Each thread's slots: folder → slot; `None` = it has none."""

    def __init__(self) -> None:
        self.slots: dict[str, OwnSlot | None] = {}
        self.pid = os.getpid()


_here = _Here()
_lock = threading.Lock()
_files: dict[str, tuple[mmap.mmap, int]] = {}
"""Folder → this process's file, and how many of its slots are taken."""


def own_slot(folder: str) -> OwnSlot | None:
    """Return this thread's slot in a pool's folder; `None` = it cannot have one. Never raises."""
    slots = _here.slots
    if folder not in slots:
        slots[folder] = _new_slot(folder)
    return slots[folder]


def _new_slot(folder: str) -> OwnSlot | None:
    try:
        with _lock:
            memory, taken = _files.get(folder) or (
                open_memory(os.path.join(folder, str(os.getpid())), SLOTS * _SIZE),  # noqa: PTH118
                0,
            )
            if taken >= SLOTS:
                return None
            _files[folder] = memory, taken + 1
    except (OSError, ValueError):  # the session has ended, or there is no space left: jobs run on
        return None
    prepare(folder)
    holds.start(folder)
    return OwnSlot(SharedCell(memory, taken * _SIZE, _SLOT))


def _after_fork() -> None:
    """A fork writes to a file of its own."""
    global _here, _lock  # the thread that held the lock is not here
    _here, _lock = _Here(), threading.Lock()
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def read_counts(path: str) -> JobCounts | None:
    """Return what a pool has counted; `None` = there is no such file, or nothing in it."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - called often
            words = _read(file.read(_SIZE).ljust(_SIZE, b"\0"), 0, _COUNTS)
    except OSError:
        return None
    return None if words is None else JobCounts(*words)  # type: ignore[arg-type]


def read_slots(path: str) -> Iterator[JobSlot]:
    """Yield what the threads of a process do. Nothing where there is no such file."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:  # noqa: PTH123
            for offset in range(0, len(memory) - _SIZE + 1, _SIZE):
                words = _read(memory, offset, _SLOT)
                if words is None:
                    return
                yield JobSlot(*words)  # type: ignore[arg-type]
    except (OSError, ValueError):
        return
