"""Waiting for what takes an unknown time: until it is there, not for so many seconds."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sized
from typing import Any

STEP_S = 0.01
PROBE_S = 0.1
"""Enough to wait for one's turn several times where there are turns."""


def eventually(
    condition: Callable[[], Any], timeout: float = 20.0, describe: Callable[[], object] | None = None
) -> Any:
    """Wait until `condition()` gives something, and return it; fail after `timeout` seconds.

    `describe` says how things stand then.
    """
    end = time.monotonic() + timeout
    while not _is_something(value := condition()):
        assert time.monotonic() < end, _failure(value, timeout, describe)
        time.sleep(STEP_S)
    return value


async def eventually_async(
    condition: Callable[[], Awaitable[Any] | Any],
    timeout: float = 20.0,
    describe: Callable[[], object] | None = None,
) -> Any:
    """The same in an event loop; the condition may be a coroutine function."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if _is_something(value):
            return value
        assert time.monotonic() < end, _failure(value, timeout, describe)
        await asyncio.sleep(STEP_S)


def busy(seconds: float) -> float:
    """So many seconds of an idle machine, on this one as it is now: as much longer as a bit of work takes here."""
    wall, own = time.perf_counter(), time.thread_time()
    while time.thread_time() - own < PROBE_S:
        sum(range(1000))
    return seconds * max(1.0, (time.perf_counter() - wall) / PROBE_S)


def _is_something(value: Any) -> bool:
    """Whether it is true; an empty frame is nothing."""
    return len(value) > 0 if isinstance(value, Sized) else bool(value)


def _failure(value: object, timeout: float, describe: Callable[[], object] | None) -> str:
    return f"not within {timeout:g} s: {value if describe is None else describe()}"
