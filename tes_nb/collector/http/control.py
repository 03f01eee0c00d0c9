"""`/ws/control`: the owner's socket. The first message carries the token, then each request gets one answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.http.guard import Guard, Handler
from tes_nb.collector.http.sockets import Sockets, authenticated, messages
from tes_nb.collector.logs import logger
from tes_nb.errors import TesError

Operation = Callable[[dict[str, Any]], Awaitable[Any]]
"""args → result. A `TesError` or `ValueError` becomes the sentence of the answer."""


class Control:
    """The operations that views and kernels may ask for."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}

    def register(self, name: str, operation: Operation) -> None:
        """Add an operation."""
        self._operations[name] = operation

    async def answer(self, text: str | bytes) -> bytes:
        """Carry out one request and return the answer as JSON. Never raises."""
        request_id: Any = None
        try:
            request = _request(text)
            request_id = _id_of(request)
            result = await self._perform(request.get("op"), request.get("args", {}))
        except (TesError, ValueError) as error:
            return msgspec.json.encode({"id": request_id, "ok": False, "error": str(error)})
        except Exception:
            logger.exception("A control request failed")
            told = "The collector failed on this request; its log says more."
            return msgspec.json.encode({"id": request_id, "ok": False, "error": told})
        return msgspec.json.encode({"id": request_id, "ok": True, "result": result})

    async def _perform(self, name: Any, args: Any) -> Any:
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            known = ", ".join(sorted(self._operations))
            raise ValueError(f"There is no such operation; known are {known}.")
        if not isinstance(args, dict):
            raise ValueError("'args' must be a JSON object.")
        return await operation(args)


def _request(text: str | bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        request = None
    if not isinstance(request, dict):
        raise ValueError("A request must be a JSON object with 'id', 'op' and 'args'.")
    return request


def _id_of(request: dict[str, Any]) -> str | int | None:
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str | int):
        raise ValueError("'id' must be a text or a whole number; the answer carries the same.")
    return request_id


def control_socket(control: Control, guard: Guard, sockets: Sockets) -> Handler:
    """Return the handler of the control socket."""

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = await sockets.admit(request, pending=True)
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
