"""Clients for the tests of the stand-in: real sockets, and a reader that keeps the loss ledger's side."""

import asyncio
import contextlib
import gzip
import json
import time
import zlib
from urllib.parse import urlencode

import aiohttp
import websockets

from tes_nb.simulate import Options, number_in, serve
from tes_nb.simulate.service import HEADERS
from tes_nb.wire.events import Gap

ALL = ["change_xml", "ch_goal8_xml", "nba_change_xml", "ch_nbaGoal8_xml", "tes_ticks_xml"]


@contextlib.asynccontextmanager
async def stand_in(**options):
    """A stand-in on a free port, quick and not skewed unless told otherwise."""
    server = await serve(Options(**({"speed": 200.0, "matches": 4, "games": 1} | options)))
    try:
        yield server
    finally:
        await server.stop()


async def http(method, url, **kwargs):
    """Return (status, headers, body as bytes) of one request."""
    async with aiohttp.ClientSession() as client, client.request(method, url, **kwargs) as answer:
        return answer.status, answer.headers, await answer.read()


async def ask_token(server, **headers):
    return await http("GET", f"{server.token_url}?rnum=0.5", headers=HEADERS | headers)


async def token_of(server):
    status, _, body = await ask_token(server)
    assert status == 200, body
    return body.decode()


def connect(server, token, *, subscriber="tests", **kwargs):
    """Connect to /ws; `async with` or `await` it."""
    headers = {"Authorization": f"Bearer {token}", "X-Simulated-Subscriber": subscriber}
    return websockets.connect(
        server.url, additional_headers=headers, proxy=None, compression=None, close_timeout=1, **kwargs
    )


def connect_stream(server, token, channels, subscriber="tests"):
    """Connect to /stream, with the doubled & of the site's own page."""
    url = f"{server.stream_url}?channels={','.join(channels)}&&token={token}&subscriber={subscriber}"
    return websockets.connect(url, proxy=None, compression=None, close_timeout=1)


async def want(ws, channels=ALL):
    await ws.send(json.dumps({"type": 0, "channels": list(channels)}))


def inflate(message):
    """Return the text of a message in any of the five forms."""
    if isinstance(message, str):
        return message.encode()
    if message[:2] == b"\x1f\x8b":
        return gzip.decompress(message)
    if message[:1] == b"\x78":
        return zlib.decompress(message)
    return message if message[:1] in (b"<", b"{", b"[") else zlib.decompress(message, -15)


async def data(ws, count):
    """Return the texts of the next `count` data messages."""
    texts = []
    while len(texts) < count:
        message = await ws.recv()
        if message != "ok":
            texts.append(inflate(message))
    return texts


async def get_json(server, path, **query):
    status, _, body = await http("GET", f"{server.http}{path}?{urlencode(query)}")
    assert status == 200, body
    return json.loads(body)


class Reader:
    """Reconnects at once, after anything; notes what it received and its gaps. Not a client to copy."""

    def __init__(self, server, subscriber="reader"):
        self.received = []
        self.gaps = []
        self._server = server
        self._subscriber = subscriber
        self._open_gap = None
        self._last_ns = None

    async def run(self):
        while True:
            try:
                await self._one_connection()
                cause = "closed"
            except (OSError, AssertionError, aiohttp.ClientError, websockets.WebSocketException) as error:
                cause = repr(error)
            if self._open_gap is None and self._last_ns is not None:
                self._open_gap = (time.time_ns(), cause)
            await asyncio.sleep(0.02)

    async def _one_connection(self):
        token = await token_of(self._server)
        if token.count(".") != 2:
            raise OSError("no token")
        async with connect(self._server, token, subscriber=self._subscriber, open_timeout=2) as ws:
            await want(ws)
            async for message in ws:
                self._receive(message)

    def _receive(self, message):
        try:
            number = number_in(inflate(message))
        except (zlib.error, EOFError, OSError):
            return
        if number is None:
            return
        now = time.time_ns()
        if self._open_gap is not None:
            lost_at, cause = self._open_gap
            self.gaps.append(Gap(1, self._last_ns, lost_at, now, cause))
            self._open_gap = None
        self._last_ns = now
        self.received.append((number, now))
