"""The collector's own page in Chromium: real collectors, and a made-up one with a stream nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from aiohttp import web

from tests.browser.conftest import PICTURES
from tests.support.browser import STATIC, until
from tests.support.collectors import TOKEN, child
from tests.support.hostile import HOSTILE

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
LIVE = (
    "(states => states.length > 0 && states.every((s) => s.textContent === '%s'))"
    "([...document.querySelectorAll('[role=tabpanel]:not([hidden]) .tes-view:not([hidden]) .tes-state')])"
)


class Page:
    """The page in a browser, and what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self.note)
        page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: self.foreign.append(asked.url) if "evil" in asked.url else None)

    def note(self, said: Any) -> None:
        gone = "ERR_CONNECTION_REFUSED" in said.text or "WebSocket connection" in said.text
        if said.type == "error" and not gone:
            self.errors.append(said.text)

    def all_say(self, word: str, seconds: float = 15) -> None:
        until(self.page, LIVE % word, seconds=seconds)

    def tab(self, name: str) -> None:
        self.page.click(f"role=tab[name='{name}']")

    def controls(self) -> str:
        return self.page.locator(".tes-controls [role=status]").text_content() or ""

    def outcome(self, part: str) -> None:
        until(
            self.page,
            "(part) => document.querySelector('.tes-controls [role=status]').textContent.includes(part)",
            arg=part,
        )


@contextmanager
def opened(browser: Any, url: str, **given: Any) -> Iterator[Page]:
    given.setdefault("viewport", {"width": 1200, "height": 900})
    with closing(browser.new_context(**given)) as context:
        one = Page(context.new_page())
        one.page.goto(url)
        yield one
        assert one.errors == []
        assert one.foreign == []


@pytest.fixture(scope="module")
def collector():
    with child() as one:
        yield one


@pytest.fixture
def url(collector) -> str:
    return f"http://127.0.0.1:{collector.ports[0]}/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_is_live_and_accessible(browser, url, scheme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci")
    with opened(browser, url, color_scheme=scheme) as one:
        one.all_say("LIVE")
        names = one.page.locator("[role=tab]").all_text_contents()
        assert names == ["My TES", "Lanes", "status", "workers", "metrics", "Inspector"]
        one.page.evaluate(AXE.read_text())
        for name in names:
            one.tab(name)
            time.sleep(0.4)
            PICTURES.mkdir(parents=True, exist_ok=True)
            one.page.screenshot(path=PICTURES / f"page-{name.lower()}-{scheme}.png", full_page=True)
            found = one.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
            serious = [
                (fault["id"], [node["target"] for node in fault["nodes"]][:3])
                for fault in found
                if fault["impact"] in ("serious", "critical")
            ]
            assert serious == [], name


def test_values_move_and_the_tab_is_remembered(browser, url):
    with opened(browser, url) as one:
        one.all_say("LIVE")
        uptime = ".tes-card:has-text('Others') .tes-item:has-text('uptime') .tes-now"
        first = one.page.text_content(uptime)
        until(
            one.page,
            "([selector, first]) => [...document.querySelectorAll('.tes-item')]"
            ".find((item) => item.textContent.startsWith('uptime')).textContent !== `uptime${first}`",
            arg=[uptime, first],
        )
        one.tab("metrics")
        one.page.reload()
        one.page.wait_for_selector("[role=tab][aria-selected=true]:text-is('metrics')")
        one.all_say("LIVE")
        one.page.focus("[aria-selected=true]")
        one.page.keyboard.press("ArrowRight")
        assert one.page.text_content("[aria-selected=true]") == "Inspector"


def test_a_page_that_opens_later_begins_with_what_was_before(browser, url):
    time.sleep(2)
    with opened(browser, f"{url}#metrics") as one:
        one.page.wait_for_selector("[role=tabpanel]:not([hidden]) .uplot")
        one.all_say("LIVE")
        with one.page.expect_download() as download:
            one.page.click("[role=tabpanel]:not([hidden]) .tes-chart >> text=CSV")
        assert len(download.value.path().read_text().splitlines()) > 5


def test_narrow_pages_do_not_scroll_sideways(browser, url):
    with opened(browser, url, viewport={"width": 400, "height": 800}) as one:
        one.all_say("LIVE")
        for name in one.page.locator("[role=tab]").all_text_contents():
            one.tab(name)
            assert one.page.evaluate("document.documentElement.scrollWidth") <= 400, name


