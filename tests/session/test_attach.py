"""Attach to an original TES: it stays connected, every stream it has yields rows, and its quirks are told.

`TES_ATTACH_SECONDS=120 pytest tests/session/test_attach.py` watches it for two minutes.
"""

from __future__ import annotations

import http.server
import os
import threading
import time
from pathlib import Path

import pytest

import tes_nb as tes
from tests.support.waiting import eventually

SECONDS = float(os.environ.get("TES_ATTACH_SECONDS", "12"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(60 + 2 * SECONDS)
def test_an_original_tes_stays_connected_and_yields_rows_from_every_stream(original):
    with tes.attach(f"localhost:{original}", workers=f"localhost:{original}") as session:
        began = time.monotonic()
        session.metrics.wait(seconds=SECONDS)
        elapsed = time.monotonic() - began
        assert session.metrics.state == "OPEN"
        assert session.workers.state == "OPEN"
        assert session.status.state == "POLLING"  # one push on connect, then nothing: it is polled beside
        assert session.metrics.rows >= 2 * elapsed * 0.7
        assert session.workers.rows >= elapsed * 0.7
        assert session.status.rows >= (elapsed - 3) * 0.6
        assert all(len(feed.gaps) == 0 for feed in session.feeds.values())
        assert session.metrics.frame()["cpu_percent"].isna().all()
        assert set(session.workers.frame()["id"]) == {"007"}
        assert session.status.frame()["sessions_tmux"].iloc[-1] == 2
        assert sum(len(feed.errors) for feed in session.feeds.values()) == 0


def test_the_alias_that_only_greets_is_left_for_the_one_that_streams(original):
    url = f"ws://localhost:{original}/api/dev/server-metrics/live"
    with tes.attach(url, streams=["metrics"]) as session:
        session.metrics.wait(rows=3, timeout=30)
        assert session.metrics.state == "OPEN"
        assert session.metrics.frame()["memory_rss"].eq(60_000_000).all()


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is no TES."""

    protocol_version, server_version, sys_version = "HTTP/1.1", "Stranger/1", ""

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        """Say nothing."""


def test_a_program_that_is_no_tes_is_named_with_what_to_do():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tes.attach(f"http://127.0.0.1:{server.server_port}", streams=["metrics"]) as session:
            state = eventually(
                lambda: "WAITING" in str(session.metrics.state) and str(session.metrics.state), 20
            )
        server.shutdown()
    assert "HTTP 404 Not Found; a program (Stranger/1) answers that has no WebSocket there" in state
    assert "check host and port" in state


@pytest.mark.parametrize("url", [3002, None, b"localhost"])
def test_an_address_that_is_no_text_is_a_sentence(url):
    with pytest.raises(tes.ArgumentError, match="takes an address such as 'localhost:3002'"):
        tes.attach(url)
