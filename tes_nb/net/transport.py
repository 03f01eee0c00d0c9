"""One connection to one URL: a handshake that succeeds or says why not, then messages until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as library_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tes_nb._version import __version__
from tes_nb.errors import ConnectionFailed
from tes_nb.model import Opcode
from tes_nb.net.clock import now
from tes_nb.net.endpoints import is_loopback
from tes_nb.net.failures import MOST_REDIRECTS, REDIRECTS, failure_of, plain, redirect, unsendable
from tes_nb.net.guarded import LIMITS, GuardedConnection, Limits
from tes_nb.net.logs import QUIET
from tes_nb.wire.keepalive import Keepalive
from tes_nb.wire.lifecycle import Failure
from tes_nb.wire.profile import PROFILE, Profile

Take = Callable[[Opcode, bytes], None]
"""Called with each whole message, in order, in the loop."""
ABNORMAL = 1006
_QUEUED_FRAMES = 16


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

    async def receive(self, take: Take) -> Closed:
        """Hand every message to `take` until the connection ends; return how it ended. Never loses one."""
        receive = self._connection.recv
        try:
            while True:
                message = await receive()
                if isinstance(message, str):
                    take(Opcode.TEXT, message.encode())
                else:
                    take(Opcode.BINARY, message)
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
        if self._connection.given_up is not None:
            return Closed(*self._connection.given_up)
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
    limits: Limits = LIMITS,
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
            result = await _follow(url, headers or {}, profile, limits, compression)
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


async def _follow(
    url: str, headers: Mapping[str, str], profile: Profile, limits: Limits, compression: str | None
) -> GuardedConnection | Failure:
    for _ in range(MOST_REDIRECTS + 1):
        try:
            return await _handshake(url, headers, profile, limits, compression)
        except InvalidStatus as error:
            response = error.response
            if response.status_code not in REDIRECTS or "Location" not in response.headers:
                raise
            hop = redirect(url, response.headers["Location"], headers)
            if isinstance(hop, Failure):
                return hop
            url, headers = hop
    return Failure("redirect", f"the peer redirects more than {MOST_REDIRECTS} times")


async def _handshake(
    url: str, headers: Mapping[str, str], profile: Profile, limits: Limits, compression: str | None
) -> GuardedConnection:
    local = is_loopback(urlsplit(url).hostname or "")
    if compression == "usual":
        compression = None if local else "deflate"
    factory = partial(_guarded, limits, profile)
    connection = await _OneHop(
        url,
        additional_headers=headers,
        user_agent_header=f"tes_nb/{__version__}",
        proxy=None if local else True,
        compression=compression,
        open_timeout=None,  # all hops together have one deadline
        max_size=limits.message_bytes,
        logger=QUIET,
        create_connection=cast("type[ClientConnection]", factory),
    )
    return cast("GuardedConnection", connection)


def _guarded(limits: Limits, profile: Profile, protocol: Any, **_usual: Any) -> GuardedConnection:
    return GuardedConnection(
        protocol, limits=limits, max_queue=_QUEUED_FRAMES, close_timeout=profile.close_timeout_s
    )


class _OneHop(library_connect):
    """The library's `connect` without its redirects: it would take our own headers to other hosts."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc
