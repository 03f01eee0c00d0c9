"""A marimo app in a browser: its views move while a cell runs, and its cells are measured by marimo's own hooks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.browser.conftest import PICTURES
from tests.support.jupyter import ROOT
from tests.support.waiting import eventually

APP = """
import marimo

app = marimo.App()

@app.cell
def start():
    import json, pathlib, time
    import marimo as mo
    import tes_nb as tes
    s = tes.start(ports=(0, 0), cells="first_line")
    return json, mo, pathlib, s, tes, time

@app.cell
def views(mo, s):
    views = mo.vstack([mo.ui.anywidget(s.metrics.plot()), mo.ui.anywidget(s.dashboard())])
    views
    return (views,)

@app.cell
def busy(time, views):
    began = time.monotonic()
    time.sleep(6)
    took = time.monotonic() - began
    return (took,)

@app.cell
def stops(mo, took):
    mo.stop(True)
    return

@app.cell
def fails(took):
    1 / 0
    return

@app.cell
def costs(json, pathlib, s, took):
    cells = json.loads(s.cells().to_json(orient="records"))
    pathlib.Path("cells.json").write_text(json.dumps([took, cells]))
    return
"""
STATES = (
    "() => [...document.querySelectorAll('marimo-anywidget')].flatMap((one) => [...(one.shadowRoot ?? one)"
)
STATES += ".querySelectorAll('%s')]).filter((one) => one.checkVisibility()).map((one) => one.textContent)"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the app is served, by a marimo of its own."""
    pytest.importorskip("marimo")
    (tmp_path / "app.py").write_text(APP)
    log = tmp_path / "marimo.log"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    command = [sys.executable, "-m", "marimo", "run", "app.py", "--headless", "--no-token", "--port=0"]
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:

        def found() -> re.Match[str] | None:
            return re.search(r"http://(localhost|127\.0\.0\.1):(\d+)", log.read_text())

        eventually(lambda: found() is not None, 40.0, log.read_text)
        yield f"http://127.0.0.1:{found()[2]}/"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)


def test_views_move_while_a_cell_runs_and_cells_are_measured(browser, address, tmp_path):
    with closing(browser.new_context(viewport={"width": 1200, "height": 1700})) as context:
        page = context.new_page()
        page.goto(address)
        states, values = STATES % ".tes-state", STATES % ".tes-value"
        eventually(lambda: page.evaluate(values) != [], 30.0)
        eventually(lambda: page.evaluate(states).count("LIVE") >= 5, 6.0, lambda: page.evaluate(states))
        before = page.evaluate(values)
        eventually(lambda: page.evaluate(values) != before)
        assert not (tmp_path / "cells.json").exists(), "all of this while a cell was busy"
        eventually((tmp_path / "cells.json").exists, 20.0)
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "marimo.png")
    took, cells = json.loads((tmp_path / "cells.json").read_text())
    assert [cell["number"] for cell in cells] == [1, 2, 3, 4, 5]
    assert [cell["outcome"] for cell in cells] == ["ok", "ok", "ok", "ok", "error"]
    assert [cell["first_line"].split()[0] for cell in cells[1:]] == ["views", "began", "mo.stop(True)", "1"]
    assert cells[2]["wall_s"] == pytest.approx(took, abs=0.3)
