"""Attach to an original TES: it stays connected, every stream it has yields rows, and its quirks are told.

`TES_ATTACH_SECONDS=120 pytest tests/session/test_attach.py` watches it for two minutes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import tes_nb as tes

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
