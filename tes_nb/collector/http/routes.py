"""The route table: every route says what it asks for, so that none is open by accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Middleware

from tes_nb.collector.http.guard import (
    SECURITY_HEADERS,
    Access,
    Guard,
    Handler,
    is_own,
    sentence,
)
from tes_nb.collector.logs import logger
from tes_nb.collector.samplers.http_window import HttpWindow
from tes_nb.model.operation import TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path."""

    method: str
    path: str
    handler: Handler
    access: Access


@dataclass(slots=True)
class RouteTable:
    """The routes of one port."""

    routes: list[Route] = field(default_factory=list)

    def get(self, path: str, handler: Handler, access: Access) -> None:
        """Add a GET route, and HEAD for the same."""
        self.routes.append(Route("GET", path, handler, access))
        self.routes.append(Route("HEAD", path, handler, access))

    def socket(self, path: str, handler: Handler, access: Access) -> None:
        """Add a WebSocket."""
        self.routes.append(Route("GET", path, handler, access))

    def post(self, path: str, handler: Handler, access: Access) -> None:
        """Add a POST route."""
        self.routes.append(Route("POST", path, handler, access))

    def application(
        self, guard: Guard, window: HttpWindow, max_body: int, changed: Callable[[], None]
    ) -> web.Application:
        """Return the aiohttp application that serves exactly these routes, guarded and measured.

        changed: called when a request begins or ends.
        """
        access = {(route.method, route.path): route.access for route in self.routes}
        app = web.Application(
            middlewares=[_headers(guard), _measured(window, changed), _guarded(guard, access)],
            client_max_size=max_body,
        )
        for route in self.routes:
            app.router.add_route(route.method, route.path, route.handler)
        return app


def _route_of(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical


def _headers(guard: Guard) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = _http_error(error)
        except Exception:
            logger.exception("%s %s failed", request.method, _route_of(request))
            response = sentence(500, "The collector failed on this request; its log says more.")
        if not response.prepared:
            _add_headers(request, response, guard)
        return response

    return middleware


def _http_error(error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        return error
    text = {
        404: "There is nothing at this path.",
        405: "This path does not take that method.",
        413: "The request's body is too large.",
    }
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return sentence(error.status, text.get(error.status, error.reason), allow)


def _add_headers(request: web.Request, response: web.StreamResponse, guard: Guard) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "tes_nb"
    origin = request.headers.get("Origin")
    if origin is not None and origin in guard.origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"


def _measured(window: HttpWindow, changed: Callable[[], None]) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        if is_socket or is_own(request):
            return await handler(request)
        started = window.begin()
        changed()
        status: int | None = None  # the client left before its answer
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception:
            status = 500
            raise
        finally:
            window.end(started, route=_route_of(request), status=status)
            changed()
        return response

    return middleware


def _guarded(guard: Guard, access: dict[tuple[str, str], Access]) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # What is in no table has no handler either: aiohttp answers 404 or 405 by itself.
        needed = access.get((request.method, _route_of(request) or ""), Access.OPEN)
        refusal = guard.refuse(request, needed)
        if refusal is not None:
            return refusal
        # another method may be served at this path
        is_path = not isinstance(request.match_info.http_exception, web.HTTPNotFound)
        if request.method == "OPTIONS" and is_path:
            return _preflight(request)
        return await handler(request)

    return middleware


def _preflight(request: web.Request) -> web.Response:
    if "Origin" not in request.headers:
        raise web.HTTPMethodNotAllowed("OPTIONS", ["GET", "POST"])
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": f"{TOKEN_HEADER}, Content-Type",
            "Access-Control-Max-Age": "600",
        },
    )
