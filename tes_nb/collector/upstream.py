"""One upstream connection of the collector: a peer's stream on its way into the hub."""

from __future__ import annotations

from collections.abc import Sequence

from tes_nb.collector.hub import Hub
from tes_nb.collector.options import Upstream
from tes_nb.net.endpoints import resolve
from tes_nb.net.reader import Reader
from tes_nb.streams import all_streams, get
from tes_nb.wire.events import Event


class UpstreamReader:
    """Reads a peer; every message and every event is stamped in the turn of the loop in which it came."""

    def __init__(self, upstream: Upstream, hub: Hub) -> None:
        stream = get(upstream.stream)
        self._source = upstream.source
        self._hub = hub
        hub.topic(upstream.source)
        target = resolve(stream, upstream.url, workers=upstream.workers_url, siblings=all_streams())
        self._reader = Reader(stream, target, source=upstream.source, sink=self)

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._reader.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._reader.stop()

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for these names, now and after each reconnect."""
        await self._reader.subscribe(names)

    def received(self, direction: int, opcode: int, payload: bytes, conn: int, flags: int) -> None:
        """Take a message of either direction."""
        self._hub.stamp(self._source, payload, opcode=opcode, direction=direction, conn=conn, flags=flags)

    def event(self, event: Event) -> None:
        """Take a gap or a change of state."""
        self._hub.event(self._source, event, conn=getattr(event, "conn", 0))
