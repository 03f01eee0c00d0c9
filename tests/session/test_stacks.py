"""Stacks of real kernels and workers, asked from outside while they are stuck: the function and the line are right."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, CollectorError, SessionError
from tes_nb.model.work_control import GetStack
from tes_nb.net.control_client import ControlClient
from tests.support.kernels import Kernel, kernel
from tests.support.processes import delay_s
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signals"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::ResourceWarning"
    ),  # of jupyter_client, here
]

START = "import tes_nb as tes; s = tes.start(ports=(0, 0)); s.metrics.wait(rows=1, timeout=20)\n"
REGEX = """import re, time

def scan(n):
    return re.match(r'(a+)+$', 'a' * n + 'b')

took, n = 0, 20
while took < 1.5:  # one call that never lets go of the interpreter
    n, began, since = n + 1, time.time(), time.thread_time()
    scan(n)
    took = time.thread_time() - since
"""
SLEEP = """import time

def outer():
    middle()

def middle():
    inner()

def inner():
    secret = "hunter2"
    time.sleep(4)

outer()
"""


class Place(NamedTuple):
    """Where the notebook's collector is."""

    status: int
    workers: int
    token: str
    pid: int
    """The collector's."""


@pytest.fixture(scope="module")
def notebook() -> Iterator[Kernel]:
    with kernel() as one:
        assert "Error" not in one.run(START)
        yield one


@pytest.fixture(scope="module")
def place(notebook) -> Place:
    status, workers, pid, token = notebook.run("print(*s.ports, s.collector_pid, s.token)").split()[-4:]
    return Place(int(status), int(workers), token, int(pid))


def asked(place: Place, worker: str | None = None):
    """What the collector answers to a stranger with the token, who asks nothing of the kernel."""

    async def ask():
        client = ControlClient(f"ws://127.0.0.1:{place.status}/ws/control", place.token)
        await client.start()
        try:
            return await client.call(GetStack(worker=worker))
        finally:
            await client.stop()

    return asyncio.run(ask())


def test_a_regular_expression_that_holds_the_interpreter_is_named(notebook):
    held = (
        "held = s.kernel.frame('held'); ends = held['start'].astype('int64') / 1e9 + held['seconds']\n"
        "last = held[ends > began + 1]\n"
        "print(f'{last.place.iloc[-1]}|{last.line.iloc[-1]}' if len(last) else 'none')"
    )
    notebook.run(REGEX)
    number = int(notebook.run("print(len(In) - 2)").split()[-1])

    def band():
        """The band of the last call; shorter ones, of the calls before, come first and need no place."""
        words = notebook.run(held).strip().splitlines()[-1]
        return words != "none" and words

    assert eventually(band, 10) == f"re.match in scan, cell {number} line 4|4"


def test_a_sleep_in_three_functions_is_named_while_the_cell_runs(notebook, place):
    message = notebook.client.execute(SLEEP)
    stack = eventually(lambda: (one := asked(place)).place is not None and "inner" in one.place and one)
    assert stack.door == "faulthandler"
    assert min(asked(place).took_ms for _ in range(5)) < 50, "others use the processors, too"
    names = [(frame.function, frame.line) for frame in stack.threads[0].frames if frame.mine]
    assert names == [("inner", 11), ("middle", 7), ("outer", 4), ("<module>", 13)]
    files = {frame.file for frame in stack.threads[0].frames if frame.mine}
    assert len(files) == 1
    cell = files.pop()
    assert stack.place == f"inner, {cell} line 11"
    assert "hunter2" not in repr(stack)
    notebook.output(message)
    assert int(notebook.run("print(len(In) - 2)").split()[-1]) == int(cell.removeprefix("cell "))
    number = cell.removeprefix("cell ")
    about = f"c = s.cells(); c = c[c['number'] == {number}].iloc[-1]; print(c['place'], c['wall_s'] > 3.9, sep='|')"
    assert notebook.run(about).strip() == f"{stack.place}|True"
    seen = (
        f"a = s.kernel.frame('activity'); a = a[a['cell'] == {number}]; print(*a['place'].fillna('not yet'), sep='|');"
        "print(((a.index[-1] - a['since'].iloc[-1]).total_seconds()))"
    )
    places, after = notebook.run(seen).strip().splitlines()
    assert places == f"not yet|{stack.place}"
    assert float(after) < 3.9, "said while it ran"
    band = f"f = s.timeline(); print([h for t in f.data for h in t.hovertext if 'cell {number} ' in h][-1])"
    assert stack.place in notebook.run(band)


def test_a_kernel_asks_for_its_own(notebook):
    said = notebook.run("print(s.stack())")
    assert "faulthandler" in said
    assert "> <module>, cell " in said, "the cell that asks"
    assert "(faulthandler, " in said


LOADING = """
import time
from concurrent.futures import ProcessPoolExecutor
def load_chunk(seconds):
    time.sleep(seconds)
pool = s.observe(ProcessPoolExecutor(2), name="loading")
job = pool.submit(load_chunk, 60)
while not job.running() or s.workers.frame(last="5s")["current_job_id"].isna().all(): time.sleep(0.05)
"""


