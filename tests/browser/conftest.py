"""A browser for the module, and a stage on which the widgets' own bundle runs with what Python packs."""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hatch_build
from tests.support.browser import FLAGS, chromium, served, until

PICTURES = Path(os.environ.get("TES_TEST_PICTURES", Path(__file__).resolve().parents[2] / "out" / "pictures"))

STAGE_HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stage</title>
<link rel="stylesheet" href="/static/%(css)s"><link rel="stylesheet" href="/stage.css"></head>
<body class="tes-page tes"><main id="stage"></main><script type="module" src="/stage.js"></script></body></html>"""
STAGE_CSS = "body { margin: 8px; } #stage { min-width: 0; }"
STAGE_JS = """
import widget from "/static/%(js)s";
const listeners = new Map();
window.sent = [];
window.model = {
  state: {},
  get: (name) => window.model.state[name],
  on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
  off: (event, listener) => listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== listener)),
  send: (message) => window.sent.push(message),
};
window.fire = (event, ...given) => (listeners.get(event) ?? []).forEach((listener) => listener(...given));
window.deliver = (content, packed) => {
  const bytes = packed ? Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)) : null;
  // as from a notebook: a view into a larger buffer, at a place that is no multiple of eight
  const larger = bytes ? new Uint8Array(bytes.length + 3) : null;
  larger?.set(bytes, 3);
  window.fire("msg:custom", content, bytes ? [new DataView(larger.buffer, 3)] : []);
};
window.begin = async (state) => {
  window.model.state = state;
  window.end = await widget.initialize?.({ model: window.model });
  const el = document.createElement("div");
  document.getElementById("stage").append(el);
  window.remove = await widget.render({ model: window.model, el });
};
window.ready = true;
"""


@pytest.fixture(scope="session", autouse=True)
def bundle() -> None:
    """The bundle is made of the sources as they are now, by one worker of the run; the others wait for it."""
    with Path(hatch_build.__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hatch_build.bundle(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium: install it (apt-get install chromium) or set TES_CHROMIUM.")
        pytest.skip("no Chromium on PATH and TES_CHROMIUM is not set")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with closing(one):
            yield one


@dataclass
class Stage:
    """A page with one widget on it, and everything it did that it should not."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def begin(self, **state: Any) -> None:
        self.page.evaluate("(state) => window.begin(state)", state)

    def deliver(self, content: dict[str, Any], buffer: bytes | None = None) -> None:
        packed = None if buffer is None else base64.b64encode(buffer).decode()
        self.page.evaluate("([content, packed]) => window.deliver(content, packed)", [content, packed])

    def append(self, buffer: bytes) -> None:
        self.deliver({"type": "append"}, buffer)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.page.evaluate("window.sent") if message["type"] == kind]

    def text(self, selector: str) -> str:
        return self.page.text_content(selector) or ""

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def settle(self) -> None:
        """Wait until what was asked for has been drawn."""
        twice = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(twice)
        self.page.wait_for_selector("[data-resting]", state="detached")
        self.page.evaluate(twice)


@pytest.fixture
def stage(request: pytest.FixtureRequest, browser: Any) -> Iterator[Stage]:
    """Options by `@pytest.mark.parametrize("stage", [{…}], indirect=True)`: js, css, and those of `new_context`."""
    given = dict(getattr(request, "param", {}))
    names = {"js": given.pop("js", "widget.js"), "css": given.pop("css", "widget.css")}
    files = {
        "/favicon.ico": "",
        "/": STAGE_HTML % names,
        "/stage.css": STAGE_CSS,
        "/stage.js": STAGE_JS % names,
    }
    given.setdefault("viewport", {"width": 900, "height": 700})
    with served(files) as address, closing(browser.new_context(**given)) as context:
        page = context.new_page()
        one = Stage(page)
        page.on("pageerror", lambda error: one.errors.append(str(error)))
        page.on("console", lambda said: one.errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: (one.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: one.requests.append(asked.url))
        page.goto(address)
        until(page, "window.ready")
        yield one
        assert one.errors == []
        assert all(url.startswith((address, "blob:", "data:")) for url in one.requests), one.requests
