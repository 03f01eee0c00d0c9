"""P10: what a live chart of 6 traces, 1,200 points, at 2 Hz costs a browser with JupyterLab in it.

Beside ours: an empty page (the floor), a plotly FigureWidget fed well (numpy arrays, one batch), and one fed with
lists, trace by trace, as people write it. Each round opens a notebook of each kind anew.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, Skipped, figure, ratio
from tests.support.browser import FLAGS, chromium, until
from tests.support.jupyter import Jupyter, jupyter_lab

COMMON = """
import threading, time
import numpy as np
N, K = 1200, 6
def wave(k, n):
    return 50 + 40 * np.sin((np.arange(n - N, n) + 100 * k) / 60)
"""
OURS = (
    COMMON
    + """
from tes_nb.model import Column, Decoded, Endpoint, Stream, Table
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.chart import Chart, ChartOptions
table = Table("t", "", tuple(Column(f"c{k}", "float64", "percent", "gauge", "") for k in range(K)))
class Source:
    name = "bench"
    stream = Stream("bench", "", Endpoint("none", ""), (table,), "t", 0.5, lambda m: Decoded(Kind.DATA), str)
    store = StreamStore(stream)
source = Source()
began = time.time()
def put(n):
    row = tuple(float(wave(k, n)[-1]) for k in range(K))
    source.store.tables["t"].append([row], time_ns=int((began + 0.5 * (n - N)) * 1e9))
for n in range(N):
    put(n)
def feed():
    for n in range(N, N + 10**6):
        time.sleep(0.5)
        put(n)
threading.Thread(target=feed, daemon=True).start()
view = Chart(source, None, ChartOptions(window_s=600.0))
view
"""
)
PLOTLY = (
    COMMON
    + """
import plotly.graph_objects as go
view = go.FigureWidget([go.Scatter(y=wave(k, N), mode="lines") for k in range(K)])
def feed():
    for n in range(N, N + 10**6):
        time.sleep(0.5)
        FEED
