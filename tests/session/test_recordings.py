"""Record a live session, open it, and find the same."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import CollectorError, SessionError
from tes_nb.store.session.check import check
from tes_nb.store.session.schema import session_path


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
        assert len(opened.feeds) > 1
        assert opened.info().marks == 1  # every source carries it
        assert opened.kernel.frame("gauges")["value"].iloc[-1] == 0.5
        assert opened.info().messages == recording.messages
        assert "metrics" in repr(opened)


def test_ranges_read_the_same_rows(session, tmp_path):
    with session.record(tmp_path / "range.tes", sources=["metrics"]):
        session.metrics.wait(rows=6, timeout=20)
    with tes.open(tmp_path / "range.tes") as opened:
        assert list(opened.feeds) == ["metrics"]
        last = opened.metrics.frame(last="1200ms")
        assert "store" not in opened.metrics.origin.__dict__  # only the range was read
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


def test_streams_choose_the_feeds_that_carry_them(session, tmp_path):
    with session.record(tmp_path / "streams.tes", ["metrics", "status"]) as recording:
        recording.wait(messages=6, timeout=20)
    with tes.open(tmp_path / "streams.tes") as opened:
        assert set(opened.feeds) == {"metrics", "status"}
    with pytest.raises(SessionError, match="No feed carries a stream 'weather'; there are kernel, metrics"):
        session.record(tmp_path / "none.tes", streams=["weather"])
    assert not (tmp_path / "none.tes").exists()


def test_names_go_into_the_session_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TES_SESSION_DIR", str(tmp_path))
    assert session_path("friday") == tmp_path / "friday.tes"
    assert session_path(None).parent == tmp_path
    assert session_path(tmp_path / "x" / "y.tes") == tmp_path / "x" / "y.tes"


def test_a_folder_that_is_not_there_is_said_and_not_made_but_for_the_session_folder(
    session, monkeypatch, tmp_path
):
    missing = tmp_path / "missing"
    with pytest.raises(SessionError, match=f"There is no folder {missing}: make it, or give a path in one"):
        session.record(missing / "a.tes")
    monkeypatch.setenv("TES_SESSION_DIR", str(tmp_path / "deep" / "sessions"))
    with session.record("named") as recording:
        recording.wait(messages=1, timeout=20)
        with pytest.raises(SessionError, match="There is no folder"):
            recording.save_as(missing / "copy.tes")
    with pytest.raises(SessionError, match="There is no folder"):
        tes.copy(recording.path, missing / "copy.tes")
    assert not missing.exists()
    assert recording.path == tmp_path / "deep" / "sessions" / "named.tes"
    assert recording.messages


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "empty"), (b"not a session, but long enough" * 40, "bad.tes")]
)
def test_what_is_no_session_is_a_sentence(tmp_path, content, sentence):
    (tmp_path / "bad.tes").write_bytes(content)
    with pytest.raises(SessionError, match=sentence):
        tes.open(tmp_path / "bad.tes")
    with pytest.raises(SessionError):
        tes.open(tmp_path / "missing.tes")


def test_what_is_recorded_comes_out_while_it_goes_on(session, tmp_path):
    with session.record(tmp_path / "on.tes") as recording:
        came = recording.wait(messages=4, timeout=20)
        assert came >= 4
        written = recording.to_csv(tmp_path / "csv", progress=False)
        assert (written.folder / "metrics.csv").is_file()
        assert recording.to_parquet(tmp_path / "parquet", progress=False).rows["stream=metrics/table=metrics"]
        html = recording._repr_mimebundle_()["text/html"]
        assert "<td>metrics</td>" in html
        assert "Recording on.tes." in html
        assert recording.wait(seconds=0.2) >= 0
        with pytest.raises(SessionError, match=r"Only \d+ of 100000 messages came from 'on\.tes' in 0.3 s"):
            recording.wait(messages=100_000, timeout=0.3)
        with pytest.raises(SessionError, match="messages=… or seconds=…"):
            recording.wait()
        assert recording.state == "RECORDING"
    with pytest.raises(SessionError, match=r"'on\.tes' ended"):
        recording.wait(messages=1)


def test_info_tells_of_peaks_and_counts_what_does_not_decode(session, tmp_path):
    with session.record(tmp_path / "info.tes") as recording:
        recording.wait(messages=6, timeout=20)
    with tes.open(tmp_path / "info.tes") as opened:
        said = opened.info()
        assert said.peaks["rss"] > 10e6
        assert {"rss", "children_rss", "cpu_percent"} == set(said.peaks)
        assert said.undecoded == 0
        assert all(each.undecoded == 0 for each in said.sources.values())
        assert opened.info(decode=False).undecoded is None
        assert "undecoded not counted" in str(opened.info(decode=False))
        assert "at most: " in str(said)


def test_one_table_goes_to_one_parquet_file(session, tmp_path):
    live = session.metrics.to_parquet(tmp_path / "live.parquet")
    frame = session.metrics.frame()
    back = pd.read_parquet(live)
    pd.testing.assert_frame_equal(back, frame.iloc[: len(back)], check_categorical=False, check_freq=False)
    with session.record(tmp_path / "one.tes") as recording:
        recording.wait(messages=6, timeout=20)
    with tes.open(tmp_path / "one.tes") as opened:
        path = opened.workers.summary.to_parquet(tmp_path / "summary.parquet")
        pd.testing.assert_frame_equal(
            pd.read_parquet(path), opened.workers.frame("summary"), check_categorical=False
        )
        empty = opened.workers.to_parquet(tmp_path / "empty.parquet", table="health")
        assert list(pd.read_parquet(empty).columns) == list(opened.workers.frame("health").columns)


def test_the_command_line_exports_parquet_too(session, tmp_path):
    with session.record(tmp_path / "cli.tes") as recording:
        recording.wait(messages=4, timeout=20)
    said = subprocess.run(
        [sys.executable, "-m", "tes_nb", "export", tmp_path / "cli.tes", tmp_path / "out", "--parquet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "stream=metrics/table=metrics" in said.stdout
    assert len(pd.read_parquet(tmp_path / "out" / "stream=metrics" / "table=metrics"))


def test_a_copy_of_a_recording_that_goes_on_is_whole_and_says_what_it_is(session, tmp_path):
    with session.record(tmp_path / "live.tes") as recording:
        session.metrics.wait(rows=3, timeout=20)
        committed = recording.messages
        copies = [tes.copy(recording, tmp_path / "a.tes"), recording.save_as(tmp_path / "b.tes")]
        copies += [tes.copy(recording.path, tmp_path / "c")]
        assert recording.state == "RECORDING"
        with pytest.raises(SessionError, match="exists already: a copy overwrites nothing"):
            recording.save_as(copies[0])
    assert copies[2].name == "c.tes"
    for path in copies:
        report = check(path)
        assert (report.exit_code, len(report.sentences)) == (0, 1)
        assert report.messages >= committed > 0
        assert "is whole" in report.sentences[0]
        assert (
            "A copy of a recording that went on: what came later is in the original." in report.sentences[0]
        )
        assert path.stat().st_mode & 0o777 == 0o600
    with tes.open(recording.path) as opened:
        assert opened.save_as(tmp_path / "d.tes").exists()
    assert "Stopped recording live.tes" in check(tmp_path / "d.tes").sentences[0]
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".tes"], "one file each"


def test_a_copy_that_finds_no_room_is_a_sentence(session, tmp_path):
    with session.record(tmp_path / "live.tes") as recording:
        session.metrics.wait(rows=1, timeout=20)
        with pytest.raises(SessionError, match=r"Nothing was copied to /proc/a\.tes"):
            recording.save_as("/proc/a.tes")
