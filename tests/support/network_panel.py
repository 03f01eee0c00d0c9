"""Chrome's own DevTools on a page, driven like a page: what docs/debugging.md describes, done by hand of a script."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.browser import FLAGS


class NetworkPanel:
    """The Network panel of one page, and that page."""

    def __init__(self, page: Any, tools: Any) -> None:
        self.page = page
        self.tools = tools

    def sockets(self) -> None:
        """Show WebSockets alone ("WS", in newer versions "Socket")."""
        self.tools.locator("text='Socket'").or_(self.tools.locator("text='WS'")).first.click()

    def messages(self, name: str) -> None:
        """Choose a connection by the end of its path and open its Messages."""
        self.tools.locator(f"text='{name}'").first.click()
        self.tools.locator("[role=tab]:has-text('Messages')").first.click()

    def save_har(self, path: Path) -> None:
        """Press the button that exports a HAR file."""
        with self.tools.expect_download() as download:
            self.tools.locator("[aria-label*='Export HAR (sanitized)']").first.click()
        download.value.save_as(path)


@contextmanager
def devtools(playwright: Any, chromium: str) -> Iterator[NetworkPanel]:
    """Open an empty page with DevTools' Network panel on it, which lists what the page does from now on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    flags = [*FLAGS, f"--remote-debugging-port={port}", f"--remote-allow-origins=http://127.0.0.1:{port}"]
    with (
        closing(playwright.chromium.launch(executable_path=chromium, args=flags)) as browser,
        closing(browser.new_context(viewport={"width": 1300, "height": 800})) as context,
    ):
        page = context.new_page()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as reply:
            target = next(one["id"] for one in json.load(reply) if one["type"] == "page")
        tools = context.new_page()
        address = f"127.0.0.1:{port}/devtools"
        tools.goto(f"http://{address}/inspector.html?ws={address}/page/{target}&panel=network")
        tools.locator("button[aria-label='Toggle screencast']").click()
        tools.wait_for_selector("[aria-label*='Export HAR']")
        yield NetworkPanel(page, tools)
