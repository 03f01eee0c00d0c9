"""Real peers on loopback: a good one, an old TES, and several that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time

from aiohttp import web
from websockets.asyncio.server import serve

from tests.support.chaos import reset
from tests.support.numbers import number


class NumberedPeer:
    """Sends numbered messages to whoever is connected, and remembers when it sent which."""

    def __init__(
        self, every_s=0.02, *, host="127.0.0.1", path=None, padding=0, on_connect=(), answer=None, **options
    ):
        self.every_s = every_s
        self.host = host
        self.paths = None if path is None else (path,)
        self.padding = padding
        self.on_connect = on_connect
        self.answer = answer  # text -> text or None
        self.sent = {}  # number → Unix ns
        self.next = 0
        self.pushing = True
        self.paths = []
        self.handshakes = []  # loop times
        self.headers = []
        self.received = []  # (connection, text)
        self.sockets = set()
        self._options = {"ping_interval": None, "compression": None} | options
        self._server = self._task = None
        self.port = None

    async def __aenter__(self):
        await self.up()
        return self

    async def __aexit__(self, *_error):
        await self.down()

    @property
    def url(self):
        return f"ws://{self.host}:{self.port}"

    async def up(self):
        self._server = await serve(
            self._serve, self.host, self.port or 0, process_request=self._request, **self._options
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._push())

    async def down(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for socket in tuple(self.sockets):
            socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    def _request(self, connection, request):
        self.handshakes.append(asyncio.get_running_loop().time())
        self.paths.append(request.path)
        self.headers.append(request.headers)
        if self.paths is not None and request.path.partition("?")[0] not in self.paths:
            return connection.respond(404, "nothing here\n")
        return None

    async def _serve(self, socket):
        self.sockets.add(socket)
        index = len(self.handshakes)
        try:
            for text in self.on_connect:
                await socket.send(text)
            async for text in socket:
                self.received.append((index, text))
                reply = self.answer(text) if self.answer is not None else None
                if reply is not None:
                    await socket.send(reply)
        except Exception:  # noqa: BLE001 - a client that is gone
            pass
        finally:
            self.sockets.discard(socket)

    async def _push(self):
        while True:
            if self.pushing:
                self.push()
            await asyncio.sleep(self.every_s)

    def push(self, padding=None):
        """Send the next number to all; unread ones wait in the socket, as with any server."""
        from websockets.asyncio.server import broadcast

        self.sent[self.next] = time.time_ns()
        broadcast(self.sockets, number(self.next, self.padding if padding is None else padding).decode())
        self.next += 1


class OldTes:
    """An original TES server, as WIRE.md section 6 describes it, on one port, at 1/`speed` of its times."""

    def __init__(self, speed=1.0):
        self.speed = speed
        self.polls = {"status": 0, "metrics": 0}
        self.received = []
        self.idle_closes = 0
        self.push_status = None  # set to an asyncio.Event to make it push again
        self.port = None
        self._runner = None

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/ws/workers/telemetry", self._workers)
        app.router.add_get("/api/dev/status/live", self._status)
        app.router.add_get("/api/dev/server-metrics/live", self._greet_and_echo)
        app.router.add_get("/ws/server-metrics/live", self._metrics)
        app.router.add_get("/api/dev/status", self._http("status", {"vector": {}, "n": 1}))
        app.router.add_get("/api/dev/server-metrics", self._http("metrics", {"http": {}, "n": 1}))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        await self._runner.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _http(self, name, body):
        async def handler(_request):
            self.polls[name] += 1
            return web.json_response(body)

        return handler

    async def _workers(self, request):
        """Nothing at first, then every second; closes with 1000 after 30 s without a client's message."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sender = asyncio.create_task(self._send_every(socket, {"timestamp": 1, "workers": {}, "n": 1}, 1.0))
        loop = asyncio.get_running_loop()

        async def close_idle():
            self.idle_closes += 1
            await socket.close(code=1000, message=b"Idle timeout")

        def restart():
            return loop.call_later(30 / self.speed, lambda: asyncio.ensure_future(close_idle()))

        idle = restart()
        try:
            async for message in socket:  # protocol pings are answered in here and do not count
                self.received.append(message.data)
                idle.cancel()
                idle = restart()
        finally:
            idle.cancel()
            sender.cancel()
        return socket

    async def _send_every(self, socket, content, every):
        while not socket.closed:
            await asyncio.sleep(every / self.speed)
            await socket.send_json(content)

    async def _status(self, request):
        """One flat message on connect, then nothing but replies."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "status", "data": {"cpu": 1}, "n": 1})
        waiting = asyncio.create_task(self._push_on_request(socket))
        try:
            async for message in socket:
                self.received.append(message.data)
                with contextlib.suppress(ValueError):
                    if json.loads(message.data).get("type") == "ping":
                        await socket.send_json({"type": "pong", "timestamp": 1})
        finally:
            waiting.cancel()
        return socket

    async def _push_on_request(self, socket):
        while self.push_status is not None:
            await self.push_status.wait()
            await socket.send_json({"type": "status", "data": {}, "n": 2})
            await asyncio.sleep(1 / self.speed)

    async def _greet_and_echo(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "connected", "message": "welcome"})
        async for message in socket:
            self.received.append(message.data)
            await socket.send_str(message.data)
        return socket

    async def _metrics(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sender = asyncio.create_task(self._send_every(socket, {"type": "metrics", "n": 1}, 0.5))
        try:
            async for message in socket:
                self.received.append(message.data)
        finally:
            sender.cancel()
        return socket


class RawPeer:
    """Accepts TCP connections and does `behave(self, reader, writer)` with each."""

    def __init__(self, behave):
        self._behave = behave
        self.accepted = []  # loop times
        self.requests = []  # the head of each request
        self.port = None
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    async def _accept(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.accepted.append(asyncio.get_running_loop().time())
        try:
            # A cancelled handler task is an uncaught error to asyncio 3.11: end it quietly.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self._behave(self, reader, writer)
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()


def upgrade(request):
    """The bytes of a right 101 to that request."""
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    digest = hashlib.sha1(key.split(b":")[1].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    accept = base64.b64encode(digest)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def frame(opcode, payload=b"", *, fin=True, length=None):
    """The bytes of an unmasked frame; `length` lies about the payload's."""
    length = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    if length < 126:
        return head + bytes([length]) + payload
    if length < 65536:
        return head + b"\x7e" + length.to_bytes(2, "big") + payload
    return head + b"\x7f" + length.to_bytes(8, "big") + payload


def close_frame(code, reason=b""):
    return frame(8, code.to_bytes(2, "big") + reason)


def staller(sent_bytes):
    """Sends so many bytes of a right 101, then nothing."""

    async def behave(peer, _reader, writer):
        writer.write(upgrade(peer.requests[-1])[:sent_bytes])
        await writer.drain()
        await asyncio.sleep(3600)

    return behave


def accept_then_close(code=1000, reason=b"", *, rst=False, first=b""):
    """Upgrades, perhaps says something, then closes with `code`, or resets."""

    async def behave(peer, _reader, writer):
        writer.write(upgrade(peer.requests[-1]) + first)
        if not rst:
            writer.write(close_frame(code, reason))
        await writer.drain()
        if rst:
            reset(writer)

    return behave


def answer(status, headers=None, body=b""):
    """Answers every request with an HTTP status."""

    async def behave(_peer, _reader, writer):
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


def says(*chunks, then=3600.0, pause=0.0):
    """Upgrades and sends those bytes, then stays."""

    async def behave(peer, _reader, writer):
        writer.write(upgrade(peer.requests[-1]))
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)
        await asyncio.sleep(then)

    return behave