def test_a_worker_that_is_killed_while_the_kernel_is_held_says_its_job(notebook, place):
    assert "Error" not in notebook.run(LOADING)
    rows = "w = s.workers.frame(last='3s'); w = w[w['pool'].notna() & w['current_job_id'].notna()].iloc[-1]\n"
    worker, pid = notebook.run(rows + "print(w['id'], w['pid'])").split()[-2:]
    stack = asked(place, worker)
    assert stack.place.startswith("load_chunk, cell ")
    message = notebook.client.execute(REGEX)
    time.sleep(0.5)
    os.kill(int(pid), signal.SIGKILL)
    since, waited = time.monotonic(), delay_s(place.pid)
    found = eventually(lambda: (one := registry(place).get(worker, {})).get("status") == "error" and one, 20)
    # on a machine with too much to do the collector stands in the system's queue; that time is nobody's here
    assert time.monotonic() - since - (delay_s(place.pid) - waited) < 1.0
    assert found["last_error"].startswith("killed by SIGKILL while running load_chunk (job 1), ")
    notebook.output(message)
    notebook.run("pool.shutdown()")


def registry(place) -> dict[str, dict[str, object]]:
    """What a foreign client reads that knows WIRE.md alone."""
    import urllib.request

    address = f"http://127.0.0.1:{place.workers}/api/workers/registry"
    request = urllib.request.Request(address, headers={"X-TES-Dev-Token": place.token})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


SLEEPER = "import time\ndef nap():\n    time.sleep(60)\nprint('ready', flush=True)\nnap()\n"


def test_a_process_that_is_not_prepared_is_seen_by_py_spy(session, tmp_path):
    (tmp_path / "nap.py").write_text(SLEEPER)
    with subprocess.Popen([sys.executable, str(tmp_path / "nap.py")], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            worker = eventually(lambda: id_of(session, child.pid))
            try:
                stack = session.workers.stack(worker)
            except CollectorError as error:  # where the system forbids it
                assert "look" in str(error)
            else:
                assert (stack.door, stack.place) == ("py-spy", "nap, nap.py line 3")
        finally:
            child.kill()
    eventually(lambda: status_of(session, worker) in ("error", "terminated"))
    with pytest.raises(CollectorError, match="ended"):
        session.workers.stack(worker)


def status_of(session, worker):
    rows = session.workers.frame(last="5s")
    return rows[rows["id"] == worker]["status"].iloc[-1]


def id_of(session, pid):
    rows = session.workers.frame(last="5s")
    rows = rows[rows["pid"] == pid]
    return None if rows.empty else rows["id"].iloc[-1]


def test_a_stopped_process_is_a_sentence_and_no_hang(session, tmp_path):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid = pool.submit(os.getpid).result()
        worker = eventually(lambda: id_of(session, pid))
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(CollectorError, match="did not answer"):
                session.workers.stack(worker)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert session.workers.stack(worker).pid == pid


def test_a_snapshot_is_the_row_the_system_and_the_stack(session):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid = pool.submit(os.getpid).result()
        worker = eventually(lambda: id_of(session, pid))
        seen = session.workers.snapshot(worker)
        assert seen["worker"]["pid"] == pid
        assert seen["process"]["memory"]["rss"] > 1_000_000
        assert seen["stack"]["threads"][0]["frames"]
        assert list(seen["unread"]) == ["allocations"], seen["unread"]  # tracemalloc is off there
        with pytest.raises(CollectorError, match="a moment ago"):
            session.workers.snapshot(worker)
    with pytest.raises(CollectorError, match="no live worker"):
        session.workers.snapshot("4711-0")


def test_what_is_no_worker_is_a_sentence(session):
    with pytest.raises(CollectorError, match="no worker of that id"):
        session.workers.stack("../..")
    for act in (session.workers.stack, session.workers.snapshot, session.stack):
        with pytest.raises(ArgumentError, match=r"by its id, a text such as .* not by 4242: s.workers.frame"):
            act(4242)


def test_a_handler_of_the_users_stays(tmp_path):
    code = (
        "import signal, sys\n"
        "called = []\n"
        "taken = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)\n"
        "for number in taken: signal.signal(number, lambda *_: called.append(1))\n"
        "from tes_nb.jobs.dumps import prepare\n"
        "assert not prepare(sys.argv[1])\n"
        "for number in taken: signal.raise_signal(number)\n"
        "assert len(called) == len(taken)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=20).returncode == 0


def test_a_recording_cannot_be_asked(session, tmp_path):
    with session.record(tmp_path / "one.tes"):
        before = session.workers.store.counts().messages
        eventually(lambda: session.workers.store.counts().messages > before)
    with tes.open(tmp_path / "one.tes") as recorded, pytest.raises(SessionError, match="recording"):
        recorded.workers.stack("1-1")
    assert Path(tmp_path / "one.tes").exists()
