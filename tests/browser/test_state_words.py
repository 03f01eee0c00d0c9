"""Each word that views say of their state, in every kind of view, by making it happen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tes_nb as tes
from tests.browser.test_every_view import texts
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.browser.test_page import Page, opened
from tests.support.browser import until
from tests.support.jupyter import Jupyter, jupyter_lab
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("own_registry")]
SCRUBBER = ".tes-scrubber .tes-state"


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of a test that it may end: those of others are out of its sight."""
    monkeypatch.setattr("tes_nb.session.start._sessions", {})


@pytest.fixture
def session() -> Iterator[tes.Session]:
    """One with rows in every table of a notebook's own."""
    with tes.start(ports=(0, 0)) as one:
        one.gauges(loss=0.5)
        one.metrics.wait(rows=2, timeout=20)
        yield one


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("words") / "short.tes"
    with tes.start(ports=(0, 0)) as one, one.record(target):
        one.metrics.wait(rows=6, timeout=20)
    return target


def every_tab_says(one: Page, word: str) -> None:
    for name in one.page.locator("[role=tab]").all_inner_texts():
        one.tab(name)
        panel = one.page.locator("[role=tabpanel]:not([hidden])")

        def said(panel: Any = panel) -> list[str]:
            return texts(panel, ".tes-state")

        eventually(lambda said=said: set(said()) == {word}, 15, lambda name=name, said=said: (name, said()))


def test_live_stale_and_lost_in_every_tab_of_the_page(browser, session):
    with opened(browser, session.url) as one:
        one.page.wait_for_selector("role=tab[name='kernel']")
        every_tab_says(one, "LIVE")
        os.kill(session.collector_pid, signal.SIGSTOP)
        try:
            every_tab_says(one, "STALE")
        finally:
            os.kill(session.collector_pid, signal.SIGCONT)
        every_tab_says(one, "LIVE")
        os.kill(session.collector_pid, signal.SIGKILL)
        every_tab_says(one, "LOST")


def test_what_never_came_waits_and_says_for_what(browser):
    with tes.attach("localhost:1") as nobody, opened(browser, nobody.url) as one:
        one.page.wait_for_selector("role=tab[name='metrics']")
        one.tab("metrics")
        one.page.wait_for_selector("[role=tabpanel]:not([hidden]) .tes-detail:has-text('connection refused')")
        every_tab_says(one, "WAITING")


def test_a_replay_is_paused_live_while_it_plays_and_closed_at_its_end(browser, path):
    with tes.replay(path, paused=True) as replay:
        replay.seek("30%")
        with opened(browser, replay.url) as one:
            until(one.page, f"document.querySelector('{SCRUBBER}')?.textContent === 'PAUSED'")
            every_tab_says(one, "PAUSED")
            one.tab("metrics")
            replay.speed = 0.5
            replay.resume()
            until(one.page, f"document.querySelector('{SCRUBBER}')?.textContent === 'PLAYING'")
            one.all_say("LIVE")
            replay.seek("100%")
            until(one.page, f"document.querySelector('{SCRUBBER}')?.textContent === 'ENDED'")
            every_tab_says(one, "CLOSED")


MAKE = """
import os, tes_nb as tes
from pathlib import Path
from IPython.display import display
s = tes.start(ports=(0, 0))
s.gauges(loss=0.5)
nobody = tes.attach("localhost:1")
display(s.metrics.plot(), s.kernel.plot(table="gauges"), s.workers.table(), s.status.cards())
display(s.inspector(), s.dashboard(), nobody.metrics.plot(), nobody.workers.table())
Path("pid").write_text(str(os.getpid()))
"""
OURS = 7
"""Badges of the views that have data: six views, of which the dashboard has one tab open."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with jupyter_lab(tmp_path_factory.mktemp("words")) as one:
        yield one


def test_every_kind_of_view_in_a_notebook_says_how_its_kernel_is(browser, lab):
    with closing(browser.new_context(viewport={"width": 1200, "height": 6000})) as context:
        page = context.new_page()
        page.goto(lab.notebook("words", MAKE))
        until(page, IDLE, seconds=60)
        page.evaluate(RUN, "notebook:run-all-cells")
        pid = lab.folder / "pid"
        eventually(pid.exists, 30)

        def words() -> list[str]:
            return page.locator(".tes-state:visible").all_inner_texts()

        def all_say(word: str, nobody: str, seconds: float = 20.0) -> None:
            def as_wanted() -> bool:
                said = words()
                return len(said) > OURS and said == [word] * (len(said) - 2) + [nobody] * 2

            eventually(as_wanted, seconds, words)

        all_say("LIVE", "WAITING")
        os.kill(int(pid.read_text()), signal.SIGSTOP)
        try:
            all_say("LOST", "LOST")
        finally:
            os.kill(int(pid.read_text()), signal.SIGCONT)
        all_say("LIVE", "WAITING")
        page.evaluate(SHUT)
