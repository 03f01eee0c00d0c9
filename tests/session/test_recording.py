"""Record a live session, open it, and find the same."""

from __future__ import annotations

import os
import signal
import time

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import CollectorError, SessionError
from tes_nb.store.session_place import session_path


def test_a_recording_holds_what_was_live(session, tmp_path):
    with session.record(tmp_path / "live.tes") as recording:
        session.gauge("loss", 0.5)
        session.mark("deploy")
        session.metrics.wait(rows=5, timeout=20)
        session.status.wait(rows=3, timeout=20)
        assert recording.state == "RECORDING"
        assert "RECORDING" in repr(recording)
        session._reporter.flush()
    assert recording.state == "STOPPED"
    assert recording.stop() == recording.text
    with tes.open(tmp_path / "live.tes") as opened:
        for name, feed in opened.feeds.items():
            for table in feed.tables:
                then = feed.frame(table)
                live = session.feeds[name].frame(table)
                live = live[live["seq"].isin(then["seq"])] if table != "health" else live.tail(len(then))
                if table != "health":  # the first message of a recording has nothing to compare with
                    pd.testing.assert_frame_equal(then, live, check_categorical=False)
        assert list(opened.marks["label"]) == ["deploy"]
        assert opened.kernel.frame("gauges")["value"].iloc[-1] == 0.5
        assert opened.info().messages == recording.messages
        assert "metrics" in repr(opened)


def test_ranges_read_the_same_rows(session, tmp_path):
    with session.record(tmp_path / "range.tes", sources=["metrics"]):
        session.metrics.wait(rows=6, timeout=20)
    with tes.open(tmp_path / "range.tes") as opened:
        assert list(opened.feeds) == ["metrics"]
        last = opened.metrics.frame(last="1200ms")
        assert "store" not in opened.metrics.__dict__  # only the range was read
        whole = opened.metrics.frame()
        pd.testing.assert_frame_equal(last, whole[whole.index >= whole.index[-1] - pd.Timedelta("1200ms")])
        middle = opened.metrics.frame(start=whole.index[1], end=whole.index[3])
        assert list(middle["seq"]) == list(whole["seq"].iloc[1:4])


def test_the_whole_recording_goes_to_csv_and_back(session, tmp_path):
    with session.record(tmp_path / "csv.tes"):
        session.metrics.wait(rows=4, timeout=20)
    with tes.open(tmp_path / "csv.tes") as opened:
        written = opened.to_csv(tmp_path / "csv", progress=False)
        back = tes.read_csv(written.folder)
        pd.testing.assert_frame_equal(back["metrics"], opened.metrics.frame(), check_categorical=False)
        assert "<h2>metrics</h2>" in opened.report(tmp_path / "report.html").read_text()


def test_a_file_that_is_there_is_not_touched(session, tmp_path):
    (tmp_path / "mine.tes").write_text("mine")
    with pytest.raises(CollectorError, match=r"mine\.tes"):
        session.record(tmp_path / "mine.tes")
    assert (tmp_path / "mine.tes").read_text() == "mine"
    with pytest.raises(CollectorError, match="must name some of"):
        session.record(tmp_path / "other.tes", sources=["weather"])


def test_names_go_into_the_session_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TES_SESSION_DIR", str(tmp_path))
    assert session_path("friday") == tmp_path / "friday.tes"
    assert session_path(None).parent == tmp_path
    assert session_path(tmp_path / "x" / "y.tes") == tmp_path / "x" / "y.tes"


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "empty"), (b"not a session, but long enough" * 40, "bad.tes")]
)
def test_what_is_no_session_is_a_sentence(tmp_path, content, sentence):
    (tmp_path / "bad.tes").write_bytes(content)
    with pytest.raises(SessionError, match=sentence):
        tes.open(tmp_path / "bad.tes")
    with pytest.raises(SessionError):
        tes.open(tmp_path / "missing.tes")


def test_a_killed_collector_loses_nothing_that_was_acknowledged(tmp_path):
    session = tes.start(ports=(0, 0))
    try:
        recording = session.record(tmp_path / "killed.tes")
        session.metrics.wait(rows=3, timeout=20)
        time.sleep(0.2)
        acknowledged = recording.committed
        os.kill(session._backend.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while session._backend.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "LOST" in str(session.metrics.state)
        with tes.open(tmp_path / "killed.tes") as opened:
            for source, seq in acknowledged.items():
                assert max(message.seq for message in opened._file.messages(source)) >= seq
    finally:
        session.stop()
