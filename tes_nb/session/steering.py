"""How the controls of a session's views reach its collector: through the kernel, or asked and not waited for.

A browser on the collector's machine needs neither: it has the port and the token, and is answered while a cell holds
the kernel. All others go through the kernel. What buttons show is asked by the kernel for both (docs/decisions/0034).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from tes_nb.errors import SessionError, TesError
from tes_nb.model.control import operations
from tes_nb.model.operation import Call, Operation, Request, decode_operation
from tes_nb.net.loop import background
from tes_nb.views.controls import Steering

if TYPE_CHECKING:
    from tes_nb.net.control_client import ControlClient


def operation(op: str, args: dict[str, Any]) -> Operation[Any]:
    """Return the operation of that name, as the browser asks for it.

    Raises ValueError with a sentence for a name or arguments that there are not.
    """
    return decode_operation(Request(op=op, args=msgspec.Raw(msgspec.json.encode(args))), operations())


def steering(
    call: Call, control: ControlClient, port: int, reveal: Callable[[], str], *, replay: bool
) -> Steering:
    """Return the ways to the collector at `port`.

    call: carries out an operation and waits. control: the same on the background thread. reveal: gives the token.
    replay: whether the collector replays a recording.
    """

    def call_plainly(op: str, **args: Any) -> Any:
        """Carry out what a button wants, and wait for it. Raises `TesError` with the collector's refusal."""
        return msgspec.to_builtins(call(operation(op, args)))

    async def answer(op: str) -> Any:
        """`None` where the collector does not answer: the view says so."""
        with contextlib.suppress(TesError):
            return msgspec.to_builtins(await control.call(operation(op, {})))
        return None

    def ask(op: str) -> Future[Any]:
        """Begin to ask. Called by the thread that paints all views, which waits for nobody."""
        try:
            return background().spawn(answer(op), name=f"the answer to '{op}'")
        except SessionError:  # the interpreter ends: nobody waits for an answer
            return Future()

    return Steering(port, reveal, call=call_plainly, ask=ask, replay=replay)
