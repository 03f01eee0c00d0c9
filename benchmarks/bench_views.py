"""P7 with views: what tes_nb's threads cost the kernel while four charts move in JupyterLab in Chromium."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from benchmarks.bench_cost import GOAL_PERCENT
from benchmarks.harness import Result, Skipped, figure
from tests.support.browser import FLAGS, chromium, until
from tests.support.jupyter import jupyter_lab

SHOW = """
import subprocess, sys
import tes_nb as tes
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
from IPython.display import display
s = tes.start(ports=(0, 0))
s.metrics.wait(rows=2)
display(s.metrics.plot(["cpu_percent"]), s.metrics.plot(["memory_rss"]), s.status.plot(), s.workers.plot())
"""
MEASURE = """
from benchmarks.bench_cost import share_of_wall
print("shares", *[share_of_wall({seconds}) for _ in range({rounds})], "end")
worker.kill(); worker.wait()
s.stop()
"""
IDLE = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
RUN = "() => {{ window.jupyterapp.commands.execute('notebook:{what}'); }}"
CHARTS = "document.querySelectorAll('.tes-chart .uplot').length >= 4"
LIVE = "[...document.querySelectorAll('.tes-chart .tes-state')].every((one) => one.textContent === 'LIVE')"


def run(*, quick: bool) -> Iterable[Result]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Skipped("The browser's benchmark needs the package playwright.") from error
    path = chromium()
    if path is None:
        raise Skipped("There is no Chromium: apt-get install chromium, or set TES_CHROMIUM.")
    rounds, seconds = (2, 2.0) if quick else (5, 4.0)
    measure = MEASURE.format(seconds=seconds, rounds=rounds)
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter_lab(Path(folder)) as lab,
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=path, args=FLAGS)) as browser,
    ):
        # tall enough for all four: what is scrolled away is sent nothing, and would cost nothing
        page = browser.new_page(viewport={"width": 1200, "height": 3000})
        page.goto(lab.notebook("four", SHOW, measure))
        until(page, IDLE, seconds=60)
        page.evaluate(RUN.format(what="run-cell-and-select-next"))
        until(page, CHARTS, seconds=60)
        until(page, LIVE, seconds=30)
        page.evaluate(RUN.format(what="run-cell"))
        until(page, "document.body.innerText.includes(' end')", seconds=60 + rounds * seconds)
        text = page.locator(".jp-OutputArea-output:has-text('shares ')").last.inner_text()
    yield figure(
        "P7",
        "CPU of tes_nb's threads in the kernel with four charts live, by wall time",
        [float(word) for word in text.split()[1:-1]],
        unit="percent",
        at_most=GOAL_PERCENT,
        packages=("anywidget", "jupyterlab", "websockets"),
        note="In JupyterLab in Chromium, all four in sight. Everything but the main thread is counted.",
    )
