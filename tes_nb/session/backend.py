"""Where a session's collector runs: a child process, or a thread of this one. Both have the same face."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal, Protocol, TypeVar

from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.process import start_process
from tes_nb.errors import SessionError
from tes_nb.model.operation import Operation, R
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background

T = TypeVar("T")


def uninterrupted(
    act: Callable[[], T], *, undo: Callable[[T], object] | None = None, turn: threading.Lock | None = None
) -> T:
    """Run `act` on a thread of its own and return what it gives; what it raises is raised here.

    Python delivers interrupts to the main thread alone, so `act` comes to its end in any case. The caller still
    gets the KeyboardInterrupt at once; `undo` is then called with the result, as soon as there is one.
    turn: a lock that is held by `act` and by `undo`: whoever takes it next finds both done.
    """
    done: Future[T] = Future()
    caller = threading.get_ident()

    def run() -> None:
        with turn or contextlib.nullcontext():
            try:
                result = act()
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                done.set_exception(error)
            else:
                done.set_result(result)  # `discard` runs in here when nobody waits any more

    def discard(late: Future[T]) -> None:
        if late.exception() is not None or undo is None:
            return
        if threading.get_ident() == caller:  # it was done already when the interrupt came
            uninterrupted(lambda: undo(late.result()), turn=turn)
        else:
            with contextlib.suppress(Exception):
                undo(late.result())

    try:
        threading.Thread(target=run, name="tes_nb begin or end", daemon=True).start()
        return done.result()
    except BaseException:
        done.add_done_callback(discard)
        raise


Isolation = Literal["process", "thread"]


class Backend(Protocol):
    """A running collector."""

    @property
    def ports(self) -> tuple[int, int]:
        """(status port, workers port)."""
        ...

    @property
    def busy_ports(self) -> tuple[int, ...]:
        """Wanted ports that somebody else holds."""
        ...

    @property
    def start_id(self) -> str:
        """By which it is known again, where another collector may answer."""
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

    def __init__(self, options: CollectorOptions) -> None:
        from tes_nb.collector.app import Collector  # noqa: PLC0415 - a child process is the usual case

        self._collector = Collector(options)
        self._owner = os.getpid()
        self.alive = False
        background().run(self._collector.start(), timeout=10)
        self.alive = True
        self.ports = self._collector.ports
        self.busy_ports = self._collector.busy_ports
        self.start_id = self._collector.start_id
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
    options: CollectorOptions, isolation: Isolation, *, meanwhile: Callable[[], object] = lambda: None
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


CHILD_CALL_S = 0.95
"""Whoever calls from a child has an answer, or an error, within a second."""


class ChildConnection:
    """How a forked child reaches the collector of its parent: over a control connection that it opens when it must."""

    def __init__(self, url: str, token: str, start_id: str) -> None:
        def new_client() -> ControlClient:
            return ControlClient(url, token, start_id=start_id)

        self._new_client = new_client  # keeps the token out of this object's own fields
        self._client: tuple[int, ControlClient] | None = None
        """The process that opened it, and the connection: a child's own child needs another."""

    def call(self, operation: Operation[R]) -> R:
        """Let the collector carry out an operation. Raises `CollectorError` when it did not within a second."""
        return background().run(self._call(operation))

    async def _call(self, operation: Operation[R]) -> R:
        if self._client is None or self._client[0] != os.getpid():
            self._client = (os.getpid(), self._new_client())
            await self._client[1].start()
        return await self._client[1].call(operation, timeout_s=CHILD_CALL_S)


class Secret(str):
    """A text whose `repr` hides it: a cell that ends in it saves nothing. `print()` shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Without the secret."""
        return "<hidden; print() shows it, and leaves it in the cell's output until that is cleared>"
