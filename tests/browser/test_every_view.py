"""What a person reads in each view: in JupyterLab, on the pages of a session, of a TES and of a replay, in a report.

Wide and narrow, light and dark, 320 pixels, a zoom of 200 %, the system's colours, no motion: all texts can be read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tes_nb as tes
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.browser.test_page import Page
from tests.support.browser import until
from tests.support.jupyter import jupyter_lab
from tests.support.legible import PAINTED, faults, painted
from tests.support.waiting import eventually

SETUP = """import tes_nb as tes, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
s = tes.start(ports=(0, 0))
ng = s.watch(tes.SIMULATED, speed=30)
pool = s.observe(ProcessPoolExecutor(2, mp_context=get_context("spawn")), name="loads")
jobs = [pool.submit(time.sleep, 0.5) for _ in range(20)]
for step in range(20):
    s.gauges(loss=1 / (step + 1), val_loss=1.2 / (step + 1), speed=(900 + step, "rows/s"), heap=(3e8, "bytes"))
    sum(n * n for n in range(100_000))
s.mark("warm-up over")
ng.wait(rows=20)
time.sleep(2)"""
END = """s.report("report.html")
open("done.txt", "w").close()"""


SEEN = """(root, selector) => [...root.querySelectorAll(selector)].filter((one) => one.checkVisibility())
  .map((one) => one.innerText.trim())"""


def texts(view: Any, selector: str) -> list[str]:
    """What is to be seen now."""
    found: list[str] = view.evaluate(SEEN, selector)
    return found


def clocks(view: Any) -> list[str]:
    return [text for text in painted(view) if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text)]


def all_say(view: Any, word: str) -> None:
    """Wait until every badge does: a view that was out of sight was sent nothing."""
    end = time.monotonic() + 15
    while set(texts(view, ".tes-state")) != {word}:
        assert time.monotonic() < end, texts(view, ".tes-badge")
        time.sleep(0.1)


def opened(view: Any, tab: str) -> Any:
    """Open a tab; return its panel."""
    view.get_by_role("tab", name=tab, exact=True).click()
    return view.locator("[role=tabpanel]:not([hidden])")


def chart(view: Any) -> None:
    all_say(view, "LIVE")
    assert texts(view, ".tes-title") == ["metrics"]
    assert texts(view, ".tes-panel h4")[:2] == ["CPU", "Memory"]
    assert texts(view, ".tes-unit")[:2] == ["cores", "bytes"]
    assert {"process", "with children"} <= set(texts(view, ".tes-legend .tes-name"))
    assert all(text.endswith("· Europe/Berlin (UTC+1)") for text in texts(view, ".tes-zone"))
    assert {"0", "0 B", "warm-up over"} <= set(painted(view))
    assert clocks(view)


def workers(view: Any) -> None:
    heads = texts(view, "[role=columnheader]")
    assert heads[:5] == ["name", "role", "state", "CPU [%]", "memory [MB]"]
    assert {"jobs running", "jobs waiting", "jobs done"} <= set(heads)
    hover = view.locator("[role=columnheader] button").nth(4).get_attribute("title")
    assert hover.startswith("rss_mb: ")
    assert {"pool worker", "process pool"} <= set(texts(view, ".tes-space .tes-row > :nth-child(2)"))
    memory = texts(view, ".tes-space .tes-row > :nth-child(5)")
    assert any(re.fullmatch(r"\d+\.\d", text) for text in memory), "numbers without their unit"


def table(view: Any) -> None:
    all_say(view, "LIVE")
    workers(view)
    view.get_by_role("button", name="All").click()
    until(view.page, "document.querySelectorAll('.tes-table [role=columnheader]').length > 20")
    assert "created at [Berlin time]" in texts(view, "[role=columnheader]")
    view.get_by_role("button", name="All").click()


def my_notebook(panel: Any) -> None:
    titles = texts(panel, ".tes-title")
    parts = ["Now", "What runs now", "CPU and memory", "Last cells", "Workers", "My gauges"]
    assert [one for one in titles if one != "When the kernel was held"] == [
        one for one in parts if one in titles
    ]
    assert {"Now", "CPU and memory", "Workers", "My gauges"} <= set(titles)
    assert texts(panel, ".tes-panel h4")[:2] == ["CPU", "Memory"]
    shown = panel.inner_text()
    assert re.search(r"CPU, with children\s+[\d.]+ cores of \d+ cores", shown)
    assert re.search(r"Memory, kernel\s+\d+ MB of [\d.]+ GB", shown)


def cells(panel: Any) -> None:
    all_say(panel, "LIVE")
    my_notebook(panel)
    heads = ["cell", "started [Berlin time]", "wall [s]", "CPU [s]", "CPU, children [s]", "memory peak [MB]"]
    assert set(heads) <= set(texts(panel, "[role=columnheader]"))


def my_match_day(panel: Any) -> None:
    matches, prices = (panel.locator(".tes-table").nth(place) for place in (0, 1))
    heads = texts(matches, "[role=columnheader]")
    assert heads[0] == "match id"
    assert {"minute", "state"} <= {head.partition(" [")[0] for head in heads}
    chosen = panel.locator("[aria-selected=true]")
    if not chosen.count():
        matches.locator(".tes-space .tes-row").first.click()
    chosen.wait_for()
    match = texts(panel, "[aria-selected=true] > :first-child")[0]
    until(panel.page, ONLY, [match])
    assert texts(prices, "[role=columnheader]")[:3] == ["match id", "market", "line"]


ONLY = """([match]) => {
  const tables = [...document.querySelectorAll("[role=tabpanel]:not([hidden]) .tes-table")];
  const rows = tables[1].querySelectorAll(".tes-space .tes-row");
  return rows.length > 0 && [...rows].every((row) => row.firstChild.textContent === match);
}"""
"""Whether the second table shows the rows of one match alone."""


def lanes(panel: Any) -> None:
    written = painted(panel)
    assert {"feed metrics", "feed workers", "feed status"} <= set(written)
    assert clocks(panel)
    assert {"working", "connected"} <= set(texts(panel, ".tes-lane-legend li"))
    assert texts(panel, ".tes-zone")[0].endswith("· Europe/Berlin (UTC+1)")


def status(panel: Any) -> None:
    assert texts(panel, ".tes-card h4") == ["Sessions", "Directions", "Others", "Meta"]
    shown = panel.inner_text()
    assert re.search(r"memory\s+\d+ MB", shown)
    assert re.search(r"cpu\s+[\d.]+%", shown)
    assert re.search(r"avg latency\s+[\d.]+ ms", shown)


def kernel(panel: Any) -> None:
    assert {"loss, val_loss", "speed", "heap"} <= set(texts(panel, ".tes-panel h4"))
    assert {"", "rows/s", "bytes"} <= set(texts(panel, ".tes-unit"))


def odds(panel: Any) -> None:
    heads = [texts(one, "[role=columnheader]")[:4] for one in panel.locator(".tes-table").all()]
    assert ["match id", "market", "line", "home"] in heads


def inspector(panel: Any) -> None:
    heads = texts(panel, "[role=columnheader]")
    assert heads[1:] == ["", "kind", "size", "inflated", "decoding", "outcome", "content"]
    assert heads[0] == "Berlin time"
    assert "0 undecoded" in panel.inner_text()
    assert any(text.startswith("metrics: ") for text in texts(panel, ".tes-connections li"))


def my_tes(panel: Any) -> None:
    assert texts(panel, ".tes-title") == ["Status", "Streams", "Workers", "Metrics"]
    assert texts(panel, ".tes-card h4") == ["Sessions", "Directions", "Others", "Meta"]
    streams = panel.locator(".tes-table").first
    heads = ["stream", "state", "last message", "rate [/s]", "messages", "gaps"]
    assert texts(streams, "[role=columnheader]") == heads
    names, states = (texts(streams, f".tes-space .tes-row > :nth-child({place})") for place in (1, 2))
    assert {"status", "workers", "metrics"} <= set(names)
    assert set(states) == {"OPEN"}


def scrubber(body: Any) -> None:
    bar = body.locator(".tes-scrubber")
    assert texts(bar, ".tes-state") == ["PAUSED"]
    assert texts(bar, "button")[0] == "Play"
    said = bar.inner_text()
    assert re.search(r"\d\d:\d\d:\d\d\s+UTC\+1 · \d+(\.\d)? s of \d+(\.\d)? s", said), said
    assert "work.tes: 1 mark ⚑, 0 gaps" in said


def prices(view: Any) -> None:
    all_say(view, "LIVE")
    assert texts(view, ".tes-panel h4")[0] == "Prices, 1x2"
    names = texts(view, ".tes-legend .tes-name")
    assert {"home", "draw", "away"} <= {text.split(" · ")[-1] for text in names}
    assert "market = 1x2" in texts(view, ".tes-filter")[0]


def svg(view: Any, selector: str) -> list[str]:
    return [text.strip() for text in view.locator(selector).all_text_contents()]


def figure(view: Any) -> None:
    assert svg(view, ".gtitle") == ["metrics"]
    assert [text for text in svg(view, "text[class^=x][class$=title]") if text] == ["time (UTC)"]
    assert svg(view, ".ytitle, .y2title") == ["cores", "bytes"]
    assert {"CPU", "Memory", "warm-up over"} <= set(svg(view, ".annotation-text"))
    assert {"process", "with children"} <= set(svg(view, ".legendtext"))
    assert all(text.endswith("B") for text in svg(view, ".y2tick text"))
    ticks = svg(view, "[class^=x][class*=tick] text")
    assert ticks
    assert all(re.match(r"\d\d:\d\d", tick) for tick in ticks), ticks


def timeline(view: Any) -> None:
    assert svg(view, ".xtitle") == ["time (UTC)"]
    lanes = svg(view, ".annotation-text")
    assert {"cells", "loads, process pool", "feed metrics", "warm-up over"} <= set(lanes)
    assert sum("pool worker" in lane for lane in lanes) == 2
    assert {"working", "open"} <= set(svg(view, ".legendtext"))


def report(body: Any) -> None:
    shown = body.inner_text()
    assert shown.index("What it cost") < shown.index("Cells") < shown.index("status\n")
    for words in ("Duration", "Kernel", "Children", "Host", "Gaps", "Times are UTC.", "s CPU", "GB"):
        assert words in shown
    heads = texts(body, "dl + h2 + table th")
    cells = ["cell", "started [UTC]", "wall [s]", "CPU [s]", "CPU, children [s]", "memory peak [MB]"]
    assert heads[:6] == cells
    peaks = texts(body, "dl + h2 + table tbody td:nth-child(6)")
    assert len(peaks) > 6
    assert all(50 < float(text) < 2_000 for text in peaks), peaks
    assert {"cores", "bytes"} <= set(svg(body, ".ytitle, .y2title, .y3title"))
    assert svg(body, ".x2title, .x3title, .xtitle")[0] == "time (UTC)"


@dataclass(frozen=True)
class View:
    """A cell of the notebook, and what must be read in its output."""

    code: str
    check: Callable[[Any], None]
    ready: str
    """What is there as soon as it is drawn."""


CHART, PLOTLY, HEIGHT = ".tes-chart .uplot", ".legendtext", 1100
VIEWS = {
    "chart": View("s.metrics.plot(window='60min')", chart, CHART),
    "table": View("s.workers.table()", table, ".tes-space .tes-row"),
    "dashboard": View(
        "s.dashboard()", lambda view: cells(opened(view, "My notebook")), ".tes-tabs [role=tab]"
    ),
    "match": View("ng.plot(match=str(ng.matches().index[0]), market='1x2', window='60min')", prices, CHART),
    "figure": View("s.metrics.figure()", figure, PLOTLY),
    "live figure": View("s.metrics.figure(live=True)", figure, PLOTLY),
    "timeline": View("s.timeline()", timeline, PLOTLY),
}
LOOKS: dict[str, dict[str, Any]] = {
    f"{width}-{scheme}": {"viewport": {"width": width, "height": HEIGHT}, "color_scheme": scheme}
    for width in (1400, 400)
    for scheme in ("light", "dark")
}
EYES: dict[str, dict[str, Any]] = {
    "320": {"viewport": {"width": 320, "height": 640}},
    "zoom-200": {"viewport": {"width": 600, "height": 450}, "device_scale_factor": 2},
    "forced": {"viewport": {"width": 900, "height": 700}, "forced_colors": "active"},
    "contrast": {"viewport": {"width": 900, "height": 700}, "contrast": "more"},
    "still": {"viewport": {"width": 900, "height": 700}, "reduced_motion": "reduce"},
}
SOME = ("1400-light", "400-dark")
TABS = {
    "My notebook": my_notebook,
    "My match day": my_match_day,
    "My TES": my_tes,
    "Lanes": lanes,
    "status": status,
    "workers": workers,
    "kernel": kernel,
    "simulated": odds,
    "Inspector": inspector,
}
PAGES = {
    **{f"session-{name}": ("session", look) for name, look in (LOOKS | EYES).items()},
    **{f"replay-{name}": ("replay", (LOOKS | EYES)[name]) for name in (*SOME, "320")},
    **{f"TES-{name}": ("TES", LOOKS[name]) for name in SOME},
}
MOVES = "document.getAnimations().map((one) => `moves: ${one.animationName ?? one.transitionProperty}`)"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what was seen."""
    return tmp_path_factory.mktemp("pictures")


