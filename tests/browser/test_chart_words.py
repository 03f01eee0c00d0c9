"""What a person reads in a chart: titles, units, axes, legends, tips, in the zone that is named; wide and narrow."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pytest

from tes_nb.model import Column, Table
from tes_nb.views.chart_codec import ChartSeries, pack
from tes_nb.views.subjects import Subjects

# Each text that is painted on a canvas, with where it stands on it: what is read is what was drawn.
RECORDER = """() => {
window.painted = new Map();
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...given) {
  window.painted.set(this.canvas, []);
  return clear.apply(this, given);
};
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
  const { width } = this.measureText(text);
  const left = { left: x, start: x, center: x - width / 2, right: x - width, end: x - width }[this.textAlign];
  const at = this.getTransform().transformPoint({ x: left, y });
  const list = window.painted.get(this.canvas) ?? [];
  list.push({ text, left: at.x, right: at.x + width, y: at.y });
  window.painted.set(this.canvas, list);
  return fill.call(this, text, x, y, ...more);
};
}"""
PAINTED = """() => [...document.querySelectorAll(".tes-panel")].map((panel) => {
  const canvas = panel.querySelector("canvas");
  return { width: canvas.width, texts: window.painted.get(canvas) ?? [] };
})"""
END = dt.datetime(2026, 3, 14, 12, 0, tzinfo=dt.UTC).timestamp()
METRICS = Table(
    "metrics",
    "",
    (
        Column("cpu_cores", "float64", "cores", "gauge", "cores in use", title="process", quantity="CPU"),
        Column("total_cores", "float64", "cores", "gauge", "", title="with children", quantity="CPU"),
        Column("memory_rss", "Int64", "bytes", "gauge", "resident", title="process", quantity="Memory"),
        Column("requests", "Int64", "", "gauge", "", quantity="Requests"),
        Column("errors", "Int64", "", "counter", "", quantity="Errors"),
    ),
)
GAUGES = Table(
    "gauges",
    "",
    (
        Column("name", "category", "", "label", ""),
        Column("value", "float64", "", "gauge", ""),
        Column("unit", "category", "", "label", ""),
    ),
    key=("name",),
    unit_by="unit",
)
ODDS = Table(
    "odds",
    "",
    (
        Column("match", "str", "", "label", ""),
        Column("market", "category", "", "label", "", words=(("asian_handicap", "Asian handicap"),)),
        *(Column(side, "float64", "", "gauge", "", quantity="Prices") for side in ("home", "draw", "away")),
    ),
    key=("match", "market"),
    panel_by="market",
)
SPEC = {"title": "metrics", "window_s": 300, "period_s": None, "break_s": None, "limits": [], "silent": ""}


def seen(stage, table, columns, *, step=0.5, spec=SPEC, end=END):
    """Show rows of a table, {column: values}, as the kernel sends them."""
    stage.page.evaluate(RECORDER)
    stage.begin(uid="u1", spec=spec)
    subjects = Subjects(table)
    numeric = [one for one in table.columns if one.kind in ("gauge", "counter")]
    series = ChartSeries(numeric, subjects)
    rows = len(next(iter(columns.values())))
    subject_count = len({tuple(columns[name][at] for name in subjects.by) for at in range(rows)}) or 1
    places = np.arange(rows) // subject_count
    times = ((end - (places[-1] - places) * step) * 1e9).astype(np.int64)
    blocks = series.blocks(times, {name: np.array(cells) for name, cells in columns.items()})
    stage.append(pack(1, blocks, keyframe=True, series=series.info))
    stage.settle()
    stage.settle()


def metrics(stage, **options):
    wave = np.abs(np.sin(np.arange(120) / 9))
    given = {"cpu_cores": wave, "total_cores": wave + 0.5, "memory_rss": 3e8 + 1e8 * wave}
    seen(stage, METRICS, {**given, "requests": np.zeros(120), "errors": np.zeros(120)}, **options)


def texts(stage, selector):
    return stage.page.locator(selector).all_text_contents()


def axis_texts(stage, panel=0):
    return [one["text"] for one in stage.page.evaluate(PAINTED)[panel]["texts"]]


LOOKS = {
    f"{width}-{scheme}": {
        "viewport": {"width": width, "height": 700},
        "color_scheme": scheme,
        "timezone_id": "Europe/Berlin",
    }
    for width in (1400, 400)
    for scheme in ("light", "dark")
}


@pytest.mark.parametrize("stage", LOOKS.values(), ids=LOOKS, indirect=True)
def test_a_chart_says_what_it_shows_where_and_when(stage, request):
    metrics(stage)
    stage.deliver({"type": "state", "state": {"marks": [{"t": END - 40, "label": "warm-up over"}]}})
    stage.settle()
    assert texts(stage, ".tes-panel h4") == ["CPU", "Memory"]
    assert texts(stage, ".tes-unit") == ["cores", "bytes"]
    assert texts(stage, ".tes-legend .tes-name") == ["process", "with children", "process"]
    assert texts(stage, ".tes-zone") == ["14 Mar 2026 · Europe/Berlin (UTC+1)"] * 2
    assert texts(stage, ".tes-folded") == ["2 more, all 0: Requests, Errors"]
    assert {"0", "1"} <= set(axis_texts(stage))
    assert {"0 B", "200 MB"} <= set(axis_texts(stage, 1))
    clocks = [text for text in axis_texts(stage) if re.fullmatch(r"1[23]:\d\d(:\d\d)?", text)]
    assert clocks
    assert set(clocks) <= {
        f"{hour}:{minute:02}{s}" for hour in (12, 13) for minute in (0, 59) for s in SECONDS
    }
    assert "warm-up over" in axis_texts(stage)
    for panel in stage.page.evaluate(PAINTED):
        assert all(one["left"] >= 0 and one["right"] <= panel["width"] for one in panel["texts"]), panel
    for item in stage.page.locator(".tes-legend li").all():
        box, legend = item.bounding_box(), item.locator("..").bounding_box()
        assert box["y"] + box["height"] <= legend["y"] + legend["height"] + 1, "no row is cut"
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert stage.text(".tes-state") == "LIVE"
    stage.picture(f"words-{request.node.callspec.id}")


SECONDS = ("", *(f":{second:02}" for second in range(0, 60, 5)))


def test_hovering_tells_time_and_values_and_the_legend_the_columns_names(stage):
    metrics(stage)
    box = stage.page.locator(".u-over").first.bounding_box()
    stage.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    stage.settle()
    assert re.fullmatch(r"2026-03-14 1[12]:\d\d:\d\d UTC", stage.text(".tes-tip .tes-when"))
    assert texts(stage, ".tes-tip .tes-name") == ["process", "with children"]
    process, total = (float(text.split()[0]) for text in texts(stage, ".tes-tip .tes-value"))
    assert total - process == pytest.approx(0.5, abs=0.01)
    title = stage.page.get_attribute(".tes-legend button >> nth=0", "title")
    assert title.startswith("cpu_cores: cores in use")
    stage.page.mouse.move(1, 1)
    stage.page.click("text=Stats")
    stage.settle()
    least, most, mean = re.findall(r"[\d.]+", stage.text(".tes-stats"))
    wave = np.abs(np.sin(np.arange(120) / 9))
    assert [float(least), float(most), float(mean)] == pytest.approx(
        [wave.min(), wave.max(), wave.mean()], abs=0.01
    )


def test_a_column_has_one_colour_and_zeros_open(stage):
    metrics(stage)
    style = "(element) => element.style.borderTopColor"
    colours = [one.evaluate(style) for one in stage.page.locator(".tes-legend .tes-swatch").all()]
    assert colours == ["rgb(0, 114, 178)", "rgb(213, 94, 0)", "rgb(0, 158, 115)"]
    stage.page.click(".tes-folded button")
    stage.settle()
    assert texts(stage, ".tes-panel h4") == ["CPU", "Memory", "Requests", "Errors"]
    assert texts(stage, ".tes-unit") == ["cores", "bytes", "", "per second"]


def test_gauges_have_panels_by_their_unit_and_namesakes_share_one(stage):
    names = ["loss", "val_loss", "lr", "speed", "pace"] * 20
    units = ["", "", "", "rows/s", "rows/s"] * 20
    numbers = [value for n in range(20) for value in (1 / (n + 1), 1.2 / (n + 1), 1e-3, 900.0 + n, 950.0)]
    seen(stage, GAUGES, {"name": names, "unit": units, "value": numbers})
    assert texts(stage, ".tes-panel h4") == ["loss, val_loss", "lr", "speed, pace"]
    assert texts(stage, ".tes-unit") == ["", "", "rows/s"]
    assert "1" in axis_texts(stage)
    assert "0.001" in axis_texts(stage, 1)


def test_prices_have_a_panel_for_each_market_that_says_no_count_and_begins_near_them(stage):
    columns = {
        "match": ["Rovers v United"] * 40,
        "market": ["1x2", "asian_handicap"] * 20,
        "home": [2.1, 1.9] * 20,
        "draw": [3.3, np.nan] * 20,
        "away": [3.6, 1.85] * 20,
    }
    columns["home"][-1] = 1.95
    seen(stage, ODDS, columns, spec={**SPEC, "filter": "match = 17"})
    assert texts(stage, ".tes-panel h4") == ["Prices, 1x2", "Prices, Asian handicap"]
    assert texts(stage, ".tes-unit") == ["", ""]
    assert texts(stage, ".tes-legend .tes-name") == ["home", "draw", "away", "home", "away"]
    assert stage.text(".tes-filter") == "Rovers v United · match = 17"
    lowest = min(float(text) for text in axis_texts(stage, 1) if re.fullmatch(r"\d\.?\d*", text))
    assert lowest > 1.5


TOKYO = {"timezone_id": "Asia/Tokyo"}
CHANGE = dt.datetime(2026, 10, 25, 1, 0, tzinfo=dt.UTC).timestamp()
"""When Berlin's clocks go from 3 o'clock back to 2."""


@pytest.mark.parametrize("stage", [TOKYO], indirect=True)
def test_a_browser_in_tokyo_shows_its_time_berlin_s_where_that_is_asked_for_and_utc_at_a_click(stage):
    metrics(stage)
    assert stage.text(".tes-zone") == "14 Mar 2026 · Asia/Tokyo (UTC+9)"
    assert any(text.startswith(("21:00", "20:59")) for text in axis_texts(stage))
    stage.page.click(".tes-tools button:text-is('UTC')")
    stage.settle()
    assert stage.text(".tes-zone") == "14 Mar 2026 · UTC"
    assert any(text.startswith(("12:00", "11:59")) for text in axis_texts(stage))
    with stage.page.expect_download() as download:
        stage.page.click("text=CSV")
    assert download.value.path().read_text().splitlines()[-1].startswith("2026-03-14T12:00:00.000Z,")
    stage.page.click(".tes-tools button:text-is('UTC')")
    stage.settle()
    with stage.page.expect_download() as download:
        stage.page.click("text=CSV")
    assert download.value.path().read_text().splitlines()[-1].startswith("2026-03-14T21:00:00.000+09:00,")


@pytest.mark.parametrize("stage", [TOKYO], indirect=True)
def test_over_a_change_of_clocks_no_tick_is_wrong(stage):
    spec = {**SPEC, "window_s": None, "tz": "Europe/Berlin"}
    metrics(stage, step=240, spec=spec, end=CHANGE + 4 * 3600)
    assert stage.text(".tes-zone").endswith("25 Oct 2026 · Europe/Berlin (UTC+1)")
    clocks = [text for text in axis_texts(stage) if re.fullmatch(r"\d\d:\d\d", text)]
    from_two = [int(text[:2]) * 60 + int(text[3:]) for text in clocks]
    assert from_two == sorted(from_two)
    assert all(minutes % 60 == 0 for minutes in from_two), clocks


def test_wheel_drag_double_click_and_help(stage):
    metrics(stage)
    box = stage.page.locator(".u-over").first.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + 60)

    def range_words():
        return axis_texts(stage)

    whole = range_words()
    stage.page.mouse.move(*middle)
    stage.page.mouse.wheel(0, -300)
    stage.settle()
    assert range_words() == whole, "the wheel alone scrolls the page"
    stage.page.keyboard.down("Control")
    stage.page.mouse.wheel(0, -300)
    stage.page.keyboard.up("Control")
    stage.settle()
    zoomed = range_words()
    assert zoomed != whole
    assert stage.page.is_enabled("text=Reset zoom")
    stage.page.keyboard.down("Shift")
    stage.page.mouse.down()
    stage.page.mouse.move(middle[0] + 150, middle[1], steps=3)
    stage.page.mouse.up()
    stage.page.keyboard.up("Shift")
    stage.settle()
    assert range_words() != zoomed
    stage.page.mouse.dblclick(*middle)
    stage.settle()
    assert stage.page.is_disabled("text=Reset zoom")
    stage.page.focus(".tes-panels")
    stage.page.keyboard.press("?")
    assert "Ctrl + wheel" in stage.text(".tes-help")
    assert stage.page.is_visible(".tes-help")
    stage.page.keyboard.press("?")
    assert stage.page.is_hidden(".tes-help")


SMALL = {
    "320": {"viewport": {"width": 320, "height": 640}},
    "zoom-200": {"viewport": {"width": 500, "height": 400}, "device_scale_factor": 2},
    "still": {"reduced_motion": "reduce"},
}


@pytest.mark.parametrize("stage", SMALL.values(), ids=SMALL, indirect=True)
def test_small_windows_large_letters_and_no_motion(stage, request):
    metrics(stage)
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert texts(stage, ".tes-panel h4") == ["CPU", "Memory"]
    for panel in stage.page.evaluate(PAINTED):
        assert all(one["left"] >= 0 and one["right"] <= panel["width"] for one in panel["texts"]), panel
    box = stage.page.locator(".u-over").first.bounding_box()
    stage.page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 40)
    stage.settle()
    tip, chart = (stage.page.locator(one).bounding_box() for one in (".tes-tip", ".tes-chart"))
    assert chart["x"] <= tip["x"]
    assert tip["x"] + tip["width"] <= chart["x"] + chart["width"] + 1
    stage.picture(f"words-{request.node.callspec.id}")


def test_what_never_came_waits(stage):
    stage.page.clock.install()
    stage.begin(uid="u1", spec={**SPEC, "period_s": 0.5})
    stage.append(pack(1, [], keyframe=True, series=[]))
    stage.page.clock.run_for(60_000)
    assert stage.text(".tes-state") == "WAITING"
    assert stage.text(".tes-detail") == "no data yet"
