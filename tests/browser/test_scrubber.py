"""The scrubber of real replays in Chromium, on the page and in JupyterLab; and which buttons can act."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pandas.testing import assert_frame_equal

import tes_nb as tes
from tes_nb.model import Direction, Message, Opcode
from tes_nb.model.view_control import SteerReplay
from tes_nb.store.session.schema import SourceInfo
from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.browser.test_page import AXE, opened
from tests.browser.test_page_sources import SHOWN
from tests.support.browser import until
from tests.support.collectors import TOKEN
from tests.support.jupyter import jupyter_lab
from tests.support.sessions import write_session

SLIDER = ".tes-scrubber input[type=range]"
SETTLED = (
    "!document.querySelector('.tes-scrubber').textContent.includes('going there')"
    f" && !document.querySelector('{SLIDER}').disabled"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Seven seconds of the three streams and of a simulated feed that was away for a while, with two marks."""
    target = tmp_path_factory.mktemp("scrubber") / "match-day.tes"
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(tes.SIMULATED, speed=100, seed=3, matches=6)
        with session.record(target):
            for label in ("kick-off", "goal"):
                time.sleep(2)
                session.mark(label)
                feed.stand_in.post("close")
            time.sleep(2.5)
    return target


@pytest.fixture
def old(path):
    with tes.open(path) as one:
        yield one


@pytest.fixture
def replay(path, monkeypatch):
    monkeypatch.setenv("TES_DEV_TOKEN", TOKEN)
    with tes.replay(path, paused=True) as one:
        yield one


def drag(page: Any, share: float) -> None:
    """Take the thumb where it is and let it go at a share of the track."""
    box = page.locator(SLIDER).bounding_box()
    value, most = page.evaluate(
        f"(one => [Number(one.value), Number(one.max)])(document.querySelector('{SLIDER}'))"
    )
    x = lambda part: box["x"] + 8 + part * (box["width"] - 16)  # noqa: E731 - half a thumb at each end
    y = box["y"] + box["height"] / 2
    page.mouse.move(x(value / most), y)
    page.mouse.down()
    page.mouse.move(x((value / most + share) / 2), y)
    page.mouse.move(x(share), y)
    assert "going there" in page.text_content(".tes-scrubber")
    page.mouse.up()


def give_token(page: Any) -> None:
    page.fill("dialog input[type=password]", TOKEN)
    page.click("role=button[name='Use it']")
    page.wait_for_selector("dialog", state="detached")


def shown_place(page: Any) -> float:
    return page.evaluate(f"Number(document.querySelector('{SLIDER}').value)")


def test_a_drag_shows_the_rows_of_that_time(browser, replay, old):
    info = old.info()
    length = (info.ended_ns - info.began_ns) / 1e9
    with opened(browser, replay.url) as one:
        page = one.page
        page.wait_for_selector(SLIDER)
        assert page.locator(".tes-controls").count() == 0  # there is nothing to mark, record or scale
        one.tab("simulated")
        for share in (0.75, 0.3):  # on, and back
            drag(page, share)
            if share == 0.75:
                give_token(page)
            until(page, SETTLED)
            place = shown_place(page)
            assert abs(place - share * length) < 1
            assert abs(replay.position.value - info.began_ns - place * 1e9) < 1e9
            for name, feed in old.feeds.items():
                for table in feed.tables:
                    until_then = feed.frame(table, end=replay.position)
                    assert_frame_equal(replay.feeds[name].frame(table), until_then)
            odds = old.simulated.odds.frame(end=replay.position)
            keys = len(odds[list(old.simulated.stream.table("odds").key)].drop_duplicates())
            until(page, f"document.querySelector('{SHOWN}').textContent.includes('{keys} rows')")