def context_of(browser: Any, options: dict[str, Any]) -> Any:
    context = browser.new_context(timezone_id="Europe/Berlin", **options)
    context.add_init_script(PAINTED)
    return context


@pytest.fixture
def notebook(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """(page, folder): a notebook that was run, its session alive."""
    folder = tmp_path_factory.mktemp("every")
    with jupyter_lab(folder) as lab, closing(context_of(browser, LOOKS["1400-light"])) as context:
        page = context.new_page()
        page.goto(lab.notebook("every", SETUP, *(view.code for view in VIEWS.values()), END))
        until(page, IDLE, seconds=60)
        page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        page.evaluate(RUN, "notebook:run-all-cells")
        eventually((folder / "done.txt").exists, 90, lambda: texts(page.locator("body"), ".jp-RenderedText"))
        yield page, folder
        page.evaluate(SHUT)


# A dozen live views in one notebook take a core: they live as long as one test, and no other runs beside it.
@pytest.mark.alone
@pytest.mark.slow
def test_in_jupyterlab_and_in_a_report(browser, notebook, pictures):
    page, folder = notebook
    wrong = {}
    for look in SOME:
        theme = f"JupyterLab {look.split('-')[1].title()}"
        page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
        )
        until(page, "(theme) => document.body.dataset.jpThemeName === theme", arg=theme)
        page.set_viewport_size(LOOKS[look]["viewport"])
        for place, name in enumerate(VIEWS, 1):
            wrong[f"{look} {name}"] = faults_in_cell(page, place, name, pictures / f"lab-{look}-{name}.png")
    for look in LOOKS:
        wrong[f"report {look}"] = faults_of_report(browser, folder / "report.html", look, pictures)
    assert {where: some for where, some in wrong.items() if some} == {}


