"""Where a session's collector runs, a child process or a thread of this one, and the ways to it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec

from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.process import start_process
from tes_nb.errors import SessionError, TesError
from tes_nb.model.control import operations
from tes_nb.model.operation import Call, Operation, R, Request, decode_operation
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background

if TYPE_CHECKING:
    from tes_nb.views.controls import Steering


T = TypeVar("T")


def uninterrupted(
    act: Callable[[], T], *, undo: Callable[[T], object] | None = None, turn: threading.Lock | None = None
) -> T:
    """Run `act` on a thread of its own and return what it gives; what it raises is raised here.

    Python delivers interrupts to the main thread alone, so `act` comes to its end in any case. The caller still
    gets the KeyboardInterrupt at once; `undo` is then called with the result, as soon as there is one.
    turn: a lock that is held by `act` and by `undo`: the next holder finds both done.
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
                done.set_result(result)  # `discard` runs in here when the caller does not wait any more

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
        """Wanted ports that another program holds."""
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


def _operation(op: str, args: dict[str, Any]) -> Operation[Any]:
    """Return the operation of that name, as the browser asks for it.

    Raises ValueError with a sentence for a name or arguments that there are not.
    """
    return decode_operation(Request(op=op, args=msgspec.Raw(msgspec.json.encode(args))), operations())


def steering(
    call: Call, control: ControlClient, port: int, reveal: Callable[[], str], *, replay: bool
) -> Steering:
    """Return how the controls of a session's views reach the collector at `port`: through the kernel.

    A browser on the collector's machine needs neither of the two ways: it has the port and the token, and is answered
    while a cell holds the kernel. What buttons show is asked by the kernel for all (docs/decisions/0034).
    call: carries out an operation and waits. control: the same on the background thread. reveal: gives the token.
    replay: whether the collector replays a recording.
    """
    from tes_nb.views.controls import Steering  # noqa: PLC0415 - only when there is a view with controls

    def call_plainly(op: str, **args: Any) -> Any:
        """Carry out what a button wants, and wait for it. Raises `TesError` with the collector's refusal."""
        return msgspec.to_builtins(call(_operation(op, args)))

    async def answer(op: str) -> Any:
        """`None` where the collector does not answer: the view says so."""
        with contextlib.suppress(TesError):
            return msgspec.to_builtins(await control.call(_operation(op, {})))
        return None

    def ask(op: str) -> Future[Any]:
        """Begin to ask. Called by the thread that paints all views, which must not wait."""
        try:
            return background().spawn(answer(op), name=f"the answer to '{op}'")
        except SessionError:  # the interpreter ends: no view needs an answer
            return Future()

    return Steering(port, reveal, call=call_plainly, ask=ask, replay=replay)