def test_pause_stands_still_and_speed_doubles(browser, replay):
    def place() -> tuple[float, float]:
        """(recorded seconds that have come, the time at which they were asked for)."""
        began = time.monotonic()
        at = replay._call(SteerReplay()).place_ns / 1e9
        return at, (began + time.monotonic()) / 2

    def slope(seconds: float) -> float:
        first = place()
        time.sleep(seconds)
        last = place()
        return (last[0] - first[0]) / (last[1] - first[1])

    with opened(browser, replay.url) as one:
        page = one.page
        page.click("role=button[name='Play']")
        give_token(page)
        page.wait_for_selector("role=button[name='Pause']")
        assert abs(slope(0.8) - 1) < 0.2
        one.tab("metrics")
        one.all_say("LIVE")  # what is played is new, however long ago it was recorded
        page.select_option(".tes-scrubber select", "2")
        until(page, "document.querySelector('.tes-scrubber select').value === '2'")
        while replay.speed != 2:
            time.sleep(0.02)
        assert abs(slope(0.8) - 2) < 0.4
        page.click("role=button[name='Pause']")
        page.wait_for_selector("role=button[name='Play']")
        stood = place()[0], shown_place(page), replay.position
        time.sleep(0.7)
        assert (place()[0], shown_place(page), replay.position) == stood


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_keys_move_marks_and_gaps_are_told_and_320_pixels_are_enough(browser, replay, old, scheme):
    given = {"color_scheme": scheme, "viewport": {"width": 320, "height": 700}, "reduced_motion": "reduce"}
    with opened(browser, replay.url, **given) as one:
        page = one.page
        page.wait_for_selector(SLIDER)
        words = page.text_content(".tes-track-words")
        assert "2 marks" in words
        assert f"{len(old.gaps)} gap" in words
        assert len(old.gaps) > 0
        titles = [flag.get_attribute("title") for flag in page.locator(".tes-track-mark").all()]
        assert [title.split(" ")[-1] for title in titles] == ["kick-off", "goal"]
        assert "nothing received" in page.locator(".tes-track-gap").first.get_attribute("title")
        assert page.is_disabled("role=button[name='◂ Mark']")
        assert "no mark before" in page.get_attribute("role=button[name='◂ Mark']", "title")
        page.focus(SLIDER)
        page.keyboard.press("ArrowRight")
        give_token(page)
        until(page, f"{SETTLED} && Number(document.querySelector('{SLIDER}').value) >= 1")
        page.click("role=button[name='Mark ▸']")
        until(page, SETTLED)
        assert abs(replay.position.value - old.marks["time"].iloc[0].value) < 0.7e9
        page.focus(SLIDER)
        page.keyboard.press("End")
        page.wait_for_selector("role=button[name='Play again']")
        page.keyboard.press("Home")
        until(page, f"{SETTLED} && Number(document.querySelector('{SLIDER}').value) === 0")
        assert page.get_attribute(SLIDER, "aria-valuetext").endswith(" s")
        page.keyboard.press("Space")
        page.wait_for_selector("role=button[name='Pause']")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if AXE.exists():
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run('.tes-scrubber', { resultTypes: ['violations'] })")["violations"]
            assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"scrubber-320-{scheme}.png")


def test_buttons_act_only_when_they_can_and_say_why_not(browser, monkeypatch, tmp_path):
    monkeypatch.setenv("TES_DEV_TOKEN", TOKEN)
    title = lambda page, name: page.get_attribute(f".tes-controls button:text-is('{name}')", "title")  # noqa: E731
    can = lambda name, able: (  # noqa: E731
        f"[...document.querySelectorAll('.tes-controls button')].some((one) => one.textContent === '{name}' "
        f"&& one.disabled === {str(not able).lower()})"
    )
    with tes.start(ports=(0, 0)) as session, opened(browser, session.url) as one:
        page = one.page
        until(page, can("Record", able=True))
        assert page.is_disabled(".tes-controls button:text-is('Stop recording')")
        assert title(page, "Stop recording") == "Nothing is being recorded."
        assert page.is_disabled(".tes-controls button:text-is('Scale workers')")
        assert "nothing to scale" in title(page, "Scale workers")
        with session.record(tmp_path / "elsewhere.tes"):  # begun elsewhere, ended here
            until(page, can("Stop recording", able=True))
            page.click(".tes-controls button:text-is('Stop recording')")
            give_token(page)
            one.outcome("Recorded ")
            until(page, can("Stop recording", able=False))
        monkeypatch.setenv("TES_SESSION_DIR", str(tmp_path))
        page.click(".tes-controls button:text-is('Record')")
        one.outcome("Recording to ")
        assert "is being recorded, to " in title(page, "Record")
        page.click(".tes-controls button:text-is('Stop recording')")
        one.outcome("Recorded ")
        until(page, can("Record", able=True))
        one.tab("metrics")
        page.wait_for_selector(f"{SHOWN} .uplot")
        pause = f"{SHOWN} .tes-chart button:text-is('Pause')"
        assert page.is_enabled(pause)
        session.stop()
        until(page, can("Mark", able=False))
        assert "does not answer" in title(page, "Mark")
        page.wait_for_selector(f"{pause}:disabled")
        assert "Nothing more comes" in page.get_attribute(pause, "title")


