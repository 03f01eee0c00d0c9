"""`s.record(keep=True)`: the recording outlives its kernel, is found again, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import tes_nb as tes
from tes_nb.collector.child import ALONE_LABEL, LATE_LABEL
from tes_nb.collector.discovery import running
from tes_nb.errors import SessionError
from tes_nb.model.control import StartRecording, WatchSource
from tes_nb.net.control_client import ControlClient
from tes_nb.simulate import Options, start_child
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, child
from tests.support.kernels import kernel
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of jupyter_client
]

BEGIN = """
import tes_nb as tes
s = tes.start(ports=(0, 0))
ng = s.watch(tes.NOWGOAL.with_endpoint(url={url!r}, token_url={token_url!r}))
ng.wait(rows=5, timeout=30)
recording = s.record({path!r}, keep={keep})
ng.wait(rows=ng.rows + 5, timeout=30)
print('\\n', s.collector_pid, *s.ports)
"""


@pytest.fixture(scope="module")
def feed():
    server = start_child(Options(speed=50))
    yield server
    server.stop()


def begin(feed, path, *, keep=True):
    return BEGIN.format(url=feed.url, token_url=feed.token_url, path=str(path), keep=keep)


def begun(notebook, feed, path, *, keep=True):
    said = notebook.run(begin(feed, path, keep=keep), timeout=90)
    assert "Error" not in said, said
    return [int(word) for word in said.split()[-3:]]


def wait_ended(pid, within=10.0):
    eventually(lambda: not psutil.pid_exists(pid), within)


def is_kept(within=10.0):
    """Wait until the collector has retired: its discovery file then has one port."""
    eventually(lambda: any(one.workers_port == 0 for one in running()), within)


def listening(pid):
    return {one.laddr.port for one in psutil.Process(pid).net_connections("tcp") if one.status == "LISTEN"}


def the_only_one():
    (recording,) = tes.recordings()
    return recording


def test_a_restarted_kernel_finds_its_recording_again(feed, tmp_path):
    path = tmp_path / "kept.tes"
    with kernel() as notebook:
        pid, *ports = begun(notebook, feed, path)
        notebook.restart()
        is_kept()
        assert len(listening(pid)) == 1
        assert not listening(pid) & set(ports)
        found = notebook.run("import tes_nb as tes; r, = tes.recordings(); print(r, r.path)", timeout=30)
        assert "kept.tes: RECORDING" in found
        assert str(path) in found
        before = int(notebook.run("print(r.messages)").split()[-1])
        eventually(lambda: the_only_one().messages > before + 5)
        assert "STOPPED" in notebook.run("print(r.stop()); print(r)", timeout=30)
        wait_ended(pid)
    assert tes.recordings() == []
    with tes.open(path) as opened:
        assert ALONE_LABEL in set(opened.marks["label"])
        (mark,) = opened.marks["time"]
        assert opened.feeds["nowgoal"].scores.frame().index[-1] > mark


def test_a_killed_kernel_leaves_a_recording_that_the_command_line_ends(feed, tmp_path):
    path = tmp_path / "killed.tes"
    with kernel() as notebook:
        pid, *_ports = begun(notebook, feed, path)
        os.kill(notebook.manager.provisioner.pid, signal.SIGKILL)
        is_kept()
    listed = said("recordings")
    assert listed.returncode == 0
    assert f"{path}: recording killed.tes: RECORDING" in listed.stdout
    assert ", kept" in listed.stdout
    wrong = said("recordings", "--stop", str(tmp_path / "other.tes"))
    assert wrong.returncode == 1
    assert "recordings that run:" in wrong.stderr
    assert said("recordings", "--stop", str(path)).returncode == 0
    wait_ended(pid)
    assert said("recordings").stdout == "Nothing is recorded now.\n"
    assert said("check", str(path)).returncode == 0


def said(*words):
    return subprocess.run(
        [sys.executable, "-m", "tes_nb", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_without_keep_a_kernel_s_end_is_the_recording_s(feed, tmp_path):
    with kernel() as notebook:
        pid, *_ports = begun(notebook, feed, tmp_path / "plain.tes", keep=False)
        os.kill(notebook.manager.provisioner.pid, signal.SIGKILL)
        wait_ended(pid)
    with tes.open(tmp_path / "plain.tes") as opened:
        assert opened.info().messages > 0


def test_stop_ends_also_what_is_kept(feed, tmp_path):
    with tes.start(ports=(0, 0)) as session:
        session.watch(tes.NOWGOAL.with_endpoint(url=feed.url, token_url=feed.token_url)).wait(
            rows=1, timeout=30
        )
        recording = session.record(tmp_path / "stopped.tes", keep=True)
        assert recording.kept
        assert the_only_one().path == recording.path
        pid = session.collector_pid
    wait_ended(pid)
    assert tes.recordings() == []


def test_with_nothing_to_read_on_nothing_is_kept(tmp_path):
    path = str(tmp_path / "own.tes")
    code = (
        "import tes_nb as tes; s = tes.start(ports=(0, 0)); "
        f"s.record({path!r}, keep=True); print(s.collector_pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    wait_ended(int(done.stdout))


def test_a_collector_in_a_thread_cannot_keep(tmp_path):
    with tes.start(ports=(0, 0), isolation="thread") as session:
        with pytest.raises(SessionError, match="outlive the kernel"):
            session.record(tmp_path / "thread.tes", keep=True)
        assert not (tmp_path / "thread.tes").exists()


@run_async
async def test_the_time_it_may_be_kept_is_limited(feed, tmp_path):
    path = tmp_path / "late.tes"
    with child(keep_s=1.0) as process:
        control = ControlClient(f"ws://127.0.0.1:{process.ports[0]}/ws/control", TOKEN)
        await control.start()
        await control.call(WatchSource(stream="nowgoal", url=feed.url, token_url=feed.token_url))
        await control.call(StartRecording(path=str(path), keep=True))
        await control.stop()
        since = time.monotonic()
        process.leave()
        assert process._child.wait(20) == 0
        assert time.monotonic() - since >= 1.0
    with tes.open(path) as opened:
        assert {ALONE_LABEL, LATE_LABEL} <= set(opened.marks["label"])
