"""Chromium for tests: where it is, how it is started, and a loopback server of files for it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STATIC = Path(__file__).resolve().parents[2] / "tes_nb" / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' ws://127.0.0.1:*; base-uri 'none'; form-action 'none'"
)


def chromium() -> str | None:
    """Return the browser's path: TES_CHROMIUM, else from PATH, else Playwright's own; `None` = there is none."""
    program = os.environ.get("TES_CHROMIUM")
    if program:
        return program
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or caches / "ms-playwright")
    on_path = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return next(on_path, None) or next(map(str, sorted(own.glob("chromium-*/chrome-linux*/chrome"))), None)


def until(page: Any, script: str, arg: Any = None, seconds: float = 15.0) -> None:
    """Wait until `script` is true in the page. Playwright's own way needs eval, which a strict page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(script, arg):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {script}")
        time.sleep(0.05)


@contextmanager
def served(files: Mapping[str, str], folder: Path = STATIC) -> Iterator[str]:
    """Serve texts by path, and below /static/ the bundle or else the sources; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            body = files.get(path)
            if body is None and path.startswith("/static/"):
                body = _static(folder, path.removeprefix("/static/"))
            self.send_response(404 if body is None else 200)
            ending = Path(path).suffix or ".html"
            self.send_header("Content-Type", f"{TYPES.get(ending, 'text/plain')}; charset=utf-8")
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="files for the browser", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _static(folder: Path, name: str) -> str | None:
    for path in (folder / "dist" / name, folder / name):
        if path.parent in (folder / "dist", folder) and path.is_file():
            return path.read_text(encoding="utf-8")
    return None
