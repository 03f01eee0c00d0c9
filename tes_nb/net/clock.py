"""The one monotonic clock of this room: it goes on while the machine sleeps, so that waking up shows."""

from __future__ import annotations

import time

# Linux stops CLOCK_MONOTONIC during suspend and has CLOCK_BOOTTIME, which goes on; macOS does not stop it.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))


def now() -> float:
    """Return seconds since some fixed instant; never goes back, whatever happens to the wall clock."""
    return time.clock_gettime(_CLOCK) if _CLOCK else time.monotonic()
