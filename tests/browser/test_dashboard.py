"""The dashboard in JupyterLab while a cell is busy: it moves, tabs open, controls answer; no token is saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from tes_nb.views.chart_codec import Block, pack
from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.support.browser import until
from tests.support.jupyter import Jupyter, jupyter_lab

MAKE = """
import tes_nb as tes
s = tes.start(ports=(0, 0))
ng = s.watch(tes.SIMULATED, speed=50)
open("token.txt", "w").write(str(s.token))
s.dashboard()
"""
BUSY = """
import time
end = time.time() + 20
while time.time() < end:
    sum(range(20000))
"""
AFTER = "print('marks', s.metrics.marks['label'].tolist())"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with jupyter_lab(tmp_path_factory.mktemp("dashboard")) as one:
        yield one


def texts(page: Any, selector: str) -> list[str]:
    return page.locator(selector).all_text_contents()


def moves(page: Any, selector: str, seconds: float) -> int:
    """How many different contents a place showed."""
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.add(tuple(texts(page, selector)))
        time.sleep(0.2)
    return len(seen)


@pytest.mark.alone
def test_while_a_cell_is_busy_it_moves_opens_tabs_and_answers(browser: Any, lab: Jupyter) -> None:
    with closing(browser.new_context(viewport={"width": 1300, "height": 1600})) as context:
        page = context.new_page()
        page.goto(lab.notebook("dashboard", MAKE, BUSY, AFTER))
        page.wait_for_function(IDLE, timeout=60_000)
        page.evaluate(RUN, "notebook:run-all-cells")
        page.wait_for_selector(".tes-dashboard .tes-tabs", timeout=60_000)
        assert texts(page, ".tes-dashboard [role=tab]")[:2] == ["My match day", "My notebook"]
        page.get_by_role("tab", name="My notebook", exact=True).click()
        page.wait_for_selector(".tes-dashboard [role=tabpanel]:not([hidden]) .uplot", timeout=30_000)
        busy = lambda: page.locator(".jp-Notebook .jp-InputPrompt").all_text_contents()[1] == "[*]:"  # noqa: E731
        assert busy()
        shown = page.locator(".tes-dashboard [role=tabpanel]:not([hidden])").inner_text
        page.wait_for_function(
            "[...document.querySelectorAll('.tes-dashboard .tes-meter-item')].some("
            "(one) => one.textContent.startsWith('Cell[2]'))",
            timeout=10_000,
        )  # the busy one, while it runs
        for words in ("CPU, kernel", "Memory, with children", "What runs now", "Last cells", "wall [s]"):
            assert words in shown()
        assert not {"us-east-1", "Directions"} & set(shown().split())
        assert moves(page, ".tes-dashboard [role=tabpanel]:not([hidden]) .tes-value", 3) >= 3
        page.screenshot(path=PICTURES / "dashboard-busy.png")
        page.fill(".tes-dashboard input[type=text]", "busy mark")
        began = time.monotonic()
        page.get_by_role("button", name="Mark", exact=True).click()
        page.wait_for_function(
            "document.querySelector('.tes-dashboard .tes-controls [role=status]').textContent === 'Marked.'",
            timeout=3_000,
        )
        took = time.monotonic() - began
        assert busy()
        page.get_by_role("tab", name="workers", exact=True).click()
        page.wait_for_selector(
            ".tes-dashboard [role=tabpanel]:not([hidden]) >> text=No child processes.", timeout=8_000
        )
        page.get_by_role("tab", name="Inspector", exact=True).click()
        panel = ".tes-dashboard [role=tabpanel]:not([hidden]) "
        page.wait_for_function(f"document.querySelector({json.dumps(panel + '.tes-inspector')}) !== null")
        assert moves(page, panel + ".tes-inspector", 2) >= 2
        assert busy()
        page.get_by_role("tab", name="My match day", exact=True).click()
        page.locator(panel + ".tes-space .tes-row").first.click()
        page.wait_for_selector(
            panel + ".tes-chart .uplot", timeout=8_000
        )  # its prices, also while a cell is busy
        assert busy()
        assert "Prices of the match" in page.locator(panel).inner_text()
        page.get_by_role("tab", name="simulated", exact=True).click()
        time.sleep(1)
        page.screenshot(path=PICTURES / "dashboard-simulated.png")
        page.get_by_role("tab", name="My notebook", exact=True).click()
        time.sleep(0.5)
        page.screenshot(path=PICTURES / "dashboard-overview.png")
        page.wait_for_function(IDLE, timeout=40_000)
        page.wait_for_function("document.body.innerText.includes('busy mark')", timeout=20_000)
        page.evaluate(RUN, "docmanager:save")
        time.sleep(1.5)
        saved = next(lab.folder.glob("dashboard*.ipynb")).read_text()
        assert "LiveView" in saved or "application/vnd.jupyter.widget-view+json" in saved
        assert (lab.folder / "token.txt").read_text() not in saved
        page.evaluate(SHUT)
    assert took < 2.0


STATIC = {"js": "dashboard.js", "css": "dashboard.css"}
VIEW = {"title": "one", "columns": [], "period_s": 1.0, "silent": "Restart the kernel."}


@pytest.mark.parametrize("kind", ["chart", "table", "cards", "inspector"])
@pytest.mark.parametrize("stage", [STATIC], indirect=True)
def test_after_a_quarter_of_an_hour_without_input_it_rests_and_says_so(stage, kind):
    stage.page.clock.install()
    spec = {
        "title": "all",
        "silent": "Restart the kernel.",
        "control_port": None,
        "tabs": [
            {"title": name, "doc": "", "parts": [{"part": place, "kind": kind, "spec": VIEW}]}
            for place, name in enumerate(("Overview", "more"))
        ],
    }
    stage.begin(uid="u1", kind="dashboard", spec=spec)
    shown = "[role=tabpanel]:not([hidden]) .tes-state"
    stage.page.clock.run_for(16 * 60_000)
    until(stage.page, "window.sent.some((one) => one.type === 'visible' && one.idle)")
    assert stage.text(shown) == "PAUSED"
    assert "15 minutes" in stage.text("[role=tabpanel]:not([hidden]) .tes-detail")
    stage.page.mouse.move(50, 50)
    until(stage.page, "window.sent.at(-1).type === 'visible' && window.sent.at(-1).value")
    stage.deliver({"type": "state", "state": {"parts": {}}})
    stage.page.clock.run_for(1_000)
    assert stage.text(shown) != "PAUSED"


def dashboard_of(*parts):
    """The spec of a dashboard with one tab of (kind, spec) each."""
    listed = [{"part": place, "kind": kind, "spec": spec} for place, (kind, spec) in enumerate(parts)]
    tabs = [{"title": "all", "doc": "", "parts": listed}]
    return {"title": "all", "silent": "Restart the kernel.", "control_port": None, "tabs": tabs}


@pytest.mark.parametrize("stage", [STATIC], indirect=True)
def test_what_has_no_period_is_live_while_other_parts_hear_the_kernel_and_lost_with_it(stage):
    stage.page.clock.install()
    events = {**VIEW, "period_s": None}
    stage.begin(uid="u1", kind="dashboard", spec=dashboard_of(("table", VIEW), ("table", events)))
    for part in (0, 1):
        stage.deliver({"type": "rows", "rows": [["a", []]], "replace": True, "part": part})
    for _ in range(12):
        stage.page.clock.run_for(2_000)
        stage.deliver({"type": "rows", "rows": [["a", []]], "replace": True, "part": 0})
    stage.page.clock.run_for(600)
    assert texts(stage.page, ".tes-state") == ["LIVE", "LIVE"]
    stage.page.clock.run_for(12_000)
    assert texts(stage.page, ".tes-state") == ["LOST", "LOST"]


@pytest.mark.parametrize("stage", [STATIC], indirect=True)
def test_a_chart_in_a_part_that_is_hidden_is_not_drawn(stage):
    stage.page.clock.install()
    stage.page.evaluate("""() => {
      window.drawn = 0;
      const clear = CanvasRenderingContext2D.prototype.clearRect;
      CanvasRenderingContext2D.prototype.clearRect = function (...given) {
        window.drawn += 1;
        return clear.apply(this, given);
      };
    }""")
    row = ["9000001", "1x2"]
    columns = [{"name": name, "dtype": "str", "unit": "", "kind": "label"} for name in ("match_id", "market")]
    matches = {**VIEW, "columns": columns, "key": ["match_id"], "chooses": True}
    prices = {**VIEW, "follows": "match_id", "window_s": 60}
    stage.begin(uid="u1", kind="dashboard", spec=dashboard_of(("table", matches), ("chart", prices)))
    stage.deliver({"type": "rows", "rows": [[row[0], row]], "replace": True, "part": 0})
    now = stage.page.evaluate("Date.now() / 1000")
    series = [{"key": "a", "label": "9000001", "column": "home", "unit": "", "kind": "gauge", "subject": "a"}]
    for version in range(1, 6):
        points = Block([0], np.array([now + version]), np.array([[1.5 + version]]))
        packed = pack(version, [points], keyframe=version == 1, series=series)
        stage.deliver({"type": "append", "part": 1}, packed)
        stage.page.clock.run_for(300)
    assert stage.page.evaluate("window.drawn") == 0
    stage.page.click(".tes-space .tes-row")
    stage.page.clock.run_for(300)
    until(stage.page, "window.drawn > 0 && document.querySelector('.tes-chart .uplot') !== null")
