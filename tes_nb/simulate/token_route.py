"""The token endpoint: `GET /ajax/getwebsockettoken?rnum=…`."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from tes_nb.simulate.service import Service, refusal
from tes_nb.simulate.tokens import missing_header

HANG_S = 60.0
DRIP_BYTES_S = 10


class TokenRoute:
    """Answers with a token, or with what a fault puts in its place."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer the request for a token."""
        service = self._service
        if "rnum" not in request.query:
            return web.Response(status=400, text="The query field rnum is missing.\n")
        missing = missing_header(dict(request.headers)) if service.options.strict_headers else None
        if missing is not None:
            return web.Response(status=403, text=f"A token needs the header {missing}\n")
        fault = service.board.take_any("token", asyncio.get_running_loop().time())
        name = "" if fault is None else fault.fault
        if fault is not None and name == "token_status":
            return refusal(fault, 503)
        if fault is not None and name == "token_hang":
            await _hang(request, fault.seconds or HANG_S)
        body = service.tokens.body(fault, service.now())
        if name == "token_drip":
            return await _drip(request, body)
        return web.Response(text=body, content_type="text/html" if name == "token_html" else "text/plain")


async def _hang(request: web.Request, seconds: float) -> None:
    """Wait so long, or until the client has gone."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    transport = request.transport
    while loop.time() < end and transport is not None and not transport.is_closing():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(min(0.05, end - loop.time()))


async def _drip(request: web.Request, body: str) -> web.StreamResponse:
    """Answer at 10 bytes a second."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # few clients wait that long
        for letter in body.encode():
            await response.write(bytes((letter,)))
            await asyncio.sleep(1 / DRIP_BYTES_S)
        await response.write_eof()
    return response
