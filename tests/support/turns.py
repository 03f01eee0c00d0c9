"""Tests that run side by side let those through that must be alone.

Each worker of pytest-xdist is a process, so the turns are file locks, which the system gives back when a worker dies.
They are those of POSIX (`lockf`), since a child that a test has forked would go on holding one of `flock`.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """A lock that many hold together or one holds alone. Who waits to be alone is not overtaken."""

    def __init__(self, run: str) -> None:
        """run: the same text in all workers of one run, and in no other run."""
        folder = Path(tempfile.gettempdir())
        self._gate = folder / f"tes-nb-tests-{os.getuid()}-{run}.gate"
        self._room = folder / f"tes-nb-tests-{os.getuid()}-{run}.room"

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until this test may run, and hold its place while it does."""
        with self._room.open("a+") as room:
            with self._gate.open("a") as gate:  # closing a file gives its lock back
                fcntl.lockf(gate, fcntl.LOCK_EX)
                fcntl.lockf(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
