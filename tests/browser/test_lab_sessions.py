"""Real sessions in JupyterLab: two notebooks at once, a restarted kernel, hostile names in saved notebooks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT, Notebook
from tests.support.jupyter import Jupyter, jupyter_lab

SESSION = """
import tes_nb as tes
s = tes.start()
print(s.ports)
s.metrics.plot(window="1min")
"""
HOSTILE = """
import json, time
from IPython.display import display
from tests.support.hostile import HOSTILE
from tests.support.ticking import Ticking
from tes_nb.model import Message
from tes_nb.streams import get
from tes_nb.views.chart import Chart, ChartOptions
from tes_nb.views.inspector import Inspector
from tes_nb.views.table import LiveCards, LiveTable
from tes_nb.store.memory.recent import RecentMessages
source = Ticking(HOSTILE[0])
for at in range(3):
    source.put(*((name, at, 50.0, at) for name in HOSTILE), table="parts")
    source.put((1, 2.0, at, HOSTILE[1]))
recent = RecentMessages(HOSTILE[2], get("metrics"))
for n, name in enumerate(HOSTILE):
    recent.append(Message("metrics", 0, 1, name.encode("utf-8", "replace"), time.time_ns(), 1, 0, n + 1))
display(Chart(source, "parts", ChartOptions()), LiveTable(source, "parts"), LiveCards(source), Inspector([recent]))
"""
RESTART = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
ACTS = """() => ({
  owned: window.owned ?? null,
  title: document.title,
  handlers: [...document.querySelectorAll('.tes *, .jp-OutputArea-output *, .jp-RenderedHTML *')]
    .flatMap((one) => one.getAttributeNames().filter((name) => name.startsWith('on'))),
})"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with jupyter_lab(tmp_path_factory.mktemp("sessions")) as one:
        yield one


@contextmanager
def opened(browser: Any, lab: Jupyter, name: str, *cells: str) -> Iterator[Notebook]:
    with closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context:
        page = context.new_page()
        page.goto(lab.notebook(name, *cells) if cells else lab.address(name))
        yield Notebook(page)
        page.evaluate(SHUT)


def watched(page: Any) -> tuple[list[str], list[str]]:
    """What the page does that it should not: dialogs, and requests to the hostile strings' host."""
    dialogs: list[str] = []
    requests: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: requests.append(asked.url) if "evil.test" in asked.url else None)
    return dialogs, requests


@pytest.mark.timeout(150)
def test_fault_82_two_notebooks_have_two_collectors_and_one_s_end_is_not_the_other_s(browser, lab):
    with opened(browser, lab, "one", SESSION) as one, opened(browser, lab, "two", SESSION) as two:
        for notebook in (one, two):
            notebook.run_all()
            notebook.page.wait_for_selector(".tes-chart .uplot", timeout=30_000)
            notebook.eventually(lambda seen=notebook: seen.state == "LIVE")
        ports = [notebook.page.locator(".jp-OutputArea-output").first.inner_text() for notebook in (one, two)]
        assert ports[0] != ports[1]
        one.page.evaluate(SHUT)
        # the kernel leaves a picture of the end behind in place of the view, which says that it is one
        one.eventually(lambda: one.page.locator(".tes-state").count() == 0 or one.state in ("CLOSED", "LOST"))
        first = two.value
        two.eventually(lambda: two.value != first)
        assert two.state == "LIVE"


def test_a_restarted_kernel_is_lost_until_its_cell_runs_again(browser, lab):
    with opened(browser, lab, "restart", SESSION) as notebook:
        notebook.run_all()
        notebook.page.wait_for_selector(".tes-chart .uplot", timeout=30_000)
        notebook.eventually(lambda: notebook.state == "LIVE")
        notebook.page.evaluate(RESTART)
        notebook.eventually(lambda: notebook.state == "LOST")
        assert "since" in (notebook.page.locator(".tes-detail").first.text_content() or "")
        notebook.run_all()
        notebook.eventually(lambda: notebook.state == "LIVE", within=30)


def saved(notebook: Notebook, lab: Jupyter, name: str) -> None:
    before = (lab.folder / f"{name}.ipynb").stat().st_mtime
    notebook.page.evaluate(RUN, "docmanager:save")
    notebook.eventually(lambda: (lab.folder / f"{name}.ipynb").stat().st_mtime > before)


@pytest.mark.timeout(150)
def test_fault_52_hostile_names_do_nothing_in_a_notebook_saved_converted_and_opened_again(browser, lab):
    with opened(browser, lab, "hostile", HOSTILE) as notebook:
        done = watched(notebook.page)
        notebook.page.set_viewport_size({"width": 1200, "height": 2400})
        notebook.run_all()
        for view in ("chart", "table", "cards", "inspector"):
            notebook.page.wait_for_selector(f".tes-{view} .tes-state", timeout=30_000)
        notebook.page.wait_for_selector(".tes-inspector .tes-undecoded")
        time.sleep(0.5)
        harmless(notebook.page, done)
        saved(notebook, lab, "hostile")
    has_fallbacks(lab, "hostile")
    subprocess.run(
        [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", "hostile.ipynb"],
        cwd=lab.folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    with closing(browser.new_context()) as context:
        page = context.new_page()
        done = watched(page)
        context.route("http*://**", lambda route: route.abort())  # MathJax and require.js from elsewhere
        page.goto((lab.folder / "hostile.html").as_uri())
        page.wait_for_timeout(1_000)
        page.screenshot(path=PICTURES / "hostile-nbconvert.png")
        harmless(page, done)
    with opened(browser, lab, "hostile") as notebook:
        done = watched(notebook.page)
        notebook.page.wait_for_function(IDLE, timeout=40_000)
        notebook.page.wait_for_timeout(1_500)
        notebook.page.screenshot(path=PICTURES / "hostile-again.png")
        harmless(notebook.page, done)


def harmless(page: Any, done: tuple[list[str], list[str]]) -> None:
    assert done == ([], [])
    acted = page.evaluate(ACTS)
    assert acted["owned"] is None
    assert acted["title"] != "owned"
    assert acted["handlers"] == []


def has_fallbacks(lab: Jupyter, name: str) -> None:
    """What nbconvert and GitHub show of a saved notebook: each view's static text, not an empty place."""
    cells = json.loads((lab.folder / f"{name}.ipynb").read_text())["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    shown = [one for one in outputs if "text/html" in one]  # each below its view
    assert len(shown) == 4
    assert all("as it was at " in "".join(one["text/html"]) for one in shown)
    assert all(len("".join(one["text/html"])) < 80_000 for one in shown)