def test_controls_ask_for_the_token_once_and_say_what_happened(browser, url):
    with opened(browser, url) as one:
        one.all_say("LIVE")
        one.page.fill("[aria-label='Label of the mark']", "warm-up over")
        one.page.click("text='Mark'")
        one.page.click("dialog >> text=Cancel")
        one.outcome("nothing was done")
        one.page.click("text='Mark'")
        one.page.fill("dialog [type=password]", "wrong")
        one.page.keyboard.press("Enter")
        one.outcome("refused")
        one.page.click("text='Mark'")
        one.page.fill("dialog [type=password]", TOKEN)
        one.page.click("text=Use it")
        one.outcome("Marked")
        kept = one.page.evaluate(
            "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
        )
        assert TOKEN not in kept
        assert TOKEN not in one.page.content()


def test_stopped_is_stale_and_gone_is_lost_until_it_is_back(browser):
    with child() as collector:
        ports = collector.ports
        with opened(browser, f"http://127.0.0.1:{ports[0]}/") as one:
            one.all_say("LIVE")
            os.kill(collector.pid, signal.SIGSTOP)
            one.all_say("STALE", seconds=10)
            os.kill(collector.pid, signal.SIGCONT)
            one.all_say("LIVE")
            os.kill(collector.pid, signal.SIGKILL)
            one.all_say("LOST", seconds=6)
            assert "tes-nb serve" in one.page.locator(".tes-detail:has-text('since')").first.text_content()
            with child(status_port=ports[0], workers_port=ports[1], ports_required=True) as other:
                # It is another collector: what the one before sent is not shown as its own, the page begins anew.
                one.page.wait_for_selector("header:has-text('another collector since')", timeout=20_000)
                one.all_say("LIVE", seconds=20)
                one.tab("metrics")
                with one.page.expect_download() as download:
                    one.page.click("[role=tabpanel]:not([hidden]) .tes-chart >> text=CSV")
                earliest = pd.read_csv(download.value.path()).iloc[:, 0].min()  # its head names the zone
                assert pd.Timestamp(earliest).timestamp() > psutil.Process(other.pid).create_time() - 1


