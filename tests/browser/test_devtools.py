"""docs/debugging.md, done: the page in Chrome's DevTools, three sockets of readable JSON, a HAR file, `tes.open`."""

from __future__ import annotations

import json
import os
import time

import pytest

import tes_nb as tes
from tests.browser.conftest import PICTURES
from tests.support.browser import chromium, until
from tests.support.collectors import METRICS, STATUS, TOKEN, WORKERS, child
from tests.support.network_panel import devtools

LIVE = "document.querySelectorAll('.tes-state[data-word=LIVE]').length >= 3"


@pytest.mark.timeout(120)
def test_what_devtools_saves_opens_as_a_session(tmp_path):
    path = chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium: install it (apt-get install chromium) or set TES_CHROMIUM.")
        pytest.skip("no Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    har = tmp_path / "devtools.har"
    with child() as collector, sync_api.sync_playwright() as playwright, devtools(playwright, path) as chrome:
        chrome.page.goto(f"http://127.0.0.1:{collector.ports[0]}/")
        until(chrome.page, LIVE)
        chrome.page.click("role=tab[name='Inspector']")
        chrome.page.click("text='Plain sockets'")
        time.sleep(3)
        chrome.sockets()
        chrome.messages("telemetry")
        chrome.tools.wait_for_selector('text=/"timestamp"/')
        PICTURES.mkdir(parents=True, exist_ok=True)
        chrome.tools.screenshot(path=PICTURES / "devtools.png")
        chrome.save_har(har)
    entries = json.loads(har.read_text())["log"]["entries"]
    said = {
        one["request"]["url"].partition("127.0.0.1")[2].partition("/")[2]: one.get("_webSocketMessages")
        for one in entries
    }
    for endpoint in (STATUS, WORKERS, METRICS):
        assert all(json.loads(message["data"]) for message in said[endpoint[1:]])  # readable JSON
    assert TOKEN not in har.read_text()
    with tes.open(har) as opened:
        assert {"status", "workers", "metrics"} <= set(opened.feeds)
        metrics = opened.metrics.frame()
    assert len(metrics) == len(said[METRICS[1:]]) >= 4
    assert (metrics["memory_rss"] > 1_000_000).all()
