"""What a session says while its peer or its collector is gone, and who else may answer in their place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tes_nb as tes
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
STRANGER = """
import sys
import tes_nb as tes
session = tes.start(ports={ports})
session.metrics.wait(rows=2, timeout=20)
print("serving", flush=True)
sys.stdin.read()
"""


@contextmanager
def tes_process(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of the project's own that prints one line when it serves; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        assert line, "it ended before it served"
        yield process, line
    finally:
        process.kill()
        process.communicate()


@contextmanager
def original_tes() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An original TES that a test may stop or kill, and its port."""
    with tes_process("-m", "tests.support.original_tes") as found:
        yield found


@contextmanager
def opened(kind: str, tmp_path: Path) -> Iterator[tes.Session]:
    """A session of that kind, with rows."""
    if kind == "start":
        with tes.start(ports=(0, 0)) as session:
            session.metrics.wait(rows=2, timeout=20)
            yield session
    elif kind == "attach":
        with original_tes() as (_, port), tes.attach(f"localhost:{port}", streams=["metrics"]) as session:
            session.metrics.wait(rows=2, timeout=20)
            yield session
    else:
        with tes.start(ports=(0, 0)) as session, session.record(tmp_path / "one.tes"):
            session.metrics.wait(rows=session.metrics.rows + 4, timeout=20)
        with tes.replay(tmp_path / "one.tes", loop=True) as replay:
            replay.metrics.wait(rows=2, timeout=20)
            yield replay


@pytest.mark.parametrize("kind", ["start", "attach", "replay"])
def test_fault_85_a_strangers_collector_on_the_port_of_a_dead_one_is_not_read(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("TES_DEV_TOKEN", "one-token-for-both-of-them")
    with opened(kind, tmp_path) as session:
        os.kill(session.collector_pid, signal.SIGKILL)
        eventually(lambda: session.metrics.state == "LOST" and len(session.metrics.gaps))
        assert "the collector has ended" in str(session.metrics.state)
        rows = {name: feed.rows for name, feed in session.feeds.items()}
        for _ in range(2):  # it comes, and comes again after a restart of its own
            with tes_process("-c", STRANGER.format(ports=session.ports)):
                eventually(lambda: "another collector answers" in str(session.metrics.state), 15)
                time.sleep(1.5)  # a stranger's rows would come every half second
                assert {name: feed.rows for name, feed in session.feeds.items()} == rows
                assert {str(feed.state.word) for feed in session.feeds.values()} == {"LOST"}
        assert f"127.0.0.1:{session.ports[0]}; start a new session" in str(session.metrics.state)
        assert not session.running
        for feed in session.feeds.values():
            assert feed.gaps["cause"].tolist() == ["the collector has ended"]
            assert feed.gaps["back_at"].isna().all()
        with pytest.raises(tes.TesError, match="another collector answers"):
            session.cost()
    assert session.metrics.state == "CLOSED"
    assert len(session.metrics.gaps) == 1


def test_a_session_whose_collector_has_ended_says_so_and_not_that_it_was_stopped():
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=1, timeout=20)
        os.kill(session.collector_pid, signal.SIGKILL)
        eventually(lambda: session.metrics.state == "LOST")
        assert "its collector has ended" in repr(session)
        assert "stopped" not in repr(session)
    assert "stopped" in repr(session)


def test_fault_86_an_outage_is_a_gap_while_it_lasts_wherever_one_looks(tmp_path):
    with original_tes() as (peer, port), tes.attach(f"localhost:{port}", streams=["metrics"]) as session:
        feed, path = session.metrics, tmp_path / "outage.tes"
        session.record(path)
        feed.wait(rows=4, timeout=20)
        assert len(feed.gaps) == 0
        peer.kill()
        eventually(lambda: len(feed.gaps))
        assert feed.gaps["back_at"].isna().tolist() == [True]
        assert int(feed.frame(gaps=True)["seq"].isna().sum()) == 1
        assert "1 gap" in str(feed.state)
        session.to_csv(tmp_path / "csv")
        package = json.loads((tmp_path / "csv" / "datapackage.json").read_text())
        gaps = {one["name"]: one["gaps"] for one in package["resources"]}
        assert [gap["back_at"] for gap in gaps["metrics"]] == [None]
        assert len(session.gaps) == 1
        eventually(lambda: len(tes.open(path).metrics.gaps) == 1)
        os.kill(session.collector_pid, signal.SIGKILL)
        eventually(lambda: feed.state == "LOST")
        assert len(feed.gaps) == 1  # that of the peer goes on; ours is no second one
    recorded = tes.open(path).metrics
    assert recorded.gaps["back_at"].isna().tolist() == [True]
    assert int(recorded.frame(gaps=True)["seq"].isna().sum()) == 1
    assert recorded.gaps["lost_at"].tolist() == feed.gaps["lost_at"].tolist()
    with tes.replay(path, speed="max") as replay:
        replay.wait(timeout=20)
        assert replay.metrics.gaps["back_at"].isna().tolist() == [True]


def test_fault_86_a_peer_that_falls_silent_is_one_gap_which_ends_with_its_data(tmp_path):
    with original_tes() as (peer, port), tes.attach(f"localhost:{port}", streams=["metrics"]) as session:
        feed, path = session.metrics, tmp_path / "late.tes"
        feed.wait(rows=4, timeout=20)
        os.kill(peer.pid, signal.SIGSTOP)
        eventually(lambda: len(feed.gaps))
        assert feed.gaps["cause"].tolist() == ["no data for 1.5 s"]
        session.record(path)  # begun when the gap is open already
        eventually(lambda: path.exists() and "metrics" in tes.open(path).feeds)
        assert tes.open(path).metrics.gaps["back_at"].isna().tolist() == [True]
        os.kill(peer.pid, signal.SIGCONT)
        eventually(lambda: feed.gaps["back_at"].notna().all(), 10)
        feed.wait(rows=feed.rows + 3, timeout=20)
        assert len(feed.gaps) == 1
    recorded = tes.open(path).metrics
    assert recorded.gaps["back_at"].tolist() == feed.gaps["back_at"].tolist()
    assert len(recorded.store.gaps) == 1


def test_a_relay_that_comes_back_brings_what_came_meanwhile_and_leaves_no_gap():
    with tes.start(ports=(0, 0)) as session:
        feed = session.metrics
        feed.wait(rows=2, timeout=20)
        reader = session._readers["metrics"]
        address = reader._connection._url
        reader._connection._url = lambda: "ws://127.0.0.1:9/"  # nobody is there
        reader._connection._link.abort()
        eventually(lambda: len(feed.gaps), 10)
        assert feed.gaps["cause"].tolist() == ["no connection to the collector"]
        reader._connection._url = address
        eventually(lambda: feed.state == "OPEN", 10)
        feed.wait(rows=feed.rows + 2, timeout=20)
        assert len(feed.gaps) == 0
        assert feed.frame()["seq"].diff().dropna().eq(1).all()
