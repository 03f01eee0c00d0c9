"""A cell that keeps a process pool, joblib and Dask at work: the page shows all of it while it runs."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.browser.conftest import PICTURES
from tests.support.browser import until
from tests.support.collectors import WORKERS
from tests.support.kernels import kernel
from tests.support.processes import delay_s
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of jupyter_client
]
START = """
import multiprocessing, os, time, joblib
from concurrent.futures import ProcessPoolExecutor
import tes_nb as tes
s = tes.start(ports=(0, 0))
client = s.cluster(2)
pool = s.observe(ProcessPoolExecutor(2, multiprocessing.get_context("fork")), name="loads")
def load_chunk(gate):
    while not os.path.exists(gate):
        time.sleep(0.02)
def parse_price(_):
    raise ValueError("no price")
print(*s.ports, s.collector_pid)
"""
BUSY = """
gate = %r
pool.submit(parse_price, 1).exception()
jobs = [pool.submit(load_chunk, gate) for _ in range(5)]
bad = client.submit(parse_price, 1)
bad.exception()
tasks = client.map(load_chunk, [gate] * 6, pure=False)
with s.observe(joblib, name="a grid search"):
    joblib.Parallel(n_jobs=2, batch_size=1, pre_dispatch=4)(joblib.delayed(load_chunk)(gate) for _ in range(4))
