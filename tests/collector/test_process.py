"""The collector as a child process: how it starts, how it ends, and what survives whom."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tes_nb.collector import process as process_module
from tes_nb.collector.discovery import running
from tes_nb.collector.process import start_process
from tes_nb.errors import CollectorError
from tes_nb.wire.record import seq_of, split
from tests.support.aio import run_async
from tests.support.collectors import (
    METRICS,
    STATUS,
    TOKEN,
    WORKERS,
    ask,
    child,
    open_socket,
    options,
    receive,
    socket,
)
from tests.support.waiting import busy, eventually, eventually_async

ROOT = Path(__file__).parents[2]
OWNER = """
import json, os, sys, time
from tests.support.collectors import options
from tes_nb.collector.lifetime import own_identity
from tes_nb.collector.process import start_process
from tes_nb.wire.record import seq_of, split
pid, created = own_identity()
collector = start_process(options(observed_pid=pid, parent_pid=pid, parent_created=created))
{more}
print(json.dumps([collector.pid, *collector.ports]), flush=True)
time.sleep(60)
"""
FORKED_POOL = """
forked = os.fork()
if forked == 0:
    time.sleep(30)
    os._exit(0)
"""


@contextmanager
def owner(more=""):
    """Another process that owns a collector: (its Popen, collector's pid, ports)."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(more=more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        pid, *ports = json.loads(process.stdout.readline())
        yield process, pid, ports
    finally:
        with_suppressed(os.killpg, process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def with_suppressed(act, *args):
    try:
        act(*args)
    except ProcessLookupError:
        return


def answers(port):
    """Whether somebody listens on the port."""
    try:
        asyncio.run(ask(port, "/health"))
    except OSError:
        return False
    return True


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# Start --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One collector for the tests that do it no harm, started from a folder with modules of tempting names."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name in ("logging", "asyncio", "msgspec", "tes_nb"):
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        patch.chdir(folder)
        with child(observed_pid=os.getpid()) as collector:
            patch.chdir(ROOT)
            yield collector
            log = collector.log_path
    assert not collector.alive
    assert not log.exists()
    assert not any(map(answers, collector.ports))
    collector.stop()  # may be called twice


def test_it_runs_apart_and_answers(shared):
    assert shared.alive
    assert shared.busy_ports == ()
    assert psutil.Process(shared.pid).ppid() == os.getpid()
    assert os.getsid(shared.pid) == shared.pid  # a session of its own
    assert shared.log_path.stat().st_mode & 0o777 == 0o600
    metrics = asyncio.run(ask(shared.ports[0], "/api/dev/server-metrics")).json()
    own = psutil.Process().memory_info().rss
    assert abs(metrics["memory"]["rss"] - own) < 0.3 * own  # the process that was named, not itself


def test_interrupts_do_not_reach_it(shared):
    for _ in range(3):
        os.kill(shared.pid, signal.SIGINT)
    time.sleep(0.05)
    assert answers(shared.ports[0])


def test_fault_80_a_forked_child_stops_nothing(shared):
    forked = multiprocessing.get_context("fork").Process(target=meddle, args=(shared,))
    forked.start()
    forked.join(10)
    assert forked.exitcode == 0
    assert shared.alive
    assert answers(shared.ports[0])


def meddle(collector):
    collector.stop()
    assert not collector.alive  # it is nobody's business here
    sys.exit(0)


def test_taken_ports_that_were_asked_for_are_a_sentence(shared):
    status, workers = shared.ports
    wanted = {"status_port": status, "workers_port": workers, "ports_required": True}
    with pytest.raises(CollectorError, match=f"Ports {status} and {workers} are in use"):
        start_process(options(**wanted))


def test_an_observed_pid_that_vanished_is_a_sentence():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(
        CollectorError, match=f"no process {gone.pid} to observe.*Give the pid of a running one"
    ):
        start_process(options(observed_pid=gone.pid))


def test_a_child_that_dies_or_hangs_is_a_sentence(monkeypatch, own_runtime_dir, tmp_path):
    monkeypatch.setattr(process_module, "START_TIMEOUT_S", 0.5)
    commands = {
        "import sys; sys.stderr.write('no such module'); sys.exit(3)": "with exit code 3.*no such module",
        "import time; time.sleep(30)": "did not start within .* s.*nothing",
    }
    for code, sentence in commands.items():
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", fake_python(tmp_path, code))
            with pytest.raises(CollectorError, match=sentence):
                start_process(options())
    assert list(own_runtime_dir.glob("*.log")) == []


def fake_python(folder, code):
    path = folder / "python"
    path.write_text(f"#!{sys.executable} -S\n{code}\n")
    path.chmod(0o700)
    return str(path)


def test_no_program_at_all_is_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CollectorError, match="could not be started"):
        start_process(options())


def test_options_that_are_none_are_reported():
    run = subprocess.run(
        [sys.executable, "-m", "tes_nb.collector"],
        input=b"no json\n",
        cwd=ROOT,
        capture_output=True,
        timeout=20,
    )
    assert run.returncode == 2
    assert "did not understand its options" in json.loads(run.stdout)["error"]
    assert b"Traceback" not in run.stderr


# The token ----------------------------------------------------------------------------------------------------


def test_fault_38_the_token_is_nowhere_to_be_read(capfd, own_runtime_dir):
    token = "secret-a81f3c5d7e9b"
    with child(token=token) as collector:
        provoke(collector, token)
        shown = [repr(collector), repr(options(token=token)), *map(repr, running())]
        command = Path(f"/proc/{collector.pid}/cmdline").read_bytes()
        log = collector.log_path.read_text()
        files = {path.name: path.read_bytes() for path in own_runtime_dir.iterdir()}
    assert token.encode() not in command
    assert "ERROR" not in log
    for text in (log, *shown, *capfd.readouterr()):
        assert token not in text
    for name, content in files.items():
        assert (token.encode() in content) == name.endswith(".json")


def provoke(collector, token):
    """Everything that a careless server would write down."""
    port = collector.ports[0]
    for headers in (
        [("X-TES-Dev-Token", f"{token}\x01")],
        [("X-TES-Dev-Token", token), ("bad header", token)],
        [("X-TES-Dev-Token", token), ("Content-Length", "x")],
        [("Sec-WebSocket-Protocol", token), ("Referer", f"http://localhost/?token={token}")],
    ):
        asyncio.run(ask(port, f"/nothing?token={token}", headers=headers))
        asyncio.run(ask(port, STATUS, headers=[*headers, ("Upgrade", "websocket")]))
    asyncio.run(ask(port, f"/{token}\x01"))

    async def talk():
        async with socket(port, "/ws/control") as client:
            await client.send(json.dumps({"type": "auth", "token": token}))
            for op in ("nothing", token, "scale"):
                await client.send(json.dumps({"id": 1, "op": op, "args": {"count": token}}))
                assert token not in json.dumps((await receive(client))["error"])
        async with socket(port, "/ws/control", token=token) as client:
            await client.send(json.dumps({"type": "auth", "token": f"{token}x"}))
            await client.wait_closed()
            assert token not in client.close_reason

    asyncio.run(talk())


# End ----------------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_fault_79_a_killed_owner_takes_its_collector_along():
    with owner() as (process, pid, ports):
        assert answers(ports[0])
        process.kill()
        began = time.monotonic()
        eventually(lambda: is_gone(pid), busy(5))
        assert time.monotonic() - began < busy(2)
        assert not any(map(answers, ports))


@pytest.mark.alone
def test_fault_79_also_while_a_forked_pool_holds_its_pipes_open():
    with owner(FORKED_POOL) as (process, pid, ports):
        process.kill()
        began = time.monotonic()
        eventually(lambda: is_gone(pid), busy(5))
        assert time.monotonic() - began < busy(2)
        assert not any(map(answers, ports))


def test_fault_80_an_owner_that_ends_in_order_is_not_kept_by_its_fork():
    code = FORKED_POOL + "collector.stop()"
    with owner(code) as (_, pid, ports):
        assert is_gone(pid)
        assert not any(map(answers, ports))


def test_fault_81_interrupts_while_it_starts():
    """From its first moment on, an interrupt is not for the collector."""
    command = [sys.executable, "-m", "tes_nb.collector"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        eventually(lambda: ignores_interrupts(process.pid))
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        process.stdin.write(json.dumps({"token": "x", "status_port": 0, "workers_port": 0}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["error"] is None
    finally:
        process.communicate(timeout=10)
    assert process.returncode == 0


def ignores_interrupts(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(ignored & (1 << (signal.SIGINT - 1)))


@pytest.mark.alone
@pytest.mark.parametrize("how", ["terminate", "end of input"])
def test_fault_84_the_end_says_1001_to_all_and_takes_two_seconds_at_most(how):
    async def scene(collector):
        places = ((0, STATUS), (0, METRICS), (1, WORKERS), (0, "/ws/relay/metrics"))
        clients = [await socket(collector.ports[port], path, token=TOKEN) for port, path in places]
        stuck = [await open_socket(collector.ports[0], METRICS) for _ in range(3)]  # they answer no close
        silent = [await asyncio.open_connection("127.0.0.1", collector.ports[1]) for _ in range(3)]
        control = await socket(collector.ports[0], "/ws/control", token=TOKEN)
        await control.send(json.dumps({"type": "auth", "token": TOKEN}))
        await control.send('{"id":1,"op":"scale","args":{"count":1}}')
        await receive(control)
        began = time.monotonic()
        end(collector, how)
        for client in (*clients, control):
            await asyncio.wait_for(client.wait_closed(), 5)
        assert {client.close_code for client in (*clients, control)} == {1001}
        await eventually_async(lambda: is_gone(collector.pid))
        assert time.monotonic() - began < busy(2)
        for _, writer in (*stuck, *silent):
            writer.transport.abort()

    with child() as collector:
        asyncio.run(scene(collector))
        assert not any(map(answers, collector.ports))


def end(collector, how):
    if how == "terminate":
        os.kill(collector.pid, signal.SIGTERM)
    else:
        collector._child.stdin.close()


@run_async
async def test_fault_84_the_last_messages_before_the_end_arrive():
    with child(period_s=0.05) as collector:
        async with socket(collector.ports[0], "/ws/relay/metrics?after=0") as client:
            await asyncio.sleep(0.3)
            asyncio.get_running_loop().run_in_executor(None, collector.stop)
            messages = [message async for message in client]
            numbers = [seq_of(record) for message in messages for record in split(message)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 4
