"""Every platform: one process, read through psutil. Slower than /proc and with fewer memory words."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import psutil

# Every read distinguishes three cases: a value; `None`, the process is gone; `OSError`, it could not be read just
# now (no file descriptors left, no permission), which says nothing about the process.


class Times(NamedTuple):
    """A process's identity and its CPU time, from one cheap read."""

    name: str
    """The program's name as the system knows it (Linux: at most 15 characters); never arguments."""
    born: int
    """Together with the pid this identifies one process: a pid that is used again has another `born`."""
    zombie: bool
    """Ended, but its parent has not asked for the exit code yet."""
    threads: int
    user_s: float
    system_s: float
    reaped_s: float
    """CPU seconds of its ended children that it has waited for, theirs included; 0 where unknown."""
    rss: int
    """Bytes."""
    faults: int = 0
    """Pages that it had to be given so far; 0 where unknown."""
    stack: int = 0
    """Where its stack begins: a forked child has its parent's, a program that was started another. 0 = unknown."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process itself since it began."""
        return self.user_s + self.system_s


class MemoryWords(NamedTuple):
    """Memory in bytes, by its names on the wire; `None` = the platform does not say."""

    rss: int
    heap_used: int
    heap_total: int | None
    external: int | None
    array_buffers: int | None
    peak: int | None = None
    """The greatest `rss` since the program began, or since the process reset it (Linux: VmHWM)."""


class Share(NamedTuple):
    """Memory with shared pages counted fairly, in bytes. Reading it costs a walk over all pages."""

    pss: int
    """Each shared page divided by the number of its users; where the platform has no such figure, the USS."""
    uss: int
    """Pages that nobody else uses: what the end of this process would give back."""


class Usage(NamedTuple):
    """What a process uses beside memory and CPU; `None` = the platform does not say, or refuses."""

    disk_read: int | None = None
    """Bytes that were read from disks for it so far."""
    disk_write: int | None = None
    descriptors: int | None = None
    """Open file descriptors."""


class ProcessReader(Protocol):
    """Reads processes by pid. All reads but `share` are cheap enough for an event loop."""

    def times(self, pid: int) -> Times | None:
        """Return identity and CPU time; `None` = there is no such process. Raises OSError when unreadable."""

    def memory(self, pid: int) -> MemoryWords | None:
        """Return the memory; `None` = no such process, or one without memory (a zombie)."""

    def share(self, pid: int) -> Share | None:
        """Return PSS and USS; `None` = gone. May take long for a big process: call it in a thread."""

    def usage(self, pid: int) -> Usage:
        """Return disk bytes and descriptors. Never raises: what cannot be read is `None`."""

    def exit_code(self, pid: int) -> int | None:
        """Return a zombie's exit code, below 0 = the signal that ended it; `None` = only its parent can know."""

    def cpu_clock(self, pid: int) -> float | None:
        """Return CPU seconds in fine resolution; `None` = use `times`, there is no such clock."""

    def arguments(self, pid: int) -> list[str]:
        """Return the command line; [] = gone, or not ours to see. Never shown to anybody: it may hold secrets."""

    def age_s(self, born: int) -> float:
        """Return the seconds since a process with that `born` began; no wall clock jump matters."""


_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_READ_AT_ONCE = 65536
_MEMORY = re.compile(
    rb"(?:VmHWM:\s+(\d+) kB\s+)?VmRSS:\s+(\d+) kB\s+RssAnon:\s+(\d+) kB\s+"
    rb"RssFile:\s+(\d+) kB\s+RssShmem:\s+(\d+) kB\s+VmData:\s+(\d+) kB"
)
_DISK = re.compile(rb"\nread_bytes: (\d+)\nwrite_bytes: (\d+)")
_PSS = re.compile(rb"\nPss:\s+(\d+) kB")
_PRIVATE = re.compile(rb"\nPrivate_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB")


