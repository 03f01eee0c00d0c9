"""Reading sessions: order, ranges, live, and what they say about themselves."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tes_nb.errors import SessionError
from tes_nb.model import Message
from tes_nb.store.session import rows as session_rows
from tes_nb.store.session.check import check
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.recorder import Recorder
from tes_nb.store.session.rows import chunks_by_id
from tes_nb.store.session.schema import Fact, FileGap, SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import ClockJump, Gap, Mark
from tests.support.sessions import SOURCES, STEP, WALL, event, numbered, read_all, write_session
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
MANY = 6000


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A session of 6,000 messages from three sources, ten milliseconds apart."""
    return write_session(tmp_path_factory.mktemp("day") / "day.tes", map(numbered, range(MANY)), group=70)


@pytest.fixture
def session(day):
    with SessionFile.open(day) as opened:
        yield opened


def test_sources_are_merged_in_monotonic_order(session):
    assert list(session.messages()) == [numbered(number) for number in range(MANY)]


def test_one_or_some_sources(session):
    assert list(session.messages("status")) == [numbered(number) for number in range(1, MANY, 3)]
    two = [numbered(number) for number in range(MANY) if number % 3]
    assert list(session.messages(["workers", "status"])) == two


@pytest.mark.parametrize("low", [0, 1, 1234, MANY])
@pytest.mark.parametrize("high", [0, 2000, MANY])
@pytest.mark.parametrize("source", [None, "metrics"])
def test_a_range_includes_its_start_and_not_its_end(session, low, high, source):
    found = list(session.messages(source, start_ns=WALL + low * STEP, end_ns=WALL + high * STEP))
    wanted = (numbered(number) for number in range(low, min(high, MANY)))
    assert found == [message for message in wanted if source in (None, message.source)]


def test_only_the_range_is_read(session, monkeypatch):
    searched = []

    def noting(connection, guard, source_id, want):
        searched.append(want)
        yield from chunks_by_id(connection, guard, source_id, want)

    monkeypatch.setattr("tes_nb.store.session.reader.chunks_by_id", noting)
    low, high = WALL + 3000 * STEP, WALL + 3100 * STEP
    assert len(list(session.messages("metrics", start_ns=low, end_ns=high))) == 34
    (want,) = searched
    assert 2000 < want.first_id <= 3005, "not before the segment that holds the range"
    assert 3100 <= want.last_id < 4200


def test_a_wall_clock_that_jumps_back_hides_nothing(tmp_path):
    walls = [*range(5000), *range(1000, 6000)]
    sent = [
        Message("a", 0, 1, b"x", WALL + wall * 10**9, number * 10**9, 1, number + 1)
        for number, wall in enumerate(walls)
    ]
    with SessionFile.open(write_session(tmp_path / "a.tes", sent)) as session:
        found = list(session.messages(start_ns=WALL + 2000 * 10**9, end_ns=WALL + 2003 * 10**9))
        assert [message.seq for message in found] == [2001, 2002, 2003, 6001, 6002, 6003]
        assert list(session.messages()) == sent


def test_what_came_out_of_order_is_read_in_order(tmp_path):
    sent = [numbered(number, source="a") for number in range(5000)]
    shuffled = sent[2500:] + sent[:2500]
    path = write_session(
        tmp_path / "a.tes", [*shuffled, *(numbered(number, source="b") for number in range(50))]
    )
    with SessionFile.open(path) as session:
        assert (session.sources["a"].ordered, session.sources["b"].ordered) == (False, True)
        assert list(session.messages("a")) == sent
        monos = [message.t_mono_ns for message in session.messages()]
        assert monos == sorted(monos)
        part = list(session.messages("a", start_ns=WALL + 2400 * STEP, end_ns=WALL + 2600 * STEP))
        assert part == sent[2400:2600]


