"""Damaged, truncated and hostile session files: what can be read is read, and what cannot is said."""

from __future__ import annotations

import ast
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tes_nb.errors import SessionError
from tes_nb.store.session import damage
from tes_nb.store.session import schema as session_schema
from tes_nb.store.session.check import check
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.rows import ROWS
from tes_nb.store.session.salvage import salvage
from tes_nb.store.session.schema import Fact, FileGap, SourceInfo
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import Gap, Mark
from tests.support.child import in_child
from tests.support.sessions import (
    PAGE,
    SOURCES,
    STEP,
    WALL,
    event,
    flipped,
    numbered,
    read_all,
    write_session,
)

ROOT = Path(__file__).resolve().parents[3]
COUNT = 180


def contents() -> list:
    """Messages of three sources, some of which go on in other pages; a mark; a gap; a fact."""
    big = [numbered(number, size=6000 if number % 60 == 0 else None) for number in range(COUNT)]
    return [
        SourceInfo("metrics", "metrics", "ws://localhost/m"),
        *big,
        event(COUNT, Mark("deploy", WALL), source="status", seq=COUNT // 3 + 1),
        FileGap(Gap(0, WALL, WALL, WALL + 5, "disk full", 0)),
        Fact("host", {"cores": 2}),
        Fact("ended", {"text": "Stopped.", "messages": {"metrics": 60, "status": 61, "workers": 60}}),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small session file: its path, its bytes, its messages."""
    path = write_session(tmp_path_factory.mktemp("whole") / "whole.tes", contents(), group=40)
    return path, path.read_bytes(), read_all(path)


def test_fault_32_a_damaged_tree_costs_what_hung_on_it_and_nothing_else(tmp_path, whole):
    _, data, messages = whole
    tables = sqlite3.connect(whole[0])
    roots = tables.execute("SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    tables.close()
    assert len(roots) > len(SOURCES) + 8
    for table, root in roots:
        path = tmp_path / f"{root}.tes"
        path.write_bytes(data[: (root - 1) * PAGE] + bytes(8) + data[(root - 1) * PAGE + 8 :])
        of_source = table.removeprefix("messages_")
        lost = SOURCES[int(of_source) - 1] if of_source in "123" else ""
        with SessionFile.open(path) as session:
            session.examine()
            assert list(session.messages()) == [message for message in messages if message.source != lost]
            assert [mark.label for mark in session.marks] == ["deploy"]
            assert [gap.gap.cause for gap in session.gaps if gap.source is None] == ["disk full"]
            assert session.info().facts["host"] == {"cores": 2}
            assert session.sources["metrics"].url == "ws://localhost/m"
            if lost:
                (gap,) = [each.gap for each in session.gaps if each.source == lost]
                count = sum(message.source == lost for message in messages)
                assert (gap.missing, gap.back_at_ns) == (count, None)
                assert (
                    f"{lost}: {count} messages are lost between 2026-01-01 00:00:00 UTC and "
                    in session.damage[1]
                )
                assert session.info().missing == count


def test_fault_32_damage_is_found_while_reading_and_reading_goes_on(tmp_path):
    sent = [numbered(number, source="metrics", size=300) for number in range(4000)]
    path = write_session(tmp_path / "a.tes", sent)
    data = path.read_bytes()
    page = data.find(sent[2000].payload) // PAGE
    path.write_bytes(data[: page * PAGE] + bytes(8) + data[page * PAGE + 8 :])
    with SessionFile.open(path) as session:
        assert session.damage == (), "nothing is known before it is read"
        found = list(session.messages())
        lost = [message for message in sent if message not in found]
        assert lost == sent[lost[0].seq - 1 : lost[-1].seq], "the rows of one page"
        assert sent[2000] in lost
        assert len(lost) < 20
        assert found == [message for message in sent if message not in lost]
        assert "is damaged" in session.damage[0]
        assert session.damage[1:] == (
            f"metrics: {len(lost)} messages are lost between 2026-01-01 00:00:19 UTC and 2026-01-01 00:00:20 UTC.",
        )
        assert not session.whole
        start, end = lost[0].t_wall_ns - 5 * STEP, lost[-1].t_wall_ns + 5 * STEP
        around = list(session.messages("metrics", start_ns=start, end_ns=end))
        assert around == [message for message in found if start <= message.t_wall_ns < end]


def test_fault_32_a_row_whose_id_changed_ends_no_reading(tmp_path):
    """A bite of rows ends with one that says it lies far behind: reading must not go on from there."""
    sent = [numbered(number, source="metrics", size=300) for number in range(4000)]
    path = write_session(tmp_path / "a.tes", sent)
    data = path.read_bytes()
    number = ROWS + 1  # the first id is that of the record of the source
    cell = bytes(
        [0x80 | number >> 7, number & 0x7F, 13, 0]
    )  # the id, the length of the record's header, NULL
    place = data.rfind(cell, 0, data.find(sent[ROWS - 1].payload))
    path.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    with SessionFile.open(path) as session:
        assert list(session.messages()) == sent[: ROWS - 1] + sent[ROWS:]
        assert session.damage[1].startswith("metrics: 1 messages are lost")


def test_fault_32_messages_that_changed_are_left_out_and_counted(tmp_path):
    sent = [numbered(number, source="metrics", size=300) for number in range(100)]
    path = write_session(tmp_path / "a.tes", sent)
    data = path.read_bytes()
    path.write_bytes(flipped(data, data.find(sent[50].payload) + 7, data.find(sent[60].payload) + 7))
    with SessionFile.open(path) as session:
        assert list(session.messages()) == [*sent[:50], *sent[51:60], *sent[61:]]
        assert session.damage == (
            "metrics: 2 messages were left out because some of their bytes have changed.",
        )
    report = check(path)
    assert (report.exit_code, report.messages) == (3, 98)
    assert "metrics: 2 of 100 are missing." in report.sentences


def test_fault_32_a_hole_is_a_gap_of_the_salvaged_session(tmp_path):
    sent = [numbered(number, source="metrics", size=300) for number in range(200)]
    path = write_session(tmp_path / "a.tes", sent)
    data = path.read_bytes()
    page = data.find(sent[100].payload) // PAGE
    path.write_bytes(data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :])
    with SessionFile.open(path) as session:
        found = list(session.messages())
        (gap,) = session.gaps
    assert gap.source == "metrics"
    assert gap.gap.missing == len(sent) - len(found) > 5
    assert found == [
        message for message in sent if not gap.gap.lost_at_ns < message.t_wall_ns < gap.gap.back_at_ns
    ]
    assert "damaged" in gap.gap.cause


def test_fault_32_what_the_recorder_could_not_keep_is_not_called_damage(tmp_path):
    early = [numbered(number, source="metrics", size=300) for number in range(50)]
    late = [numbered(number, source="metrics", size=300) for number in range(80, 220)]
    outage = FileGap(Gap(0, early[-1].t_wall_ns, WALL + 50 * STEP, late[0].t_wall_ns, "disk full", 30))
    path = write_session(tmp_path / "a.tes", [*early, outage, *late])
    data = path.read_bytes()
    page = data.find(late[70].payload) // PAGE
    path.write_bytes(data[: page * PAGE] + bytes(8) + data[page * PAGE + 8 :])
    with SessionFile.open(path) as session:
        found = list(session.messages())
        missing = len(early) + len(late) - len(found)
        assert 5 < missing < 20
        assert [(each.source, each.gap.cause, each.gap.missing) for each in session.gaps] == [
            (None, "disk full", 30),
            ("metrics", "the file is damaged here", missing),
        ]
        assert f"metrics: {missing} messages are lost" in session.damage[1]


@pytest.fixture
def killed(tmp_path):
    """A session whose log was never folded in, as after kill -9."""
    writer = SessionWriter(tmp_path / "running.tes")
    for start in range(0, 240, 20):
        writer.append([numbered(number) for number in range(start, start + 20)])
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"running.tes{suffix}", tmp_path / f"killed.tes{suffix}")
    writer.close()
    return tmp_path / "killed.tes"


def test_fault_32_a_damaged_log_hides_nothing(killed):
    whole = read_all(killed)
    assert len(whole) == 240
    log = wal_path(killed).read_bytes()
    for position in (0, 17, 40, len(log) // 3, len(log) // 2):
        wal_path(killed).write_bytes(flipped(log, position))
        report = check(killed)
        assert report.messages >= 220, f"byte {position}"
        assert report.exit_code == (0 if report.messages == 240 else 3)
        assert "log has changed bytes" in report.sentences[0]


def test_fault_32_a_changed_byte_of_the_last_commit_is_no_end_of_the_log(killed):
    log = wal_path(killed).read_bytes()
    for back in (1, 300, 2000, PAGE, PAGE + 2, PAGE + 10, PAGE + 20):
        wal_path(killed).write_bytes(flipped(log, len(log) - back))
        report = check(killed)
        assert report.messages >= 220, back
        assert report.exit_code == (0 if report.messages == 240 else 3)
        assert "log has changed bytes" in report.sentences[0]


def test_fault_32_a_log_that_ends_between_commits_is_no_damage_and_one_that_was_cut_is(killed):
    log = wal_path(killed).read_bytes()
    for end in range(32 + 8 * (PAGE + 24), len(log), 5 * (PAGE + 24) + 1000):
        wal_path(killed).write_bytes(log[:end])
        report = check(killed)
        between_pages = (end - 32) % (PAGE + 24) == 0
        assert report.exit_code == (0 if between_pages else 3), report.sentences
        assert between_pages or "log was lost: killed.tes-wal is missing or cut off" in report.sentences[0]
        found = read_all(killed)
        assert found == [numbered(number) for number in range(len(found))]
        assert len(found) % 20 == 0, "whole commits only"


def test_salvage_writes_a_session_like_any_other(tmp_path, whole):
    _, data, messages = whole
    path = tmp_path / "a.tes"
    page = data.find(messages[100].payload) // PAGE
    path.write_bytes(data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :])
    result = salvage(path, tmp_path / "b.tes")
    assert result is not None
    lost = sum(each.messages for each in result.missing.values())
    assert not result.whole
    assert lost == len(messages) - sum(result.messages.values()) > 0
    assert check(tmp_path / "b.tes").exit_code == 0
    found = read_all(tmp_path / "b.tes")
    assert found == [message for message in messages if message in found]
    assert len(found) == len(messages) - lost


def test_names_are_found_even_when_their_table_is_gone(tmp_path):
    path = write_session(tmp_path / "a.tes", [numbered(number) for number in range(90)])
    data = path.read_bytes()
    log = data.rfind(b'{"record":"source"') // PAGE
    connection = sqlite3.connect(path)
    (table,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sources'").fetchone()
    connection.close()
    for pages, names in (
        ((table - 1,), set(SOURCES)),
        ((log,), set(SOURCES)),
        ((table - 1, log), {"source-1", "source-2", "source-3"}),
    ):
        spoilt = bytearray(data)
        for page in pages:
            spoilt[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        path.write_bytes(spoilt)
        with SessionFile.open(path) as session:
            session.examine()
            assert {message.source for message in session.messages()} == names


# Files that are no sessions, or a stranger's


def test_a_file_of_another_program_is_named_as_such(tmp_path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sources (x)")
    connection.close()
    refused(path, "a.db is an SQLite file of another program, not a session: open it with sqlite3.")


def refused(path: Path, text: str) -> None:
    with pytest.raises(SessionError) as caught:
        SessionFile.open(path)
    assert text in str(caught.value)
    assert check(path).exit_code == 1
    assert text in check(path).sentences[0]


def test_what_is_no_session_is_a_sentence_with_what_to_do(tmp_path):
    for name, content, text in (
        ("a.tes", b"", "is empty (0 bytes)"),
        ("b.tes", b'{"log": {}}', "if it is a HAR file, give it the ending .har"),
        ("c.tes", b"PK\x03\x04 zip", "unpack it"),
        ("d.tes", b"\x1f\x8b gzip", "unpack it"),
        ("e.tes", b"neither fish nor fowl" * 1000, "is no session, or is damaged beyond reading"),
        ("f.tes", b"SQLite format 3\0" + bytes(5000), "is no session, or is damaged beyond reading"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, text)
    refused(tmp_path, "is a folder, not a session")
    refused(tmp_path / "missing.tes", "cannot be opened (No such file or directory)")


def test_fault_68_a_newer_or_unknown_format_is_refused(tmp_path, whole):
    path = tmp_path / "a.tes"
    for version, text in ((2, "was recorded by a newer tes_nb (format 2"), (2**31 - 1, "newer")):
        shutil.copy(whole[0], path)
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version={version}")
        connection.close()
        refused(path, text)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


@pytest.mark.parametrize(
    ("table", "trap"),
    [
        ("gaps", f"CREATE VIEW gaps AS {ENDLESS.format('*')}"),
        ("gaps", "CREATE TABLE gaps (x TEXT DEFAULT (randomblob(1000000000)))"),
        ("gaps", "CREATE TABLE gaps (source_id, y GENERATED ALWAYS AS (zeroblob(900000000)))"),
        ("sources", f"CREATE VIEW sources AS {ENDLESS.format('i AS id, i AS name, i AS stream, i AS url')}"),
        ("facts", f"CREATE VIEW facts AS {ENDLESS.format('i AS name, i AS value')}"),
        ("messages_2", f"CREATE VIEW messages_2 AS {ENDLESS.format(', '.join('i' * 11))}"),
        ("messages_2", f"CREATE TABLE messages_2 ({', '.join(f'c{i}' for i in range(10))}, x AS (hex(c1)))"),
    ],
)
def test_fault_68_a_strangers_schema_is_never_queried(tmp_path, table, trap):
    sent = [numbered(number, source="metrics") for number in range(30)]
    path = write_session(tmp_path / "a.tes", [*sent, numbered(30, source="status")])
    connection = sqlite3.connect(path)
    connection.execute(f"DROP TABLE {table}")
    connection.execute(trap)
    connection.commit()
    connection.close()
    with SessionFile.open(path) as session:
        assert list(session.messages("metrics")) == sent
        assert session.gaps == () or session.gaps[0].source == "status"
        assert "tables are not those of a session" in session.damage[0]


def lying(path: Path) -> bytes:
    """A session with a message of 3 MB whose row says that it is 134 MB long."""
    write_session(path, [numbered(0, source="a", size=3_000_000), numbered(1, source="a")])
    data = bytearray(path.read_bytes())
    kind = encoded(3_000_000 * 2 + 12)
    header = data.find(kind)
    assert data.count(kind) == 1
    data[header : header + 4] = b"\xff\xff\xff\x7e"
    size = data.rfind(encoded(3_000_000 + 50)[:2], header - 40, header)
    data[size : size + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    return bytes(data)


def encoded(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def test_fault_68_lengths_that_lie_allocate_nothing(tmp_path):
    lying(tmp_path / "lying.tes")
    result = in_child(
        f"""
        import logging, resource, sys
        from tes_nb.store.session.check import check
        logging.disable()
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
        before = peak_memory()
        report = check({str(tmp_path / "lying.tes")!r})
        print(json.dumps([report.exit_code, report.messages, peak_memory() - before, "pandas" in sys.modules]))
        """
    )
    code, messages, memory, pandas = result
    assert (code, messages) == (3, 1)
    assert memory < 24 * 2**20, "16 MiB, and what SQLite's page cache and the modules take"
    assert not pandas


def test_fault_68_nothing_here_can_unpickle():
    forbidden = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "cloudpickle"}
    for file in sorted((ROOT / "tes_nb").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Attribute):
                names = [node.attr] if "pickle" in node.attr else []
            elif isinstance(node, ast.keyword):
                names = [node.arg] if node.arg == "allow_pickle" else []
            names = [
                name for name in names if name != "joblib._parallel_backends"
            ]  # a pool to observe; nothing is read
            assert not [name for name in names if name.split(".")[0] in forbidden or "pickle" in name], file


def test_the_documented_schema_is_the_real_one(whole):
    text = (ROOT / "docs" / "session-format.md").read_text()
    connection = sqlite3.connect(whole[0])
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        heading = "messages_N" if table.startswith("messages_") else table
        assert f"### `{heading}`" in text
        section = text.split(f"### `{heading}`")[1].split("\n#")[0]
        for _, column, *_ in connection.execute(f"PRAGMA table_info({table})"):
            assert f"| `{column}` |" in section, (table, column)
    connection.close()
    assert f"0x{session_schema.APPLICATION_ID:08X}" in text
    assert f"`user_version` {session_schema.VERSION}" in text


def test_a_copy_in_a_read_only_folder_opens(tmp_path, killed):
    expected = read_all(killed)
    folder = tmp_path / "locked"
    folder.mkdir()
    for file in (killed, wal_path(killed)):
        shutil.copy(file, folder)
    folder.chmod(0o555)
    try:
        if os.geteuid() != 0:
            assert read_all(folder / killed.name) == expected
        else:
            assert _as_nobody(folder / killed.name) == len(expected)
    finally:
        folder.chmod(0o755)


def _as_nobody(path: Path) -> int:
    """Read in a child that has given up being root."""
    for each in (path.parent, *path.parent.parents):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    for file in path.parent.iterdir():
        file.chmod(0o644)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.write(writing, str(len(read_all(path))).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        count = said.read()
    os.waitpid(child, 0)
    return int(count or b"-1")


def test_fault_31_a_copy_without_its_log_is_no_whole_session(tmp_path, killed):
    """Of a running recording only the .tes was copied: nothing may call that whole, however often it is opened."""
    for copied in ("missing", "empty", "header"):
        path = tmp_path / copied / "copy.tes"
        path.parent.mkdir()
        shutil.copy(killed, path)
        if copied != "missing":
            wal_path(path).write_bytes(wal_path(killed).read_bytes()[: 32 if copied == "header" else 0])
        for _ in range(2):
            report = check(path)
            assert report.exit_code == 3
            assert "copy.tes-wal is missing or cut off" in report.sentences[0]
            assert "tes.copy('copy.tes', 'COPY.tes')" in report.sentences[0]
            with SessionFile.open(path) as session:
                assert session.damage
                assert session.info().ending == "Nobody ended this recording: its process was killed."
    assert check(killed).exit_code == 0


def test_a_killed_recording_whose_log_another_program_folded_in_is_said_too(tmp_path, killed):
    path = tmp_path / "copy.tes"
    shutil.copy(killed, path)
    shutil.copy(wal_path(killed), wal_path(path))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert not wal_path(path).exists()
    report = check(path)
    assert (report.exit_code, report.messages) == (3, 240)


def test_what_was_killed_before_it_acknowledged_anything_is_whole(tmp_path):
    SessionWriter(tmp_path / "running.tes")
    shutil.copy(tmp_path / "running.tes", tmp_path / "a.tes")
    report = check(tmp_path / "a.tes")
    assert (report.exit_code, report.messages) == (0, 0)


def test_a_log_is_not_read_a_second_time_in_python(killed, monkeypatch):
    """SQLite alone reads a log of a gigabyte; what is ours begins where SQLite stopped."""
    summed: list[int] = []
    plain = damage._checksum
    monkeypatch.setattr(
        damage,
        "_checksum",
        lambda data, start, order: (summed.append(len(data)), plain(data, start, order))[1],
    )
    assert len(read_all(killed)) == 240
    assert summed == [24], "the header"
