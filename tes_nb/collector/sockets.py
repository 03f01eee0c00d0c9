"""The plain WebSocket endpoints of the produced streams, for foreign clients and the page."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from aiohttp import WSMsgType, web

from tes_nb.collector.channel import Channel
from tes_nb.collector.fanout import Client
from tes_nb.collector.guard import Guard, Handler, sentence
from tes_nb.collector.options import Limits
from tes_nb.streams.peer_talk import unknown_answer

PING_S = 10.0
"""A client that does not answer a ping within half of this is gone."""


class Sockets:
    """Counts open connections and keeps places for the owner."""

    def __init__(self, guard: Guard, limits: Limits, changed: Callable[[], None]) -> None:
        self._guard = guard
        self._limits = limits
        self._changed = changed
        self._open: dict[bool, set[web.WebSocketResponse]] = {False: set(), True: set()}

    @property
    def foreign(self) -> int:
        """Open connections of clients without the token: tes_nb's own are not shown."""
        return len(self._open[False])

    async def admit(self, request: web.Request, *, heartbeat: bool = True) -> web.WebSocketResponse | web.Response:
        """Open the WebSocket, or answer 503 when all places are taken. The owner has places of its own."""
        owner = self._guard.has_token(request)
        if len(self._open[owner]) >= self._limits.clients:
            text = f"All {self._limits.clients} places for WebSocket clients are taken; close some."
            return sentence(503, text, {"Retry-After": "5"})
        socket = web.WebSocketResponse(
            heartbeat=PING_S if heartbeat else None,
            compress=False,
            max_msg_size=self._limits.client_message,
            timeout=1.0,
        )
        if not socket.can_prepare(request).ok:
            return sentence(426, "This path is a WebSocket; connect with ws://.", {"Upgrade": "websocket"})
        places = self._open[owner]
        places.add(socket)  # counted before the first await, so that a burst cannot overtake the count
        try:
            await socket.prepare(request)
        except BaseException:
            places.discard(socket)
            raise
        self._changed()
        return socket

    def release(self, socket: web.WebSocketResponse) -> None:
        """Free the place."""
        for places in self._open.values():
            places.discard(socket)
        self._changed()

    async def close_all(self) -> None:
        """Say 1001 (going away) to everyone."""
        for places in self._open.values():
            for socket in tuple(places):
                await socket.close(code=1001, message=b"the collector ends")


def stream_socket(channel: Channel, sockets: Sockets, limits: Limits, changed: Callable[[], None]) -> Handler:
    """Return the handler of one stream's endpoint."""

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = await sockets.admit(request)
        if isinstance(socket, web.Response):
            return socket
        transport = request.transport
        if transport is None:
            return socket
        client = Client(transport, limits.send_buffer)
        channel.join(client)
        changed()
        try:
            await _converse(socket, client, channel)
        finally:
            channel.leave(client)
            sockets.release(socket)
        return socket

    return handler


async def _converse(socket: web.WebSocketResponse, client: Client, channel: Channel) -> None:
    answer = channel.producer.answer
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            break
        payload = message.data.encode() if isinstance(message.data, str) else message.data
        now_ms = time.time_ns() // 1_000_000
        told = unknown_answer(payload) if answer is None else answer(payload, now_ms)
        if told.parts is not None:
            client.parts = told.parts
        await socket.send_str(_text(told.reply))


def _text(reply: dict[str, object]) -> str:
    return msgspec.json.encode(reply).decode()
