"""Changed bytes in every table: nothing is silently wrong, nothing is a traceback, exit codes are right."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
from zlib import crc32

import pytest

import tes_nb as tes
from tes_nb.errors import SessionError
from tes_nb.store.session.check import check
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.rows import STATES
from tes_nb.store.session.schema import TABLES
from tests.support.flips import KINDS, Truth, night, write
from tests.support.sessions import STEP, flipped


@pytest.mark.timeout(180)
def test_fault_32_a_changed_byte_anywhere_changes_no_value_in_silence(tmp_path):
    result = night(tmp_path, 75, 32)
    assert result == {"flips": 75 * len(KINDS), "wrong": 0, "failures": []}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ended") / "ended.tes", "ended")


def change(path, statement, *values):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        changed = connection.execute(statement, values).rowcount
        connection.commit()
    return changed


def test_the_judge_sees_a_wrong_value(tmp_path, ended):
    """The test above can fail: without checksums of tables, values are wrong in silence until somebody checks."""
    truth = Truth(ended)
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    change(path, "UPDATE marks SET label = 'another' WHERE label = 'mark 37'")
    assert truth.judge(path) == []
    change(path, "DROP TABLE checksums")
    assert any("marks silently wrong" in one for one in truth.judge(path))


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("gaps", "UPDATE gaps SET missing = 99 WHERE missing = 3"),
        ("gaps", "DELETE FROM gaps WHERE missing = 3"),
        ("marks", "UPDATE marks SET label = 'another'"),
        ("marks", "UPDATE marks SET source_id = 2"),
        ("state_changes", "UPDATE state_changes SET state = 'OPEN'"),
        ("clock_jumps", "UPDATE clock_jumps SET by_ns = 78"),
        ("connections", "DELETE FROM connections"),
        ("sources", "UPDATE sources SET name = 'renamed' WHERE id = 2"),
        ("sources", "UPDATE sources SET ordered = 0"),
        ("segments", "UPDATE segments SET max_wall_ns = min_wall_ns"),
        ("segments", "UPDATE segments SET first_id = first_id + 1 WHERE source_id = 1"),
        ("facts", "UPDATE facts SET value = '{\"cores\":64}' WHERE name = 'host'"),
        ("facts", "UPDATE facts SET value = '{' WHERE name = 'host'"),
        ("checksums", "UPDATE checksums SET crc = crc + 1"),
    ],
)
@pytest.mark.parametrize("age", ["new", "old"])
def test_fault_32_a_small_table_that_changed_is_said_and_made_anew(tmp_path, ended, table, statement, age):
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    truth = Truth(path)
    assert change(path, statement) > 0
    if age == "old":
        if table == "checksums":
            return
        change(path, "DROP TABLE checksums")
    report = check(path)
    assert report.exit_code == 0
    assert table in report.sentences[0] or table == "checksums"
    assert report.sentences[-1] == "No message is missing."
    with SessionFile.open(path) as session:
        session.examine()
        assert list(session.gaps) == truth.whole.gaps
        assert list(session.marks) == truth.whole.marks
        assert list(session.states("metrics")) == truth.whole.states["metrics"]
        assert list(session.clock_jumps) == truth.whole.jumps
        assert session.info().facts == truth.whole.facts
        assert {message.seq for message in session.messages("status")} == {
            seq for source, seq in truth.whole.messages if source == "status"
        }


def test_fault_32_a_cut_file_with_its_log_is_no_traceback(tmp_path):
    truth = Truth(write(tmp_path / "killed.tes", "killed"))
    chance = random.Random(4)
    for _ in range(12):
        for cut in ("killed.tes", "killed.tes-wal"):
            place = tmp_path / cut.replace(".", "")
            place.mkdir(exist_ok=True)
            for left in place.iterdir():
                left.unlink()
            for name, data in truth.data.items():
                (place / name).write_bytes(data[: chance.randrange(len(data))] if name == cut else data)
            report = check(place / "killed.tes")
            if cut == "killed.tes":
                assert report.exit_code == 0 or "damaged" in report.sentences[0]
            else:
                assert report.exit_code == 3
                assert "killed.tes-wal is missing or cut off" in report.sentences[0]
            with contextlib.suppress(SessionError), SessionFile.open(place / "killed.tes") as session:
                found = {(message.source, message.seq): message for message in session.messages()}
                assert found.items() <= truth.whole.messages.items()
                assert session.info().messages == len(found)
                assert set(session.marks) <= set(truth.whole.marks)


def test_fault_32_a_byte_of_facts_costs_nothing(tmp_path, ended):
    path = tmp_path / "a.tes"
    data = ended.read_bytes()
    path.write_bytes(flipped(data, data.find(b'{"cores":2}')))
    with SessionFile.open(path) as session:
        assert session.info().facts["host"] == {"cores": 2}
        assert session.damage[1] == "Made anew from the messages and the session's log, since damaged: facts."
    assert check(path).exit_code == 0


@pytest.mark.parametrize("value", [None, 7, 1.5, "text"])
def test_fault_32_a_payload_that_is_no_bytes_is_left_out(tmp_path, ended, value):
    """Of a stranger's file, whose table lets NULL in, too: its rows come with a row number and no sum."""
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    if value is None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'messages_2'").fetchone()
            connection.execute("PRAGMA writable_schema=ON")
            without = sql.replace("payload BLOB NOT NULL", "payload BLOB")
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'messages_2'", (without,))
        change(path, "UPDATE messages_2 SET payload = NULL WHERE seq = 5")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'messages_2'", (sql,))
    else:
        assert change(path, "UPDATE messages_2 SET payload = ? WHERE seq = 5", value) == 1
    with SessionFile.open(path) as session:
        assert [message.seq for message in session.messages("status")] == [*range(1, 5), *range(6, 81)]
        assert session.damage
    report = check(path)
    assert report.exit_code == 3
    with tes.open(path) as session:
        assert len(session.status.frame()) >= 0