def test_fault_73_the_page_moves_while_the_observed_process_is_held(browser):
    held = subprocess.Popen(
        ["nice", "-n", "10", sys.executable, "-c", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')"]
    )
    try:
        with (
            child(observed_pid=held.pid) as collector,
            opened(browser, f"http://127.0.0.1:{collector.ports[0]}/#metrics") as one,
        ):
            one.all_say("LIVE")
            value = one.page.locator(".tes-item:has-text('percent') .tes-now").first
            assert value.text_content().endswith("%")
            until(
                one.page,
                "parseFloat([...document.querySelectorAll('[role=tabpanel]:not([hidden]) .tes-item')]"
                ".find((item) => item.textContent.includes('percent')).querySelector('.tes-now').textContent) > 5",
            )
    finally:
        held.kill()
        held.wait()


# A collector that we made up -----------------------------------------------------------------------------------

STREAM = {
    "name": "fifth",
    "doc": HOSTILE[0],
    "path": "/ws/rows/fifth",
    "plain": None,
    "period_s": 0.5,
    "main": "things",
    "tables": [
        {
            "name": "things",
            "key": ["name"],
            "columns": [
                {"name": "name", "dtype": "str", "unit": "", "kind": "label", "doc": ""},
                {"name": "size_bytes", "dtype": "Int64", "unit": "bytes", "kind": "gauge", "doc": ""},
                {"name": "seen_at", "dtype": "datetime64[ns, UTC]", "unit": "", "kind": "time", "doc": ""},
            ],
        },
        {
            "name": "totals",
            "key": [],
            "columns": [{"name": "all_things", "dtype": "Int64", "unit": "", "kind": "counter", "doc": ""}],
        },
    ],
}


@contextmanager
def made_up(messages: list[str]) -> Iterator[str]:
    """Serve the page with one source whose socket says these again and again."""
    ready: dict[str, Any] = {}
    begun = threading.Event()

    async def index(request: web.Request) -> web.Response:
        return web.Response(text=(STATIC / "index.html").read_text(), content_type="text/html")

    async def static(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return web.Response(text=(STATIC / "dist" / name).read_text(), content_type=kind)

    async def streams(request: web.Request) -> web.Response:
        return web.json_response([STREAM])

    async def views(request: web.Request) -> web.Response:
        part = {"kind": "table", "source": "fifth", "table": STREAM["main"], "columns": [], "spec": {}}
        return web.json_response(
            [{"name": "tes", "title": "My TES", "question": "Is it up?", "parts": [part]}]
        )

    async def fifth(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            for message in messages * 1000:
                await socket.send_str(message)
                await asyncio.sleep(0.1)
        return socket

    async def controls(request):
        return web.json_response({"recordings": 0})

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/", index)
        app.router.add_get("/static/{name}", static)
        app.router.add_get("/api/streams", streams)
        app.router.add_get("/api/views", views)
        app.router.add_get("/api/controls", controls)
        app.router.add_get("/ws/rows/fifth", fifth)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready["port"] = site._server.sockets[0].getsockname()[1]
        ready["loop"], ready["end"] = asyncio.get_running_loop(), asyncio.Event()
        begun.set()
        await ready["end"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield f"http://127.0.0.1:{ready['port']}/"
    finally:
        ready["loop"].call_soon_threadsafe(ready["end"].set)
        thread.join(10)


def batch(things: list[list[Any]], totals: list[list[Any]], text: str = "{}", **more: Any) -> str:
    """A message of a rows socket with one decoded message."""
    info = {
        "t": time.time(),
        "direction": "in",
        "kind": "data",
        "outcome": "fifth: 2 things",
        "decode_ms": 0.1,
    }
    sizes = {"undecoded": False, "size": len(text), "inflated": len(text), "conn": 1, "preview": text}
    item = {"type": "message", **info, **sizes, "seq": 1, "age_s": 0.0, "text": text, **more}
    return json.dumps({"type": "batch", "items": [{**item, "rows": {"things": things, "totals": totals}}]})


def test_a_stream_nobody_knows_is_drawn_by_its_description(browser):
    things = [["a", 1, 1_700_000_000], ["b", 2, 1_700_000_000]]
    with made_up([batch(things, [[5]])]) as url, opened(browser, url) as one:
        one.page.wait_for_selector(".tes-space .tes-row >> nth=1")
        assert one.page.locator("[role=tab]").all_text_contents() == ["My TES", "Lanes", "fifth", "Inspector"]
        one.tab("fifth")
        one.page.wait_for_selector("[role=tabpanel]:not([hidden]) .uplot >> nth=1")
        assert one.page.locator("[role=tabpanel]:not([hidden]) .tes-unit").all_text_contents() == [
            "bytes",
            "per second",
        ]
        legend = one.page.locator("[role=tabpanel]:not([hidden]) .tes-name").all_text_contents()
        assert legend == ["a", "b", "all things"]


def test_fault_51_hostile_messages_are_text(browser):
    things = [[text, n, None] for n, text in enumerate(HOSTILE)]
    messages = [
        batch(things, [[1]], HOSTILE[0], kind=HOSTILE[1], outcome=HOSTILE[2], preview=HOSTILE[3]),
        batch([], [], HOSTILE[5], kind="undecoded", undecoded=True, outcome=HOSTILE[4]),
        batch([["__proto__", 1, None]], [], '{"__proto__": 1}'),
        json.dumps({"type": "batch", "items": [{"type": "mark", "t": 1.0, "label": HOSTILE[0]}]}),
        json.dumps(
            {"type": "batch", "items": [{"type": "state", "word": "OPEN", "text": HOSTILE[1], "since": 1}]}
        ),
        "<script>alert(1)</script>",
        json.dumps(HOSTILE[5]),
        "null",
    ]
    with made_up(messages) as url, opened(browser, url) as one:
        one.page.wait_for_selector(".tes-space .tes-row >> nth=5")
        one.tab("fifth")
        one.page.wait_for_selector("[role=tabpanel]:not([hidden]) .uplot")
        assert one.page.text_content("[role=tabpanel]:not([hidden]) .tes-sentence") == HOSTILE[0]
        one.tab("Inspector")
        one.page.wait_for_selector(".tes-undecoded")
        for n in range(5):
            one.page.click(f".tes-messages .tes-space .tes-row >> nth={n}")
        time.sleep(0.5)
        assert one.page.evaluate("window.owned") is None
        assert one.page.title() == "tes_nb"
        assert one.page.locator("main script, main img, main iframe").count() == 0


def test_without_the_bundle_the_page_names_the_command():
    text = (STATIC / "index.html").read_text()
    assert "python hatch_build.py" in text
    assert "<script>" not in text
    assert "style=" not in text
