"""Linux: one process, read straight from /proc. A small part of what psutil takes."""

from __future__ import annotations

import os
import re
import time

from tes_nb.collector.samplers.reading import MemoryWords, Share, Times

_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_READ_AT_ONCE = 65536
_MEMORY = re.compile(
    rb"VmRSS:\s+(\d+) kB\s+RssAnon:\s+(\d+) kB\s+"
    rb"RssFile:\s+(\d+) kB\s+RssShmem:\s+(\d+) kB\s+VmData:\s+(\d+) kB"
)
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
    fields = content[closing + 2 :].split(b" ", 22)
    return Times(
        name=content[opening + 1 : closing].decode("utf-8", "replace"),
        born=int(fields[19]),
        zombie=fields[0] in (b"Z", b"X"),
        threads=int(fields[17]),
        user_s=int(fields[11]) * _TICK_S,
        system_s=int(fields[12]) * _TICK_S,
        reaped_s=(int(fields[13]) + int(fields[14])) * _TICK_S,
        rss=int(fields[21]) * _PAGE,
    )


def parse_status(content: bytes) -> MemoryWords | None:
    """Read the memory lines of /proc/<pid>/status; `None` when there are none (zombie, kernel before 4.5)."""
    found = _MEMORY.search(content)
    if found is None:
        return None
    rss, anon, file, shmem, data = (int(group) * 1024 for group in found.groups())
    return MemoryWords(rss=rss, heap_used=anon, heap_total=data, external=file + shmem, array_buffers=shmem)


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

    def cpu_clock(self, pid: int) -> float | None:
        """Return the process's CPU clock, in nanosecond steps where /proc has 10 ms steps."""
        try:
            # clock ids of other processes: the complement of the pid, shifted, and 2 for "scheduler time"
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            return None

    def age_s(self, born: int) -> float:
        """Return the seconds since `born`, on the clock that counts from the machine's start."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - born * _TICK_S)
