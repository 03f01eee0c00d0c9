"""The chart in JupyterLab: it moves while a cell runs, survives a reload, and says when it is dead."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.browser.conftest import PICTURES
from tests.support.jupyter import TOKEN, Jupyter, jupyter_lab
from tests.support.waiting import eventually

MAKE = """
from tests.support.ticking import Ticking
from tes_nb.views.chart import Chart, ChartOptions
source = Ticking("metrics").start()
sent = []
chart = Chart(source, None, ChartOptions(window_s=60))
really_send = chart._push._send
def counted(message):
    sent.append(message.content["type"])
    really_send(message)
chart._push._send = counted
chart
"""
OTHERS = """
import json, threading, time
from tests.support.observations import observation
from tests.support.ticking import Ticking
from tes_nb.model import Message
from tes_nb.streams import get
from tes_nb.views.inspector import Inspector
from tes_nb.views.table import LiveCards, LiveTable
from tes_nb.store.memory.recent import RecentMessages
source, stream = Ticking("workers").start(), get("metrics")
recent = RecentMessages("metrics", stream)
def feed():
    for n in range(10**6):
        source.put(*((f"w{k}", n * 1000 + k, 50.0, n) for k in range(30)), table="parts")
        payload = json.dumps(stream.producer.build(observation())).encode()
        recent.append(Message("metrics", 0, 1, payload, time.time_ns(), 1, 0, n + 1))
        time.sleep(0.5)
