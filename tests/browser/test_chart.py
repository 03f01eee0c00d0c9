"""The chart in Chromium: what it draws, what it says, what a reader can do with it."""

from __future__ import annotations

import csv
import io
import math
import re
import time

import numpy as np
import pytest

from tes_nb.views.chart_codec import Block, pack
from tests.support.browser import until
from tests.support.hostile import HOSTILE, HUGE

SERIES = [
    {"key": "0:rss", "label": "", "column": "memory_rss", "unit": "bytes", "kind": "gauge"},
    {"key": "0:heap", "label": "", "column": "memory_heap_used", "unit": "bytes", "kind": "gauge"},
    {"key": "0:cpu", "label": "", "column": "cpu_percent", "unit": "percent", "kind": "gauge"},
    {"key": "0:req", "label": "", "column": "http_total_requests", "unit": "", "kind": "counter"},
]
SPEC = {
    "title": "metrics",
    "window_s": 300,
    "period_s": 0.5,
    "break_s": 1.5,
    "limits": [{"column": "cpu_percent", "above": 90}],
    "silent": "Restart the kernel.",
}
DRAWN = """() => {
  const canvas = document.querySelector(".tes-stage canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Map();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 200) continue;
    const colour = `${data[at] >> 4},${data[at + 1] >> 4},${data[at + 2] >> 4}`;
    colours.set(colour, (colours.get(colour) ?? 0) + 1);
  }
  return Object.fromEntries(colours);
}"""
FIRST_COLOUR = "0,7,11"
"""#0072b2, the first line's, as DRAWN tells it."""


def ring(rows: int = 600, *, end: float | None = None) -> Block:
    times = (time.time() if end is None else end) - np.arange(rows)[::-1] * 0.5
    wave = np.sin(np.arange(rows) / 40)
    values = [3e8 + 6e7 * wave, 2e8 + 4e7 * np.cos(np.arange(rows) / 25), 55 + 44 * wave, np.cumsum(1 + wave)]
    return Block(range(4), times, np.array(values))


def begin(stage, spec=SPEC, block=None, series=SERIES):
    stage.begin(uid="u1", spec=spec)
    stage.append(pack(1, [ring() if block is None else block], keyframe=True, series=series))
    stage.settle()


def one_line(values, *, end=None, step=0.5):
    times = (time.time() if end is None else end) - np.arange(len(values))[::-1] * step
    return Block([0], times, np.array([values], float))


def is_live(stage, tries=20):
    """Whether fresh data make it LIVE; on a slow machine they may be stale before anybody looks, so again."""
    for _ in range(tries):
        stage.append(pack(2, [ring()], keyframe=True, series=SERIES))
        stage.page.wait_for_timeout(50)
        if stage.text(".tes-state") == "LIVE":
            return True
    return False


def values(stage):
    return stage.page.locator(".tes-value").all_text_contents()


def notes(now):
    return {
        "marks": [{"t": now - 200, "label": "warm-up over"}],
        "cells": [{"start": now - 150, "end": now - 90, "label": "model.fit(X, y)"}],
        "held": [{"start": now - 120, "end": now - 95}],
        "gaps": [{"start": now - 260, "end": now - 230, "label": "connection reset"}],
        "alerts": [{"t": now - 30, "text": "cpu_percent is 97, > 90"}],
    }


@pytest.mark.parametrize(
    "stage",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 400, "height": 900}},
        {"contrast": "more"},
        {"forced_colors": "active"},
    ],
    indirect=True,
    ids=["light", "dark", "narrow", "contrast", "forced"],
)
def test_draws_a_panel_per_unit(stage, request):
    begin(stage)
    stage.deliver({"type": "state", "state": notes(time.time())})
    stage.settle()
    assert stage.page.locator(".tes-unit").all_text_contents() == ["bytes", "percent", "per second"]
    assert is_live(stage)
    assert len(stage.page.evaluate(DRAWN)) > 2
    stage.picture(f"chart-{request.node.callspec.id}")
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_append_moves_the_picture_and_the_values(stage):
    begin(stage)
    before, now = values(stage), time.time()
    stage.append(pack(2, [Block(range(4), np.array([now + 0.5]), np.array([[1e9], [2e9], [7.0], [1e6]]))]))
    stage.settle()
    assert values(stage)[:3] == ["1 GB", "2 GB", "7%"]
    assert values(stage) != before


def test_a_hole_asks_for_everything_again(stage):
    begin(stage)
    stage.append(pack(3, [one_line([1.0])]))
    stage.settle()
    assert len(stage.sent("keyframe")) == 1
    stage.append(pack(4, [one_line([2.0])]))
    assert values(stage)[0] != "2 B"
    stage.append(pack(9, [one_line([3.0])], keyframe=True, series=SERIES))
    stage.settle()
    assert values(stage)[0] == "3 B"