SHOW = """
import tes_nb as tes
replay = tes.replay("{path}", paused=True)
replay.scrubber()
"""
SAY = "print('at', replay.position.isoformat(), len(replay.metrics.frame()))"


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_in_jupyterlab_a_drag_moves_the_frames(browser, path, old, tmp_path):
    with jupyter_lab(tmp_path) as lab, closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(lab.notebook("scrubber", SHOW.format(path=path), "import time; time.sleep(4)", SAY))
        page.wait_for_function(IDLE, timeout=60_000)
        page.evaluate(RUN, "notebook:run-all-cells")
        page.wait_for_selector(SLIDER, timeout=40_000)
        until(page, f"!document.querySelector('{SLIDER}').disabled")
        busy = lambda: page.locator(".jp-Notebook .jp-InputPrompt").all_text_contents()[1] == "[*]:"  # noqa: E731
        assert busy()
        drag(page, 0.6)
        until(page, SETTLED, seconds=3)
        assert busy()  # it is answered while a cell holds the kernel
        page.wait_for_function(IDLE, timeout=40_000)
        page.wait_for_function("document.body.innerText.includes('\\nat 20')", timeout=20_000)
        words = page.locator(".jp-OutputArea-output:has-text('at 20')").last.inner_text().split()
        assert int(words[-1]) == len(old.metrics.frame(end=words[-2])) > 0
        page.locator(".tes-scrubber").screenshot(path=PICTURES / "scrubber-jupyterlab.png")
        page.evaluate(SHUT)


CLOCKS_BACK = 1_792_890_000
"""2026-10-25 01:00 UTC: Berlin's clocks go from 3 o'clock back to 2."""


def minutes_of_a_night(path: Path) -> list[int]:
    """Record metrics from two minutes before it to two after it; return the times, Unix seconds."""
    times = [CLOCKS_BACK + 10 * step for step in range(-12, 13)]
    items: list[SourceInfo | Message] = [SourceInfo("metrics", "metrics")]
    for place, at in enumerate(times):
        payload = msgspec.json.encode(
            {"timestamp": at * 1000, "cpu": {"cores": 0.5}, "memory": {"rss": 10**8}}
        )
        mono = (at - times[0]) * 10**9
        items.append(Message("metrics", Direction.IN, Opcode.TEXT, payload, at * 10**9, mono, 1, place + 1))
    write_session(path, items)
    return times


@pytest.fixture
def berlin(monkeypatch):
    """This process, and what it starts, is in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_a_kernel_in_berlin_and_a_browser_in_tokyo_agree_over_a_change_of_clocks(browser, tmp_path):
    assert [time.localtime(CLOCKS_BACK + at).tm_hour for at in (-1, 0)] == [2, 2]
    times = minutes_of_a_night(tmp_path / "night.tes")
    with (
        tes.replay(tmp_path / "night.tes", paused=True) as replay,
        opened(browser, replay.url, timezone_id="Asia/Tokyo") as one,
    ):
        replay.seek("100%")
        assert [at.timestamp() for at in replay.metrics.frame().index] == times
        one.tab("metrics")
        one.page.wait_for_selector(f"{SHOWN} .tes-chart .uplot")

        def exported() -> list[str]:
            with one.page.expect_download() as download:
                one.page.click(f"{SHOWN} .tes-chart >> text=CSV")
            return [line.partition(",")[0] for line in download.value.path().read_text().splitlines()[1:]]

        until(
            one.page,
            f"document.querySelector('{SHOWN} .tes-zone').textContent.includes('Asia/Tokyo (UTC+9)')",
        )
        in_tokyo = exported()
        assert in_tokyo[0] == "2026-10-25T09:58:00.000+09:00"
        assert [datetime.fromisoformat(text).timestamp() for text in in_tokyo] == times
        one.page.click(f"{SHOWN} .tes-chart .tes-tools button:text-is('UTC')")
        until(
            one.page, f"document.querySelector('{SHOWN} .tes-zone').textContent.endsWith('25 Oct 2026 · UTC')"
        )
        in_utc = exported()
        assert in_utc[0] == "2026-10-25T00:58:00.000Z"
        assert [datetime.fromisoformat(text).timestamp() for text in in_utc] == times
