"""Salvage against SQLite itself: what a plain connection gives by row number is the least that must come out."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from tes_nb.errors import SessionError
from tes_nb.store.session import reach
from tes_nb.store.session.check import check
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.salvage import salvage
from tes_nb.store.session.schema import Fact, SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tests.support.sessions import PAGE, SOURCES, numbered, read_all, write_session

COUNT = 450
HEADER = 100
"""Bytes that SQLite calls the database header."""
VERSION_AT = range(60, 64)
"""Where the header says which version of the format this is."""


def contents() -> list:
    """Messages of three sources, some of which go on in other pages, and how many there are."""
    sizes = dict.fromkeys(range(0, COUNT, 101), 9000)
    messages = [numbered(number, size=sizes.get(number)) for number in range(COUNT)]
    sources = [SourceInfo(name, name, f"ws://localhost/{name}") for name in SOURCES]
    ended = {"text": "Stopped.", "messages": dict.fromkeys(SOURCES, COUNT // 3)}
    return [*sources, *messages, Fact("ended", ended)]


class Truth:
    """A session before the damage."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.pages = len(self.data) // PAGE
        self.messages = {key(message): message for message in read_all(path)}
        self.rows = by_rowid(path)
        assert len(self.messages) == len(self.rows) == COUNT

    def compare(self, path: Path) -> int:
        """Hold what is read of a damaged file against this, and return how many messages came out."""
        reached = {number for number, row in by_rowid(path).items() if self.rows.get(number) == row}
        report = check(path)
        try:
            with SessionFile.open(path) as session:
                session.examine()
                found = {key(message): message for message in session.messages()}
        except SessionError as error:
            assert not reached, error
            assert (report.exit_code, report.sentences) == (1, (str(error),))
            return 0
        assert len(found) == report.messages
        assert found.items() <= self.messages.items(), "nothing is given that was not recorded"
        missing = COUNT - len(found)
        assert said_missing(report.sentences) == missing, report.sentences
        assert report.exit_code == (0 if not missing else 3 if found else 1), report.sentences
        given = {(SOURCES.index(source) + 1, seq) for source, seq in found}
        unread = [number for number in reached if (self.rows[number][1], self.rows[number][3]) not in given]
        assert not unread, report.sentences
        return len(found)


def key(message) -> tuple[str, int]:
    return message.source, message.seq


def by_rowid(path: Path) -> dict[int, tuple]:
    """Every row of every message table that SQLite gives when it is asked for one number at a time."""
    rows: dict[int, tuple] = {}
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        damage = contextlib.suppress(sqlite3.DatabaseError, UnicodeDecodeError)
        with damage:
            connection.execute("PRAGMA writable_schema=ON")  # else it opens no file that was cut off
        with damage:
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        for table in range(1, len(SOURCES) + 1):
            for number in range(1, COUNT + 10):
                with damage:
                    query = f"SELECT * FROM messages_{table} WHERE rowid = ?"
                    row = connection.execute(query, (number,)).fetchone()
                    if row is not None:
                        rows[number] = row
    return rows


def said_missing(sentences: tuple[str, ...]) -> int:
    """How many messages the sentences of a check call missing."""
    text = " ".join(sentences)
    lost = re.findall(r"([\d,]+) messages are lost", text) + re.findall(
        r"([\d,]+) of [\d,]+ are missing", text
    )
    return sum(int(number.replace(",", "")) for number in lost)


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Truth:
    """A small session that ended."""
    return Truth(write_session(tmp_path_factory.mktemp("whole") / "whole.tes", contents()))


