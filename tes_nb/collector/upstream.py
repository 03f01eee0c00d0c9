"""One upstream connection of the collector: a peer's stream on its way into the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from tes_nb.collector.hub import Hub
from tes_nb.collector.options import Upstream
from tes_nb.errors import ArgumentError
from tes_nb.model import Stream, TokenSource
from tes_nb.net.auth import TokenAuthorizer
from tes_nb.net.endpoints import Target, resolve
from tes_nb.net.reader import Reader
from tes_nb.net.renewing import RenewingReader
from tes_nb.streams import all_streams, get
from tes_nb.wire.events import Event
from tes_nb.wire.profile import PROFILE


class UpstreamReader:
    """Reads a peer; every message and every event is stamped in the turn of the loop in which it came."""

    def __init__(self, upstream: Upstream, hub: Hub) -> None:
        """Make a reader that does nothing yet. Raises `ArgumentError` for what is no address."""
        self.stream = get(upstream.stream)
        self._source = upstream.source
        self._hub = hub
        source = self.stream.endpoint.token
        if source is None:
            self._reader: Reader | RenewingReader = self._open_reader(upstream)
        else:
            self._reader = self._token_reader(upstream, source)
        hub.topic(upstream.source)

    def _open_reader(self, upstream: Upstream) -> Reader:
        """A peer that wants no token."""
        target = resolve(self.stream, upstream.url, workers=upstream.workers_url, siblings=all_streams())
        channels = wire_names(self.stream, upstream.channels)
        return Reader(self.stream, target, source=self._source, sink=self, channels=channels)

    def _token_reader(self, upstream: Upstream, source: TokenSource) -> RenewingReader:
        """A peer that wants a fresh token for each connection. It is read at one address and no other."""
        url = _websocket(upstream.url or self.stream.endpoint.path)
        source = replace(
            source,
            url=_http(upstream.token_url or source.url),
            auth=upstream.auth or source.auth,
        )
        authorizer = TokenAuthorizer(
            source,
            fixed=upstream.token,
            channels=lambda: self._reader.channels,
            ahead_s=PROFILE.renew_ahead_s,
        )
        return RenewingReader(
            self.stream,
            Target((url,)),
            source=self._source,
            sink=self,
            authorize=authorizer,
            channels=wire_names(self.stream, upstream.channels),
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """What is asked for, in the wire's names."""
        return self._reader.channels or ()

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._reader.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._reader.stop()

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for these names, now and after each reconnect. Raises ValueError for what is no name."""
        resolved = wire_names(self.stream, tuple(names))
        await self._reader.subscribe(resolved or ())

    def received(self, direction: int, opcode: int, payload: bytes, conn: int, flags: int) -> None:
        """Take a message of either direction."""
        self._hub.stamp(self._source, payload, opcode=opcode, direction=direction, conn=conn, flags=flags)

    def event(self, event: Event) -> None:
        """Take a gap or a change of state."""
        self._hub.event(self._source, event, conn=getattr(event, "conn", 0))


def wire_names(stream: Stream, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the wire's names for the user's, those that are usual for none; `None` = leave it to the peer.

    Raises ValueError for what is no name.
    """
    return names if stream.resolve_names is None else stream.resolve_names(names or ())


def _websocket(url: str) -> str:
    if urlsplit(url).scheme not in ("ws", "wss") or not urlsplit(url).hostname:
        raise ArgumentError(f"'{url.partition('?')[0]}' is no WebSocket address: give ws://… or wss://….")
    return url


def _http(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ArgumentError(f"'{url.partition('?')[0]}' is no address of a token source: give https://….")
    return url