def read_small(path: str) -> bytes | None:
    """Return what a /proc file says at once; `None` = the process is gone. Raises OSError when unreadable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        return os.read(handle, _READ_AT_ONCE)
    except ProcessLookupError:  # it ended between open and read
        return None
    finally:
        os.close(handle)


def parse_stat(content: bytes) -> Times:
    """Read the text of /proc/<pid>/stat. The name may hold brackets: its end is the last one."""
    opening, closing = content.index(b"("), content.rindex(b")")
    fields = content[closing + 2 :].split(b" ", 26)
    return Times(
        name=content[opening + 1 : closing].decode("utf-8", "replace"),
        born=int(fields[19]),
        zombie=fields[0] in (b"Z", b"X"),
        threads=int(fields[17]),
        user_s=int(fields[11]) * _TICK_S,
        system_s=int(fields[12]) * _TICK_S,
        reaped_s=(int(fields[13]) + int(fields[14])) * _TICK_S,
        rss=int(fields[21]) * _PAGE,
        faults=int(fields[7]),
        stack=int(fields[25]),
    )


def parse_status(content: bytes) -> MemoryWords | None:
    """Read the memory lines of /proc/<pid>/status; `None` when there are none (zombie, kernel before 4.5)."""
    match = _MEMORY.search(content)
    if match is None:
        return None
    peak = None if match[1] is None else int(match[1]) * 1024
    rss, anon, file, shmem, data = (int(group) * 1024 for group in match.groups()[1:])
    return MemoryWords(rss, anon, data, file + shmem, shmem, peak)


def parse_rollup(content: bytes) -> Share | None:
    """Read the text of /proc/<pid>/smaps_rollup; `None` when it has no PSS line."""
    pss = _PSS.search(content)
    if pss is None:
        return None
    private = sum(int(amount) for amount in _PRIVATE.findall(content))
    return Share(pss=int(pss.group(1)) * 1024, uss=private * 1024)


class ProcfsReader:
    """The `ProcessReader` of Linux. `born` counts clock ticks since the machine's start."""

    def times(self, pid: int) -> Times | None:
        """Return what /proc/<pid>/stat says; `None` = no such process."""
        content = read_small(f"/proc/{pid}/stat")
        return parse_stat(content) if content else None

    def memory(self, pid: int) -> MemoryWords | None:
        """Return what /proc/<pid>/status says about memory; `None` = gone, or it has none."""
        content = read_small(f"/proc/{pid}/status")
        return parse_status(content) if content else None

    def share(self, pid: int) -> Share | None:
        """Return PSS and USS from smaps_rollup. Raises PermissionError for another user's process."""
        content = read_small(f"/proc/{pid}/smaps_rollup")
        return parse_rollup(content) if content else None

    def usage(self, pid: int) -> Usage:
        """Return what /proc/<pid>/io and /proc/<pid>/fd say; a process of another user shows nothing."""
        disk = descriptors = None
        with contextlib.suppress(OSError):
            disk = _DISK.search(read_small(f"/proc/{pid}/io") or b"")
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            # Linux from 6.2 on says the number as the folder's size; before, that is 0
            descriptors = os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - called often
        if disk is None:
            return Usage(descriptors=descriptors)
        return Usage(int(disk[1]), int(disk[2]), descriptors)

    def exit_code(self, pid: int) -> int | None:
        """Return what /proc/<pid>/stat says last, which is 0 also for those who may not know."""
        try:
            content = read_small(f"/proc/{pid}/stat") or b""
        except OSError:
            return None
        status = int(content[content.rindex(b")") + 2 :].split()[-1]) if content else 0
        return None if status == 0 else os.waitstatus_to_exitcode(status)

    def cpu_clock(self, pid: int) -> float | None:
        """Return the process's CPU clock, in nanosecond steps where /proc has 10 ms steps."""
        try:
            # clock ids of other processes: the complement of the pid, shifted, and 2 for "scheduler time"
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            return None

    def arguments(self, pid: int) -> list[str]:
        """Return what /proc/<pid>/cmdline says."""
        try:
            content = read_small(f"/proc/{pid}/cmdline") or b""
        except OSError:
            return []
        return content.decode("utf-8", "replace").split("\0")[:-1]

    def age_s(self, born: int) -> float:
        """Return the seconds since `born`, on the clock that counts from the machine's start."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - born * _TICK_S)


_BORN_PER_S = 100


class PsutilReader:
    """The `ProcessReader` of all platforms but Linux. `born` counts hundredths of Unix seconds."""

    def times(self, pid: int) -> Times | None:
        """Return identity and CPU time; `None` = no such process. Raises PermissionError when refused."""
        try:
            process = psutil.Process(pid)
            with _refusals_are_os_errors(), process.oneshot():
                return _times(process)
        except psutil.NoSuchProcess:
            return None

    def memory(self, pid: int) -> MemoryWords | None:
        """Return the resident memory; the other words do not exist here."""
        try:
            with _refusals_are_os_errors():
                rss = psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            return None
        if rss == 0:  # a zombie
            return None
        return MemoryWords(rss=rss, heap_used=rss, heap_total=None, external=None, array_buffers=None)

    def share(self, pid: int) -> Share | None:
        """Return USS, and PSS where psutil knows it (else the USS again)."""
        try:
            with _refusals_are_os_errors():
                full = psutil.Process(pid).memory_full_info()
        except psutil.NoSuchProcess:
            return None
        return Share(pss=int(getattr(full, "pss", 0) or full.uss), uss=int(full.uss))

    def usage(self, pid: int) -> Usage:
        """Return what psutil has of it on this platform."""
        disk: Any = None
        descriptors: int | None = None
        with contextlib.suppress(psutil.Error, AttributeError, OSError):
            disk = psutil.Process(pid).io_counters()
        with contextlib.suppress(psutil.Error, AttributeError, OSError):
            descriptors = psutil.Process(pid).num_fds()
        if disk is None:
            return Usage(descriptors=descriptors)
        return Usage(disk.read_bytes, disk.write_bytes, descriptors)

    def exit_code(self, pid: int) -> int | None:  # noqa: ARG002 - the protocol gives it
        """Return `None`: only a parent knows."""
        return None

    def cpu_clock(self, pid: int) -> float | None:  # noqa: ARG002 - the protocol gives it
        """Return `None`: psutil's own CPU times are fine-grained where this reader is used."""
        return None

    def arguments(self, pid: int) -> list[str]:
        """Return the command line."""
        try:
            return psutil.Process(pid).cmdline()
        except psutil.Error:
            return []

    def age_s(self, born: int) -> float:
        """Return the seconds since `born`."""
        return max(0.0, time.time() - born / _BORN_PER_S)


def default_reader() -> ProcessReader:
    """Return the reader of this platform: /proc where it can be read, else psutil."""
    try:
        usable = ProcfsReader().memory(os.getpid()) is not None
    except OSError:
        usable = False
    return ProcfsReader() if usable else PsutilReader()


def _times(process: psutil.Process) -> Times:
    cpu = process.cpu_times()
    zombie = process.status() == psutil.STATUS_ZOMBIE
    return Times(
        name=process.name(),
        born=round(process.create_time() * _BORN_PER_S),
        zombie=zombie,
        threads=0 if zombie else process.num_threads(),
        user_s=cpu.user,
        system_s=cpu.system,
        reaped_s=getattr(cpu, "children_user", 0.0) + getattr(cpu, "children_system", 0.0),
        rss=0 if zombie else process.memory_info().rss,
    )


@contextmanager
def _refusals_are_os_errors() -> Iterator[None]:
    try:
        yield
    except psutil.AccessDenied as error:
        raise PermissionError(f"Process {error.pid} belongs to someone else and cannot be read.") from error
