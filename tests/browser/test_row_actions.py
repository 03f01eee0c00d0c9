"""Buttons of the workers' rows: a worker that is stuck is asked by a click, while a cell holds the kernel."""

from __future__ import annotations

import gzip
import json
import os
import signal
from contextlib import closing
from typing import Any

import pytest

from tes_nb.streams import get
from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.row_actions import actions_spec
from tests.browser.conftest import PICTURES
from tests.support.browser import until
from tests.support.kernels import kernel

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of jupyter_client
]
START = """
import tes_nb as tes, os, re, time
from concurrent.futures import ProcessPoolExecutor
s = tes.start(ports=(0, 0))
def outer():
    middle()
def middle():
    inner()
def inner():
    secret = "hunter2"
    time.sleep(120)
pool = s.observe(ProcessPoolExecutor(1), name="stuck")
job = pool.submit(outer)
while s.workers.frame(last="5s")["current_job_id"].isna().all(): time.sleep(0.05)
w = s.workers.frame(last="5s"); w = w[w["pool"].notna()].iloc[-1]
print(s.ports[0], s.token, w["pid"], os.getpid())
"""
HOLD = "re.match(r'(a+)+$', 'a' * 40 + 'b')  # a call that never lets go of the interpreter, and never ends"
ROW = ".tes-space .tes-row:has(:text-is('outer')):has(:text-is('pool worker'))"
ANSWER = "[role=tabpanel]:not([hidden]) .tes-answer"


def answered(page: Any, part: str) -> str:
    condition = "([at, part]) => document.querySelector(at)?.textContent.includes(part)"
    until(page, condition, arg=[ANSWER, part], seconds=20)
    return page.locator(ANSWER).text_content()


@pytest.mark.alone
def test_a_stuck_worker_is_asked_by_a_click_while_the_kernel_is_held(browser: Any) -> None:
    with (
        kernel() as notebook,
        closing(browser.new_context(viewport={"width": 1200, "height": 900})) as context,
    ):
        port, token, pid, own_pid = notebook.run(START).split()[-4:]
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/#workers")
        page.wait_for_selector(ROW, timeout=20_000)
        notebook.client.execute(HOLD)
        row = page.locator(ROW).first
        pool = page.locator(".tes-space .tes-row:has(:text-is('process pool'))").first
        assert pool.get_by_role("button", name="Stack").is_disabled()
        assert "no process" in pool.get_by_role("button", name="Stack").get_attribute("title")
        row.get_by_role("button", name="Stack").click()
        page.fill(".tes-dialog input", token)
        page.click(".tes-dialog >> text=Use it")
        text = answered(page, "outer")
        own = [line for line in text.splitlines() if line.startswith(">")]
        assert [line.split(",")[0] for line in own[-3:]] == ["> outer", "> middle", "> inner"]
        assert "hunter2" not in text
        under = page.locator(".tes-below").bounding_box()["y"]
        box = row.bounding_box()
        assert abs(under - box["y"] - box["height"]) < 2, "under the row"
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "row-stack.png")
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click(".tes-below >> text=Copy")
        page.wait_for_selector(".tes-below >> text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == text
        row.get_by_role("button", name="Snapshot").click()
        seen = json.loads(answered(page, '"stack"'))
        assert seen["worker"]["pid"] == int(pid)
        page.screenshot(path=PICTURES / "row-snapshot.png")
        with page.expect_download() as download:
            page.click(".tes-below >> text=Save")
        assert download.value.suggested_filename.endswith(".json.gz")
        assert json.loads(gzip.decompress(download.value.path().read_bytes())) == seen
        row.get_by_role("button", name="Snapshot").click()
        answered(page, "a moment ago")
        page.click(".tes-below >> text=Close")
        page.wait_for_selector(".tes-below", state="detached")
        os.kill(int(pid), signal.SIGKILL)
        until(
            page,
            "(at) => [...document.querySelectorAll(at)].some((one) => one.disabled && one.title.includes('ended'))",
            arg=".tes-actions button",
        )
        assert errors == []
        os.kill(int(own_pid), signal.SIGKILL)  # it was held all the time


WORKERS = get("workers").table("workers")
SPEC = {
    "title": "workers",
    "columns": json_columns(WORKERS.columns),
    "first": list(WORKERS.first),
    "key": list(WORKERS.key),
    "period_s": 1.0,
    "silent": "",
    "actions": actions_spec(WORKERS),
    "control_port": 1,
}


def row_of(**cells: Any) -> list[Any]:
    given = {
        "id": "5-1",
        "name": "python",
        "role": "pool worker",
        "kind": "process",
        "status": "idle",
        "pid": 5,
        "threads": 1,
    }
    return [{**given, **cells}.get(column.name) for column in WORKERS.columns]


@pytest.mark.parametrize("stage", [{"js": "views.js", "css": "views.css"}], indirect=True)
def test_in_a_notebook_far_from_the_collector_the_kernel_is_asked(stage) -> None:
    stage.begin(uid="u1", kind="table", spec=SPEC)
    rows = [
        row_of(),
        row_of(id="6-1", status="terminated"),
        row_of(id="d", kind="dask", pid=None, role="dask worker"),
    ]
    stage.deliver({"type": "rows", "rows": [[one[0], one] for one in rows], "replace": True})
    stage.settle()
    buttons = stage.page.locator(".tes-actions button:text-is('Stack')")
    assert [buttons.nth(at).is_disabled() for at in range(3)] == [False, True, True]
    assert "tasks=True" in buttons.nth(2).get_attribute("title")
    buttons.first.click()
    until(stage.page, "window.sent.some(({ type }) => type === 'control')")
    (wanted,) = stage.sent("control")
    assert (wanted["op"], wanted["args"]) == ("stack", {"worker": "5-1"})
    sentence = "<b>This user may not look into the process 5</b>"
    stage.deliver({"type": "answer", "id": wanted["id"], "ok": False, "error": sentence})
    until(stage.page, "(said) => document.querySelector('.tes-answer').textContent === said", arg=sentence)
    stage.picture("row-refused")


@pytest.mark.parametrize("stage", [{"js": "views.js", "css": "views.css"}], indirect=True)
def test_a_recording_has_no_buttons(stage) -> None:
    stage.begin(uid="u1", kind="table", spec={**SPEC, "control_port": None})
    stage.deliver({"type": "rows", "rows": [["5-1", row_of()]], "replace": True})
    stage.settle()
    assert stage.page.locator(".tes-actions").count() == 0
