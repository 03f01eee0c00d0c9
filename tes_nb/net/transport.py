"""One connection to one URL: a handshake that succeeds or says why not, then messages until the end."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as library_connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus, InvalidStatus, ProxyError
from websockets.frames import CloseCode, Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.http11 import Response
from websockets.protocol import OPEN

from tes_nb._version import __version__
from tes_nb.errors import ConnectionFailed
from tes_nb.model import Opcode
from tes_nb.net.endpoints import is_loopback
from tes_nb.net.failures import REDIRECTS, Redirect, failure_of, follow, plain, status_failure, unsendable
from tes_nb.net.logs import QUIET
from tes_nb.net.loop import now
from tes_nb.net.proxies import proxy_for, without_password
from tes_nb.wire.lifecycle import Failure
from tes_nb.wire.liveness import Keepalive
from tes_nb.wire.profile import PROFILE, Profile


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What a peer may do to us."""

    message_bytes: int = 2**20
    """One message, after permessage-deflate; more closes with 1009."""
    fragments: int = 4096
    """Frames of one message; more close with 1009."""
    pings_per_s: int = 100
    """More close with 1008."""


LIMITS = PeerLimits()


class GuardedConnection(ClientConnection):
    """Counts what a peer sends, pings it, and gives it up with a sentence that says why."""

    def __init__(
        self, protocol: ClientProtocol, *, limits: PeerLimits, max_queue: int, close_timeout: float
    ) -> None:
        super().__init__(
            protocol,
            ping_interval=None,  # the library's keepalive cannot tell a slow link from a dead one: ours does
            ping_timeout=None,
            close_timeout=close_timeout,
            max_queue=max_queue,
        )
        self.our_end: tuple[int, str] | None = None
        """(close code, why) when it was we who ended the connection because of the peer."""
        self._limits = limits
        self._patience_s = close_timeout
        self._fragments = 0
        self._pings: deque[float] = deque(maxlen=limits.pings_per_s + 1)
        self._keepalive: Keepalive | None = None
        self._pinged = 0
        self._timers: list[asyncio.TimerHandle] = []

    def keep_alive(self, keepalive: Keepalive) -> None:
        """Ping the peer from now on, and give it up when it does not answer."""
        self._keepalive = keepalive
        self._look(keepalive)

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought."""
        if self._keepalive is not None:
            self._keepalive.bytes_arrived(now())
        super().data_received(data)
        if self.response is not None and self.protocol.state is not OPEN:
            self._abort_soon()

    def process_event(self, event: Response | Frame) -> None:  # type: ignore[override]  # the library's alias is wider
        """Count the frame before the library handles it."""
        if isinstance(event, Frame):
            if self.our_end is not None:
                return
            self._count(event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers; the connection is over."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        super().connection_lost(exc)

    def _count(self, frame: Frame) -> None:
        if frame.opcode is FrameOpcode.PING:
            self._pings.append(self.loop.time())
            if len(self._pings) > self._limits.pings_per_s and self._pings[-1] - self._pings[0] < 1:
                self._fail(CloseCode.POLICY_VIOLATION, "too many pings")
        elif frame.opcode is FrameOpcode.PONG:
            if self._keepalive is not None and bytes(frame.data) == self._ping_payload():
                self._keepalive.ponged(now())
        elif frame.opcode is not FrameOpcode.CLOSE:
            self._count_fragment(frame)

    def _count_fragment(self, frame: Frame) -> None:
        if frame.fin:
            self._fragments = 0
            if self._keepalive is not None:
                self._keepalive.message_arrived()
            return
        self._fragments += 1
        if self._fragments >= self._limits.fragments:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close with `code`, and do not wait long for the peer to agree."""
        self.our_end = (code, f"we closed {int(code)}: {reason}")
        self.protocol.fail(code, reason)
        self.send_data()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if not self._timers:
            self._timers.append(self.loop.call_later(self._patience_s, self.transport.abort))

    def _ping_payload(self) -> bytes:
        return struct.pack("!I", self._pinged)

    def _look(self, keepalive: Keepalive) -> None:
        """Ask the keepalive what to do, and when it wants to be asked again."""
        if self.protocol.state is not OPEN:
            return
        answer = keepalive.look(now())
        if answer == "dead":
            self.our_end = (CloseCode.ABNORMAL_CLOSURE, "the peer does not answer pings")
            self.transport.abort()
            return
        if answer == "ping":
            self._pinged = (self._pinged + 1) % 2**32
            self.protocol.send_ping(self._ping_payload())
            self.send_data()
        self.loop.call_later(max(keepalive.due_at() - now(), 0.001), self._look, keepalive)


OnMessage = Callable[[Opcode, bytes], None]
"""Called with each whole message, in order, in the loop."""
ABNORMAL = 1006
_QUEUED_FRAMES = 16
LARGE_BYTES = 16 * 1024
"""After a message of more, such as a batch of records, the other connections have a turn: sixteen may be waiting."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended."""

    code: int
    """The close code, whoever sent it; 1006 = there was no close frame."""
    sentence: str
    """For people, without a full stop."""


