"""The page of collectors that read others: an attached TES, a watched feed; and one that asks for the token."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import tes_nb as tes
from tests.browser.conftest import PICTURES
from tests.browser.test_page import AXE, opened
from tests.support.browser import until
from tests.support.collectors import TOKEN, child

STATES = (
    "[...document.querySelectorAll('[role=tabpanel]:not([hidden]) .tes-view:not([hidden]) .tes-state')]"
    ".map((one) => one.textContent)"
)
SHOWN = "[role=tabpanel]:not([hidden])"


@pytest.fixture
def session(monkeypatch):
    monkeypatch.setenv("TES_DEV_TOKEN", TOKEN)
    with tes.start(ports=(0, 0)) as one:
        yield one


def test_a_watched_feed_gets_its_tables_and_says_when_it_ends(browser, session):
    with opened(browser, session.url) as one:
        one.all_say("LIVE")
        session.gauge("loss", 0.25)
        feed = session.watch(tes.SIMULATED, speed=50)
        one.page.wait_for_selector("role=tab[name='simulated']")  # without a reload
        one.page.wait_for_selector("role=tab[name='kernel']")
        one.tab("simulated")
        until(one.page, "document.querySelectorAll('[role=tabpanel]:not([hidden]) .tes-row').length > 5")
        until(one.page, f"{STATES}[0] === 'LIVE'")
        time.sleep(1)
        PICTURES.mkdir(parents=True, exist_ok=True)
        one.page.screenshot(path=PICTURES / "page-watched.png", full_page=True)
        matches = set(feed.frame()["match_id"])
        cells = one.page.locator(f"{SHOWN} .tes-table >> nth=0 >> .tes-space .tes-cell")
        assert len(matches & set(cells.all_text_contents())) >= 5
        assert "simulated data" in one.page.locator(f"{SHOWN} .tes-title").first.text_content()
        session.mark("half-time")
        one.tab("Inspector")
        until(one.page, "document.querySelector('.tes-connections').textContent.includes('simulated')")
        one.tab("metrics")
        one.page.click("[role=tabpanel]:not([hidden]) .tes-events summary")
        one.page.wait_for_selector("[role=tabpanel]:not([hidden]) .tes-events li:has-text('half-time')")
        session.unwatch(feed)
        one.tab("simulated")
        until(one.page, f"{STATES}[0] === 'CLOSED'")


def test_an_attached_tes_is_shown_and_its_loss_is_said(browser):
    with (
        child() as peer,
        tes.attach(f"localhost:{peer.ports[0]}", workers=f"localhost:{peer.ports[1]}") as session,
        opened(browser, session.url) as one,
    ):
        one.all_say("LIVE")
        for name in ("My TES", "status", "workers", "metrics"):
            one.page.wait_for_selector(f"role=tab[name='{name}']")
        one.tab("metrics")
        assert f"localhost:{peer.ports[0]}" in one.page.locator(f"{SHOWN} > .tes-detail").text_content()
        one.page.wait_for_selector(f"{SHOWN} .uplot")
        peer.stop()
        until(one.page, f"{STATES}.every((word) => word === 'STALE')")
        # first how it ended, then how it goes on: it is not there any more
        detail = one.page.locator(f"{SHOWN} .tes-badge .tes-detail").first.text_content()
        assert any(cause in detail for cause in ("the collector ends", "connection refused")), detail


def test_a_peer_that_does_not_push_is_said_to_be_polled(browser, original):
    """Status is pushed once and then asked for over HTTP; the others are pushed."""
    with (
        tes.attach(f"localhost:{original}", workers=f"localhost:{original}") as session,
        opened(browser, session.url) as one,
    ):
        session.status.wait(rows=4, timeout=40)
        one.tab("status")
        until(one.page, f"{STATES}[0] === 'POLLING'")
        one.page.wait_for_selector(f"{SHOWN} .tes-detail:has-text('over HTTP')")
        one.tab("metrics")
        until(one.page, f"{STATES}[0] === 'LIVE'")


def test_under_auth_all_the_page_asks_once_and_works(browser):
    with child(auth="all") as collector:
        url = f"http://127.0.0.1:{collector.ports[0]}/"
        with opened(browser, url) as one:
            one.errors = [said for said in one.errors if "401" not in said]
            one.note = lambda said: None
            one.page.wait_for_selector("dialog [type=password]")
            assert str(collector.ports[1]) not in one.page.content()
            if AXE.exists():
                one.page.evaluate(AXE.read_text())
                found = one.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
                assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
            one.page.screenshot(path=PICTURES / "page-token.png")
            one.page.click("dialog >> text=Cancel")
            one.page.click("text=Give the token")
            one.page.fill("dialog [type=password]", "wrong")
            one.page.keyboard.press("Enter")
            one.page.wait_for_selector("dialog >> text=That was not the token")
            one.page.fill("dialog [type=password]", TOKEN)
            one.page.keyboard.press("Enter")
            one.all_say("LIVE")
            one.page.click("text='Mark'")
            one.outcome("Marked")  # with the same token
            assert one.page.locator("dialog").count() == 0
            kept = one.page.evaluate(
                "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
            )
            assert TOKEN not in kept + one.page.content()
            one.errors = [said for said in one.errors if "401" not in said]


HOLD = """
import os, re, sys
import tes_nb as tes
s = tes.start(ports=(0, 0))
print(s.url, flush=True)
sys.stdin.readline()
re.match(r"(a+)+$", "a" * 60 + "b")  # holds the lock for hours
"""


@pytest.mark.parametrize("action", ["mark", "record"])
def test_fault_73_controls_answer_at_once_while_a_cell_holds_the_kernel(browser, tmp_path, action):
    env = {**os.environ, "TES_DEV_TOKEN": TOKEN, "TES_SESSION_DIR": str(tmp_path)}
    kernel = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        url = kernel.stdout.readline().strip()
        with opened(browser, url) as one:
            one.all_say("LIVE")
            one.page.click("text='Mark'")
            one.page.fill("dialog [type=password]", TOKEN)
            one.page.keyboard.press("Enter")
            one.outcome("Marked")
            free = sorted(timed(one, "Mark", "Marked") for _ in range(5))[
                2
            ]  # what a busy machine makes of it
            kernel.stdin.write("\n")
            kernel.stdin.flush()
            time.sleep(1)
            if action == "mark":
                assert sorted(timed(one, "Mark", "Marked") for _ in range(5))[2] < 100 + 2 * free
            else:
                assert timed(one, "Record", "Recording to") < 300 + 2 * free  # a file is made
                (path,) = tmp_path.glob("*.tes")
                time.sleep(1.5)
                timed(one, "Stop recording", "Recorded ")
                with tes.open(path) as old:
                    assert len(old.metrics.frame()) >= 1
            one.all_say("LIVE")
    finally:
        kernel.kill()
        kernel.wait()
        kernel.stdin.close()
        kernel.stdout.close()


def timed(one, button, outcome):
    """Press a button; milliseconds until its outcome is shown, measured in the page."""
    script = """([button, outcome]) => new Promise((done) => {
      const said = document.querySelector('.tes-controls [role=status]');
      const began = performance.now();
      const watch = new MutationObserver(() => {
        if (!said.textContent.startsWith(outcome)) return;
        watch.disconnect();
        done(performance.now() - began);
      });
      watch.observe(said, { childList: true, characterData: true, subtree: true });
      [...document.querySelectorAll('.tes-controls button')].find((one) => one.textContent === button).click();
    })"""
    return one.page.evaluate(script, [button, outcome])


def test_a_replay_that_goes_back_takes_the_rows_ahead_of_it_off_the_page(browser, session, tmp_path):
    feed = session.watch(tes.SIMULATED, speed=200, matches=6)
    with session.record(tmp_path / "match-day.tes") as recording:
        feed.wait(rows=60, timeout=30)
        recording.wait(messages=1, timeout=20)
    listed = f"document.querySelectorAll('{SHOWN} .tes-space .tes-row').length"
    with tes.replay(tmp_path / "match-day.tes", paused=True) as replay:
        replay.seek("100%")
        with opened(browser, replay.url) as one:
            one.page.wait_for_selector("role=tab[name='simulated']")
            one.tab("simulated")
            until(one.page, f"{listed} >= 5")
            replay.seek("0%")
            until(one.page, f"{listed} === 0")
            until(one.page, f"{STATES}[0] === 'PAUSED'")
            replay.seek("100%")
            until(one.page, f"{listed} >= 5")
