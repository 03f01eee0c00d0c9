"""A managed worker: `POST /api/workers/scale` starts and ends these.

Each does a short real computation now and then, so that there is something to see, at a low priority. It ends
with exit code 0 on SIGTERM, when its standard input ends, and when its parent is gone. This file runs by
itself: it imports the standard library only, never tes_nb.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import threading
import time

WORK_S = 0.25
"""How long one computation takes, in CPU seconds."""
PAUSE_S = (2.0, 5.0)
"""The pause between two of them: a random time in this range."""
_PARENT_CHECK_S = 0.5


def main() -> int:
    """Work and pause until told to end. Returns the exit code."""
    over = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # "Interrupt kernel" reaches the whole process group
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=_wait_for_end_of_input, args=(over,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)
    parent = os.getppid()
    while _pause(over, parent):
        compute(WORK_S)
    return 0


def compute(seconds: float) -> int:
    """Hash blocks for that many CPU seconds and return how many hashes were made."""
    end = time.process_time() + seconds
    block = bytes(65536)
    count = 0
    while time.process_time() < end:
        block = hashlib.sha256(block).digest() * 2048
        count += 1
    return count


def _pause(over: threading.Event, parent: int) -> bool:
    """Wait a random time; return False when it is time to end."""
    end = time.monotonic() + random.uniform(*PAUSE_S)  # noqa: S311 - no secret, just unlike times
    while (left := end - time.monotonic()) > 0:
        if over.wait(min(left, _PARENT_CHECK_S)) or os.getppid() != parent:
            return False
    return not over.is_set()


def _wait_for_end_of_input(over: threading.Event) -> None:
    """Set `over` when whoever holds the other end of the pipe is gone, however it went."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    over.set()


if __name__ == "__main__":
    sys.exit(main())
