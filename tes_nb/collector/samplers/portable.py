"""Every platform: one process, read through psutil. Slower than /proc and with fewer memory words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tes_nb.collector.samplers.procfs import ProcfsReader
from tes_nb.collector.samplers.reading import MemoryWords, ProcessReader, Share, Times

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

    def cpu_clock(self, pid: int) -> float | None:  # noqa: ARG002 - the protocol gives it
        """Return `None`: psutil's own CPU times are fine-grained where this reader is used."""
        return None

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
