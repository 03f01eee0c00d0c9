"""The HTTP half of a produced stream: its current content, for polling peers and curl."""

from __future__ import annotations

import msgspec
from aiohttp import web

from tes_nb.collector.answers import sentence
from tes_nb.collector.channel import Channel
from tes_nb.collector.guard import Handler
from tes_nb.model import HttpHalf


def http_half(half: HttpHalf, channel: Channel) -> Handler:
    """Return the handler of one GET route."""

    async def handler(request: web.Request) -> web.Response:
        del request
        try:
            body = msgspec.json.encode(half.bare(channel.current()))
        except (KeyError, TypeError):  # a replay of a peer with another form
            return sentence(503, "The newest message has no such part; read the stream itself.")
        return web.Response(
            body=body, content_type="application/json", charset="utf-8", headers=dict(half.headers)
        )

    return handler
