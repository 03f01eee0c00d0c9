"""Beside the notebook in JupyterLab: the docked dashboard."""

from __future__ import annotations

from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import lab, opened  # noqa: F401 - fixtures

START = "import tes_nb as tes\ns = tes.start(ports=(0, 0))\n"
DOCKED = ".jupyterlab-sidecar .tes-dashboard"


def test_the_dashboard_is_docked_at_the_right_and_moves_while_a_cell_runs(opened):  # noqa: F811
    cells = (
        START + "board = s.dashboard(dock='right')\nboard",
        "import time; time.sleep(8)",
        "board.close()",
    )
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
