"""The plain WebSocket endpoints of the produced streams, for foreign clients and the page."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from enum import Enum

import msgspec
from aiohttp import WSMessage, WSMsgType, web

from tes_nb.collector.http.guard import Guard, Handler, sentence
from tes_nb.collector.options import Limits
from tes_nb.collector.produced import Channel, Client
from tes_nb.model.operation import POLICY_VIOLATION, START_HEADER, TOKEN_HEADER, Greeting
from tes_nb.streams.tes_protocol import answer_by_type

MESSAGES_PER_S = 200
"""A client without the token is read at this rate at most, pings included; beyond it its socket fills up."""
BURST = 100
TURN = 16
"""After so many messages of a client the loop serves others first."""


class Pace:
    """A bucket of allowances: full at first, refilled with time."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at = now

    def spend(self, now: float) -> float:
        """Spend one allowance; return how long to wait for it, in seconds."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - 1
        self._at = now
        return max(0.0, -self._left / self._per_s)


async def messages(socket: web.WebSocketResponse, *, trusted: bool = False) -> AsyncIterator[WSMessage]:
    """Yield text and binary messages until the client leaves; answer its pings.

    The socket must have been made with `autoping=False`: pings are paced like messages. Whoever is not
    `trusted` is slowed down to `MESSAGES_PER_S`.
    """
    loop = asyncio.get_running_loop()
    pace = Pace(MESSAGES_PER_S, BURST, loop.time())
    count = 0
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
        count += 1
        wait = 0.0 if trusted else pace.spend(loop.time())
        if wait > 0 or count % TURN == 0:
            await asyncio.sleep(wait)
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        elif message.type is not WSMsgType.PONG:
            yield message


AUTH_TIMEOUT_S = 2.0


async def authenticated(socket: web.WebSocketResponse, guard: Guard) -> bool:
    """Wait for `{"type": "auth", "token": …}`; anything else closes with 1008."""
    try:
        async with asyncio.timeout(AUTH_TIMEOUT_S):  # over all: pings in between do not buy time
            first = await anext(messages(socket), None)
    except TimeoutError:
        await socket.close(code=POLICY_VIOLATION, message=b"no token within 2 s")
        return False
    if first is None:
        return False
    if not guard.is_token(_token_in(first.data)):
        refusal = guard.failed()
        reason = b"too many wrong tokens; wait a minute" if refusal.status == 429 else b"wrong token"
        await socket.close(code=POLICY_VIOLATION, message=reason)
        return False
    return True


def _token_in(text: str | bytes) -> str | None:
    try:
        return msgspec.json.decode(text, type=Greeting).token
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


PING_S = 10.0
"""A client that does not answer a ping within half of this is gone."""
CLOSE_S = 0.7
"""How long clients have for their part of the closing handshake when the collector ends."""
WEBSOCKET_VERSION = "13"


class Place(Enum):
    """Whose place a connection takes. Each kind has as many, so that none can crowd out another."""

    FOREIGN = "foreign"
    PENDING = "pending"
    """It has 2 s to show the token in its first message."""
    OWNER = "owner"


class Sockets:
    """Counts open connections and keeps places for the owner."""

    def __init__(self, guard: Guard, limits: Limits, changed: Callable[[], None], start_id: str) -> None:
        """start_id: which start of a collector answers; each handshake says it."""
        self.start_id = start_id
        self._guard = guard
        self._limits = limits
        self._changed = changed
        self._open: dict[Place, set[web.WebSocketResponse]] = {place: set() for place in Place}

    @property
    def foreign(self) -> int:
        """Open connections of clients without the token: tes_nb's own are not shown."""
        return len(self._open[Place.FOREIGN])

    async def admit(
        self, request: web.Request, *, heartbeat: bool = True, pending: bool = False
    ) -> web.WebSocketResponse | web.Response:
        """Open the WebSocket, or answer 503 when all places are taken. The owner has places of its own.

        pending: without the token in a header, the connection waits for it in a place apart. A wrong one in the
        header is a guess: by the place that it gets one could tell how good it was.
        """
        if TOKEN_HEADER in request.headers and not self._guard.has_token(request):
            wrong = self._guard.failed()
            wrong.force_close()
            return wrong
        pending = pending or self._guard.must_show(request)
        place = Place.OWNER if self._guard.has_token(request) else Place.PENDING if pending else Place.FOREIGN
        socket = web.WebSocketResponse(
            heartbeat=PING_S if heartbeat else None,
            autoping=False,  # `inbox.messages` answers pings
            compress=False,
            max_msg_size=self._limits.client_message + 1,  # aiohttp counts from the first byte too many
            timeout=1.0,
        )
        socket.headers[START_HEADER] = self.start_id
        refusal = self._refusal(request, socket, self._open[place])
        if refusal is not None:
            refusal.force_close()  # repeated refused attempts must not leave idle connections behind
            return refusal
        self._open[place].add(socket)  # before the first await, so that a burst cannot overtake the count
        try:
            await socket.prepare(request)
        except BaseException:
            self._open[place].discard(socket)
            raise
        self._changed()
        return socket

    def _refusal(
        self, request: web.Request, socket: web.WebSocketResponse, places: set[web.WebSocketResponse]
    ) -> web.Response | None:
        if request.headers.get("Upgrade", "").strip().lower() != "websocket":
            return sentence(426, "This path is a WebSocket; connect with ws://.", {"Upgrade": "websocket"})
        if request.headers.get("Sec-WebSocket-Version", "").strip() != WEBSOCKET_VERSION:
            headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": WEBSOCKET_VERSION}
            return sentence(426, "This server speaks version 13 of the WebSocket protocol.", headers)
        if not socket.can_prepare(request).ok:
            return sentence(400, "This is not a valid WebSocket handshake.")
        if len(places) >= self._limits.clients:
            text = f"All {self._limits.clients} places for WebSocket clients are taken; close some."
            return sentence(503, text, {"Retry-After": "5"})
        return None

    async def may_read(self, request: web.Request, socket: web.WebSocketResponse) -> bool:
        """Whether the client may have the stream: under `auth="all"` a browser shows the token first."""
        if not self._guard.must_show(request):
            return True
        if not await authenticated(socket, self._guard):
            return False
        self.promote(socket)
        return True

    def promote(self, socket: web.WebSocketResponse) -> None:
        """Give a connection that has shown the token one of the owner's places, if it has none yet."""
        self._open[Place.PENDING].discard(socket)
        self._open[Place.OWNER].add(socket)

    def release(self, socket: web.WebSocketResponse) -> None:
        """Free the place."""
        for places in self._open.values():
            places.discard(socket)
        self._changed()

    async def close_all(self) -> None:
        """Say 1001 (going away) to everyone at once; whoever does not answer in time is left."""
        everyone = [socket for places in self._open.values() for socket in places]
        closing = [
            asyncio.create_task(socket.close(code=1001, message=b"the collector ends")) for socket in everyone
        ]
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)


