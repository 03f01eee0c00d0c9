"""When a collector ends: at its parent's death, at the end of its standard input, or by a signal.

The end of standard input alone is not enough: a pool forked by the kernel keeps the pipe open after the kernel
was killed. So the parent's pid and create time are looked at every 500 ms as well (decisions/0001).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable

from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.net.child import input_ended

CHECK_S = 0.5


def create_time(pid: int) -> float | None:
    """Return when the process was created; `None` = there is no such live process.

    Only good for telling processes apart: on Linux it counts from the machine's start, so that a jump of the
    wall clock makes no parent look like another process. Raises OSError when it cannot be read just now.
    """
    times = default_reader().times(pid)
    return None if times is None or times.zombie else float(times.born)


def is_same_process(pid: int, created: float | None) -> bool:
    """Whether `pid` is still the process that was created then; what cannot be read is taken to be it."""
    try:
        now = create_time(pid)
    except OSError:
        return True
    return now is not None and created in (None, now)


async def watch_parent(pid: int, created: float | None) -> str:
    """Return a reason as soon as the parent is gone."""
    while is_same_process(pid, created):  # noqa: ASYNC110 - the system notifies only a parent
        await asyncio.sleep(CHECK_S)
    return f"the parent process {pid} has ended"


async def watch_stdin() -> str:
    """Return a reason when standard input ends."""
    await input_ended()
    return "the owner has closed the collector's input"


def watch_signals(*numbers: signal.Signals) -> asyncio.Future[str]:
    """Return a future that has the name of the first of these signals. Takes effect at once, not when it is awaited."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()

    def note_signal(name: str) -> None:
        if not first.done():
            first.set_result(name)

    for number in numbers:
        loop.add_signal_handler(number, note_signal, number.name)
    return first


async def first_of(*watches: Awaitable[str]) -> str:
    """Wait until the first of the watches gives its reason. Futures are left as they are, coroutines are ended."""
    tasks = [asyncio.ensure_future(watch) for watch in watches]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    ours = [task for task in waiting if task not in watches]
    for task in ours:
        task.cancel()
    await asyncio.gather(*ours, return_exceptions=True)
    return next(iter(done)).result()


def own_identity() -> tuple[int, float | None]:
    """Return (pid, create time) of this process, to hand to a child."""
    pid = os.getpid()
    return pid, create_time(pid)
