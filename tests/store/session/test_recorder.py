"""What a recording promises while all is well, and how it says what it cannot keep."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time

import pytest

from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.store.session import recorder_loop as recorder_state
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.recorder_loop import FileRemoved, RecorderState, diagnose
from tes_nb.store.session.schema import MAX_PAYLOAD
from tes_nb.store.session.writer import Committed
from tes_nb.wire.events import Gap, Mark, StateChange
from tests.support.sessions import SOURCES, WALL, event, numbered, read_all, write_session
from tests.support.waiting import eventually


def test_everything_that_was_put_is_read_back_in_order(tmp_path):
    sent = [numbered(number) for number in range(1000)]
    with Recorder(tmp_path / "a.tes") as recorder:
        assert all(recorder.put(message) for message in sent)
    assert read_all(tmp_path / "a.tes") == sent
    assert recorder.state is RecorderState.STOPPED
    assert recorder.text.startswith("Stopped recording a.tes: 1,000 messages")


def test_the_acknowledgement_says_per_source_how_far_the_file_is(tmp_path):
    seen = []
    with Recorder(tmp_path / "a.tes", on_commit=seen.append) as recorder:
        for number in range(30):
            recorder.put(numbered(number))
        eventually(lambda: recorder.messages == 30)
        assert dict(recorder.committed) == {name: Committed(10, 10) for name in SOURCES}
        assert recorder.waiting == 0
        assert len(read_all(tmp_path / "a.tes")) == 30, (
            "what is acknowledged can be read while recording goes on"
        )
    assert dict(seen[-1]) == dict(recorder.committed)


def test_an_idle_recorder_commits_at_once_and_a_busy_one_in_groups(tmp_path):
    commits = []
    with Recorder(tmp_path / "a.tes", on_commit=commits.append) as recorder:
        eventually(lambda: commits)  # the facts
        before = len(commits)
        for number in range(3000):
            recorder.put(numbered(number))
        eventually(lambda: recorder.messages == 3000)
        assert len(commits) - before < 300


def test_sources_are_described_without_their_credentials(tmp_path):
    with Recorder(tmp_path / "a.tes", facts={"peaks": {"rss": 5}, "undecoded": {"metrics": 2}}) as recorder:
        recorder.add_source(
            "peer", stream="metrics", url="wss://me:secret@host:1/stream?channels=a&&token=abc"
        )
        recorder.put(numbered(0, source="peer"))
        recorder.put(numbered(0))
        recorder.set_fact("undecoded", {"metrics": 3})
    with SessionFile.open(tmp_path / "a.tes") as session:
        sources = session.sources
        info = session.info()
    assert (sources["peer"].stream, sources["peer"].url) == (
        "metrics",
        "wss://host:1/stream?channels=a&&token=REDACTED",
    )
    assert (sources["metrics"].stream, sources["metrics"].url) == ("metrics", None)
    assert info.peaks == {"rss": 5}
    assert info.undecoded == 3
    assert info.facts["recorder"]["pid"] == os.getpid()
    assert {"began", "host", "ended"} <= set(info.facts)


def test_events_are_rows_of_their_own_and_stay_messages(tmp_path):
    lost = WALL + 5
    sent = [
        event(0, StateChange("OPEN", "OPEN wss://a?token=abc", 1, WALL), seq=1),
        event(1, Gap(1, WALL, lost, None, "connection reset"), seq=2),
        event(2, Gap(1, WALL, lost, lost + 9, "connection reset", 4), seq=3),
        event(3, Mark("deploy", WALL + 7), seq=4),
    ]
    with Recorder(tmp_path / "a.tes") as recorder:
        for message in sent:
            recorder.put(message)
        recorder.put(Message("metrics", 0, 0, b'{"event":"unknown to us"}', WALL, 10**10, 1, 5))
    with SessionFile.open(tmp_path / "a.tes") as session:
        assert [(gap.source, gap.gap) for gap in session.gaps] == [
            ("metrics", Gap(1, WALL, lost, lost + 9, "connection reset", 4))
        ], "the second report completes the first"
        assert [(mark.label, mark.at_ns, mark.source) for mark in session.marks] == [
            ("deploy", WALL + 7, "metrics")
        ]
        assert [(change.state, change.text) for change in session.states("metrics")] == [
            ("OPEN", "OPEN wss://a?token=REDACTED")
        ]
        found = list(session.messages())
        assert found[1:4] == sent[1:]
        assert b"token=REDACTED" in found[0].payload
        assert session.info().messages == 5


def test_what_overflows_the_queue_is_counted_and_leaves_one_gap(tmp_path):
    gate = threading.Event()

    def hold(_committed) -> None:
        gate.wait(10)  # the writer's thread, as if the disk were slow

    recorder = Recorder(tmp_path / "a.tes", on_commit=hold, queue_messages=100)
    sent = [numbered(number) for number in range(500)]
    taken = [message for message in sent if recorder.put(message)]
    assert 0 < len(taken) < len(sent)
    gate.set()
    eventually(lambda: recorder.waiting == 0)
    late = [numbered(number) for number in range(500, 520)]
    assert all(recorder.put(message) for message in late)
    recorder.stop()
    assert recorder.lost == len(sent) - len(taken)
    with SessionFile.open(tmp_path / "a.tes") as session:
        assert list(session.messages()) == taken + late
        (gap,) = session.gaps
    first_lost = next(message for message in sent if message not in taken)
    assert gap.source is None
    assert gap.gap.missing == recorder.lost
    assert gap.gap.lost_at_ns == first_lost.t_wall_ns
    assert gap.gap.back_at_ns == late[0].t_wall_ns
    assert "the disk is slower than the messages come" in gap.gap.cause


def test_a_size_limit_stops_with_a_sentence_and_a_gap_that_stays_open(tmp_path):
    said = []
    recorder = Recorder(tmp_path / "a.tes", size_limit=500_000, on_state=said.append)
    number = 0
    while recorder.state is RecorderState.RECORDING:
        recorder.put(numbered(number, size=1000))
        number += 1
        time.sleep(0.0002)
    assert not recorder.put(numbered(number))
    assert "reached its size limit of 0.5 MB and stopped" in recorder.text
    recorder.stop()
    assert said[-1].state is RecorderState.STOPPED
    assert (tmp_path / "a.tes").stat().st_size < 800_000
    with SessionFile.open(tmp_path / "a.tes") as session:
        found = list(session.messages())
        (gap,) = session.gaps
    assert found == [numbered(each, size=1000) for each in range(len(found))]
    assert recorder.lost == number + 1 - len(found)
    assert gap.gap.back_at_ns is None
    assert "size limit" in gap.gap.cause


def test_without_a_limit_of_the_users_the_disk_cannot_fill_up(tmp_path):
    with Recorder(tmp_path / "a.tes") as recorder:
        free = os.statvfs(tmp_path)
        assert 0 < recorder.size_limit < free.f_bavail * free.f_frsize


def test_a_message_no_session_can_hold_is_refused_alone(tmp_path):
    good = [numbered(number) for number in range(6)]
    bad = [
        Message("metrics", 0, 2, bytes(MAX_PAYLOAD + 1), WALL, 0, 1, 1),
        Message("metrics", 0, 2, b"", WALL, 0, -1, 1),
        Message("metrics", 0, 2, b"", WALL, 2**63, 1, 1),
        Message("metrics", 0, 2, b"", WALL, 0, 1, 2**63),
        Message("metrics", 300, 2, b"", WALL, 0, 1, 1),
        Message("\ud800", 0, 2, b"", WALL, 0, 1, 1),
    ]
    with Recorder(tmp_path / "a.tes") as recorder:
        for one, other in zip(good, bad, strict=True):
            recorder.put(one)
            recorder.put(other)
    assert read_all(tmp_path / "a.tes") == good
    assert recorder.lost == len(bad)
    assert "6 messages could not be kept" in recorder.text


def test_a_listener_that_fails_does_not_end_the_recording(tmp_path, caplog):
    def wrong(_news) -> None:
        raise RuntimeError("the listener's own mistake")

    with (
        caplog.at_level(logging.CRITICAL),
        Recorder(tmp_path / "a.tes", on_commit=wrong, on_state=wrong) as recorder,
    ):
        recorder.put(numbered(0))
    assert len(read_all(tmp_path / "a.tes")) == 1


def test_stop_is_idempotent_and_puts_afterwards_are_refused(tmp_path):
    recorder = Recorder(tmp_path / "a.tes")
    recorder.put(numbered(0))
    first = recorder.stop()
    assert recorder.stop() == first
    assert not recorder.put(numbered(1))
    assert recorder.lost == 1
    assert "a.tes: STOPPED, 1 messages" in repr(recorder)


def test_a_forked_child_stops_nothing(tmp_path):
    with Recorder(tmp_path / "a.tes") as recorder:
        recorder.put(numbered(0))
        child = recorder._pid + 1
        recorder._pid = child  # what a child sees: another process's recorder
        recorder.stop()
        assert recorder._thread.is_alive()
        recorder._pid = os.getpid()


def test_nothing_is_left_beside_the_file_and_no_thread(tmp_path):
    before = threading.active_count()
    with Recorder(tmp_path / "deep" / "a.tes") as recorder:
        recorder.put(numbered(0))
        assert {each.name for each in (tmp_path / "deep").iterdir()} >= {"a.tes", "a.tes.lock"}
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["a.tes"]
    assert threading.active_count() == before
    gc.collect()


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and more", b"anything"])
def test_recordings_are_never_overwritten(tmp_path, content):
    path = tmp_path / "a.tes"
    path.write_bytes(content)
    with pytest.raises(
        SessionError,
        match=r"exists already: recordings are not overwritten without overwrite=True; choose another name",
    ):
        Recorder(path)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["a.tes"]


def test_a_session_file_is_replaced_where_that_was_said(tmp_path):
    path = tmp_path / "a.tes"
    for count in (3, 2):
        with Recorder(path, overwrite=True) as recorder:
            for number in range(count):
                recorder.put(numbered(number))
            with pytest.raises(SessionError, match="being recorded"):
                Recorder(path, overwrite=True)
    assert len(read_all(path)) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["a.tes"]


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and more", b"anything"])
def test_what_is_no_session_is_not_replaced(tmp_path, content):
    path = tmp_path / "a.tes"
    path.write_bytes(content)
    with pytest.raises(SessionError, match=r"is no session file, and is not overwritten"):
        Recorder(path, overwrite=True)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["a.tes"]


def test_what_was_there_is_back_when_no_other_can_be_made(tmp_path, monkeypatch):
    path = write_session(tmp_path / "a.tes", [numbered(0)])

    def fail(*_args, **_options):
        raise SessionError("no room")

    monkeypatch.setattr("tes_nb.store.session.recorder.SessionWriter", fail)
    with pytest.raises(SessionError, match="no room"):
        Recorder(path, overwrite=True)
    assert len(read_all(path)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["a.tes"]


def test_a_folder_of_that_name_and_a_file_where_the_folder_should_be_are_sentences(tmp_path):
    with pytest.raises(SessionError, match="is no file"):
        Recorder(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(SessionError, match="choose one that you may write to"):
        Recorder(tmp_path / "file" / "a.tes")


def _error(code: int, text: str = "boom") -> Exception:
    import sqlite3

    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (_error(13), RecorderState.DISK_FULL),
        (OSError(28, "No space left"), RecorderState.DISK_FULL),
        (_error(8), RecorderState.READ_ONLY),
        (OSError(30, "Read-only file system"), RecorderState.READ_ONLY),
        (_error(10 | 3 << 8), RecorderState.WRITE_ERROR),
        (_error(5), RecorderState.WRITE_ERROR),
        (FileRemoved(), RecorderState.FILE_REMOVED),
    ],
)
def test_each_error_is_a_state_with_what_to_do(tmp_path, error, state):
    status = diagnose(error, tmp_path / "a.tes")
    assert status.state is state
    assert status.text.endswith((".", "whole."))


def test_a_failed_write_on_a_disk_without_space_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_state, "_LITTLE", 2**62)  # as if this disk had as little as a full one
    assert diagnose(_error(10), tmp_path / "a.tes").state is RecorderState.DISK_FULL
