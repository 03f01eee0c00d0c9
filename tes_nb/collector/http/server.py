"""Two ports on loopback, both or neither, and a watch over connections that never ask anything."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass

from aiohttp import web, web_app
from aiohttp.typedefs import Middleware

from tes_nb.collector.http.guard import SECURITY_HEADERS, Handler, sentence
from tes_nb.collector.logs import logger
from tes_nb.errors import CollectorError


class HttpProtocol(web.RequestHandler):
    """Refuses malformed requests with a sentence. They are neither quoted nor logged: a token may stand in them."""

    __slots__ = ()

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # turns it off; aiohttp's own annotation forgets it
            logger=logger,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer, after which the connection is closed."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("An answer has begun already; there can be no second one.")
        if status >= 500:
            logger.error("A request failed outside of its handler", exc_info=exc)
            return _closing(sentence(status, "The collector failed on this request; its log says more."))
        return _closing(sentence(status, "This is no valid HTTP request."))


def _closing(response: web.Response) -> web.Response:
    response.headers.update(SECURITY_HEADERS)
    response.force_close()
    return response


BACKLOG = 256
RECEIVE_BUFFER = 16 * 1024
MAX_PORT = 65535
SHUTDOWN_S = 0.3
"""How long a request in work may go on when the collector ends."""
_FREE_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Bound:
    """The listening sockets of both ports."""

    status: tuple[socket.socket, ...]
    workers: tuple[socket.socket, ...]
    busy_ports: tuple[int, ...] = ()
    """The wanted ports that somebody else holds; then free ones were bound."""

    @property
    def ports(self) -> tuple[int, int]:
        """(status port, workers port)."""
        return self.status[0].getsockname()[1], self.workers[0].getsockname()[1]

    def close(self) -> None:
        """Give both ports back."""
        for one in (*self.status, *self.workers):
            one.close()


def bind_ports(status: int, workers: int, *, required: bool) -> Bound:
    """Bind both ports on 127.0.0.1 and, where there is one, ::1; 0 = any free one.

    When a wanted port is taken, both move to free ports, so that no client talks half to us and half to a
    stranger. Raises `CollectorError` instead if `required`, and for numbers that are no two ports.
    """
    _check_ports(status, workers)
    pair = _bind_pair(status, workers)
    if pair is not None:
        return Bound(*pair)
    busy = tuple(port for port in (status, workers) if port and not _is_free(port)) or (status, workers)
    if required:
        raise CollectorError(_sentence_about(busy))
    for _ in range(_FREE_PORT_TRIES):
        pair = _bind_pair(0, 0)
        if pair is not None:
            return Bound(*pair, busy_ports=busy)
    raise CollectorError("No two free ports could be bound on 127.0.0.1; close some programs and try again.")


def bind_free() -> socket.socket:
    """Bind one free port on 127.0.0.1. Raises `CollectorError` when there is none."""
    bound = _listen(socket.AF_INET, "127.0.0.1", 0)
    if bound is None:
        raise CollectorError("No free port could be bound on 127.0.0.1; close some programs and try again.")
    return bound


def _check_ports(status: int, workers: int) -> None:
    for port in (status, workers):
        if not 0 <= port <= MAX_PORT:
            raise CollectorError(
                f"{port} is no port; use a number from 1 to {MAX_PORT}, or 0 for any free one."
            )
    if status == workers != 0:
        raise CollectorError(f"Status and workers port are both {status}; they must be two different ports.")


def _sentence_about(busy: tuple[int, ...]) -> str:
    names = " and ".join(str(port) for port in busy)
    subject = f"Port {names} is" if len(busy) == 1 else f"Ports {names} are"
    why = "in use by another program, or not allowed for this user"
    return f"{subject} {why}; stop that program, or choose other ports (0 = any free one)."


def _bind_pair(
    status: int, workers: int
) -> tuple[tuple[socket.socket, ...], tuple[socket.socket, ...]] | None:
    first = _bind_both_families(status)
    if first is None:
        return None
    second = _bind_both_families(workers)
    if second is None:
        for one in first:
            one.close()
        return None
    return first, second


def _is_free(port: int) -> bool:
    bound = _bind_both_families(port)
    for one in bound or ():
        one.close()
    return bound is not None


def _bind_both_families(port: int) -> tuple[socket.socket, ...] | None:
    """Bind the port on both loopback addresses; `None` = it is taken on one of them."""
    four = _listen(socket.AF_INET, "127.0.0.1", port)
    if four is None:
        return None
    try:
        six = _listen(socket.AF_INET6, "::1", four.getsockname()[1])
    except OSError:
        return (four,)  # this machine has no IPv6 loopback
    if six is None:
        four.close()
        return None
    return four, six


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket | None:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: no client may fill a turn of the loop with 256 KiB of tiny frames.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family is socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((host, port))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    one.setblocking(False)
    return one


class Port:
    """One aiohttp application on its listening sockets."""

    def __init__(
        self, app: web.Application, sockets: tuple[socket.socket, ...], request_timeout: float
    ) -> None:
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        self._sockets = sockets
        self._request_timeout = request_timeout
        self._listeners: list[asyncio.Server] = []
        self._busy: set[object] = set()
        """Connections with a request in work; a WebSocket is one for all of its life."""
        self._quiet_since: dict[object, float] = {}
        """The others, and since when (seconds of the loop's clock)."""
        self._watch: asyncio.Task[None] | None = None
        app.middlewares.insert(0, self._busy_while_handling())

    async def start(self) -> None:
        """Serve."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # made by setup()
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            listener = await loop.create_server(lambda: HttpProtocol(server), sock=one, backlog=BACKLOG)
            self._listeners.append(listener)
        self._watch = asyncio.create_task(self._cut_silent(), name="silent connections")

    def close_listeners(self) -> None:
        """Give the port back; what is connected stays."""
        for listener in self._listeners:
            listener.close()

    async def stop(self) -> None:
        """Close the port and what is connected."""
        self.close_listeners()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        server = self._runner.server
        connected = [] if server is None else server.connections
        await self._runner.cleanup()
        for protocol in connected:
            if protocol.transport is not None:  # it does not read, so a polite close would wait for ever
                protocol.transport.abort()
        # aiohttp remembers the handlers of the last 1,024 routes of a process, and with them all that they hold
        if (cache := getattr(web_app, "_cached_build_middleware", None)) is not None:
            cache.cache_clear()

    def _busy_while_handling(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._busy.add(request.protocol)
            try:
                return await handler(request)
            finally:
                self._busy.discard(request.protocol)
                self._quiet_since[request.protocol] = asyncio.get_running_loop().time()

        return middleware

    async def _cut_silent(self) -> None:
        """Abort connections that take their time before, between or behind requests: they hold descriptors."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._request_timeout / 8)
            server = self._runner.server
            quiet = set() if server is None else set(server.connections) - self._busy
            self._quiet_since = {one: self._quiet_since.get(one, loop.time()) for one in quiet}
            for protocol in quiet:
                late = loop.time() - self._quiet_since[protocol] > self._request_timeout * 7 / 8
                if late and protocol.transport is not None:
                    protocol.transport.abort()
