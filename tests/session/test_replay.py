"""A recording served as if it were live: real recordings, real collectors, foreign clients."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pandas as pd
import psutil
import pytest
from pandas.testing import assert_frame_equal
from websockets.asyncio.client import connect

import tes_nb as tes
from tes_nb.errors import CollectorError, SessionError
from tests.support.collectors import next_record
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Five seconds of the three streams and of a simulated feed."""
    target = tmp_path_factory.mktemp("replay") / "five seconds.tes"
    with tes.start(ports=(0, 0)) as session:
        session.watch(tes.SIMULATED, speed=50, seed=3)
        with session.record(target):
            session.gauge("loss", 0.5)
            time.sleep(2.5)
            session.mark("deploy")
            time.sleep(2.5)
    return target


@pytest.fixture
def old(path):
    with tes.open(path) as opened:
        yield opened


def same(replayed, opened, until=None):
    """Every table, gap and mark of every feed is the same, up to a time."""
    for name, feed in opened.feeds.items():
        for table in feed.tables:
            assert_frame_equal(replayed.feeds[name].frame(table), feed.frame(table, end=until))
        if until is None:
            assert_frame_equal(replayed.feeds[name].gaps, feed.gaps)
            assert_frame_equal(replayed.feeds[name].marks, feed.marks)


def test_a_replay_that_has_ended_holds_the_very_frames_of_the_recording(path, old):
    with tes.replay(path, speed=20) as replayed:
        replayed.wait(timeout=30)
        assert replayed.done
        assert replayed.progress == 1.0
        same(replayed, old)
        assert len(replayed.simulated.matches()) == len(old.simulated.matches()) > 0
        assert replayed.kernel.frame("gauges")["value"].tolist() == [0.5]
        assert "deploy" in replayed.metrics.marks["label"].tolist()
        assert replayed.metrics.state == "ENDED"
        assert "replay of five seconds.tes, ended" in repr(replayed)
        assert len(replayed.metrics.frame(last="2s")) < len(replayed.metrics.frame())
        figure = replayed.metrics.figure()
        assert len(figure.data) > 0


def test_going_forward_and_back_frames_hold_exactly_what_lies_before_the_position(path, old):
    with tes.replay(path, paused=True) as replayed:
        assert replayed.metrics.state == "PAUSED"
        for where in ("60%", "20%", "80%", "100%"):
            replayed.seek(where)
            same(replayed, old, until=replayed.position)
        replayed.seek("0%")
        assert [feed.rows for feed in replayed.feeds.values()] == [0] * len(replayed.feeds)
        began, ended = (
            pd.Timestamp(old.info().began_ns, tz="UTC"),
            pd.Timestamp(old.info().ended_ns, tz="UTC"),
        )
        replayed.seek(began + pd.Timedelta("2s"))
        assert began + pd.Timedelta("1.4s") < replayed.position <= began + pd.Timedelta("2.6s")
        replayed.seek(1.0)
        assert replayed.position < began + pd.Timedelta("1.6s")
        replayed.seek(f"{ended:%H:%M:%S.%f}")
        assert replayed.position >= ended - pd.Timedelta("0.6s")
        with pytest.raises(SessionError, match="no share"):
            replayed.seek("half%")
        with pytest.raises(tes.TesError, match="no time"):
            replayed.seek("when the goal fell")


def test_views_get_everything_again_when_it_goes_back(path):
    with tes.replay(path, paused=True) as replayed:
        replayed.seek("90%")
        rows = replayed.metrics.store.main
        cursor = rows.total
        replayed.seek("10%")
        assert cursor < rows.cleared
        assert rows.dropped == 0
        assert 0 < replayed.metrics.rows == len(replayed.metrics.frame())


def test_it_holds_goes_on_and_changes_its_speed(path):
    with tes.replay(path, speed=1) as replayed:
        replayed.metrics.wait(rows=1, timeout=10)
        replayed.pause()
        there = replayed.position
        time.sleep(0.7)
        assert replayed.position == there
        assert replayed.metrics.state == "PAUSED"
        with pytest.raises(SessionError, match="paused"):
            replayed.wait()
        replayed.speed = "max"
        assert replayed.speed == float("inf")
        replayed.resume()
        replayed.wait(timeout=10)
        replayed.resume()  # from the beginning again
        replayed.wait(timeout=10)
        assert replayed.metrics.rows > 5
        with pytest.raises(SessionError, match="above 0"):
            replayed.speed = 0


def test_speed_one_keeps_the_recorded_spacing(path, old):
    arrived = []
    with tes.replay(path, paused=True) as replayed:
        replayed.metrics.on_message(
            lambda message: arrived.append((time.monotonic(), message.t_mono_ns / 1e9))
        )
        replayed.resume()
        replayed.wait(timeout=30)
    spacing = [(now - arrived[0][0], then - arrived[0][1]) for now, then in arrived[1:]]
    assert len(spacing) == len(old.metrics.frame()) - 1
    assert all(abs(now - then) < 0.25 for now, then in spacing), spacing


def test_a_replay_that_loops_goes_on_in_time(path, old):
    with tes.replay(path, speed=50, loop=True) as replayed:
        once = len(old.metrics.frame())
        replayed.metrics.wait(rows=3 * once, timeout=30)
        frame = replayed.metrics.frame()
        assert frame.index.is_monotonic_increasing
        assert frame["seq"].is_monotonic_increasing
        assert_frame_equal(frame.iloc[:once], old.metrics.frame())
        shift = frame.index[once] - frame.index[0]
        assert (frame.index[once : 2 * once] - frame.index[:once] == shift).all()
        with pytest.raises(SessionError, match="loops"):
            replayed.wait()
        replayed.pause()
        replayed.seek("100%")
        same(replayed, old)


