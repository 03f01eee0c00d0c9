"""The tables of a session file, and how such a file differs from any other SQLite file.

docs/session-format.md describes each column; the words here and there are the same.
"""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tes_nb.errors import DecodeError, SessionError
from tes_nb.model import Message
from tes_nb.store.paths import user_path
from tes_nb.wire.events import Gap


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What to note about a source when it first appears."""

    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None = None
    """Where it is read from; credentials are taken out. `None` = the collector's own samplers."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to note about the recording; the last value of a name counts."""

    name: str
    value: Any
    """What JSON can say."""


@dataclass(frozen=True, slots=True)
class FileGap:
    """A hole that came about in the file, not on the way to it: a full disk, a slow one, damage."""

    gap: Gap
    source: str = ""
    """"" = it touches every source."""


Item = Message | SourceInfo | Fact | FileGap
"""What a session file takes."""


# Each record is a JSON payload in `messages_0`, with a checksum as every message has. The tables `sources`,
# `facts` and `gaps` say the same in a form that is easy to query.


class SourceRecord(msgspec.Struct, frozen=True, tag="source", tag_field="record"):
    """A source appeared."""

    id: int
    """What `source_id` says in this file, counted from 1."""
    name: str
    stream: str
    """The name of the stream it carries."""
    url: str | None
    """Where it was read from, without credentials; `None` = the collector's own, or unknown."""


class FactRecord(msgspec.Struct, frozen=True, tag="fact", tag_field="record"):
    """Something known about the recording or its host when it began."""

    name: str
    value: msgspec.Raw
    """JSON."""


class GapRecord(msgspec.Struct, frozen=True, tag="gap", tag_field="record"):
    """A hole that came about in the file: the recorder could not keep up or not write, or a file was damaged."""

    gap: Gap
    source: str = ""
    """"" = it touches every source."""


Record = SourceRecord | FactRecord | GapRecord

_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return the payload that goes into `messages_0`."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> Record:
    """Return the record in a payload of `messages_0`. Raises `DecodeError` for anything else."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DecodeError(f"Not a record of a session's log: {error}.", reason="record") from error


SUFFIX = ".tes"


def session_dir() -> Path:
    """Return where recordings go that are not given a folder: `TES_SESSION_DIR`, else `sessions/`."""
    return Path(os.environ.get("TES_SESSION_DIR", "").strip() or "sessions")


def session_path(path: str | Path | None) -> Path:
    """Return the absolute path of a session file: a bare name goes into the session folder, `None` is a new name.

    `{date}` and `{time}` in a file's name are those of now, in UTC: `night-{date}` is `night-2026-01-01.tes`.
    Raises `SessionError` for a path that leads nowhere.
    """
    now = datetime.now(UTC)
    if path is None:
        path = f"{now:%Y-%m-%d_%H%M%S}_{time.monotonic_ns() % 1000:03d}"
    given = Path(path)
    if given.name in ("", "..", "~") or str(path).endswith(os.sep):
        raise SessionError(f"'{path}' names no file: give a name or a path.")
    if "{" in given.name:
        name = given.name.replace("{date}", f"{now:%Y-%m-%d}").replace("{time}", f"{now:%H%M%S}")
        given = given.with_name(name)
    named = given if given.suffix else given.with_suffix(SUFFIX)
    if len(named.parts) == 1 and not given.suffix:
        named = session_dir() / named
    return user_path(named, SessionError).absolute()


def new_session_path(path: str | Path | None) -> Path:
    """Return `session_path` of a file that is to be made: but for the session folder, its folder must be there.

    A folder that is made for a misspelt path hides the recording. Raises `SessionError`.
    """
    target = session_path(path)
    folder = target.parent
    if folder != session_path(None).parent and not os.path.isdir(folder):  # noqa: PTH112 - never raises
        raise SessionError(f"There is no folder {folder}: make it, or give a path in one that is there.")
    return target


APPLICATION_ID = 0x5445534E
"""The letters TESN: what `file(1)` and our own reader know a session by."""
VERSION = 1
"""`PRAGMA user_version`. A reader refuses what is newer."""
PAGE_SIZE = 4096
MAX_PAYLOAD = 16 * 2**20 - 4096
"""Bytes. Longer payloads are refused when writing, and longer lengths are not believed when reading."""
MAX_LENGTH = 16 * 2**20
"""Bytes: the longest row SQLite may allocate for us, whatever a damaged file claims."""
MAX_SOURCES = 400
"""SQLite joins at most 500 tables in the view `messages`."""
SEGMENT_MESSAGES = 4096
SEGMENT_NS = 10_000_000_000
"""A segment ends at whichever comes first: so many messages, or so long."""

SESSION_SOURCE = 0
"""The id of the session's own log: what belongs to no single source."""

MESSAGE_COLUMNS = (
    "id",
    "source_id",
    "conn",
    "seq",
    "t_wall_ns",
    "t_mono_ns",
    "direction",
    "opcode",
    "flags",
    "crc",
    "payload",
)

