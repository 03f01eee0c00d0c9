import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tes_nb.errors import ConnectionFailed, TesError
from tes_nb.simulate import Fault, Options, StandInClient, number_in, start_child
from tests.support.standin import connect, data, token_of, want
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def child():
    server = start_child(Options(speed=100, matches=4, games=1, faults=(Fault("token_html"),)))
    yield server
    server.stop()


def gone(pid, within_s=5.0):
    until = time.monotonic() + within_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_child_serves_with_the_options_it_was_given(child):
    async def go():
        assert child.url.startswith("ws://127.0.0.1:")
        html = await token_of(child)
        assert html.startswith("<!DOCTYPE")
        async with connect(child, await token_of(child), subscriber="parent") as ws:
            await want(ws)
            return [number_in(text) for text in await data(ws, 10)]

    numbers = asyncio.run(go())
    assert child.sent("parent")[:10] == numbers
    assert child.ledger()["strikes"] == {"token_html": 1}
    assert child.roster()[0]["home_team"].startswith("Simulated ")


def test_faults_are_posted_and_cleared(child):
    child.post(Fault("token_dashes", seconds=60), Fault("random", every=100.0))
    child.clear_faults()
    child.post(Fault("token_html"))
    with pytest.raises(TesError, match="There is no fault 'nonsense'"):
        child.post(Fault("nonsense"))


def test_a_stand_in_elsewhere_is_asked_by_its_address(child):
    client = StandInClient(child.http)
    assert client.roster() == child.roster()
    assert client.token_url == child.token_url
    eventually(lambda: client.ledger()["last"] > 0)


def test_stop_ends_the_child_and_may_be_called_again():
    child = start_child(Options())
    assert psutil.pid_exists(child.pid)
    child.stop()
    assert gone(child.pid, 0.1)
    child.stop()
    with pytest.raises(ConnectionFailed, match="does not answer"):
        child.roster()


def test_a_forked_process_does_not_stop_its_parents_child(child):
    pid = os.fork()
    if pid == 0:
        child.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert child.roster()


def test_a_taken_port_is_reported_in_the_parent(child):
    port = int(child.http.rpartition(":")[2])
    with pytest.raises(TesError, match=f"did not start: The stand-in cannot listen on 127.0.0.1:{port}"):
        start_child(Options(port=port))


def test_an_interrupt_is_for_the_parent(child):
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.2)
    assert child.roster()


def test_the_child_ends_with_its_parent_though_a_forked_worker_keeps_the_pipe_open():
    program = (
        "import os, sys, time\n"
        "from tes_nb.simulate import start_child\n"
        "child = start_child()\n"
        "worker = os.fork()\n"
        "if worker == 0:\n"
        "    sys.stdout.close(); os.close(1); time.sleep(20); os._exit(0)\n"
        "print(child.pid, worker, flush=True)\n"
        "time.sleep(20)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child_pid, worker = map(int, parent.stdout.readline().split())
    try:
        parent.kill()
        parent.wait()
        assert gone(child_pid)
        assert psutil.pid_exists(worker)
    finally:
        os.kill(worker, signal.SIGKILL)
        parent.stdout.close()


def test_run_forever_ends_at_a_signal():
    program = (
        "from tes_nb.simulate import Options, run_forever\n"
        "run_forever(Options(), lambda server: print(server.url, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("ws://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.stdout.close()
