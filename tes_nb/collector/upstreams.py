"""Upstreams that are asked for while the collector runs. Watches of one endpoint share one connection."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tes_nb.collector.hub import Hub
from tes_nb.collector.options import Upstream
from tes_nb.errors import ArgumentError
from tes_nb.model import Stream, TokenSource
from tes_nb.model.control import (
    SubscribeResult,
    SubscribeSource,
    UnwatchResult,
    UnwatchSource,
    WatchResult,
    WatchSource,
)
from tes_nb.net.auth import TokenAuthorizer
from tes_nb.net.endpoints import Target, resolve
from tes_nb.net.outlet import Outlet
from tes_nb.net.reader import Reader
from tes_nb.net.renewing import RenewingReader
from tes_nb.streams import NAMES, all_streams, get
from tes_nb.wire.events import Event
from tes_nb.wire.profile import PROFILE


class UpstreamReader:
    """Reads a peer; every message and every event is stamped in the turn of the loop in which it came."""

    def __init__(self, upstream: Upstream, hub: Hub) -> None:
        """Make a reader that does nothing yet. Raises `ArgumentError` for what is no address."""
        self.stream = get(upstream.stream)
        self._source = upstream.source
        self._hub = hub
        outlet = Outlet(upstream.source, hub.stamp, self._event)
        token_source = self.stream.endpoint.token
        if token_source is None:
            target = resolve(self.stream, upstream.url, workers=upstream.workers_url, siblings=all_streams())
            channels = wire_names(self.stream, upstream.channels)
            self._reader: Reader | RenewingReader = Reader(
                self.stream, target, source=upstream.source, outlet=outlet, channels=channels
            )
        else:
            self._reader = self._token_reader(upstream, token_source, outlet)
        hub.topic(upstream.source)

    def _token_reader(self, upstream: Upstream, source: TokenSource, outlet: Outlet) -> RenewingReader:
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
            outlet=outlet,
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

    def _event(self, event: Event) -> None:
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


MOST_WATCHES = 64
_SOURCE_CHARACTERS = 64


@dataclass(slots=True, repr=False)
class _Endpoint:
    """One upstream and who wants what of it."""

    key: tuple[str | None, ...]
    upstream: Upstream
    reader: UpstreamReader
    after: int
    """The source's last record before."""
    note: str = ""
    wants: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Watch → the channels it asked for, in the wire's names."""

    def union(self) -> tuple[str, ...]:
        """All channels that any watch wants, each once, in the order in which they were first asked for."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(self.wants.values())))


class Watches:
    """The control operations `watch`, `unwatch` and `subscribe`."""

    def __init__(self, hub: Hub, upstreams: dict[str, UpstreamReader]) -> None:
        """`upstreams` (source → reader) are those of the start; readers that are asked for later join them."""
        self._hub = hub
        self._upstreams = upstreams
        self._endpoints: dict[str, _Endpoint] = {}
        self._ended: dict[str, tuple[str, str | None]] = {}
        """Sources whose numbers go on when they are watched again → what `about` says of them."""
        self._numbers = itertools.count(1)

    def about(self, source: str) -> tuple[str, str | None] | None:
        """Return a watched source's stream and address, without its query; `None` = it was never watched."""
        endpoint = self._endpoints.get(source)
        if endpoint is None:
            return self._ended.get(source)
        address = endpoint.upstream.url or endpoint.reader.stream.endpoint.path
        return endpoint.upstream.stream, address.partition("?")[0]

    def note(self, source: str) -> str:
        """Return what must be known about a source's data; "" = nothing."""
        endpoint = self._endpoints.get(source)
        return "" if endpoint is None else endpoint.note

    async def watch(self, operation: WatchSource) -> WatchResult:
        """Read an endpoint."""
        if operation.stream not in NAMES:
            raise ValueError(f"There is no stream '{operation.stream}'; there are {', '.join(NAMES)}.")
        if not all("!" <= character <= "~" for character in operation.token or ""):
            raise ArgumentError("The token has characters that cannot travel in a header; it was not used.")
        key = (operation.stream, operation.url, operation.token_url, operation.auth, operation.token)
        endpoint = next((one for one in self._endpoints.values() if one.key == key), None)
        number = next(self._numbers)
        if endpoint is None:
            endpoint = await self._begin(operation, key, number)
        else:
            names = None if operation.channels is None else tuple(operation.channels)
            endpoint.wants[number] = wire_names(endpoint.reader.stream, names) or ()
            await self._ask(endpoint)
        return WatchResult(number, endpoint.upstream.source, endpoint.after, list(endpoint.union()))

    async def _begin(self, operation: WatchSource, key: tuple[str | None, ...], number: int) -> _Endpoint:
        if len(self._endpoints) >= MOST_WATCHES:
            raise ValueError(f"{MOST_WATCHES} endpoints are watched already; end one with unwatch.")
        source = self._free_name(operation.source or operation.stream)
        upstream = Upstream(
            source=source,
            stream=operation.stream,
            url=operation.url or "",
            token_url=operation.token_url,
            auth=operation.auth,
            token=operation.token,
            channels=None if operation.channels is None else tuple(operation.channels),
        )
        reader = UpstreamReader(upstream, self._hub)
        after = self._hub.topic(source).log.last
        endpoint = _Endpoint(key, upstream, reader, after, operation.note or "", {number: reader.channels})
        self._endpoints[source] = endpoint
        self._upstreams[source] = reader
        self._ended.pop(source, None)
        await reader.start()
        return endpoint

    def _free_name(self, base: str) -> str:
        """Return the name, with a number behind it when another endpoint has it already."""
        if not base.replace("-", "").replace("_", "").replace(".", "").isalnum() or not base.isascii():
            raise ValueError("'source' must be made of letters, digits, '-', '_' and '.'.")
        if len(base) > _SOURCE_CHARACTERS:
            raise ValueError(f"'source' must have at most {_SOURCE_CHARACTERS} characters.")
        names = itertools.chain([base], (f"{base}_{count}" for count in itertools.count(2)))
        return next(name for name in names if name in self._ended or name not in self._hub.topics)

    async def unwatch(self, operation: UnwatchSource) -> UnwatchResult:
        """End the watch of that number; the last watch of an endpoint ends its connection."""
        number = operation.watch
        endpoint = next((one for one in self._endpoints.values() if number in one.wants), None)
        if endpoint is None:
            raise ValueError("There is no such watch; it may have ended already.")
        source = endpoint.upstream.source
        del endpoint.wants[number]
        if endpoint.wants:
            await self._ask(endpoint)
            return UnwatchResult(ended=False, channels=list(endpoint.union()))
        about = self.about(source)
        del self._endpoints[source], self._upstreams[source]
        await endpoint.reader.stop()
        topic = self._hub.topic(source)
        topic.log.clear()
        topic.gap = topic.state = (
            None  # no reader waits for it any more, and no recording that begins is to hold it
        )
        if about is not None:
            self._ended[source] = about
        return UnwatchResult(ended=True, channels=[])

    async def subscribe(self, operation: SubscribeSource) -> SubscribeResult:
        """Ask the peer of a source for exactly these names, whoever asked for others before."""
        source = operation.source
        reader = self._upstreams.get(source)
        if reader is None:
            raise ValueError(f"There is no upstream called {source!r} here.")
        await reader.subscribe(operation.names)
        if source in self._endpoints:
            wants = self._endpoints[source].wants
            wants.update(dict.fromkeys(wants, reader.channels))
        return SubscribeResult(list(reader.channels))

    async def _ask(self, endpoint: _Endpoint) -> None:
        """Ask for all channels that any watch wants, unless those were asked for already."""
        union = endpoint.union()
        if set(union) != set(endpoint.reader.channels):
            await endpoint.reader.subscribe(union)
