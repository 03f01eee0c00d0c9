"""Beside the notebook in JupyterLab: the docked dashboard, and the item of the status bar with its figures."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psutil
import pytest

import hatch_build
from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import RUN, opened  # noqa: F401 - a fixture
from tests.support.jupyter import ROOT, Jupyter, jupyter_lab

START = "import os, time\nfrom pathlib import Path\nimport tes_nb as tes\ns = tes.start(ports=(0, 0))\n"
PID = "Path('pid').write_text(str(os.getpid()))\n"
WAIT = "while not Path('{}').exists(): time.sleep(0.05)"
HOLD = "def timed(n):\n    began = time.monotonic()\n    sum(range(n))\n    return time.monotonic() - began\n"
HOLD += "seconds = timed(int(6 * 10**6 / timed(10**6)))"
"""One call, in which nothing else of Python runs, of about 6 s."""
DOCKED = ".jupyterlab-sidecar .tes-dashboard"
ITEM = ".tes-status-item"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("lab")
    (folder / ".share" / "labextensions").mkdir(parents=True)
    extension = hatch_build.dist(ROOT) / hatch_build.LAB_EXTENSION
    (folder / ".share" / "labextensions" / "tes-nb").symlink_to(extension)
    with jupyter_lab(folder, environ={"JUPYTER_PATH": str(folder / ".share")}) as one:
        yield one


def megabytes(words: str) -> float:
    """The kernel's memory, as the item says it."""
    return float(re.match(r"([\d.]+) MB of [\d.]+ GB · ", words)[1])


def test_the_dashboard_is_docked_at_the_right_and_moves_while_a_cell_runs(opened):  # noqa: F811
    cells = (START + "board = s.dashboard(dock='right')\nboard", "time.sleep(8)", "board.close()")
    with opened("docked", *cells) as notebook:
        page = notebook.page
        page.set_viewport_size({"width": 1400, "height": 900})
        notebook.run_all()
        page.wait_for_selector(f"{DOCKED} .tes-state", timeout=20_000)
        notebook.eventually(lambda: page.locator(f"{DOCKED} .tes-state").first.text_content() == "LIVE")
        assert notebook.prompts[1] == "[*]:"
        assert notebook.output(0).strip() == "The dashboard is docked in JupyterLab, beside the notebook."
        cell, dock = (page.locator(place).first.bounding_box() for place in (".jp-Notebook .jp-Cell", DOCKED))
        assert dock["x"] >= cell["x"] + cell["width"] - 1, (cell, dock)
        page.screenshot(path=PICTURES / "jupyterlab-docked.png")
        notebook.eventually(lambda: notebook.prompts[2] == "[3]:" and page.locator(DOCKED).count() == 0)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_item_shows_the_kernel_in_front_says_when_it_is_held_and_opens_the_dock(opened, lab):  # noqa: F811
    ballast = "ballast = bytearray(300_000_000)\n"
    cells = (START + PID, ballast + WAIT.format("seen"), HOLD, WAIT.format("docked"), "s.stop()")
    with opened("item", *cells) as notebook:
        page = notebook.page
        page.set_viewport_size({"width": 1400, "height": 900})
        assert not page.locator(ITEM).is_visible()  # there is no session

        def words() -> str:
            return page.locator(ITEM).text_content() or ""

        notebook.run_all()
        page.wait_for_selector(f"{ITEM}:visible", timeout=20_000)
        notebook.eventually(lambda: notebook.prompts[1] == "[*]:" and (lab.folder / "pid").exists())
        kernel = psutil.Process(int((lab.folder / "pid").read_text()))

        def is_true() -> bool:
            rss = kernel.memory_info().rss / 1e6
            return words().endswith("· LIVE") and rss > 350 and abs(megabytes(words()) / rss - 1) < 0.05

        notebook.eventually(is_true)
        (lab.folder / "seen").touch()
        notebook.eventually(lambda: re.search(r"· held \d s$", words()) is not None)
        assert notebook.prompts[2] == "[*]:"
        assert "a cell holds the interpreter" in page.locator(ITEM).get_attribute("title")
        page.screenshot(path=PICTURES / "jupyterlab-item-held.png")
        notebook.eventually(lambda: words().endswith("· LIVE"))
        page.evaluate(RUN, "launcher:create")
        with page.context.expect_page() as popup:
            page.click(".jp-LauncherCard:has-text('tes_nb page')")
        popup.value.wait_for_selector(".tes-state:visible:text-is('LIVE')", timeout=20_000)
        assert notebook.prompts[3] == "[*]:"
        popup.value.close()
        page.evaluate(RUN, "application:close")
        page.click(ITEM)
        page.wait_for_selector(f"{DOCKED} .tes-state", timeout=20_000)
        assert notebook.prompts[3] == "[*]:"
        page.screenshot(path=PICTURES / "jupyterlab-item.png")
        (lab.folder / "docked").touch()
        notebook.eventually(lambda: not page.locator(ITEM).is_visible())  # the session has been stopped