def stream_socket(channel: Channel, sockets: Sockets, limits: Limits, changed: Callable[[], None]) -> Handler:
    """Return the handler of one stream's endpoint."""

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = await sockets.admit(request)
        if isinstance(socket, web.Response):
            return socket
        try:
            # no transport = it left during the handshake
            if await sockets.may_read(request, socket) and request.transport is not None:
                await _serve(socket, Client(request.transport, limits.send_buffer), channel, changed)
        finally:
            sockets.release(socket)
        return socket

    return handler


async def _serve(
    socket: web.WebSocketResponse, client: Client, channel: Channel, changed: Callable[[], None]
) -> None:
    channel.join(client)
    changed()
    try:
        with contextlib.suppress(ConnectionError):  # it left before its answer
            await _converse(socket, client, channel)
    finally:
        channel.leave(client)


async def _converse(socket: web.WebSocketResponse, client: Client, channel: Channel) -> None:
    """Answer what the client says, until it leaves."""
    answer = channel.producer.answer
    async for message in messages(socket):
        payload = message.data.encode() if isinstance(message.data, str) else message.data
        now_ms = time.time_ns() // 1_000_000
        result = answer_by_type(payload, {}) if answer is None else answer(payload, now_ms)
        if result.parts is not None:
            client.parts = result.parts
        await socket.send_str(msgspec.json.encode(result.reply).decode())