def test_what_is_no_append_is_said_and_healed(stage):
    begin(stage)
    stage.append(b"TNBA\x09" + bytes(11))
    stage.settle()
    assert "reload" in stage.text(".tes-sentence")
    stage.append(pack(2, [one_line([3.0])]))
    stage.settle()
    assert stage.page.is_hidden(".tes-sentence")


def test_hover_tells_what_is_marked_and_the_values_there(stage):
    begin(stage)
    now = time.time()
    stage.deliver({"type": "state", "state": notes(now)})
    stage.settle()
    box = stage.page.locator(".u-over").first.bounding_box()

    def hover(ago):
        stage.page.mouse.move(box["x"] + box["width"] * (1 - ago / 300), box["y"] + 60)
        stage.settle()
        return stage.text(".tes-tip")

    newest = values(stage)[0]
    assert "warm-up over" in hover(200)
    assert values(stage)[0] != newest
    assert "model.fit(X, y)" in hover(110)
    assert "kernel held 25 s" in hover(110)
    assert "connection reset" in hover(245)
    plain = hover(20)
    assert re.match(r"\d\d:\d\d:\d\d UTC", plain)
    assert stage.page.locator(".tes-tip .tes-name").all_text_contents() == ["memory rss", "memory heap used"]
    assert stage.page.locator(".tes-tip .tes-value").all_text_contents() == values(stage)[:2]
    stage.page.mouse.move(2, 2)
    stage.settle()
    assert stage.page.is_hidden(".tes-tip")


def test_window_pause_zoom_and_legend_live_in_the_browser_alone(stage):
    begin(stage)
    sent = len(stage.page.evaluate("window.sent"))
    stage.page.select_option("[aria-label='Time window']", label="1 min")
    stage.page.click("text=Pause")
    stage.settle()
    held = stage.page.evaluate(DRAWN)
    stage.append(
        pack(2, [Block(range(4), np.array([time.time() + 9]), np.array([[0.0], [0.0], [0.0], [0.0]]))])
    )
    stage.settle()
    assert stage.page.evaluate(DRAWN) == held
    stage.page.click("text=Resume")
    stage.settle()
    assert stage.page.evaluate(DRAWN) != held
    box = stage.page.locator(".u-over").first.bounding_box()
    stage.page.mouse.move(box["x"] + 100, box["y"] + 50)
    stage.page.mouse.down()
    stage.page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    stage.page.mouse.up()
    stage.settle()
    assert stage.page.is_enabled("text=Reset zoom")
    stage.page.click("text=Reset zoom")
    assert stage.page.is_disabled("text=Reset zoom")
    assert stage.page.evaluate(DRAWN).get(FIRST_COLOUR, 0) > 50
    stage.page.click(".tes-legend button >> nth=0")
    stage.settle()
    assert stage.page.evaluate(DRAWN).get(FIRST_COLOUR, 0) == 0
    assert stage.page.get_attribute(".tes-legend button >> nth=0", "aria-pressed") == "false"
    assert len(stage.page.evaluate("window.sent")) == sent


def test_by_keyboard(stage):
    begin(stage)
    stage.page.focus(".tes-panels")
    newest = values(stage)
    for _ in range(12):
        stage.page.keyboard.press("ArrowLeft")
    stage.settle()
    assert values(stage) != newest
    stage.page.keyboard.press("+")
    assert stage.page.is_enabled("text=Reset zoom")
    stage.page.keyboard.press("0")
    assert stage.page.is_disabled("text=Reset zoom")
    stage.page.keyboard.press(" ")
    assert stage.page.is_visible("text=Resume")
    heard = stage.page.evaluate(
        "() => new Promise((done) => { let heard = 0; document.addEventListener('keydown', () => heard++);"
        " const key = new KeyboardEvent('keydown', { key: 'd', bubbles: true });"
        " document.querySelector('.tes-panels').dispatchEvent(key);"
        " setTimeout(() => done(heard), 20); })"
    )
    assert heard == 0


def test_csv_and_png_are_what_is_seen(stage):
    now = time.time()
    block = Block(
        [0, 2], np.array([now - 400.0, now - 2, now - 1, now]), np.array([[1, 2, np.nan, 4], [5, 6, 7, 8.0]])
    )
    begin(stage, block=block)
    stage.page.click("text=1 without a value")
    stage.page.click(".tes-legend button:has-text('memory heap used')")
    with stage.page.expect_download() as download:
        stage.page.click("text=CSV")
    text = download.value.path().read_text()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == [
        "time [UTC]",
        "memory_rss [bytes]",
        "cpu_percent [percent]",
        "http_total_requests [/s]",
    ]
    assert [row[1:3] for row in rows[1:]] == [["2", "6"], ["", "7"], ["4", "8"]]
    with stage.page.expect_download() as download:
        stage.page.click("text=PNG")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    assert download.value.suggested_filename.startswith("metrics-")


