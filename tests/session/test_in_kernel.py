"""The same in a real Jupyter kernel: cells, magics, restarts, two kernels, a busy cell."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.kernels import Kernel, kernel
from tests.support.ports import free
from tests.support.waiting import busy, eventually

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::ResourceWarning"
    ),  # of jupyter_client, here
]

START = "import tes_nb as tes; s = tes.start(ports=(0, 0)); s.metrics.wait(rows=1, timeout=20)\n"
HOLD = """
import re, time
took, n = 0, 20
while took < 3:  # one call that never lets go of the interpreter, as long on a fast machine as on a slow one
    n, since = n + 1, time.monotonic()
    re.match(r'(a+)+$', 'a' * n + 'b')
    took = time.monotonic() - since
"""


@pytest.fixture(scope="module")
def notebook() -> Iterator[Kernel]:
    with kernel() as running:
        assert "Error" not in running.run(START)
        yield running


def collector_of(notebook: Kernel) -> tuple[int, int, int]:
    pid, status, workers = notebook.run("print(s._backend.pid, *s.ports)").split()[-3:]
    return int(pid), int(status), int(workers)


def test_each_cell_is_a_row_with_its_peak(notebook):
    notebook.run("x = bytearray(300_000_000); x[::4096] = b'1' * len(x[::4096]); del x")
    notebook.run("1 / 0")
    notebook.run("cells = s.cells()")
    said = notebook.run(
        "for row in cells[['number', 'outcome', 'peak_source', 'rss_peak']].tail(2).itertuples(): print(*row[1:])"
    )
    (first, ok, source, big), (second, error, _, usual) = (line.split() for line in said.splitlines())
    assert (ok, error, source) == ("ok", "error", "VmHWM")
    assert int(big) - int(usual) > 250_000_000
    assert int(second) == int(first) + 1


def test_code_is_not_kept(notebook):
    notebook.run("password = 'hunter2-in-a-cell'")
    assert "hunter2" not in notebook.run("print(s.cells().to_csv(), s.kernel.frame('cells').to_csv())")


def test_rows_come_while_a_cell_computes(notebook):
    said = notebook.run(
        "import time\nbefore = s.metrics.rows\ntotal = 0\nuntil = time.monotonic() + 3\n"
        "while time.monotonic() < until: total += 1\nprint(s.metrics.rows - before)"
    )
    assert int(said) >= 4


@pytest.mark.alone
def test_a_held_kernel_is_reported_and_leaves_no_hole(notebook):
    notebook.run("before = s.metrics.frame()['seq'].iloc[-1]")
    notebook.run(HOLD, timeout=100)
    said = notebook.run(
        "time.sleep(1)\nuntil = time.monotonic() + 10\n"
        "while not len(s.kernel.frame('held')) and time.monotonic() < until: time.sleep(0.1)\n"
        "frame = s.metrics.frame(); frame = frame[frame['seq'] > before]\n"
        "print(frame['seq'].diff().dropna().eq(1).all(), len(s.metrics.gaps), len(s.kernel.frame('held')) > 0)"
    )
    assert said.split() == ["True", "0", "True"]


def test_async_for_in_a_cell(notebook):
    assert "metrics" in notebook.run("async for m in s.metrics:\n    print(m.json()['type'])\n    break")


def test_magics(notebook):
    notebook.run("%load_ext tes_nb")
    assert "running" in notebook.run("%tes")
    assert "%tes export" in notebook.run("%tes help")
    assert "There is no '%tes dance'" in notebook.run("%tes dance")
    said = notebook.run("import tempfile; folder = tempfile.mkdtemp()\n%tes export $folder")
    assert "metrics.csv" in said
    assert "does not take that" in notebook.run("%tes start now please")


def test_an_interrupt_does_not_end_the_collector(notebook):
    pid, *_ = collector_of(notebook)
    message = notebook.client.execute("import time; time.sleep(30)")
    time.sleep(1)
    notebook.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.output(message)
    assert psutil.pid_exists(pid)
    assert "OPEN" in notebook.run("print(s.metrics.state)")


def test_fault_82_a_cell_run_twice_gives_the_same_session(notebook):
    assert notebook.run("print(tes.start() is s, tes.start(ports=(0, 0)) is s)").split() == ["True", "True"]


def test_fault_82_two_kernels_have_two_collectors(notebook):
    with kernel() as other:
        other.run(START)
        assert collector_of(other)[0] != collector_of(notebook)[0]
        assert "OPEN" in other.run("print(s.metrics.state)")
    assert "OPEN" in notebook.run("print(s.metrics.state)")


def test_unload_stops_everything():
    with kernel() as one:
        one.run("%load_ext tes_nb")
        assert "running" in one.run("%tes start")
        pid = int(one.run("print(s._backend.pid)"))
        one.run("%unload_ext tes_nb")
        assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("killed", [False, True])
def test_fault_78_a_restart_frees_ports_and_leaves_no_orphan(killed):
    with kernel() as one:
        for _ in range(3):
            one.run(START)
            pid, status, workers = collector_of(one)
            one.restart(now=killed)
            eventually(lambda pid=pid: not psutil.pid_exists(pid), busy(2.5), lambda: "an orphan was left")
            assert free(status)
            assert free(workers)


def test_fault_79_a_killed_kernel_takes_its_collector_along():
    with kernel() as one:
        one.run(START)
        pid, status, workers = collector_of(one)
        os.kill(one.manager.provisioner.pid, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(pid), busy(2.5))
        assert free(status)
        assert free(workers)
