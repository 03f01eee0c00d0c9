"""What a browser finds: the collector's own page, its static files, health, Prometheus text, the list of streams."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from tes_nb._version import __version__
from tes_nb.collector.http.exposition import scrape
from tes_nb.collector.http.guard import Access, Handler, json_answer, sentence
from tes_nb.collector.http.routes import RouteTable
from tes_nb.collector.produced import Channel
from tes_nb.model import HttpHalf, Observation, Stream
from tes_nb.model.view_control import ControlStates
from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.first_views import FirstView, ViewPart, first_views
from tes_nb.streams.row_actions import actions_spec

# TES_PUBLIC_URL             https://hub.example.org, where browsers find the hub; else JUPYTERHUB_PUBLIC_URL
# TES_ALLOWED_HOSTS          further host names that may stand in the Host header, separated by commas
# JUPYTERHUB_SERVICE_PREFIX  /user/me/, which the hub sets by itself

PUBLIC = ("TES_PUBLIC_URL", "JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL")
USUAL_PORTS = {"http": 80, "https": 443}


def allowed_hosts(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the Host headers allowed beside the loopback ones: `TES_ALLOWED_HOSTS`, and the public host."""
    named = [name.strip() for name in environ.get("TES_ALLOWED_HOSTS", "").split(",")]
    origin = public_origin(environ)
    if origin is not None:
        named.append(origin.partition("://")[2])
    return tuple(dict.fromkeys(name for name in named if name))