def spoilt(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


KINDS = {
    "zeroed": lambda old, chance: bytes(PAGE),
    "noise": lambda old, chance: chance.randbytes(PAGE),
    "no header": lambda old, chance: chance.randbytes(12) + old[12:],
    "one byte": lambda old, chance: spoilt(old, at := chance.randrange(PAGE), bytes([old[at] ^ 0xFF])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fault_32_damage_to_any_page_costs_what_sqlite_cannot_reach(tmp_path, truth, kind):
    chance = random.Random(kind)
    path = tmp_path / "damaged.tes"
    outcome = []
    for page in range(1, truth.pages):
        old = truth.data[page * PAGE : (page + 1) * PAGE]
        path.write_bytes(spoilt(truth.data, page * PAGE, KINDS[kind](old, chance)))
        outcome.append(truth.compare(path))
    inner = sum(count < COUNT - 25 for count in outcome)
    assert inner <= len(SOURCES) + 1, (
        "all but the inner pages, and one of the schema, cost what one page holds"
    )
    assert all(outcome)


@pytest.mark.parametrize("seed", range(4))
def test_fault_32_a_changed_byte_anywhere(tmp_path, truth, seed):
    chance = random.Random(seed)
    path = tmp_path / "damaged.tes"
    for _ in range(75):
        at = chance.randrange(HEADER, len(truth.data))
        path.write_bytes(spoilt(truth.data, at, bytes([truth.data[at] ^ chance.randrange(1, 256)])))
        assert truth.compare(path) > (COUNT // 2 if at >= PAGE else -1)


@pytest.mark.parametrize("seed", range(4))
def test_fault_32_many_changed_bytes_and_pages(tmp_path, truth, seed):
    chance = random.Random(seed)
    path = tmp_path / "damaged.tes"
    for _ in range(50):
        data = truth.data
        for _ in range(chance.randrange(2, 20)):
            at = chance.randrange(HEADER, len(data))
            data = spoilt(data, at, chance.randbytes(1))
        for _ in range(chance.randrange(3)):
            page, other = chance.randrange(1, truth.pages), chance.randrange(truth.pages)
            data = spoilt(data, page * PAGE, truth.data[other * PAGE : (other + 1) * PAGE])
        path.write_bytes(data)
        truth.compare(path)


def test_fault_32_a_changed_byte_of_the_header(tmp_path, truth):
    path = tmp_path / "damaged.tes"
    for at in range(HEADER):
        path.write_bytes(spoilt(truth.data, at, bytes([truth.data[at] ^ 0xFF])))
        if at in VERSION_AT[1:]:
            assert "recorded by a newer tes_nb" in check(path).sentences[0]
        else:
            truth.compare(path)


def test_fault_32_a_file_without_its_first_page_is_no_session_to_sqlite(tmp_path, truth):
    path = tmp_path / "damaged.tes"
    path.write_bytes(bytes(PAGE) + truth.data[PAGE:])
    assert truth.compare(path) == 0
    assert "is damaged beyond reading (file is not a database)" in check(path).sentences[0]


def test_fault_32_all_that_a_truncated_file_still_holds_is_read(tmp_path, truth):
    path = tmp_path / "cut.tes"
    counts = []
    for end in [*range(PAGE, len(truth.data), PAGE * 3 + 77), len(truth.data) - 1]:
        path.write_bytes(truth.data[:end])
        counts.append(truth.compare(path))
    assert counts[-1] > 0.95 * COUNT
    assert sum(counts) > 0.35 * COUNT * len(counts)


def test_fault_32_a_changed_byte_of_the_log_of_a_killed_recording(tmp_path):
    writer = SessionWriter(tmp_path / "running.tes")
    items = contents()[:-1]
    for start in range(0, len(items), 20):
        writer.append(items[start : start + 20])
    path = tmp_path / "killed.tes"
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"running.tes{suffix}", tmp_path / f"killed.tes{suffix}")
    writer.close()
    messages = {key(message): message for message in read_all(path)}
    assert len(messages) == COUNT
    log, chance = wal_path(path).read_bytes(), random.Random(34)
    last_commit = len(log) - PAGE - 24
    for at in [*range(0, 32, 3), *(chance.randrange(32, last_commit) for _ in range(25))]:
        wal_path(path).write_bytes(spoilt(log, at, bytes([log[at] ^ chance.randrange(1, 256)])))
        report = check(path)
        with SessionFile.open(path) as session:
            session.examine()
            found = {key(message): message for message in session.messages()}
        assert found.items() <= messages.items()
        assert len(found) == report.messages > COUNT - 25, "what one page holds"
        assert said_missing(report.sentences) == COUNT - len(found), report.sentences
        assert report.exit_code == (3 if len(found) < COUNT else 0)
        assert "its write-ahead log has changed bytes before its end" in report.sentences[0]


# What it takes


@pytest.fixture
def wide(tmp_path) -> Path:
    """A session of one source whose tree has inner pages below its root."""
    return write_session(tmp_path / "wide.tes", wide_messages(), group=2000)


def wide_messages() -> list:
    return [numbered(number, source="metrics", size=1500) for number in range(4000)]


def inner_page(path: Path) -> int:
    """The number of an inner page in the middle of the table of messages, from its root's own cells."""
    data = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'messages_1'"
        (root,) = connection.execute(query).fetchone()
    page = data[(root - 1) * PAGE : root * PAGE]
    cells = int.from_bytes(page[3:5], "big")
    cell = int.from_bytes(page[12 + 2 * (cells // 2) :][:2], "big")
    number = int.from_bytes(page[cell : cell + 4], "big")
    assert page[0] == data[(number - 1) * PAGE] == 5, "inner pages both"
    return number


@pytest.mark.parametrize("splits", [reach._SPLITS, 40])
def test_an_inner_page_costs_the_range_below_it_however_seldom_ids_are_halved(
    tmp_path, wide, monkeypatch, splits
):
    monkeypatch.setattr(reach, "_SPLITS", splits)
    sent = wide_messages()
    data, page = wide.read_bytes(), inner_page(wide) - 1
    wide.write_bytes(spoilt(data, page * PAGE, bytes(PAGE)))
    result = salvage(wide, tmp_path / "salvaged.tes")
    found = read_all(tmp_path / "salvaged.tes")
    assert result is not None
    lost = result.missing["metrics"]
    assert lost.messages == len(sent) - len(found)
    assert 100 < lost.messages < 2000
    assert found == [message for message in sent if not lost.after_ns < message.t_wall_ns < lost.before_ns]


def test_however_much_is_out_of_reach_the_questions_are_counted(wide, monkeypatch):
    monkeypatch.setattr(reach, "_SPLITS", 500)
    data = wide.read_bytes()
    with contextlib.closing(sqlite3.connect(wide)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'messages_1'"
        (root,) = connection.execute(query).fetchone()
    wide.write_bytes(spoilt(data, (root - 1) * PAGE, bytes(PAGE)))
    with contextlib.closing(sqlite3.connect(wide)) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        assert list(reach.reachable(connection, "messages_1", [(1, 10**12)])) == []
    assert 500 < len(asked) <= 6 * 500
