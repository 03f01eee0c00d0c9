"""aiohttp's HTTP connection, except for what it says about requests that are none."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from tes_nb.collector.answers import sentence
from tes_nb.collector.guard import SECURITY_HEADERS

logger = logging.getLogger("tes_nb.collector")


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
