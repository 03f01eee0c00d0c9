"""When a collector ends: at its parent's death, at the end of its standard input, or when it is told to.

The end of standard input alone is not enough: a pool forked by the kernel keeps the pipe open after the kernel
was killed. So the parent's pid and create time are looked at every 500 ms as well.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import psutil

CHECK_S = 0.5


def create_time(pid: int) -> float | None:
    """Return the process's create time (Unix seconds); `None` = there is no such live process."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_same_process(pid: int, created: float | None) -> bool:
    """Whether `pid` is still the process that was created then."""
    now = create_time(pid)
    return now is not None and (created is None or abs(now - created) < 1.0)


async def watch_parent(pid: int, created: float | None) -> str:
    """Return a reason as soon as the parent is gone."""
    while is_same_process(pid, created):
        await asyncio.sleep(CHECK_S)
    return f"the parent process {pid} has ended"


async def watch_stdin() -> str:
    """Return a reason when standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    return "the owner has closed the collector's input"


async def watch_signals() -> str:
    """Return a reason at SIGTERM."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, lambda: told.done() or told.set_result("SIGTERM"))
    return await told


def ignore_interrupts() -> None:
    """Jupyter's "Interrupt kernel" signals the kernel's children, too; a collector must survive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


async def first_of(*watches: Coroutine[Any, Any, str]) -> str:
    """Wait until the first of the watches gives its reason."""
    tasks = [asyncio.create_task(watch) for watch in watches]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return next(iter(done)).result()


def own_identity() -> tuple[int, float | None]:
    """Return (pid, create time) of this process, to hand to a child."""
    pid = os.getpid()
    return pid, create_time(pid)
