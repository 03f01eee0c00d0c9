"""`/ws/control`: the owner's socket. The first message carries the token, then each request gets one answer.

The operations are described in `tes_nb/model/control.py`; docs/control.md lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from tes_nb.collector.http.guard import Guard, Handler
from tes_nb.collector.http.sockets import Sockets, authenticated, messages
from tes_nb.collector.logs import logger
from tes_nb.errors import TesError
from tes_nb.model.operation import Operation, Reply, decode_operation, decode_request

AnyOperation = TypeVar("AnyOperation", bound=Operation[Any])


class Control:
    """The operations that views and kernels may ask for."""

    def __init__(self) -> None:
        self._operations: dict[str, type[Operation[Any]]] = {}
        self._handlers: dict[str, Callable[[Any], Awaitable[object]]] = {}

    def register(
        self, operation: type[AnyOperation], handler: Callable[[AnyOperation], Awaitable[object]]
    ) -> None:
        """Let `handler` carry out an operation, in place of any handler before it.

        The handler returns the operation's result. A `TesError` or `ValueError` becomes the sentence of the reply.
        """
        self._operations[operation.op()] = operation
        self._handlers[operation.op()] = handler

    async def answer(self, text: str | bytes) -> bytes:
        """Carry out one request and return the reply as JSON. Never raises."""
        reply = Reply()
        try:
            request = decode_request(text)
            reply.id = request.id
            operation = decode_operation(request, self._operations)
            result = await self._handlers[operation.op()](operation)
            reply.ok, reply.result = True, msgspec.Raw(msgspec.json.encode(result))
        except (TesError, ValueError) as error:
            reply.error = str(error)
        except Exception:
            logger.exception("A control request failed")
            reply.error = "The collector failed on this request; its log says more."
        return msgspec.json.encode(reply)


def control_socket(control: Control, guard: Guard, sockets: Sockets) -> Handler:
    """Return the handler of the control socket."""

    async def handler(request: web.Request) -> web.StreamResponse:
        held = (
            "Origin" not in request.headers
        )  # a cell may hold a kernel, which answers pings late; no page is held
        socket = await sockets.admit(request, heartbeat=not held, pending=True)
        if isinstance(socket, web.Response):
            return socket
        try:
            with contextlib.suppress(ConnectionError):
                if await authenticated(socket, guard):
                    sockets.promote(socket)
                    await _serve(socket, control)
        finally:
            sockets.release(socket)
        return socket

    return handler


async def _serve(socket: web.WebSocketResponse, control: Control) -> None:
    """Answer requests; a slow one does not hold up the next."""

    async def one(text: str | bytes) -> None:
        answer = await control.answer(text)
        with contextlib.suppress(ConnectionError):  # it left before its answer was ready
            await socket.send_str(answer.decode())

    async with asyncio.TaskGroup() as tasks:
        async for message in messages(socket, trusted=True):
            tasks.create_task(one(message.data))