def public_origins(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the origins of pages that come through the hub; a host without a scheme counts as https."""
    origin = public_origin(environ)
    named = [f"https://{host}" for host in allowed_hosts(environ)]
    if origin is not None:
        named = [origin, *(one for one in named if one.partition("://")[2] != origin.partition("://")[2])]
    return tuple(named)


def public_origin(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the hub's own origin, as a browser writes it; `None` = it is not configured where browsers find it."""
    for name in PUBLIC:
        try:
            parts = urlsplit(environ.get(name, "").strip())
            port = parts.port
        except ValueError:
            continue
        if parts.scheme in USUAL_PORTS and parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            usual = port in (None, USUAL_PORTS[parts.scheme])
            return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"
    return None


def page_url(port: int, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address at which a browser opens the page of the collector on this port.

    Behind a hub this is `…/user/me/proxy/3002/`, from the hub's own origin if that is known, else as a path of
    it; without jupyter-server-proxy the page can be reached on the machine alone.
    """
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX", "").strip()
    if not prefix.startswith("/") or not has_proxy():
        return f"http://127.0.0.1:{port}/"
    return f"{public_origin(environ) or ''}{prefix.rstrip('/')}/proxy/{port}/"


def has_proxy() -> bool:
    """Whether jupyter-server-proxy is installed beside this kernel, which is where the hub's server usually is."""
    return importlib.util.find_spec("jupyter_server_proxy") is not None


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


STATIC = Path(__file__).resolve().parents[2] / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class PageSource:
    """A source that the page shows."""

    source: str
    stream: Stream
    is_produced: bool
    """Whether our own samplers make it, so that it has an endpoint in plain JSON, too."""
    origin: str | None = None
    """The peer's address, without its query; `None` = there is no peer."""
    note: str = ""
    """What everybody must know who looks at the data; "" = nothing."""


def page_routes(
    tables: Mapping[str, RouteTable],
    observe: Callable[[], Observation],
    ports: tuple[int, int],
    sources: Callable[[], Iterable[PageSource]],
    controls: Callable[[], ControlStates],
    *,
    notebook: bool,
) -> None:
    """Add the pages to both ports (health) or the status port (all else).

    sources: what a page shows now. controls: what its buttons can do now. notebook: whether the sources show a
    notebook's own process.
    """
    paths = [*STATIC.glob("*.*"), *STATIC.glob("dist/*.*")]
    # what is not in this list does not exist
    files = {path.name: path for path in paths if path.suffix in TYPES}

    async def index(request: web.Request) -> web.Response:
        del request
        return _file("index.html", files) if "index.html" in files else _plain_index(tables, ports)

    async def static(request: web.Request) -> web.Response:
        return _file(request.match_info["name"], files)

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(body=await scrape(observe()), headers={"Content-Type": PROMETHEUS})

    async def health(request: web.Request) -> web.Response:
        del request
        return json_answer({"status": "ok", "server": "tes_nb", "version": __version__})

    async def views(request: web.Request) -> web.Response:
        del request
        shown = {one.source: one.stream for one in sources()}
        return json_answer(
            [_describe_view(view, parts) for view, parts in first_views(shown, notebook=notebook)]
        )

    async def states(request: web.Request) -> web.Response:
        del request
        return json_answer(controls())

    async def streams(request: web.Request) -> web.Response:
        del request
        return json_answer([_describe(source, ports) for source in sources()])

    status = tables["status"]
    status.get("/", index, Access.SHELL)
    status.get("/static/{name}", static, Access.SHELL)
    status.get("/metrics", metrics, Access.OPEN)
    status.get("/api/streams", streams, Access.OPEN)
    status.get("/api/views", views, Access.OPEN)
    status.get("/api/controls", states, Access.OPEN)
    for table in tables.values():
        table.get("/health", health, Access.OPEN)


def _file(name: str, files: Mapping[str, Path]) -> web.Response:
    path = files.get(name)
    if path is None:
        return sentence(404, "There is no such file here.")
    return web.Response(
        body=path.read_bytes(),
        content_type=TYPES[path.suffix],
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


def _plain_index(tables: Mapping[str, RouteTable], ports: tuple[int, int]) -> web.Response:
    """A page without style or script that lists what there is: for an installation without the front end."""
    items = [
        f"<li>{escape(route.method)} <code>http://127.0.0.1:{port}{escape(route.path)}</code>"
        f"{' (needs the token)' if route.access is not Access.OPEN else ''}</li>"
        for table, port in zip(tables.values(), ports, strict=True)
        for route in table.routes
        if route.method != "HEAD"
    ]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>tes_nb</title><h1>tes_nb</h1>"
        "<p>This collector runs, but its front end is not part of this installation. It answers at:</p>"
        f"<ul>{''.join(items)}</ul></html>"
    )
    return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-store"})


def _describe_view(view: FirstView, parts: Iterable[tuple[str, ViewPart]]) -> dict[str, Any]:
    return {
        "name": view.name,
        "title": view.title,
        "question": view.question,
        "parts": [
            {
                "kind": part.kind,
                "source": source,
                "table": part.table,
                "columns": part.columns,
                "spec": part.spec(),
            }
            for source, part in parts
        ],
    }


def _describe(source: PageSource, ports: tuple[int, int]) -> dict[str, Any]:
    """A source's description, for pages that draw any stream."""
    stream, endpoint = source.stream, source.stream.endpoint
    plain = {"port": ports[0 if endpoint.port == "status" else 1], "path": endpoint.path}
    return {
        "name": source.source,
        "stream": stream.name,
        "doc": stream.doc,
        "origin": source.origin,
        "note": source.note,
        "path": f"/ws/rows/{source.source}",
        "plain": plain if source.is_produced else None,
        "period_s": stream.period_s if math.isfinite(stream.period_s) else None,
        "main": stream.main,
        "tables": [
            {
                "name": table.name,
                "key": list(table.key),
                "plot": list(table.plot),
                "complete": table.complete,
                "empty": table.empty,
                "first": list(table.first),
                "actions": actions_spec(table) if source.is_produced else [],
                "moves": [
                    {"column": json_columns([move.column])[0], "places": [*map(table.names.index, move.of)]}
                    for move in table.moves
                ],
                "events": stream.holds_events(table),
                "label": list(table.label or table.key),
                "panel_by": table.panel_by,
                "unit_by": table.unit_by,
                "undrawn": table.undrawn,
                "columns": json_columns(table.columns),
            }
            for table in stream.tables
        ],
    }