TABLES = {
    "facts": "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "sources": (
        "CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, stream TEXT NOT NULL, "
        "url TEXT, ordered INTEGER NOT NULL)"
    ),
    "segments": (
        "CREATE TABLE segments (source_id INTEGER NOT NULL, first_id INTEGER NOT NULL, "
        "last_id INTEGER NOT NULL, messages INTEGER NOT NULL, bytes INTEGER NOT NULL, "
        "first_mono_ns INTEGER NOT NULL, last_mono_ns INTEGER NOT NULL, min_wall_ns INTEGER NOT NULL, "
        "max_wall_ns INTEGER NOT NULL, PRIMARY KEY (source_id, first_id)) WITHOUT ROWID"
    ),
    "connections": (
        "CREATE TABLE connections (source_id INTEGER NOT NULL, conn INTEGER NOT NULL, "
        "first_seen_ns INTEGER NOT NULL, PRIMARY KEY (source_id, conn)) WITHOUT ROWID"
    ),
    "state_changes": (
        "CREATE TABLE state_changes (id INTEGER PRIMARY KEY, source_id INTEGER NOT NULL, conn INTEGER NOT NULL, "
        "at_ns INTEGER NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, attempts INTEGER NOT NULL, "
        "reconnects INTEGER NOT NULL, close_code INTEGER, retry_at_ns INTEGER)"
    ),
    "gaps": (
        "CREATE TABLE gaps (source_id INTEGER NOT NULL, conn INTEGER NOT NULL, lost_at_ns INTEGER NOT NULL, "
        "last_seen_ns INTEGER, back_at_ns INTEGER, cause TEXT NOT NULL, missing INTEGER, "
        "PRIMARY KEY (source_id, conn, lost_at_ns)) WITHOUT ROWID"
    ),
    "marks": (
        "CREATE TABLE marks (id INTEGER PRIMARY KEY, source_id INTEGER NOT NULL, at_ns INTEGER NOT NULL, "
        "label TEXT NOT NULL)"
    ),
    "clock_jumps": (
        "CREATE TABLE clock_jumps (id INTEGER PRIMARY KEY, source_id INTEGER NOT NULL, at_ns INTEGER NOT NULL, "
        "by_ns INTEGER NOT NULL)"
    ),
}

CHECKSUMS = "CREATE TABLE checksums (name TEXT PRIMARY KEY, row_count INTEGER NOT NULL, crc INTEGER NOT NULL)"
"""One row for each of `TABLES`. Older recordings have no such table, older readers need none (decision 0019)."""


def message_table(source_id: int) -> str:
    """Return the name of the table that holds the messages of a source."""
    return f"messages_{source_id:d}"


def message_table_sql(source_id: int) -> str:
    """Return the statement that creates a source's message table."""
    numbers = ", ".join(f"{name} INTEGER NOT NULL" for name in MESSAGE_COLUMNS[1:-1])
    return (
        f"CREATE TABLE {message_table(source_id)} (id INTEGER PRIMARY KEY, {numbers}, payload BLOB NOT NULL)"
    )


def create(connection: sqlite3.Connection) -> None:
    """Lay out an empty session file. The connection must be in autocommit mode."""
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    for statement in (*TABLES.values(), CHECKSUMS):
        connection.execute(statement)
    connection.executemany("INSERT INTO checksums VALUES (?, 0, 0)", [(table,) for table in TABLES])
    connection.execute(message_table_sql(SESSION_SOURCE))
    create_view(connection, [SESSION_SOURCE])
    connection.execute("COMMIT")
    # So that the file itself says what it is, whatever happens to its log.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def create_view(connection: sqlite3.Connection, source_ids: list[int]) -> None:
    """(Re)create the view `messages`, which people query; our own reader never does."""
    parts = " UNION ALL ".join(f"SELECT * FROM {message_table(each)}" for each in source_ids)  # noqa: S608 - ids are ints
    connection.execute("DROP VIEW IF EXISTS messages")
    connection.execute(
        "CREATE VIEW messages AS SELECT sources.name AS source, every.* "  # noqa: S608 - ids are ints
        f"FROM ({parts}) AS every JOIN sources ON sources.id = every.source_id"
    )


def verify(connection: sqlite3.Connection, name: str) -> None:
    """Raise `SessionError`, a sentence with what to do, for another program's file and for a newer format.

    Raises `sqlite3.DatabaseError` when SQLite cannot read the file, or when its tables are not exactly ours:
    damage, or a stranger's trap. Of such a file only plain columns are read, by salvage.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    present = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view')"))
    if not present:
        raise sqlite3.DatabaseError("it has no tables")
    ours = present.get(message_table(SESSION_SOURCE)) == message_table_sql(SESSION_SOURCE)
    if application != APPLICATION_ID and not ours:
        raise SessionError(
            f"{name} is an SQLite file of another program, not a session: open it with sqlite3."
        )
    if version > VERSION:
        raise SessionError(
            f"{name} was recorded by a newer tes_nb (format {version}, this one reads up to {VERSION}): "
            "update tes_nb with 'pip install -U tes-nb'."
        )
    wrong = sorted(table for table, sql in _expected(present).items() if present.get(table) != sql)
    if version < VERSION or wrong:
        raise sqlite3.DatabaseError(f"its tables are not those of a session ({', '.join(wrong) or version})")


def _expected(present: dict[str, str]) -> dict[str, str]:
    """The exact text of every table that we would read. A stranger's file must not bring views in their place."""
    expected = dict(TABLES)
    if "checksums" in present:
        expected["checksums"] = CHECKSUMS
    for name in [message_table(SESSION_SOURCE), *present]:
        number = name.removeprefix("messages_")
        if number != name and number.isdecimal() and number.isascii():
            expected[name] = message_table_sql(int(number))
    return expected
