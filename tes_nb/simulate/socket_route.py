"""The two WebSocket forms: `/ws` with a bearer header, `/stream` with channels and token in the query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import WSMsgType, web

from tes_nb.simulate.connection import Connection
from tes_nb.simulate.service import CLIENT_MESSAGE_LIMIT, Service, refusal
from tes_nb.simulate.tokens import ISSUED_AT

SUBSCRIBER = "X-Simulated-Subscriber"
"""Header by which a client may name its logical subscriber; so does the query field `subscriber`."""


class ChannelRequest(msgspec.Struct, tag=0, tag_field="type"):
    """`{"type":0,"channels":[…]}`: the whole new list."""

    channels: list[str]


class SocketRoute:
    """Takes connections in, hears what channels they want, and ends them when their token expires."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a WebSocket handshake and serve the connection until it ends."""
        service, transport = self._service, request.transport
        assert isinstance(transport, asyncio.Transport)
        if service.striker.down:
            transport.abort()
            return web.Response(status=503)
        subscriber = _subscriber(request)
        refused = self._refused(subscriber)
        if refused is not None:
            return refused
        claims = service.tokens.claims(_presented(request), service.now())
        if isinstance(claims, str):
            return web.Response(status=401, text=f"The token is {claims}.\n")
        socket = web.WebSocketResponse(compress=False, timeout=1.0, max_msg_size=CLIENT_MESSAGE_LIMIT)
        await socket.prepare(request)
        connection = Connection(
            number=service.hub.next_number(),
            subscriber=subscriber,
            socket=socket,
            transport=transport,
            token_age_s=service.now() - claims[ISSUED_AT],
            opened_at=asyncio.get_running_loop().time(),
        )
        await self._serve(connection, request.query.get("channels"), claims["exp"] - service.now())
        return socket

    def _refused(self, subscriber: str) -> web.Response | None:
        """Return the answer of a fault that refuses handshakes; `None` = none is in force."""
        board, now = self._service.board, asyncio.get_running_loop().time()
        if fault := board.take("handshake", now):
            return refusal(fault, 401)
        if self._service.hub.of(subscriber) and (fault := board.take("refuse_second", now)):
            return refusal(fault, 409)
        return None

    async def _serve(self, connection: Connection, channels: str | None, life_s: float) -> None:
        loop, hub = asyncio.get_running_loop(), self._service.hub
        if fault := self._service.board.take("accept_then_close", loop.time()):
            await connection.close(fault.code or 1000, "simulated fault")
            return
        hub.add(connection)
        expiry = loop.create_task(self._expire(connection, life_s))
        try:
            if channels is not None:
                self._ask(connection, [name for name in channels.split(",") if name])
            await self._listen(connection)
        finally:
            expiry.cancel()
            hub.remove(connection, loop.time())

    async def _expire(self, connection: Connection, life_s: float) -> None:
        await asyncio.sleep(life_s)
        await connection.close(self._service.options.close_code_at_expiry, "token expired")

    async def _listen(self, connection: Connection) -> None:
        async for message in connection.socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                continue
            try:
                request = msgspec.json.decode(message.data, type=ChannelRequest)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                connection.unreadable += 1
            else:
                self._ask(connection, request.channels)

    def _ask(self, connection: Connection, channels: Sequence[str]) -> None:
        self._service.hub.ask(connection, channels, asyncio.get_running_loop().time())


def _subscriber(request: web.Request) -> str:
    named = request.headers.get(SUBSCRIBER) or request.query.get("subscriber")
    return named or f"{request.remote} {request.headers.get('User-Agent', '')}".strip()


def _presented(request: web.Request) -> str:
    """Return the token of the request: bearer header for /ws, query field for /stream; "" = none."""
    if request.path == "/stream":
        return request.query.get("token", "")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
