"""Lanes in Chromium: on the page of a replay, and in a dashboard, they show the states that the recording has."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor

import pytest

import tes_nb as tes
from tes_nb.views.lanes import LanesContent
from tests.browser.conftest import PICTURES
from tests.browser.test_page import AXE, opened
from tests.browser.test_page_sources import SHOWN
from tests.support.browser import until

LIST = ".tes-lanes .tes-events li"
TEXTS = f"[...document.querySelectorAll('{LIST}')].map((one) => one.textContent)"


def load_chunk(seconds):
    time.sleep(seconds)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A pool at work and some matches: first halves, half-times, a mark."""
    target = tmp_path_factory.mktemp("lanes") / "work.tes"
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(tes.SIMULATED, speed=600, seed=3, matches=4)
        feed.wait(rows=5, timeout=20)
        with session.record(target), session.observe(ProcessPoolExecutor(2), name="loads") as pool:
            jobs = [pool.submit(load_chunk, 1.5) for _ in range(2)]
            for job in jobs:
                job.result()
            session.mark("deploy")
            time.sleep(2.5)
    return target


def states(feed):
    """Match → its newest state in words."""
    rows = feed.frame("scores").dropna(subset=["state_word"])
    return dict(zip(rows["match_id"], rows["state_word"].astype(str), strict=True))


def shown(texts):
    """Match → the state that its lane ends with."""
    split = [text.removeprefix("match ").partition(": ") for text in texts if text.startswith("match ")]
    return {lane: words.partition(", ")[0] for lane, _, words in split}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_replay_shows_its_states_at_each_place(browser, path, scheme):
    with tes.replay(path, paused=True) as replay, opened(browser, replay.url, color_scheme=scheme) as one:
        page = one.page
        page.wait_for_selector("role=tab[name='Lanes']")
        one.tab("Lanes")
        page.locator(f"{SHOWN} p:text-matches('^What was everything doing, and when')").wait_for()
        page.click(".tes-lanes .tes-events summary", force=True)
        for place in ("100%", "40%"):
            replay.seek(place)
            wanted = states(replay.simulated)
            assert len(wanted) >= 2
            until(page, f"{TEXTS}.filter((one) => one.startsWith('match ')).length === {len(wanted)}")
            eventually = time.monotonic() + 5
            while shown(page.evaluate(TEXTS)) != wanted and time.monotonic() < eventually:
                time.sleep(0.1)
            assert shown(page.evaluate(TEXTS)) == wanted
        replay.seek("100%")
        until(page, f"{TEXTS}.some((one) => one.startsWith('job load_chunk'))")
        until(
            page, f"document.querySelector('{SHOWN} .tes-state').textContent === 'CLOSED'"
        )  # it has come to its end
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"lanes-{scheme}.png", full_page=True)
        box = page.locator(".tes-lane-stage canvas").bounding_box()
        at = lambda share: (box["x"] + 230 + share * (box["width"] - 230), box["y"] + 12)  # noqa: E731
        page.mouse.move(*at(0.97))
        until(page, "document.querySelector('.tes-lanes .tes-tip').textContent.includes(', since ')")
        page.mouse.move(*at(0.5))
        page.mouse.down()
        page.mouse.move(*at(0.8))
        page.mouse.up()
        page.wait_for_selector(".tes-lanes button:text-is('Reset zoom'):enabled")
        one.tab("metrics")  # its charts are zoomed in step
        page.wait_for_selector(f"{SHOWN} .tes-chart button:text-is('Reset zoom'):enabled")
        page.click(f"{SHOWN} .tes-chart button:text-is('Reset zoom')")
        one.tab("Lanes")
        page.wait_for_selector(".tes-lanes button:text-is('Reset zoom'):disabled")
        if AXE.exists():
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run('.tes-lanes', { resultTypes: ['violations'] })")["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        page.set_viewport_size({"width": 400, "height": 900})
        until(page, "document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=PICTURES / f"lanes-400-{scheme}.png", full_page=True)


@pytest.mark.parametrize("stage", [{"js": "dashboard.js", "css": "dashboard.css"}], indirect=True)
def test_a_dashboard_of_a_recording_shows_the_same(stage, path):
    with tes.open(path) as old:
        feeds = list(old.feeds.values())
        content = LanesContent(feeds, feeds[0].notes)
        (sent,) = content.everything()
        part = {"part": 0, "kind": "lanes", "spec": {"title": "Lanes", "period_s": 1.0}}
        spec = {"title": "all", "silent": "", "tz": None, "control_port": None, "replay": False}
        stage.begin(
            uid="u1",
            kind="dashboard",
            spec={**spec, "tabs": [{"title": "Lanes", "doc": "", "parts": [part]}]},
        )
        stage.page.evaluate("(sent) => window.deliver(sent)", {**sent.content, "part": 0})
        stage.page.evaluate(
            "(state) => window.deliver({ type: 'state', state: { parts: { 0: state } } })", content.state()
        )
        stage.page.locator("p:text-matches('^What was everything doing, and when')").wait_for()
        stage.page.click(".tes-lanes .tes-events summary")
        until(stage.page, f"{TEXTS}.length > 5")
        texts = stage.page.evaluate(TEXTS)
        wanted = states(old.simulated)
        titles = {one: old.simulated.match(one).title for one in wanted}
        ends = {text.partition(", ")[0] for text in texts}
        assert {f"{titles[one]}: {word}" for one, word in wanted.items()} <= ends
        assert sum(text.startswith("job load_chunk") for text in texts) >= 2
        assert any(text.startswith("feed simulated: connected") for text in texts)
        lanes = {span for trace in old.timeline().data for span in trace.y}
        assert set(titles.values()) <= lanes