threading.Thread(target=feed, daemon=True).start()
from IPython.display import display
display(LiveTable(source, "parts"), LiveCards(source), Inspector([recent]))
"""
IDLE = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
SHUT = "window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown().catch(() => {})"
RUN = "(command) => { window.jupyterapp.commands.execute(command); }"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as one:
        yield one


def is_whole(text: str) -> bool:
    """Whether a notebook has been written to its end."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class Notebook:
    """A notebook open in the browser."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def run_all(self) -> None:
        self.page.wait_for_function(IDLE, timeout=40_000)
        self.page.evaluate(RUN, "notebook:run-all-cells")

    @property
    def prompts(self) -> list[str]:
        """ "[*]:" while a cell runs."""
        return self.page.locator(".jp-Notebook .jp-InputPrompt").all_text_contents()

    @property
    def value(self) -> str:
        return self.page.locator(".tes-value").first.text_content() or ""

    @property
    def state(self) -> str:
        return self.page.locator(".tes-state").first.text_content() or ""

    def eventually(self, check: Callable[[], bool], within: float = 20.0) -> None:
        eventually(check, within, lambda: (self.state, self.page.locator(".tes-detail").first.text_content()))

    def values_while_busy(self, seconds: float) -> set[str]:
        """The values seen while the second cell runs."""
        seen = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.prompts[1] == "[*]:":
                seen.add(self.value)
            time.sleep(0.2)
        return seen

    def output(self, cell: int) -> str:
        return (
            self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea-output").inner_text()
        )

    def kernel_pid(self, lab: Jupyter, name: str) -> int:
        return int((lab.folder / name).read_text())


@pytest.fixture
def opened(browser: Any, lab: Jupyter) -> Iterator[Callable[..., Any]]:
    @contextmanager
    def open_notebook(name: str, *cells: str) -> Iterator[Notebook]:
        with closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context:
            page = context.new_page()
            page.goto(lab.notebook(name, *cells))
            yield Notebook(page)
            page.evaluate(SHUT)

    return open_notebook


@pytest.mark.parametrize(
    "busy",
    [
        "import time; time.sleep(9)",
        "import time\nend = time.time() + 9\nwhile time.time() < end: sum(range(20000))",
    ],
    ids=["sleep", "loop"],
)
def test_run_all_moves_while_the_next_cell_is_busy(opened, request, busy):
    with opened(f"busy-{request.node.callspec.id}", MAKE, busy) as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        assert notebook.prompts[1] == "[*]:"
        assert len(notebook.values_while_busy(4)) >= 4
        assert notebook.state == "LIVE"


def test_table_cards_and_inspector_move_while_the_next_cell_is_busy(opened):
    with opened("others", OTHERS, "import time; time.sleep(12)") as notebook:
        notebook.page.set_viewport_size({"width": 1200, "height": 1700})  # what is not seen does not move
        notebook.run_all()
        for view in ("table", "cards", "inspector"):
            notebook.page.wait_for_selector(f".tes-{view} .tes-state", timeout=20_000)
        places = (
            ".tes-table .tes-space .tes-number",
            ".tes-cards .tes-now",
            ".tes-inspector .tes-detail[role=status]",
        )

        def shown(place: str) -> str:
            return notebook.page.locator(place).first.text_content() or ""

        notebook.eventually(lambda: all(shown(place) for place in places), within=8)
        before = {place: shown(place) for place in places}
        notebook.eventually(lambda: all(shown(place) != before[place] for place in places), within=8)
        assert notebook.prompts[1] == "[*]:"
        assert notebook.page.locator(".tes-state").all_text_contents() == ["LIVE"] * 3
        notebook.page.screenshot(path=PICTURES / "jupyterlab-views.png")


LIVE_FIGURE = """
import tes_nb as tes
s = tes.start()
s.metrics.wait(rows=4)
s.metrics.figure(["cpu_percent", "memory_rss"], live=True)
"""


def test_a_live_figure_has_a_clock_on_its_time_axis_and_units_on_the_others(opened):
    with opened("figure", LIVE_FIGURE, "import time; time.sleep(5)") as notebook:
        notebook.page.set_viewport_size({"width": 1200, "height": 1200})
        notebook.run_all()
        notebook.page.wait_for_selector(".js-plotly-plot .x2tick text", timeout=40_000)

        def texts(place: str) -> list[str]:
            return notebook.page.locator(f".js-plotly-plot {place}").all_text_contents()

        def points() -> int:
            return notebook.page.evaluate("document.querySelector('.js-plotly-plot').data[0].x.length")

        before = points()
        notebook.eventually(lambda: points() >= before + 3)
        ticks = texts(".x2tick text")
        assert ticks
        clock = re.compile(r"^\d\d:\d\d(:\d\d(\.\d+)?)?")
        assert all(clock.match(tick) for tick in ticks), ticks
        today = time.strftime("%b %-d, %Y", time.gmtime())
        assert any(today in tick for tick in ticks), ticks
        assert texts(".xtitle, .x2title") == ["time (UTC)"]
        assert texts(".ytitle, .y2title") == ["percent", "bytes"]
        assert texts(".annotation-text")[:2] == ["CPU of one core", "Memory"]
        notebook.page.set_viewport_size({"width": 800, "height": 1200})
        widths = "(() => { const plot = document.querySelector('.js-plotly-plot');"
        widths += (
            " return plot.clientWidth - plot.querySelector('.main-svg').getBoundingClientRect().width; })()"
        )
        notebook.eventually(lambda: notebook.page.evaluate(widths) == 0)
        assert all(text.endswith("B") for text in texts(".y2tick text")), "bytes in words"
        notebook.page.screenshot(path=PICTURES / "jupyterlab-figure.png")


def test_reload_resumes_and_a_saved_notebook_is_small_and_holds_no_token(opened, lab):
    with opened("reload", MAKE, "1 + 1") as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        notebook.eventually(lambda: notebook.state == "LIVE")
        before = (lab.folder / "reload.ipynb").stat().st_mtime
        notebook.page.evaluate(RUN, "docmanager:save")
        notebook.eventually(lambda: (lab.folder / "reload.ipynb").stat().st_mtime > before)
        notebook.eventually(lambda: is_whole((lab.folder / "reload.ipynb").read_text()))
        saved = (lab.folder / "reload.ipynb").read_text()
        assert len(saved) < 80_000
        assert TOKEN not in saved
        states = json.loads(saved)["metadata"].get("widgets", {})
        assert len(json.dumps(states)) < 80_000
        notebook.page.reload()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=30_000)
        notebook.eventually(lambda: notebook.state == "LIVE")
        first = notebook.value
        notebook.eventually(lambda: notebook.value != first)


def test_a_chart_that_nobody_sees_costs_no_message(opened):
    filler = "print('line\\n' * 400)"
    count = "import time\na = len(sent); time.sleep(3); b = len(sent); print('sent', b - a)"
    with opened("hidden", MAKE, filler, count) as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        notebook.eventually(lambda: notebook.prompts[2] == "[3]:")
        last = notebook.page.locator(".jp-Notebook .jp-Cell").nth(2)
        last.scroll_into_view_if_needed()
        last.locator(".cm-content").click()
        time.sleep(1)
        notebook.page.evaluate(RUN, "notebook:run-cell")
        notebook.eventually(lambda: notebook.prompts[2] == "[4]:")
        assert notebook.output(2).strip() == "sent 0"
        notebook.page.locator(".tes-chart").scroll_into_view_if_needed()
        first = notebook.value
        notebook.eventually(lambda: notebook.value != first)
        assert notebook.state == "LIVE"


def test_stopped_is_stale_then_lost_and_a_restart_is_said_at_once(opened, lab):
    pid = "import os; from pathlib import Path; Path('pid').write_text(str(os.getpid()))"
    with opened("dead", MAKE, pid) as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        notebook.eventually(lambda: notebook.state == "LIVE" and notebook.prompts[1] == "[2]:")
        kernel = int((lab.folder / "pid").read_text())
        os.kill(kernel, signal.SIGSTOP)
        try:
            notebook.eventually(lambda: notebook.state == "STALE", within=6)
            notebook.eventually(lambda: notebook.state == "LOST", within=16)
        finally:
            os.kill(kernel, signal.SIGCONT)
        notebook.eventually(lambda: notebook.state == "LIVE")
        os.kill(kernel, signal.SIGKILL)
        notebook.eventually(lambda: notebook.state == "LOST", within=25)
        assert "since" in (notebook.page.locator(".tes-detail").first.text_content() or "")


def test_pictures_of_both_themes(opened):
    with opened("themes", MAKE, "import time; time.sleep(8)") as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        grounds = []
        for theme in ("JupyterLab Light", "JupyterLab Dark"):
            notebook.page.evaluate(
                "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
            )
            notebook.page.wait_for_function(
                "(theme) => document.body.dataset.jpThemeName === theme", arg=theme
            )
            time.sleep(0.8)
            notebook.page.screenshot(path=PICTURES / f"{theme.lower().replace(' ', '-')}.png")
            grounds.append(
                notebook.page.evaluate(
                    "getComputedStyle(document.querySelector('.tes-chart')).backgroundColor"
                )
            )
        assert grounds[0] != grounds[1]


def test_voila_shows_the_chart_moving(browser, lab):
    pytest.importorskip("voila")
    address = lab.notebook("visited", MAKE).replace(
        "lab/workspaces/visited/tree/visited.ipynb", "voila/render/visited.ipynb"
    )
    with closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context:
        notebook = Notebook(context.new_page())
        notebook.page.goto(address, timeout=50_000)
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=40_000)
        notebook.eventually(lambda: notebook.state == "LIVE")
        first = notebook.value
        notebook.eventually(lambda: notebook.value != first)
        notebook.page.screenshot(path=PICTURES / "voila.png")


def test_notebook_seven_shows_the_chart_moving_while_busy(browser, lab):
    pytest.importorskip("notebook")
    address = lab.notebook("seven", MAKE, "import time; time.sleep(9)").replace(
        "lab/workspaces/seven/tree", "notebooks"
    )
    with closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context:
        notebook = Notebook(context.new_page())
        notebook.page.goto(address)
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=20_000)
        assert len(notebook.values_while_busy(4)) >= 4
        assert notebook.state == "LIVE"
        notebook.page.screenshot(path=PICTURES / "notebook-7.png")
        notebook.page.evaluate(SHUT)
