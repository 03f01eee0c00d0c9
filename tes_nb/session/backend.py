"""Where a session's collector runs: a child process, or a thread of this one. Both have the same face."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal, Protocol

from tes_nb.collector.options import Options
from tes_nb.collector.process import start_process
from tes_nb.errors import SessionError
from tes_nb.net.loop import background

Isolation = Literal["process", "thread"]


class Backend(Protocol):
    """A running collector."""

    @property
    def ports(self) -> tuple[int, int]:
        """(status port, workers port)."""
        ...

    @property
    def taken(self) -> tuple[int, ...]:
        """Wanted ports that somebody else holds."""
        ...

    @property
    def pid(self) -> int:
        """The process it runs in."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        ...

    @property
    def outlives(self) -> bool:
        """Whether it can go on without this process."""
        ...

    def leave(self) -> None:
        """Let go of it: it ends by itself, at once or when the last kept recording ends."""
        ...

    def stop(self) -> None:
        """End it; its ports are free afterwards."""
        ...


class ThreadBackend:
    """The same collector on the background loop, for places that allow no child process.

    A cell that holds the interpreter holds its grid, too.
    """

    outlives = False

    def __init__(self, options: Options) -> None:
        from tes_nb.collector.app import Collector  # noqa: PLC0415 - a child process is the usual case

        self._collector = Collector(options)
        self._owner = os.getpid()
        self.alive = False
        background().run(self._collector.start(), timeout=10)
        self.alive = True
        self.ports = self._collector.ports
        self.taken = self._collector.taken
        self.pid = os.getpid()

    def leave(self) -> None:
        """End it: it lives in this process."""
        self.stop()

    def stop(self) -> None:
        """End it. Does nothing in a forked child."""
        if self.alive and os.getpid() == self._owner:
            self.alive = False
            background().run(self._collector.stop(), timeout=5)


def start_backend(
    options: Options, isolation: Isolation, *, meanwhile: Callable[[], object] = lambda: None
) -> Backend:
    """Start a collector; `meanwhile` runs while a child process starts, else before.

    Raises `CollectorError` with the reason when it cannot start.
    """
    if isolation == "process":
        return start_process(options, meanwhile=meanwhile)
    if isolation == "thread":
        meanwhile()
        return ThreadBackend(options)
    raise SessionError(f"isolation must be 'process' or 'thread', not {isolation!r}.")
