"""The stand-in as an aiohttp application: routes, background tasks, and the label on every answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from tes_nb.errors import TesError
from tes_nb.simulate.connections import Connection
from tes_nb.simulate.faults import FAULTS, check
from tes_nb.simulate.options import LOOPBACK
from tes_nb.simulate.service import (
    CLIENT_MESSAGE_LIMIT,
    GREETING,
    ISSUED_AT,
    LABEL,
    Service,
    missing_header,
    refusal,
)


class ControlRoutes:
    """Answers what there is and what was sent, and accepts faults."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def hello(self, _: web.Request) -> web.Response:
        """Say what this is."""
        return web.Response(text=f"This is the {GREETING}.\n")

    async def roster(self, _: web.Request) -> web.Response:
        """Answer match_id, home_team, away_team and league of every match there has been."""
        return _json([fixture._asdict() for fixture in self._service.pump.day.roster()])

    async def ledger(self, request: web.Request) -> web.Response:
        """Answer the whole account, or with `subscriber` or `channels` the numbers from `since` to `until`."""
        query, sent = request.query, self._service.connections.log
        try:
            start, end = int(query.get("since", 1)), int(query.get("until", sent.last))
        except ValueError:
            return web.Response(status=422, text="since and until are message numbers.\n")
        if "subscriber" in query:
            numbers = sent.expected(query["subscriber"], start, end)
            return _json({"numbers": numbers, "sent_at_ns": sent.sent_at_ns(numbers)})
        if "channels" in query:
            return _json({"numbers": sent.on_channels(query["channels"].split(","), start, end)})
        return _json(self.account())

    def account(self) -> dict[str, Any]:
        """Return the first and last number, the subscribers, the connections and how often each fault happened."""
        connections, now = self._service.connections, asyncio.get_running_loop().time()
        sent = connections.log
        return {
            "simulated": GREETING,
            "first": sent.first,
            "last": sent.last,
            "subscribers": {
                name: {"since": sent.since(name), "channels": sent.channels(name)}
                for name in sent.subscribers()
            },
            "connections": [*connections.ended, *(one.report(now) for one in connections.select())],
            "strikes": dict(self._service.faults.counts),
        }

    async def list_faults(self, _: web.Request) -> web.Response:
        """Answer which faults are in force, how often each happened, and which there are."""
        faults = self._service.faults
        active = faults.active(asyncio.get_running_loop().time())
        descriptions = {name: f"{place}: {text}" for name, (place, text) in FAULTS.items()}
        return _json(
            {
                "active": [msgspec.to_builtins(fault) for fault in active],
                "running": self._service.fault_runner.running(),
                "strikes": dict(faults.counts),
                "there_are": descriptions,
            }
        )

    async def post_faults(self, request: web.Request) -> web.Response:
        """Put one fault (a JSON object) or several (an array) in force; 422 says what is wrong with one."""
        try:
            body = msgspec.json.decode(await request.read())
            orders = [check(item) for item in (body if isinstance(body, list) else [body])]
        except (TesError, msgspec.DecodeError, RecursionError) as error:
            return web.Response(status=422, text=f"{error}\n")
        for fault in orders:
            self._service.fault_runner.post(fault)
        return _json({"posted": [fault.fault for fault in orders]})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End every fault."""
        await self._service.fault_runner.clear()
        return _json({"cleared": True})


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


SUBSCRIBER = "X-Simulated-Subscriber"
"""Header by which a client may name its logical subscriber; so does the query field `subscriber`."""


class ChannelRequest(msgspec.Struct, tag=0, tag_field="type"):
    """`{"type":0,"channels":[…]}`: the whole new list."""

    channels: list[str]


class SocketRoute:
    """Accepts connections, takes their choice of channels, and ends them when their token expires."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a WebSocket handshake and serve the connection until it ends."""
        service, transport = self._service, request.transport
        assert isinstance(transport, asyncio.Transport)
        if service.fault_runner.down:
            transport.abort()
            return web.Response(status=503)
        name = request.headers.get(SUBSCRIBER) or request.query.get("subscriber")
        subscriber = name or f"{request.remote} {request.headers.get('User-Agent', '')}".strip()
        refused = self._refused(subscriber)
        if refused is not None:
            return refused
        claims = service.tokens.claims(_presented(request), service.now())
        if isinstance(claims, str):
            return web.Response(status=401, text=f"The token is {claims}.\n")
        socket = web.WebSocketResponse(compress=False, timeout=1.0, max_msg_size=CLIENT_MESSAGE_LIMIT)
        await socket.prepare(request)
        connection = Connection(
            number=service.connections.next_number(),
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
        faults, now = self._service.faults, asyncio.get_running_loop().time()
        if fault := faults.use("handshake", now):
            return refusal(fault, 401)
        if self._service.connections.of(subscriber) and (fault := faults.use("refuse_second", now)):
            return refusal(fault, 409)
        return None

    async def _serve(self, connection: Connection, channels: str | None, life_s: float) -> None:
        loop, connections = asyncio.get_running_loop(), self._service.connections
        if fault := self._service.faults.use("accept_then_close", loop.time()):
            await connection.close(fault.code or 1000, "simulated fault")
            return
        connections.add(connection)
        expiry = loop.create_task(self._expire(connection, life_s))
        try:
            if channels is not None:
                self._ask(connection, [name for name in channels.split(",") if name])
            await self._listen(connection)
        finally:
            expiry.cancel()
            connections.remove(connection, loop.time())

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
        self._service.connections.ask(connection, channels, asyncio.get_running_loop().time())


def _presented(request: web.Request) -> str:
    """Return the token of the request: bearer header for /ws, query field for /stream; "" = none."""
    if request.path == "/stream":
        return request.query.get("token", "")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


HANG_S = 60.0
DRIP_BYTES_S = 10


class TokenRoute:
    """Answers with a token, or with what a fault puts in its place."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the request for a token."""
        service = self._service
        if "rnum" not in request.query:
            return web.Response(status=400, text="The query field rnum is missing.\n")
        missing = missing_header(dict(request.headers)) if service.options.strict_headers else None
        if missing is not None:
            return web.Response(status=403, text=f"A token needs the header {missing}\n")
        fault = service.faults.use_any("token", asyncio.get_running_loop().time())
        name = "" if fault is None else fault.fault
        if fault is not None and name == "token_status":
            return refusal(fault, 503)
        if fault is not None and name == "token_hang":
            await _hang(request, fault.seconds or HANG_S)
        body = service.tokens.body(fault, service.now())
        if name == "token_drip":
            return await _drip(request, body)
        return web.Response(text=body, content_type="text/html" if name == "token_html" else "text/plain")


async def _hang(request: web.Request, seconds: float) -> None:
    """Wait so long, or until the client has gone."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    transport = request.transport
    while loop.time() < end and transport is not None and not transport.is_closing():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(min(0.05, end - loop.time()))


async def _drip(request: web.Request, body: str) -> web.StreamResponse:
    """Answer at 10 bytes a second."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # few clients wait that long
        for letter in body.encode():
            await response.write(bytes((letter,)))
            await asyncio.sleep(1 / DRIP_BYTES_S)
        await response.write_eof()
    return response


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(service: Service) -> web.Application:
    """Return the application that serves these parts."""
    app = web.Application(middlewares=[_loopback_only], client_max_size=CLIENT_MESSAGE_LIMIT)
    socket, control = SocketRoute(service), ControlRoutes(service)
    app.add_routes(
        [
            web.get("/", control.hello),
            web.get("/ajax/getwebsockettoken", TokenRoute(service).get),
            web.get("/ws", socket.get),
            web.get("/stream", socket.get),
            web.get("/roster", control.roster),
            web.get("/ledger", control.ledger),
            web.get("/faults", control.list_faults),
            web.post("/faults", control.post_faults),
            web.delete("/faults", control.clear_faults),
        ]
    )

    async def label(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[LABEL] = GREETING
        response.headers["Date"] = formatdate(service.now(), usegmt=True)
        response.headers.setdefault("Cache-Control", "no-store")

    async def background(_: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(service.pump.run()), loop.create_task(_keep_alive(service))]
        for fault in service.options.faults:
            service.fault_runner.post(fault)
        yield
        await service.fault_runner.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app.on_response_prepare.append(label)
    app.cleanup_ctx.append(background)
    return app


async def _keep_alive(service: Service) -> None:
    while True:
        await asyncio.sleep(service.options.keepalive_s)
        service.connections.keep_alive()


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other hosts' names (DNS rebinding), and changes that a web page may send without asking."""
    if (request.url.host or "") not in LOOPBACK:
        return web.Response(status=421, text="This stand-in answers only to localhost.\n")
    if request.method != "GET" and "Origin" in request.headers:
        return web.Response(status=403, text="A web page may not change faults.\n")
    return await handler(request)
