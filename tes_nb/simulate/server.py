"""The stand-in as an aiohttp application: routes, background tasks, and the label on every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate

from aiohttp import web

from tes_nb.simulate.desk import Desk
from tes_nb.simulate.options import LOOPBACK
from tes_nb.simulate.service import CLIENT_MESSAGE_LIMIT, GREETING, LABEL, Service
from tes_nb.simulate.socket_route import SocketRoute
from tes_nb.simulate.token_route import TokenRoute

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(service: Service) -> web.Application:
    """Return the application that serves these parts."""
    app = web.Application(middlewares=[_loopback_only], client_max_size=CLIENT_MESSAGE_LIMIT)
    socket, desk = SocketRoute(service), Desk(service)
    app.add_routes(
        [
            web.get("/", desk.hello),
            web.get("/ajax/getwebsockettoken", TokenRoute(service).get),
            web.get("/ws", socket.get),
            web.get("/stream", socket.get),
            web.get("/roster", desk.roster),
            web.get("/ledger", desk.ledger),
            web.get("/faults", desk.list_faults),
            web.post("/faults", desk.post_faults),
            web.delete("/faults", desk.clear_faults),
        ]
    )

    async def label(_: web.Request, response: web.StreamResponse) -> None:
        response.headers[LABEL] = GREETING
        response.headers["Date"] = formatdate(service.now(), usegmt=True)
        response.headers.setdefault("Cache-Control", "no-store")

    async def background(_: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(service.pump.run()), loop.create_task(_keep_alive(service))]
        for fault in service.options.faults:
            service.striker.post(fault)
        yield
        await service.striker.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app.on_response_prepare.append(label)
    app.cleanup_ctx.append(background)
    return app


async def _keep_alive(service: Service) -> None:
    while True:
        await asyncio.sleep(service.options.keepalive_s)
        service.hub.keep_alive()


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other hosts' names (DNS rebinding), and changes that a web page may send without asking."""
    if (request.url.host or "") not in LOOPBACK:
        return web.Response(status=421, text="This stand-in answers only to localhost.\n")
    if request.method != "GET" and "Origin" in request.headers:
        return web.Response(status=403, text="A web page may not change faults.\n")
    return await handler(request)
