"""Real processes for tests: started here, ended here, waited for with a bound."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 15.0

IDLE = "import time; print('ready', flush=True); time.sleep(60)"
BUSY = "print('ready', flush=True)\nwhile True: pass"


def python(code: str) -> list[str]:
    """The command of a small Python that runs `code`."""
    return [sys.executable, "-I", "-S", "-c", code]


@contextmanager
def running(code: str, *, ready: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that runs `code`, which prints a line when it is ready; killed and reaped at the end."""
    process = subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        if ready:
            assert process.stdout is not None
            assert process.stdout.readline(), "the process ended before it was ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until `true()`; fail when that takes too long."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


async def until(true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """The same in an event loop."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


def burn(seconds: float) -> None:
    """Use that much CPU time in this process."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))
