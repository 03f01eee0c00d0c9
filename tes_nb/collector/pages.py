"""What a browser finds: the collector's own page, its static files, health, Prometheus text, the list of streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from aiohttp import web

from tes_nb._version import __version__
from tes_nb.collector.answers import json_answer, sentence
from tes_nb.collector.exposition import scrape
from tes_nb.collector.guard import Access
from tes_nb.collector.routes import RouteTable
from tes_nb.model import Observation, Stream

STATIC = Path(__file__).resolve().parents[1] / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Shown:
    """A source that the page shows."""

    source: str
    stream: Stream
    made_here: bool
    """Whether our own samplers make it, so that it has its own endpoint in plain JSON; else it is decoded here."""
    origin: str | None = None
    """The peer's address, without its query; `None` = there is no peer."""
    note: str = ""
    """What everybody must know who looks at the data; "" = nothing."""


def page_routes(
    tables: Mapping[str, RouteTable],
    observe: Callable[[], Observation],
    ports: tuple[int, int],
    sources: Callable[[], Iterable[Shown]],
) -> None:
    """Add the pages to both ports (health) or the status port (all else). sources: what a page shows now."""
    files = _static_files()

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

    async def streams(request: web.Request) -> web.Response:
        del request
        return json_answer([_told(shown, ports) for shown in sources()])

    status = tables["status"]
    status.get("/", index, Access.SHELL)
    status.get("/static/{name}", static, Access.SHELL)
    status.get("/metrics", metrics, Access.OPEN)
    status.get("/api/streams", streams, Access.OPEN)
    for table in tables.values():
        table.get("/health", health, Access.OPEN)


def _static_files() -> dict[str, Path]:
    """The files that may be asked for, by name: what is not in this list does not exist."""
    found = [*STATIC.glob("*.*"), *STATIC.glob("dist/*.*")]
    return {path.name: path for path in found if path.suffix in TYPES}


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


def _told(shown: Shown, ports: tuple[int, int]) -> dict[str, Any]:
    """A source's description, for pages that draw any stream."""
    stream = shown.stream
    if shown.made_here:
        port, path = ports[0 if stream.endpoint.port == "status" else 1], stream.endpoint.path
    else:
        port, path = ports[0], f"/ws/rows/{shown.source}"
    return {
        "name": shown.source,
        "stream": stream.name,
        "doc": stream.doc,
        "origin": shown.origin,
        "note": shown.note,
        "port": port,
        "path": path,
        "form": "plain" if shown.made_here else "rows",
        "period_s": stream.period_s if math.isfinite(stream.period_s) else None,
        "main": stream.main,
        "tables": [
            {
                "name": table.name,
                "key": list(table.key),
                "plot": list(table.plot),
                "complete": table.complete,
                "columns": [
                    {"name": c.name, "dtype": c.dtype, "unit": c.unit, "kind": c.kind, "doc": c.doc}
                    for c in table.columns
                ],
            }
            for table in stream.tables
        ],
    }
