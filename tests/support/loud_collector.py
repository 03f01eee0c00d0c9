"""The collector as a child process, with two routes more: a stream of 10 MB/s, and an echo.

python -m tests.support.loud_collector
"""

from __future__ import annotations

import contextlib
import sys

from aiohttp import WSMsgType, web

from tes_nb.collector import child
from tes_nb.collector.app import Collector
from tes_nb.collector.http.guard import Access
from tes_nb.collector.http.sockets import messages
from tes_nb.collector.produced import Channel
from tes_nb.model import Endpoint, Kind, Producer, Stream

LOUD = "/ws/loud/live"
ECHO = "/ws/echo"
LOUD_BYTES = 100_000
LOUD_PERIOD_S = 0.01
"""Pass it as the collector's `period_s`: the loud stream is the fastest one."""


def _build(observation) -> dict:
    return {"type": "loud", "timestamp": observation.wall_ms, "filler": "x" * LOUD_BYTES}


LOUD_PRODUCER = Producer(build=_build, period_s=LOUD_PERIOD_S)
LOUD_STREAM = Stream(
    name="loud",
    doc="As much as a busy feed.",
    endpoint=Endpoint("status", LOUD),
    tables=(),
    main="",
    period_s=LOUD_PERIOD_S,
    decode=lambda message: None,
    classify=lambda message: Kind.DATA,
    producer=LOUD_PRODUCER,
)


class LoudCollector(Collector):
    """The collector under test, unchanged but for what it offers."""

    def _channels(self):
        loud = Channel(LOUD_STREAM, LOUD_PRODUCER, self.hub, self.observer.observe)
        return {"loud": loud, **super()._channels()}

    def _fill_tables(self):
        super()._fill_tables()
        self.tables["status"].socket(ECHO, self._echo, Access.OPEN)

    async def _echo(self, request):
        """Send back what comes: what the Autobahn cases expect of a server."""
        socket = await self.sockets.admit(request)
        if isinstance(socket, web.Response):
            return socket
        try:
            with contextlib.suppress(ConnectionError):
                async for message in messages(socket, trusted=True):
                    if message.type is WSMsgType.TEXT:
                        await socket.send_str(message.data)
                    else:
                        await socket.send_bytes(message.data)
        finally:
            self.sockets.release(socket)
        return socket


if __name__ == "__main__":
    child.Collector = LoudCollector
    sys.exit(child.main())