def test_limits_colour_and_alerts_are_listed(stage):
    begin(stage, block=Block(range(4), np.array([time.time()]), np.array([[1.0], [1.0], [95.0], [1.0]])))
    assert stage.page.locator(".tes-legend .tes-passed").count() == 1
    stage.deliver(
        {"type": "state", "state": {"alerts": [{"t": time.time(), "text": "cpu_percent is 95, > 90"}]}}
    )
    stage.settle()
    assert "1 alert" in stage.text(".tes-events summary")
    stage.page.click(".tes-events summary")
    stage.page.wait_for_selector(".tes-events li")
    assert "cpu_percent is 95" in stage.text(".tes-events ol")


def test_stale_and_lost_by_the_browser_s_own_judgement(stage):
    stage.page.clock.install()
    begin(stage)
    assert is_live(stage)
    stage.page.clock.run_for(2_500)
    assert stage.text(".tes-state") == "STALE"
    assert "since" in stage.text(".tes-detail")
    stage.page.clock.run_for(12_000)
    assert stage.text(".tes-state") == "LOST"
    assert "Restart the kernel" in stage.text(".tes-detail")
    stage.deliver({"type": "state", "state": {}})
    stage.page.clock.run_for(600)
    assert stage.text(".tes-state") == "STALE"
    stage.page.evaluate("window.fire('comm_live_update')")
    stage.page.clock.run_for(600)
    assert stage.text(".tes-state") == "LOST"
    assert "Run the cell again" in stage.text(".tes-detail")


def test_a_view_says_hello_whether_it_is_seen_and_goodbye(stage):
    begin(stage)
    until(stage.page, "window.sent.some((message) => message.type === 'visible')")
    (hello,) = stage.sent("hello")
    assert hello["origin"] == stage.page.evaluate("location.origin")
    assert [(one["value"], one["idle"]) for one in stage.sent("visible")] == [(True, False)]
    stage.page.evaluate("document.getElementById('stage').style.marginTop = '5000px'")
    until(stage.page, "window.sent.filter((one) => one.type === 'visible').length === 2")
    assert stage.sent("visible")[1]["value"] is False
    stage.page.evaluate("window.remove()")
    assert len(stage.sent("bye")) == 1
    assert stage.page.locator(".tes-chart").count() == 0
    assert len({message["client"] for message in stage.page.evaluate("window.sent")}) == 1


def test_after_fifteen_minutes_without_a_touch_it_pauses_and_says_so(stage):
    stage.page.clock.install()
    begin(stage)
    stage.page.clock.run_for(16 * 60_000)
    until(stage.page, "window.sent.some((one) => one.type === 'visible' && one.idle)")
    assert stage.text(".tes-state") == "PAUSED"
    assert "15 minutes" in stage.text(".tes-detail")
    stage.page.mouse.move(50, 50)
    until(stage.page, "window.sent.at(-1).type === 'visible' && window.sent.at(-1).value")
    stage.append(pack(2, [one_line([3.0])]))
    stage.page.clock.run_for(100)
    assert stage.text(".tes-state") == "LIVE"