def test_messages_of_one_connection(tmp_path):
    sent = [
        Message("a", 0, 1, b"x", WALL + number, number, number // 10 + 1, number + 1) for number in range(35)
    ]
    with SessionFile.open(write_session(tmp_path / "a.tes", sent)) as session:
        assert session.connections("a") == (1, 2, 3, 4)
        assert list(session.messages("a", conn=3)) == sent[20:30]


def test_large_messages_come_in_small_chunks(tmp_path):
    sent = [numbered(number, source="a", size=700_000) for number in range(20)]
    with SessionFile.open(write_session(tmp_path / "a.tes", sent, group=5)) as session:
        chunks = list(session._chunks("a", session_rows.Want()))
        assert max(sum(len(row[-1]) for row in rows) for _, rows in chunks) < 2 * session_rows.BYTES
        assert list(session.messages()) == sent


def test_an_unknown_source_is_a_sentence_with_those_there_are(session):
    with pytest.raises(SessionError, match="has no source 'nowgoal'; it has metrics, status, workers"):
        session.messages("nowgoal")


def test_info_says_what_is_in_it(tmp_path):
    path = tmp_path / "a.tes"
    items = [
        SourceInfo("metrics", "metrics", "ws://h/m?token=abc"),
        *(numbered(number) for number in range(300)),
        event(300, Mark("begin", WALL), source="status", seq=101),
        event(301, ClockJump(WALL, -5), source="status", seq=102),
        FileGap(Gap(0, WALL, WALL, WALL + 9, "disk full", 7)),
        Fact("undecoded", {"status": 4, "nonsense": "x"}),
        Fact("peaks", {"rss": 1e9, "cpu_percent": 99.5}),
    ]
    write_session(path, items)
    with SessionFile.open(path) as session:
        info = session.info()
        assert [(jump.at_ns, jump.by_ns) for jump in session.clock_jumps] == [(WALL, -5)]
        assert session.span() == (WALL, WALL + 301 * STEP)
        assert session.span("workers") == (WALL + 2 * STEP, WALL + 299 * STEP)
    assert (info.messages, info.gaps, info.missing, info.marks, info.undecoded) == (302, 1, 7, 1, 4)
    assert info.bytes == sum(len(item.payload) for item in items if isinstance(item, Message))
    assert (info.began_ns, info.ended_ns) == (WALL, WALL + 301 * STEP)
    assert info.duration_s == pytest.approx(3.01)
    assert info.peaks == {"rss": 1e9, "cpu_percent": 99.5}
    metrics = info.sources["metrics"]
    assert (metrics.messages, metrics.connections, metrics.gaps, metrics.undecoded) == (100, 1, 1, 0)
    assert metrics.per_second == pytest.approx(99 / 2.97)
    assert metrics.url == "ws://h/m?token=REDACTED"
    assert str(info).startswith("a.tes: 302 messages in 3.0 s")
    assert info.damage == ()


def test_a_session_without_messages_can_be_read(tmp_path):
    Recorder(tmp_path / "a.tes").stop()
    with SessionFile.open(tmp_path / "a.tes") as session:
        assert list(session.messages()) == []
        assert session.span() is None
        assert (session.info().messages, session.info().duration_s) == (0, 0.0)


def test_a_finished_session_is_one_file_that_a_read_only_place_can_hold(tmp_path, day):
    assert not wal_path(day).exists()
    assert read_all(day)[:5] == [numbered(number) for number in range(5)]
    assert [each.name for each in day.parent.iterdir()] == ["day.tes"], "reading leaves nothing behind"


def test_reading_while_another_process_records(tmp_path):
    command = [sys.executable, "-m", "tests.support.recording", "for_ever", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            while len(json.loads(process.stdout.readline())) < 3:
                pass  # a source that is new while it is read is not among those that were asked for
            with SessionFile.open(tmp_path / "live.tes") as session:
                assert session.recording_pid == process.pid
                for _ in range(5):
                    acknowledged = json.loads(process.stdout.readline())
                    found = list(session.messages())
                    assert len(found) >= sum(acknowledged.values())
                    assert found == [numbered(number, size=500) for number in range(len(found))]
                    info = session.info()
                    assert info.messages >= len(found)
                    assert info.ending == f"Being recorded by process {process.pid}."
        finally:
            process.kill()


def test_what_is_recorded_while_a_file_is_checked_is_not_missing(tmp_path, monkeypatch):
    """Found by a night: "metrics: 1 of 35 are missing" of a recording that had just gone on."""
    path, number, told = tmp_path / "a.tes", itertools.count(), SessionFile.info
    with contextlib.closing(SessionWriter(path)) as writer:
        writer.append([numbered(next(number)) for _ in range(9)])

        def info(session):
            writer.append([numbered(next(number))])
            return told(session)

        monkeypatch.setattr(SessionFile, "info", info)
        report = check(path)
        assert next(number) > 10, "more came meanwhile"
    assert report.exit_code == 0, report.sentences
    assert "is whole" in report.sentences[0]


def test_reading_in_the_recording_process_does_not_drop_its_locks(tmp_path):
    path = tmp_path / "a.tes"
    command = [
        sys.executable,
        "-c",
        f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('SELECT 1 FROM sources').fetchall(); c.close()",
    ]
    with Recorder(path) as recorder:
        recorder.put(numbered(0))
        eventually(lambda: recorder.messages == 1)
        with SessionFile.open(path) as session:
            assert list(session.messages()) == [numbered(0)]
        # Had the reader dropped the recorder's lock, this one would now fold in and delete the log it writes to.
        subprocess.run(command, check=True)
        assert wal_path(path).exists()
        recorder.put(numbered(1))
    assert read_all(path) == [numbered(0), numbered(1)]


def test_a_reader_that_stands_still_holds_nobody_back(tmp_path):
    path = tmp_path / "a.tes"
    with Recorder(path) as recorder:
        for number in range(3000):
            recorder.put(numbered(number))
        eventually(lambda: recorder.messages == 3000)
        with SessionFile.open(path) as session:
            half = session.messages()
            next(half)
            for number in range(3000, 30_000):
                recorder.put(numbered(number))
            eventually(lambda: recorder.messages == 30_000)
            assert wal_path(path).stat().st_size < 12_000_000, "the log is folded in and used again meanwhile"
            assert len(list(half)) == 29_999


def test_many_threads_read_one_session(session):
    outcomes = []
    readers = [
        threading.Thread(target=lambda name=name: outcomes.append(len(list(session.messages(name)))))
        for name in SOURCES * 2
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert outcomes == [MANY // 3] * 6


def test_after_close_reading_is_a_sentence(day):
    session = SessionFile.open(day)
    running = session.messages()
    next(running)
    session.close()
    session.close()
    with pytest.raises(SessionError, match="was closed: open it again"):
        session.info()
    with pytest.raises(SessionError, match="was closed"):
        list(running)


def test_ids_are_given_in_the_order_of_arrival_whatever_the_groups(tmp_path):
    def table(path: Path):
        writer_rows = SessionFile.open(path)
        with writer_rows as session:
            return [
                list(
                    itertools.chain.from_iterable(
                        rows for _, rows in session._chunks(name, session_rows.Want())
                    )
                )
                for name in session.sources
            ]

    items = [numbered(number) for number in range(400)]
    one = write_session(tmp_path / "1.tes", items, group=1)
    other = write_session(tmp_path / "2.tes", items, group=400)
    assert table(one) == table(other)


def test_a_writer_never_writes_half_a_group(tmp_path):
    writer = SessionWriter(tmp_path / "a.tes")
    writer.append([numbered(0), numbered(1)])
    writer._connection.execute(
        "CREATE TRIGGER stop BEFORE INSERT ON messages_2 BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    for _ in range(2):
        with pytest.raises(Exception, match="no"):
            writer.append([numbered(number) for number in range(3, 9)])
    assert writer.messages == {"metrics": 1, "status": 1}
    writer._connection.execute("DROP TRIGGER stop")
    writer.append([numbered(number) for number in range(2, 9)])
    writer.close()
    assert read_all(tmp_path / "a.tes") == [numbered(number) for number in range(9)]


def test_names_with_signs_that_mean_something_to_sqlite(tmp_path):
    path = write_session(tmp_path / "we?ird #100% file:mode=rwc&x.tes", [numbered(0)])
    assert read_all(path) == [numbered(0)]


def test_opening_twice_in_one_process_leaves_the_first_ones_locks_alone(day):
    code = (
        "import sqlite3, sys; taker = sqlite3.connect(sys.argv[1], timeout=0);"
        "taker.execute('PRAGMA locking_mode=EXCLUSIVE'); taker.execute('BEGIN EXCLUSIVE')"
    )
    with SessionFile.open(day) as first:
        running = first._connection.execute("SELECT id FROM messages_1")
        running.fetchone()
        SessionFile.open(day).close()
        refused = subprocess.run(
            [sys.executable, "-c", code, str(day)], capture_output=True, text=True, check=False
        )
        assert "database is locked" in refused.stderr