def faults_in_cell(page: Any, place: int, name: str, picture: Path) -> list[str]:
    page.evaluate("(at) => window.jupyterapp.shell.currentWidget.content.scrollToItem(at, 'start')", place)
    view = page.locator(f".jp-Cell[data-windowed-list-index='{place}'] .jp-OutputArea-output").first
    view.locator(VIEWS[name].ready).first.wait_for(timeout=30_000)
    view.evaluate("(element) => element.scrollIntoView({ block: 'start' })")
    page.wait_for_timeout(300)  # the layout follows the width a moment later
    VIEWS[name].check(view)
    wrong = faults(view)
    box = view.bounding_box()
    clip = {**box, "height": max(1, min(box["height"], HEIGHT - box["y"]))}
    page.screenshot(path=picture, clip=clip)
    if not view.evaluate("(element) => element.scrollWidth <= element.clientWidth + 1"):
        wrong.append("it is wider than its cell")
    return wrong


@pytest.fixture
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The pages of a session that is at work, of one that reads it as a TES, and of a replay that stands still."""
    target = tmp_path_factory.mktemp("every") / "work.tes"
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(tes.SIMULATED, speed=30)
        with session.record(target), session.observe(ProcessPoolExecutor(2), name="loads") as pool:
            jobs = [pool.submit(time.sleep, 0.2) for _ in range(8)]
            session.gauges(loss=0.5, val_loss=0.6, speed=(900, "rows/s"), heap=(3e8, "bytes"))
            session.mark("warm-up over")
            feed.wait(rows=40, timeout=30)
            for job in jobs:
                job.result(20)
            session.status.wait(rows=3, timeout=20)
            peer = f"127.0.0.1:{session.ports[0]}"
            with (
                tes.attach(peer, workers=f"127.0.0.1:{session.ports[1]}") as attached,
                tes.replay(target, paused=True) as replay,
            ):
                replay.seek("60%")
                yield {"session": session.url, "TES": attached.url, "replay": replay.url}


@pytest.mark.slow
def test_on_the_page(browser, addresses, pictures):
    wrong = {name: faults_of_page(browser, addresses, name, pictures) for name in PAGES}
    assert {where: some for where, some in wrong.items() if some} == {}


def faults_of_page(browser: Any, addresses: dict[str, str], name: str, pictures: Path) -> dict[str, Any]:
    kind, look = PAGES[name]
    wrong = {}
    with closing(context_of(browser, look)) as context:
        one = Page(context.new_page())
        one.page.goto(addresses[kind])
        one.page.wait_for_selector(f"role=tab[name='{'My TES' if kind == 'TES' else 'simulated'}']")
        for tab in texts(one.page.locator("body"), "[role=tab]"):
            panel = opened(one.page.locator("body"), tab)
            all_say(panel, "PAUSED" if kind == "replay" else "LIVE")
            one.page.wait_for_timeout(100)
            if kind != "replay":
                TABS.get(tab, lambda panel: None)(panel)
            wrong[tab] = faults(one.page.locator("body"))
            if one.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wrong[tab].append("the page scrolls sideways")
            if name.endswith("still"):
                wrong[tab] += one.page.evaluate(MOVES)
            one.page.screenshot(path=pictures / f"{name}-{tab.replace(' ', '-')}.png", full_page=True)
        if kind == "replay":
            scrubber(one.page.locator("body"))
    return {tab: some for tab, some in (wrong | {"errors": one.errors}).items() if some}


def faults_of_report(browser: Any, file: Path, look: str, pictures: Path) -> list[str]:
    assert file.stat().st_size < 5_000_000
    with closing(context_of(browser, LOOKS[look])) as context:
        page = context.new_page()
        page.goto(file.as_uri())
        until(page, "document.querySelectorAll('.main-svg .legendtext').length > 3")
        body = page.locator("body")
        report(body)
        page.wait_for_timeout(300)
        wrong = faults(body)
        page.screenshot(path=pictures / f"report-{look}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append("it scrolls sideways")
        return wrong