client.gather(tasks)
print(sum(job.exception() is None for job in jobs))
"""
END = "client.close(); joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True); s.stop()"
PANEL = "[role=tabpanel]:not([hidden])"
ROWS = f"""() => {{
  const table = document.querySelector("{PANEL} [role=grid][aria-label*=workers]");
  const heads = [...table.querySelectorAll("[role=columnheader]")].map((one) => one.textContent);
  const cells = (row) => [...row.querySelectorAll("[role=gridcell]")];
  return [...table.querySelectorAll(".tes-space .tes-row")].filter((row) => row.offsetParent !== null)
    .map((row) => Object.fromEntries(cells(row).map((cell, place) => [heads[place], cell.textContent])));
}}"""
LEGEND = f"""() => [...document.querySelectorAll("{PANEL} .tes-panel")].flatMap((panel) =>
  [...panel.querySelectorAll(".tes-legend li")].map((one) => [panel.getAttribute("aria-label"), one.textContent]))"""
LANES = "() => [...document.querySelectorAll('.tes-lanes .tes-events li')].map((one) => one.textContent)"


def rows(page: Any, text: str) -> list[dict[str, str]]:
    """The rows of the table of workers in which a text occurs."""
    page.fill(f"{PANEL} input[type=search] >> nth=0", text)
    time.sleep(0.2)
    return [row for row in page.evaluate(ROWS) if text in " ".join(row.values())]


def figures(row: dict[str, str]) -> list[str]:
    return [
        row.get(name, "") for name in ("state", "jobs running", "jobs waiting", "jobs done", "jobs failed")
    ]


@pytest.mark.alone
def test_queue_jobs_and_failures_of_three_kinds_are_seen_while_the_cell_runs(browser: Any, tmp_path) -> None:
    gate = tmp_path / "gate"
    with (
        kernel() as notebook,
        closing(browser.new_context(viewport={"width": 1400, "height": 1200})) as context,
    ):
        port, workers_port, collector = map(int, notebook.run(START).split()[-3:])
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/#workers")
        busy = notebook.client.execute(BUSY % str(gate))
        try:
            look(page)
            killed(page, workers_port, collector)
        finally:
            gate.touch()
        assert notebook.output(busy).strip().splitlines()[-1] == "0", "a killed worker breaks its pool"
        assert notebook.error == ""
        notebook.run(END)
        assert errors == []


def look(page: Any) -> None:
    """Read table, chart and lanes; nothing of it comes from the kernel, whose cell runs."""

    def the(text: str, role: str) -> dict[str, str]:
        return next((row for row in rows(page, text) if row["role"] == role), {})

    expected = ["working", "2", "3", "0", "1"]
    pool = eventually(lambda: (row := the("loads", "process pool")) and figures(row) == expected and row)
    assert (pool["current job type"], pool["last error"]) == (
        "load_chunk",
        "ValueError in parse_price (job 1)",
    )
    expected = ["working", "2", "2", "0", "0"]
    eventually(
        lambda: figures(the("a grid search", "process pool")) == expected, describe=lambda: rows(page, "")
    )
    at_work = [row for row in rows(page, "load_chunk") if row["role"] in ("pool worker", "loky worker")]
    assert sorted(row["role"] for row in at_work) == ["loky worker"] * 2 + ["pool worker"] * 2
    assert {row["state"] for row in at_work} == {"working"}

    def dask() -> bool:
        found = [row for row in rows(page, "dask") if row["role"] in ("dask worker", "dask scheduler")]
        waiting = sum(int(row["jobs waiting"] or 0) for row in found)
        running = [row["jobs running"] for row in found if row["role"] == "dask worker"]
        failed = [row["jobs failed"] for row in found if row["role"] == "dask scheduler"]
        return (running, waiting, failed) == (["1", "1"], 4, ["1"])

    eventually(dask, describe=lambda: rows(page, "dask"))
    page.fill(f"{PANEL} input[type=search] >> nth=0", "")
    eventually(lambda: chart_shows(page), describe=lambda: page.evaluate(LEGEND))
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "busy-workers.png", full_page=True)
    page.click("role=tab[name='Lanes']")
    page.click(".tes-lanes .tes-events summary", force=True)

    def lanes() -> bool:
        texts = [text for text in page.evaluate(LANES) if "so far" in text]
        jobs = [text for text in texts if text.startswith("job load_chunk")]
        grown = not any(", 0.0 s so far" in text for text in texts)
        return (
            grown and len(jobs) >= 4 and any("dask worker" in text and ": working" in text for text in texts)
        )

    eventually(lanes, describe=lambda: page.evaluate(LANES))
    page.screenshot(path=PICTURES / "busy-lanes.png", full_page=True)
    page.click("role=tab[name='workers']")


def chart_shows(page: Any) -> bool:
    """Whether the newest values of the chart are those of the table, and its helpers are none of the lines."""
    lines = page.evaluate(LEGEND)
    assert not [text for _, text in lines if "tracker" in text or "task group" in text]
    return {
        ("Panel: Queue", "process pool · loads3"),
        ("Panel: Jobs", "process pool · a grid search2"),
    } <= set(map(tuple, lines))


def killed(page: Any, workers_port: int, collector: int) -> None:
    """Kill a worker: the stream says within a second which job it ran, and the page shows that."""
    victim = next(row for row in rows(page, "load_chunk") if row["role"] == "pool worker")
    pid = int(victim["pid"].replace(",", ""))

    with connect(f"ws://127.0.0.1:{workers_port}{WORKERS}", proxy=None) as stream:
        stream.recv(timeout=10)
        waited, at = delay_s(collector), time.time()
        os.kill(pid, signal.SIGKILL)
        while True:
            message = json.loads(stream.recv(timeout=10))
            one = next(worker for worker in message["workers"].values() if worker.get("pid") == pid)
            if one["status"] == "error":
                break
    took_s = message["timestamp"] / 1000 - at - (delay_s(collector) - waited)
    error = one["last_error"]
    assert took_s < 1.0
    assert error.startswith("killed by SIGKILL while running load_chunk (job ")
    condition = (
        "(text) => [...document.querySelectorAll('.tes-row')].some((one) => one.textContent.includes(text))"
    )
    page.fill(f"{PANEL} input[type=search] >> nth=0", "SIGKILL")
    until(page, condition, arg="killed by SIGKILL while running load_chunk (job ")
    assert json.dumps(rows(page, "SIGKILL")).count("load_chunk") >= 1
    page.screenshot(path=PICTURES / "busy-killed.png", full_page=True)
