"""A notebook that was executed without a browser, and saved: its pictures are of the end, wherever it opens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nbclient
import nbconvert
import nbformat
import pytest

from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.support.browser import until
from tests.support.jupyter import Jupyter, jupyter_lab
from tests.support.waiting import eventually

CELLS = (
    "import tes_nb as tes\ns = tes.start(ports=(0, 0))\ns.metrics.wait(rows=3, timeout=20)",
    "s.metrics.plot(['cpu_cores', 'memory_rss'])",
    "s.workers.table()",
    "import time\ntime.sleep(3)\nprint(time.time())",
    "s.metrics.figure(live=True)",
    "s.stop()",
)
PICTURE = "img[src^='data:image/svg+xml']"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with jupyter_lab(tmp_path_factory.mktemp("saved")) as one:
        yield one


@pytest.fixture(scope="module")
def saved(lab: Jupyter) -> Path:
    """What `nbconvert --execute` does, and papermill."""
    lab.notebook("saved", *CELLS)
    path = lab.folder / "saved.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(lab.folder)}}).execute()
    nbformat.write(notebook, path)
    return path


def pictures(page: Any) -> None:
    until(page, f"document.querySelectorAll({PICTURE!r}).length >= 2", seconds=40)
    widths = page.locator(PICTURE).evaluate_all("images => images.map((one) => one.naturalWidth)")
    assert all(widths), widths  # it is a picture, and it was read


def test_each_output_is_of_the_end_and_small(saved: Path) -> None:
    cells = nbformat.read(saved, as_version=4).cells
    ended = float(cells[3].outputs[0].text)
    for place, kind in ((1, "chart"), (2, "table"), (4, "figure")):
        (output,) = cells[place].outputs
        assert set(output.data) == {"text/plain", "text/html"}
        html = output.data["text/html"]
        assert len(html) < 80_000
        assert f"metrics ({kind})" in html or f"workers ({kind})" in html
        assert "Its session has ended." in html
        drawn = re.search(r"as it was at (\S+ \S+) UTC", html)
        assert drawn is not None
        assert nbformat_time(drawn[1]) >= int(ended)


def test_plotly_s_five_megabytes_are_in_no_notebook(saved: Path) -> None:
    assert saved.stat().st_size < 600_000


def test_saved_while_alive_it_shows_how_things_were_when_the_last_cell_ended(
    browser: Any, lab: Jupyter
) -> None:
    address = lab.notebook("alive", *CELLS[:3], CELLS[4], CELLS[3])
    notebook = lab.folder / "alive.ipynb"
    with closing(browser.new_context(viewport={"width": 1100, "height": 1500})) as context:
        page = context.new_page()
        page.goto(address)
        until(page, IDLE, seconds=60)
        page.evaluate(RUN, "notebook:run-all-cells")
        until(page, "document.querySelector('.jp-Notebook').innerText.includes('[5]:')", seconds=60)
        page.wait_for_selector(".tes-chart .uplot")
        assert (
            page.locator(PICTURE).evaluate_all("some => some.filter((one) => one.checkVisibility()).length")
            == 0
        )
        ended = float(page.locator(".jp-OutputArea-output pre").last.inner_text())

        def last_pictures() -> list[float]:
            page.evaluate(RUN, "docmanager:save")
            return [
                nbformat_time(text)
                for text in re.findall(r"as it was at (\S+ \S+) UTC", notebook.read_text())
            ]

        eventually(lambda: len(last_pictures()) == 3 and min(last_pictures()) >= int(ended), 30)
        page.evaluate(SHUT)
    assert notebook.stat().st_size < 200_000
    copy = notebook.with_name("mailed.ipynb")
    copy.write_text(
        notebook.read_text()
        .replace('"id": "c1"', '"id": "d1"')
        .replace("workers.table()", "workers.table( )")
    )
    for name in ("alive", "mailed"):
        with closing(browser.new_context(viewport={"width": 1100, "height": 1400})) as context:
            page = context.new_page()
            page.goto(lab.address(name))
            until(page, "window.jupyterapp?.shell?.currentWidget?.context?.isReady", seconds=60)
            trusted = "window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted"
            assert page.evaluate(trusted) is (name == "alive")
            pictures(page)
            text = page.locator(".jp-Notebook").inner_text()
            assert "Memory, process" in text
            assert "as it was at" in text
            page.screenshot(path=PICTURES / f"saved-{name}.png")


def nbformat_time(text: str) -> float:
    from datetime import UTC, datetime

    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_converted_it_shows_curves_and_figures_without_a_network(browser: Any, saved: Path) -> None:
    for template in ("basic", "lab"):
        html, _ = nbconvert.HTMLExporter(template_name=template).from_filename(str(saved))
        page_path = saved.with_suffix(f".{template}.html")
        page_path.write_text(html)
        with closing(browser.new_context(offline=True)) as context:
            page = context.new_page()
            page.goto(page_path.as_uri(), wait_until="domcontentloaded")
            pictures(page)
            text = page.locator("figure").first.inner_text()
            assert "memory_rss" in text
            assert "Its session has ended." in text


def test_in_jupyterlab_without_its_kernel_and_untrusted_it_shows_the_same(
    browser: Any, lab: Jupyter, saved: Path
) -> None:
    with closing(browser.new_context(viewport={"width": 1100, "height": 1400})) as context:
        page = context.new_page()
        page.goto(lab.address(saved.stem))
        until(page, "window.jupyterapp?.shell?.currentWidget?.context?.isReady", seconds=60)
        assert page.evaluate(
            "window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted === false"
        )
        pictures(page)
        assert (
            "Its session has ended."
            in page.locator(".jp-OutputArea figure, .jp-OutputArea").nth(1).inner_text()
        )