threading.Thread(target=feed, daemon=True).start()
view
"""
)
WELL = """with view.batch_update():
            for k in range(K):
                view.data[k].y = wave(k, n)"""
LISTS = """for k in range(K):
            view.data[k].y = list(wave(k, n))"""
CELLS = {
    "floor": COMMON + "view = None",
    "ours": OURS,
    "FigureWidget, well fed": PLOTLY.replace("FEED", WELL),
    "FigureWidget, lists": PLOTLY.replace("FEED", LISTS),
}
SAVED = """
import json, ipywidgets
from ipywidgets.embed import dependency_state
print("saved", 0 if view is None else len(json.dumps(dependency_state([view], drop_defaults=True))))
"""
WATCH = """() => {
  window.frames_seen = 0;
  window.long_tasks = 0;
  const frame = () => { window.frames_seen += 1; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  const tasks = new PerformanceObserver((list) => { window.long_tasks += list.getEntries().length; });
  tasks.observe({ entryTypes: ["longtask"] });
}"""
IDLE = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
READY = {"floor": "true", "ours": "document.querySelector('.tes-chart .uplot') !== null"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one visit measured."""

    fps: float
    busy: float
    """Share of the main thread, percent."""
    long_tasks: float
    """A minute."""
    kilobytes: float
    """Received over WebSockets, a second."""
    saved: float
    """Kilobytes of widget state that a saved notebook holds."""


def visit(browser: Any, lab: Jupyter, kind: str, number: int, seconds: float) -> Cost:
    """Open a notebook of this kind, let it settle, and measure."""
    with closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context:
        page = context.new_page()
        page.goto(lab.notebook(f"{kind[:6].strip()}-{number}-{len(kind)}", CELLS[kind], SAVED))
        until(page, IDLE, seconds=60)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        until(page, READY.get(kind, "document.querySelector('.js-plotly-plot') !== null"), seconds=60)
        until(page, "document.body.innerText.includes('saved ')", seconds=60)
        time.sleep(4)
        try:
            return _measured(context, page, seconds)
        finally:
            page.evaluate(
                "window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown().catch(() => {})"
            )


def _measured(context: Any, page: Any, seconds: float) -> Cost:
    received = 0
    session = context.new_cdp_session(page)

    def count(frame: dict[str, Any]) -> None:
        nonlocal received
        payload = frame["response"]
        size = len(payload["payloadData"])
        received += size if payload["opcode"] == 1 else size * 3 // 4

    session.on("Network.webSocketFrameReceived", count)
    session.send("Network.enable")
    session.send("Performance.enable")
    page.evaluate(WATCH)
    before, began = _busy(session), time.monotonic()
    first = page.evaluate("[window.frames_seen, window.long_tasks]")
    time.sleep(seconds)
    last = page.evaluate("[window.frames_seen, window.long_tasks]")
    after, took = _busy(session), time.monotonic() - began
    text = page.locator(".jp-OutputArea-output:has-text('saved ')").last.inner_text()
    return Cost(
        fps=(last[0] - first[0]) / took,
        busy=100 * (after - before) / took,
        long_tasks=60 * (last[1] - first[1]) / took,
        kilobytes=received / took / 1e3,
        saved=int(text.split()[-1]) / 1e3,
    )


def _busy(session: Any) -> float:
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def run(*, quick: bool) -> Iterable[Result]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Skipped("The browser's benchmark needs the package playwright.") from error
    path = chromium()
    if path is None:
        raise Skipped("There is no Chromium: apt-get install chromium, or set TES_CHROMIUM.")
    rounds, seconds = (1, 4.0) if quick else (5, 10.0)
    costs: dict[str, list[Cost]] = {kind: [] for kind in CELLS}
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter_lab(Path(folder)) as lab,
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=path, args=FLAGS)) as browser,
    ):
        for number in range(rounds):
            for kind in list(CELLS)[number % 2 :] + list(CELLS)[: number % 2]:
                costs[kind].append(visit(browser, lab, kind, number, seconds))
    yield from _results(costs)


def _results(costs: dict[str, list[Cost]]) -> Iterable[Result]:
    packages = ("anywidget", "ipywidgets", "jupyterlab", "plotly")
    ours, floor = costs["ours"], costs["floor"]
    others = {kind: runs for kind, runs in costs.items() if kind.startswith("Figure")}

    def note(name: str) -> str:
        figures = {kind: sorted(getattr(cost, name) for cost in runs) for kind, runs in others.items()}
        return "; ".join(f"{kind}: {costs_of[len(costs_of) // 2]:.3g}" for kind, costs_of in figures.items())

    yield ratio(
        "P10",
        "main thread of a page with the chart",
        [cost.busy for cost in ours],
        [cost.busy for cost in floor],
        unit="% of the main thread",
        against="JupyterLab without a chart",
        at_most=1.5,
        packages=packages,
        note=note("busy"),
    )
    yield ratio(
        "P10",
        "main thread, against plotly",
        [cost.busy for cost in ours],
        [cost.busy for cost in costs["FigureWidget, well fed"]],
        unit="% of the main thread",
        against="a well-fed FigureWidget",
    )
    for name, unit, bounds in (
        ("fps", "frames/s", {"at_least": 59}),
        ("kilobytes", "kB/s", {"at_most": 2}),
        ("long_tasks", "a minute", {"at_most": 5}),
        ("saved", "kB", {"at_most": 80}),
    ):
        samples = [getattr(cost, name) for cost in ours]
        base = sorted(getattr(cost, name) for cost in floor)[len(floor) // 2]
        heading = {"kilobytes": "received", "saved": "in a saved notebook", "long_tasks": "long tasks"}.get(
            name, name
        )
        remark = f"{note(name)}; without a chart: {base:.3g}"
        yield figure("P10", heading, samples, unit=unit, packages=packages, note=remark, **bounds)


if __name__ == "__main__":
    for each in run(quick=True):
        print(json.dumps(each.as_dict(), indent=1))
