"""A notebook that was executed without a browser, and saved: its pictures are of the end, wherever it opens."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nbconvert
import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import PICTURES
from tests.browser.test_jupyterlab import IDLE, RUN, SHUT
from tests.support.browser import until
from tests.support.jupyter import ROOT, Jupyter, jupyter_lab
from tests.support.netns import Namespace
from tests.support.waiting import eventually

START = """
import subprocess, sys
import tes_nb as tes

s = tes.start(ports=(0, 0))
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
s.metrics.wait(rows=3, timeout=20)
s.workers.wait(rows=1, timeout=20)
print(child.pid)
"""
NETWORK = """
import socket

try:
    socket.create_connection(("192.0.2.1", 80), timeout=3).close()
    print("reached")
except OSError as error:
    print(error.strerror)
"""
CELLS = (
    START,
    "s.metrics.plot(['cpu_cores', 'memory_rss'])",
    "s.workers.table()",
    "import time\ntime.sleep(3)\nprint(time.time())",
    "s.metrics.figure(live=True)",
    "s.stop()\nchild.kill()\nchild.wait()",
    NETWORK,
)
PICTURE = "img[src^='data:image/svg+xml']"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with jupyter_lab(tmp_path_factory.mktemp("saved")) as one:
        yield one


@pytest.fixture(scope="module")
def saved(lab: Jupyter) -> Path:
    """What `jupyter nbconvert --execute` leaves where there is no network but the loopback interface."""
    lab.notebook("saved", *CELLS)
    path = lab.folder / "saved.ipynb"
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", path.name]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(lab.folder / ".ipython")}
    try:
        network = Namespace()
    except OSError as error:
        pytest.skip(f"network namespaces need root here: {error}")
    with closing(network):
        network.ip("link set lo up")
        done = network.run(
            lambda: subprocess.run(
                command, cwd=lab.folder, env=environ, capture_output=True, text=True, timeout=120
            )
        )
    assert done.returncode == 0, done.stderr
    assert nbformat.read(path, as_version=4).cells[-1].outputs[0].text == "Network is unreachable\n"
    return path


def child_pid(path: Path) -> str:
    """The worker that the saved table must name."""
    return nbformat.read(path, as_version=4).cells[0].outputs[-1].text.split()[-1]


def see_curve_and_table(page: Any, path: Path) -> None:
    """Curves are seen as pixels of their colours over the width of each picture; the table by its texts."""
    pictures = page.locator(PICTURE)
    pictures.nth(1).wait_for(timeout=40_000)
    for place in range(pictures.count()):
        one = pictures.nth(place)
        one.scroll_into_view_if_needed()
        svg = base64.b64decode(one.get_attribute("src").partition(",")[2]).decode()
        pixels = np.array(Image.open(io.BytesIO(one.screenshot())).convert("RGB")).astype(int)
        strokes = [bytes.fromhex(colour) for colour in set(re.findall(r'stroke="#(\w{6})"', svg))]
        # a line of 1.5 pixels covers at least three quarters of one; the rest is of the ground
        near = [np.abs(pixels - list(stroke)).sum(axis=2) < 150 for stroke in strokes]
        columns = np.unique(np.nonzero(np.any(near, axis=0))[1])
        assert len(columns) > 0.9 * pixels.shape[1], (place, strokes)
    row = page.locator("tr", has_text=child_pid(path)).first
    row.scroll_into_view_if_needed()
    assert row.is_visible()
    words = row.inner_text().split("\t")
    assert child_pid(path) in words, words
    text = page.locator("figure").first.inner_text()
    assert re.search(r"metrics \(chart\), as it was at [\d-]+ [\d:]+ UTC\.", text)
    assert "memory_rss" in text


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
            see_curve_and_table(page, notebook)
            assert "Memory, process" in page.locator(".jp-Notebook").inner_text()
            page.screenshot(path=PICTURES / f"saved-{name}.png")


def nbformat_time(text: str) -> float:
    from datetime import UTC, datetime

    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("template", ["basic", "lab"])  # GitHub shows what the first one makes
def test_converted_it_shows_curves_and_tables_without_a_network(
    browser: Any, saved: Path, template: str, scripts: bool
) -> None:
    html, _ = nbconvert.HTMLExporter(template_name=template).from_filename(str(saved))
    converted = saved.with_suffix(f".{template}.html")
    converted.write_text(html)
    with closing(browser.new_context(offline=True, java_script_enabled=scripts)) as context:
        page = context.new_page()
        page.goto(converted.as_uri(), wait_until="domcontentloaded")
        see_curve_and_table(page, saved)
        assert "Its session has ended." in page.locator("figure").first.inner_text()
        page.screenshot(
            path=PICTURES / f"saved-{template}-{'scripts' if scripts else 'none'}.png", full_page=True
        )


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
        see_curve_and_table(page, saved)
        outputs = page.locator(".jp-OutputArea figure, .jp-OutputArea")
        assert "Its session has ended." in outputs.nth(1).inner_text()