FAR = 2**39  # a checksum begins with the number modulo 2^32, and does not see this


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE messages_1 SET id = id + {FAR} WHERE seq = 30",
        f"UPDATE messages_1 SET id = id - {FAR} WHERE seq = 30",
        "UPDATE messages_1 SET id = 10000 WHERE seq = 30",
        "UPDATE messages_1 SET t_wall_ns = 0 WHERE seq = 30",
        "UPDATE messages_1 SET t_wall_ns = t_wall_ns + 1000000000000 WHERE seq = 30",
        "UPDATE messages_1 SET t_wall_ns = 'text' WHERE seq = 30",
        "DELETE FROM messages_1 WHERE seq = 30",
    ],
)
def test_fault_32_a_row_that_a_range_does_not_meet_any_more_is_damage(tmp_path, ended, statement, ordered):
    """Before, a range read left it out without a word: only reading everything came upon it, if at all."""
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    if not ordered:
        change(path, "DROP TABLE checksums")
        assert change(path, "UPDATE sources SET ordered = 0") == 3
    with SessionFile.open(path) as session:
        wanted = next(message for message in session.messages("metrics") if message.seq == 30)
        around = {"start_ns": wanted.t_wall_ns - 3 * STEP, "end_ns": wanted.t_wall_ns + 3 * STEP}
        before = [message.seq for message in session.messages("metrics", **around)]
    assert change(path, statement) == 1
    with SessionFile.open(path) as session:
        read = [message.seq for message in session.messages("metrics", **around)]
        assert read == [seq for seq in before if seq != wanted.seq]
        assert session.damage
        assert session.lost("metrics") == 1
    assert check(path).exit_code == 3


def test_fault_32_a_state_that_moved_is_missed_by_whoever_asks_for_states(tmp_path, ended):
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    with SessionFile.open(path) as session:
        before = [message.seq for message in session.messages("metrics", among=STATES)]
    assert change(path, f"UPDATE messages_1 SET id = id + {FAR} WHERE seq = {before[1]}") == 1
    with SessionFile.open(path) as session:
        assert before[1] not in [message.seq for message in session.messages("metrics", among=STATES)]
        assert session.damage


def test_fault_32_rows_that_call_themselves_another_sources_are_said_and_read(tmp_path, ended):
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    assert change(path, "UPDATE messages_2 SET source_id = 3 WHERE seq IN (5, 6)") == 2
    report = check(path)
    assert report.exit_code == 0
    assert report.sentences[0].startswith("status: 2 rows say that they are of another source")
    with SessionFile.open(path) as session:
        assert [message.seq for message in session.messages("status")] == list(range(1, 81))


ODD = (-1, 2**63 - 1, 1.5, "text", b"\xff\0", "[" * 3000, "1" * 400)


def test_fault_32_rows_that_name_no_source_cost_nothing(tmp_path, ended):
    path = tmp_path / "a.tes"
    shutil.copy(ended, path)
    column = "source_id INTEGER"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        swap = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = 'messages_1'"
        connection.execute(swap, (f"{column} NOT NULL", column))
    change(path, "UPDATE messages_1 SET source_id = NULL WHERE id % 3 = 0")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(swap, (column, f"{column} NOT NULL"))

    assert Truth(ended).judge(path) == []
    assert "No message is missing." in check(path).sentences


@pytest.mark.parametrize("table", [*TABLES, "checksums"])
def test_fault_68_odd_values_in_a_strangers_tables_are_no_traceback(tmp_path, ended, table):
    with contextlib.closing(sqlite3.connect(ended)) as connection:
        columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")]
    path = tmp_path / "a.tes"
    for column in columns:
        for age in ("old", "new"):
            for value in ODD:
                shutil.copy(ended, path)
                with contextlib.suppress(sqlite3.Error):
                    change(path, f"UPDATE OR REPLACE {table} SET {column} = ?", value)
                if age == "old":
                    change(path, "DROP TABLE checksums")
                assert check(path).exit_code in (0, 1, 3)
                with contextlib.suppress(SessionError), SessionFile.open(path) as session:
                    for name in session.sources:
                        session.states(name), session.connections(name)
                    assert str(session.info())
                    assert session.gaps is not None
                    assert session.marks is not None
                    list(session.messages(start_ns=0, end_ns=2**62))


def test_fault_68_odd_times_are_frames_all_the_same(tmp_path, ended):
    path = tmp_path / "a.tes"
    for table, column in (
        ("gaps", "lost_at_ns"),
        ("gaps", "back_at_ns"),
        ("marks", "at_ns"),
        ("segments", "max_wall_ns"),
    ):
        for value in (0, -1, 2**63 - 1, -(2**63)):
            shutil.copy(ended, path)
            change(path, f"UPDATE OR REPLACE {table} SET {column} = ?", value)
            change(path, "DROP TABLE checksums")
            with tes.open(path) as session:
                assert len(session.gaps) > 0
                assert len(session.marks) > 0
                assert repr(session)


def test_the_sums_are_as_documented(ended):
    """CRC-32 of each row as a JSON array without spaces, summed up modulo 2^32: any language can say so."""
    with contextlib.closing(sqlite3.connect(ended)) as connection:
        for table, count, crc in connection.execute("SELECT * FROM checksums").fetchall():
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            texts = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows]
            assert (count, crc) == (len(rows), sum(crc32(text.encode()) for text in texts) % 2**32)
        assert connection.execute("SELECT count(*) FROM checksums WHERE row_count > 0").fetchone() == (
            len(TABLES),
        )