# Foreign clients --------------------------------------------------------------------------------------------------


def get(url):
    with urlopen(url, timeout=5) as answer:
        return json.loads(answer.read()), dict(answer.headers)


async def collected(url, start, seconds=20.0):
    """What a foreign client receives until nothing more comes."""
    payloads = []
    async with connect(url) as socket:
        start()
        try:
            while True:
                payloads.append(await asyncio.wait_for(socket.recv(), 1.5))
        except TimeoutError:
            return payloads


def recorded(opened, source):
    return [
        message.payload.decode()
        for message in opened._file.messages(source)
        if message.opcode == 1 and message.direction == 0
    ]


def test_foreign_clients_get_the_recorded_payloads_on_the_usual_paths(path, old):
    with tes.replay(path, speed=20, paused=True) as replayed:
        status, workers = replayed.ports
        with pytest.raises(HTTPError) as early:
            get(f"http://127.0.0.1:{status}/api/dev/server-metrics")
        assert early.value.code == 503
        got = asyncio.run(collected(f"ws://127.0.0.1:{status}/ws/server-metrics/live", replayed.resume))
        assert got == recorded(old, "metrics")
        body, headers = get(f"http://127.0.0.1:{status}/api/dev/status")
        assert body == json.loads(recorded(old, "status")[-1])["data"]
        assert headers["X-TES-Status-Version"] == "2.0"
        greeted = asyncio.run(collected(f"ws://127.0.0.1:{workers}/ws/workers/telemetry", lambda: None))
        assert greeted == recorded(old, "workers")[-1:]


def test_a_client_that_chose_parts_gets_those_parts(path):
    async def scene(url, resume):
        async with connect(url) as socket:
            await socket.send('{"type":"subscribe","metrics":["others"]}')
            assert json.loads(await socket.recv())["type"] == "subscribed"
            resume()
            return json.loads(await asyncio.wait_for(socket.recv(), 5))

    with tes.replay(path, speed=20, paused=True) as replayed:
        url = f"ws://127.0.0.1:{replayed.ports[0]}/api/dev/status/live"
        said = asyncio.run(scene(url, replayed.resume))
    assert list(said["data"]["vector"]) == ["others"]


def test_fault_77_the_same_recording_gives_the_same_bytes(path):
    digests = set()
    with tes.replay(path, speed="max", paused=True) as replayed:
        address = f"ws://127.0.0.1:{replayed.ports[0]}/ws/relay/simulated"

        async def once():
            digest = hashlib.sha256()
            async with connect(f"{address}?after=0") as socket:
                await next_record(socket)  # that it is paused
                await asyncio.to_thread(replayed.resume)
                while True:
                    record = await next_record(socket)
                    if record[1] == 0 and b'"ENDED"' in record:
                        return digest.hexdigest()
                    if record[1]:
                        digest.update(record)

        for _ in range(20):
            replayed.pause()
            replayed.seek("0%")
            digests.add(asyncio.run(once()))
    assert len(digests) == 1
    assert digests != {hashlib.sha256().hexdigest()}


# What goes wrong --------------------------------------------------------------------------------------------------


def test_ports_that_were_asked_for_and_are_taken_are_refused(path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CollectorError, match="in use"):
        tes.replay(path, ports=(taken.getsockname()[1], 0))


def test_what_needs_something_live_is_refused_with_a_sentence(path):
    with tes.replay(path, paused=True) as replayed:
        for act in (
            lambda: replayed.watch(tes.SIMULATED),
            replayed.record,
            lambda: replayed.mark("x"),
            lambda: replayed.gauge("x", 1),
            lambda: replayed.scale(2),
            replayed.cost,
        ):
            with pytest.raises(tes.TesError, match="This is a replay of five seconds"):
                act()
        assert replayed.cells().empty


@pytest.mark.parametrize("speed", [0, -2, "fast", True, None])
def test_a_speed_that_is_none(path, speed):
    with pytest.raises(SessionError, match="speed must be"):
        tes.replay(path, speed=speed)


def test_what_is_no_recording(tmp_path):
    (tmp_path / "x.tes").write_bytes(b"nothing of ours")
    with pytest.raises(SessionError, match=r"x\.tes"):
        tes.replay(tmp_path / "x.tes")


def test_the_kernels_own_doings_are_no_part_of_a_replay(path, old):
    with tes.replay(path, speed="max") as replayed:
        replayed.wait(timeout=20)
        time.sleep(0.6)  # heartbeats come meanwhile
        same(replayed, old)


TES_NB = (sys.executable, "-W", "error", "-c", "from tes_nb.cli import main; main()")


def test_the_command_line_serves_until_ctrl_c(path):
    command = [*TES_NB, "replay", str(path), "--speed", "5", "--port", "0"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    line = served.stdout.readline()
    address = line.split("http://", 1)[1].split("/", 1)[0]
    body, _ = get(f"http://{address}/health")
    assert body["server"] == "tes_nb"
    children = psutil.Process(served.pid).children(recursive=True)
    served.send_signal(signal.SIGINT)
    assert served.wait(20) == 130
    served.stdout.close()
    eventually(lambda: not any(child.is_running() for child in children))