GAUGE = [{"key": "a", "label": "", "column": "a", "unit": "bytes", "kind": "gauge"}]
COUNTER = [{**GAUGE[0], "kind": "counter"}]
BAD = {
    "nothing": ([], GAUGE),
    "one-point": ([5.0], GAUGE),
    "all-NA": ([math.nan] * 50, GAUGE),
    "infinities": ([1.0, math.inf, -math.inf, 2.0] * 20, GAUGE),
    "1e300": ([1.0, 1e300, -1e300, 1.7e308] * 20, GAUGE),
    "constant": ([0.0] * 50, GAUGE),
    "negative": ([-5.0, -6.0] * 30, GAUGE),
    "restarted-counter": ([*range(30), *range(30)], COUNTER),
    "lone-points": ([1.0, math.nan, 2.0, math.nan] * 15, GAUGE),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_numbers_give_a_sensible_picture(stage, name):
    numbers, series = BAD[name]
    begin(stage, block=one_line(numbers), series=series)
    stage.settle()
    stage.picture(f"bad-{name}")
    assert stage.page.locator(".u-over").count() == 1
    drawable = [number for number in numbers if abs(number) < 1e305]
    if drawable:
        assert stage.page.evaluate(DRAWN).get(FIRST_COLOUR, 0) > 3
    assert ("No data yet" in stage.text(".tes-sentence")) == (not numbers)


def test_clock_jumps_and_changing_columns_do_not_stop_it(stage):
    now = time.time()
    begin(stage, block=one_line([1.0, 2.0, 3.0], end=now), series=GAUGE)
    stage.append(pack(2, [one_line([7.0, 8.0], end=now - 3600)]))
    stage.settle()
    assert values(stage) == ["8 B"]
    stage.append(pack(3, [one_line([9.0], end=now + 86_400)]))
    stage.settle()
    assert values(stage) == ["9 B"]
    more = [*GAUGE, {"key": "b", "label": "", "column": "b", "unit": "s", "kind": "gauge"}]
    stage.append(pack(4, [Block([1], np.array([now + 86_401]), np.array([[4.0]]))], series=more))
    stage.settle()
    assert values(stage) == ["9 B", "4 s"]
    stage.append(pack(5, [], series=more[1:]))
    stage.settle()
    assert values(stage) == ["4 s"]


def test_five_hundred_series_and_long_ones(stage):
    series = [
        {"key": str(n), "label": f"w{n}", "column": "rss", "unit": "MiB", "kind": "gauge"} for n in range(600)
    ]
    times = time.time() - np.arange(300)[::-1] * 0.5
    block = Block(range(600), times, np.random.default_rng(1).standard_normal((600, 300)).cumsum(axis=1))
    began = time.monotonic()
    begin(stage, block=block, series=series)
    assert time.monotonic() - began < 20
    assert stage.page.locator(".tes-legend li").count() == 12 + 1
    stage.page.click("text=488 more")
    assert stage.page.locator(".tes-legend li").count() == 500 + 1
    assert "first 500" in stage.text(".tes-sentence")
    stage.picture("series-500")
    long = one_line(np.sin(np.arange(50_000) / 900), step=0.005)
    stage.append(pack(2, [long], keyframe=True, series=GAUGE))
    stage.settle()
    assert stage.page.evaluate(DRAWN).get(FIRST_COLOUR, 0) > 200


def test_fault_51_hostile_names_are_text(stage):
    names = [*HOSTILE, HUGE]
    series = [
        {"key": str(n), "label": "", "column": name, "unit": "", "kind": "gauge"}
        for n, name in enumerate(names)
    ]
    now = time.time()
    begin(
        stage,
        spec={**SPEC, "title": HOSTILE[0]},
        block=Block(range(201), np.array([now]), np.ones((201, 1))),
        series=series,
    )
    stage.deliver(
        {
            "type": "state",
            "state": {
                "marks": [{"t": now - 1, "label": name} for name in names],
                "cells": [{"start": now - 2, "end": None, "label": name} for name in names],
                "gaps": [{"start": now - 9, "end": now - 8, "label": name} for name in names],
                "alerts": [{"t": now, "text": name} for name in names],
                "sentence": names[3],
                "upstream": {"word": "WAITING", "text": names[1]},
            },
        }
    )
    stage.settle()
    stage.page.click(".tes-events summary")
    box = stage.page.locator(".u-over").first.bounding_box()
    stage.page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60)
    stage.page.wait_for_timeout(700)
    stage.page.click("text=189 more")
    shown = stage.page.locator(".tes-legend .tes-name").all_text_contents()
    assert len(shown) == 201
    assert all(
        text == name.replace("_", " ") or (len(name) > 80 and text.endswith("…"))
        for text, name in zip(shown, names, strict=True)
    )
    assert stage.text(".tes-title") == HOSTILE[0]
    assert HOSTILE[1] in stage.text(".tes-detail")
    assert (
        stage.page.locator("#stage script, #stage img, #stage iframe, #stage svg, #stage form").count() == 0
    )
    assert stage.page.evaluate("document.title") == "stage"
    assert stage.page.evaluate("window.owned") is None


@pytest.mark.parametrize("stage", [{"viewport": {"width": 900, "height": 700}}], indirect=True)
def test_only_the_columns_asked_for_are_drawn(stage):
    begin(stage, spec={**SPEC, "drawn": ["cpu_percent"]})
    assert stage.page.locator(".tes-name").all_text_contents() == ["cpu percent"]


def test_panels_stand_in_the_order_of_the_columns_asked_for_whichever_came_first(stage):
    begin(stage, spec={**SPEC, "drawn": ["cpu_percent", "memory_heap_used", "memory_rss"]})
    assert stage.page.locator(".tes-unit").all_text_contents() == ["percent", "bytes"]
    names = stage.page.locator(".tes-legend .tes-name").all_text_contents()
    assert names == ["cpu percent", "memory heap used", "memory rss"]