class Link:
    """An open connection."""

    def __init__(self, connection: GuardedConnection) -> None:
        self._connection = connection

    def header(self, name: str) -> str:
        """Return a header of the answer to the handshake, "" where it has none, or several."""
        response = self._connection.response
        values = [] if response is None else response.headers.get_all(name)
        return values[0] if len(values) == 1 else ""

    async def receive(self, on_message: OnMessage) -> Closed:
        """Hand every message to `on_message` until the connection ends; return how it ended. Never loses one."""
        receive = self._connection.recv
        try:
            while True:
                message = await receive()
                if isinstance(message, str):
                    on_message(Opcode.TEXT, message.encode())
                else:
                    on_message(Opcode.BINARY, message)
                if len(message) > LARGE_BYTES:
                    await asyncio.sleep(0)
        except ConnectionClosed as error:
            return self._closed(error)

    async def send(self, text: bytes) -> None:
        """Send a text message. Raises `ConnectionFailed` when the connection has ended."""
        try:
            await self._connection.send(text, text=True)
        except ConnectionClosed as error:
            raise ConnectionFailed(f"Not sent: {self._closed(error).sentence}.") from error

    async def close(self, reason: str = "", code: int = 1000) -> None:
        """Close politely, within the profile's close timeout."""
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """Cut the connection at once."""
        self._connection.transport.abort()

    def _closed(self, error: ConnectionClosed) -> Closed:
        if self._connection.our_end is not None:
            return Closed(*self._connection.our_end)
        if error.rcvd is not None:
            return Closed(error.rcvd.code, f"closed {error.rcvd.code} {plain(error.rcvd.reason)}".rstrip())
        if error.sent is not None:
            return Closed(error.sent.code, f"we closed {error.sent.code} {plain(error.sent.reason)}".rstrip())
        if isinstance(error.__cause__, ConnectionResetError | BrokenPipeError):
            return Closed(ABNORMAL, "connection reset")
        return Closed(ABNORMAL, "the connection ended without a close frame")


async def connect(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    profile: Profile = PROFILE,
    limits: PeerLimits = LIMITS,
    compression: Literal["deflate", "usual"] | None = "usual",
) -> Link | Failure:
    """Try once to open `url`, following at most five redirects; return the connection or why there is none.

    `headers` reach only the origin of `url`. `compression="usual"`: permessage-deflate except on loopback.
    """
    if (failure := unsendable(headers or {})) is not None:
        return failure
    begun = now()
    try:
        async with asyncio.timeout(profile.open_timeout_s):
            attempt = partial(_handshake, profile=profile, limits=limits, compression=compression)
            result: GuardedConnection | Failure = await follow(url, headers or {}, attempt)
    except Exception as error:
        failure = failure_of(error, profile.open_timeout_s)
        if failure is None:
            raise
        return failure
    if isinstance(result, Failure):
        return result
    if profile.ping_interval_s is not None:
        opened = now()
        result.keep_alive(Keepalive(profile, opened, opened - begun))
    return Link(result)


async def _handshake(
    url: str, headers: Mapping[str, str], *, profile: Profile, limits: PeerLimits, compression: str | None
) -> GuardedConnection | Redirect | Failure:
    local = is_loopback(urlsplit(url).hostname or "")
    proxy = proxy_for(url)
    if isinstance(proxy, Failure):
        return proxy
    if compression == "usual":
        compression = None if local else "deflate"
    factory = partial(_guarded, limits, profile)
    try:
        connection = await _OneHop(
            url,
            additional_headers=headers,
            user_agent_header=f"tes_nb/{__version__}",
            proxy=proxy,
            compression=compression,
            open_timeout=None,  # all hops together have one deadline
            max_size=limits.message_bytes,
            logger=QUIET,
            create_connection=cast("type[ClientConnection]", factory),
        )
    except InvalidStatus as error:
        response = error.response
        if response.status_code in REDIRECTS and "Location" in response.headers:
            return Redirect(response.headers["Location"])
        raise
    except (ProxyError, OSError) as error:
        if proxy is None or isinstance(error, TimeoutError):
            raise
        return Failure("network", f"the proxy {without_password(proxy)}: {_proxy_failure(error)}")
    return cast("GuardedConnection", connection)


def _proxy_failure(error: Exception) -> str:
    if isinstance(error, InvalidProxyStatus):
        return status_failure(error.response.status_code, error.response.headers).sentence
    failure = failure_of(error, 0.0)
    return (
        "it gives no answer of a proxy" if failure is None or failure.kind == "protocol" else failure.sentence
    )


def _guarded(limits: PeerLimits, profile: Profile, protocol: Any, **_usual: Any) -> GuardedConnection:
    return GuardedConnection(
        protocol, limits=limits, max_queue=_QUEUED_FRAMES, close_timeout=profile.close_timeout_s
    )


class _OneHop(library_connect):
    """The library's `connect` without its redirects: it would take our own headers to other hosts."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc
