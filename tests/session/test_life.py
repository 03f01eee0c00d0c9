"""How sessions begin and end, also badly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

import tes_nb as tes
from tes_nb.errors import CollectorError, SessionError, TesError
from tests.support.ports import free, free_port
from tests.support.waiting import busy, eventually


def run(code: str, *, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_stop_frees_everything_and_keeps_frames():
    session = tes.start(ports=(0, 0))
    session.metrics.wait(rows=1, timeout=20)
    pid, ports = session._backend.pid, session.ports
    session.stop()
    session.stop()
    assert not psutil.pid_exists(pid)
    assert all(free(port) for port in ports)
    assert len(session.metrics.frame()) >= 1
    assert session.metrics.state == "CLOSED"
    assert "stopped" in repr(session)
    with pytest.raises(SessionError, match="stopped"):
        session.mark("late")


def test_thread_isolation_has_the_same_face():
    with tes.start(isolation="thread", ports=(0, 0)) as session:
        session.metrics.wait(rows=2, timeout=20)
        assert session.metrics.state == "OPEN"
        ports = session.ports
    assert all(free(port) for port in ports)


def test_sessions_coexist_and_stopping_one_leaves_the_other():
    with tes.start(ports=(0, 0)) as one:
        with tes.attach(f"localhost:{one.ports[0]}", workers=f"localhost:{one.ports[1]}") as two:
            two.metrics.wait(rows=2, timeout=20)
            assert set(tes.sessions()) == {one, two}
        assert one.running
        one.metrics.wait(rows=2, timeout=20)


def test_a_taken_port_is_said_and_never_fails_the_start(capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("BUN_PORT", str(port))
        monkeypatch.setenv("WORKER_API_PORT", "0")
        with pytest.raises(TesError, match="WORKER_API_PORT must be a port"):
            tes.start()
        monkeypatch.setenv("WORKER_API_PORT", str(free_port()))
        with tes.start() as session:
            assert port not in session.ports
            said = capsys.readouterr().out
            assert f"Port {port} is in use" in said
            assert f'tes.attach("localhost:{port}")' in said


def test_ports_that_were_asked_for_are_refused_when_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CollectorError, match=f"Port {port} is in use"):
            tes.start(ports=(port, 0))
    assert tes.sessions() == []


@pytest.mark.parametrize(
    ("period", "sentence"), [("soon", "period must be a time"), (0.001, "between 50 ms and 60 s")]
)
def test_a_wrong_period_is_a_sentence(period, sentence):
    with pytest.raises(SessionError, match=sentence):
        tes.start(period=period)


def test_another_period():
    with tes.start(ports=(0, 0), period="100ms") as session:
        session.metrics.wait(rows=8, timeout=20)
        steps = session.metrics.frame().index.to_series().diff().dropna().dt.total_seconds()
        assert steps.median() == pytest.approx(0.1, abs=0.02)


def test_fault_79_collector_ends_with_a_killed_kernel_whose_pool_lives_on():
    code = """
        import multiprocessing, os, sys, time
        import tes_nb as tes
        s = tes.start(ports=(0, 0))
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        child.start()
        print(s._backend.pid, *s.ports, child.pid, flush=True)
        time.sleep(30)
    """
    kernel = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert kernel.stdout is not None
    collector, status, workers, child = (int(word) for word in kernel.stdout.readline().split())
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    try:
        eventually(
            lambda: not psutil.pid_exists(collector), busy(3), lambda: "the collector outlived its kernel"
        )
        assert free(status)
        assert free(workers)
        assert psutil.pid_exists(child)  # it really held the pipe open
    finally:
        os.kill(child, signal.SIGKILL)


def _leave_as_a_child(session: tes.Session, queue: multiprocessing.SimpleQueue) -> None:
    session.stop()
    tes.stop()
    queue.put(tes.sessions() == [])


def test_fault_80_a_forked_child_stops_nothing():
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=1, timeout=20)
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=_leave_as_a_child, args=(session, queue))
        child.start()
        assert queue.get()
        child.join(10)
        assert session.running
        assert session.metrics.wait(rows=2, timeout=10) >= 2


def test_fault_84_the_end_of_the_interpreter_ends_the_collector():
    done = run(
        """
        import tes_nb as tes
        s = tes.start(ports=(0, 0))
        s.metrics.wait(rows=1, timeout=20)
        print(s._backend.pid)
        """
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert "Warning" not in done.stderr
    eventually(lambda: not psutil.pid_exists(int(done.stdout)), busy(2))


@pytest.mark.parametrize("where", ["no loop", "running loop"])
def test_fault_83_start_inside_and_outside_of_a_loop(where):
    body = "s = tes.start(ports=(0, 0)); s.metrics.wait(rows=1, timeout=20); s.stop()"
    code = {
        "no loop": f"import tes_nb as tes\n{body}",
        "running loop": f"import asyncio\nimport tes_nb as tes\nasync def main():\n    {body}\nasyncio.run(main())",
    }[where]
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr
    assert "ResourceWarning" not in done.stderr


def test_fault_81_an_interrupt_leaves_no_half_state():
    """SIGINT at random points of start and stop: the next start works, and nothing is left over."""
    code = """
        import os, random, signal, threading, time, sys
        import tes_nb as tes
        random.seed(int(sys.argv[1]))
        tes.start(ports=(0, 0)).stop()  # what is imported late is there now; an import that is cut is not ours
        for turn in range(6):
            timer = threading.Timer(random.uniform(0, 1.2), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                s = tes.start(ports=(0, 0))
                s.stop()
                timer.join()
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            timer.cancel(); timer.join()
        tes.stop()
        with tes.start(ports=(0, 0)) as s:
            s.metrics.wait(rows=1, timeout=20)
        import psutil
        deadline = time.monotonic() + 4
        while psutil.Process().children() and time.monotonic() < deadline:
            time.sleep(0.05)
        print("left over:", len(psutil.Process().children()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "7"], capture_output=True, text=True, timeout=55
    )
    assert done.stdout.strip().endswith("left over: 0"), done.stdout + done.stderr


def test_discovery_file_is_private_and_goes_with_the_collector():
    from tes_nb.collector.discovery import running, runtime_dir

    with tes.start(ports=(0, 0)) as session:
        path = runtime_dir() / f"collector-{session._backend.pid}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        assert session._backend.pid in [found.pid for found in running()]
    assert not path.exists()
    assert not list(Path(runtime_dir()).glob(f"collector-{os.getpid()}-*.log"))
