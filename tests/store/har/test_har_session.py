"""HAR files out: they read back as the same messages, in Chrome's form, without credentials."""

from __future__ import annotations

import json

import pytest

from tes_nb.errors import ExportError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.har.har import read_har
from tes_nb.store.har.har_session import HarConnection, connections_of, write_har
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import SourceInfo
from tes_nb.wire.events import Mark
from tests.support.hars import METRICS, STATUS, recognise
from tests.support.sessions import WALL, event, write_session


def made(
    number: int, source: str, payload: bytes, opcode: int, conn: int = 1, direction: int = Direction.IN
) -> Message:
    wall = WALL + number * 1_000_000
    return Message(source, direction, opcode, payload, wall, wall, conn, number)


SENT = [
    made(1, "metrics", b'{"a": "\\u00e9"}', Opcode.TEXT),
    made(2, "metrics", "\U0001f600\0\u2028".encode(), Opcode.TEXT),
    made(3, "metrics", bytes(range(256)), Opcode.BINARY),
    made(4, "metrics", b'{"type":"ping"}', Opcode.TEXT, direction=Direction.OUT),
    made(5, "metrics", b"", Opcode.TEXT, conn=2),
]


def test_what_is_written_reads_back_the_same(tmp_path):
    path = tmp_path / "a.har"
    connections = [
        HarConnection(METRICS, SENT[:4]),
        HarConnection(METRICS, SENT[4:]),
        HarConnection(STATUS, []),
    ]
    assert write_har(path, connections) == 5
    assert list(read_har(path, recognise)) == SENT


def test_it_is_a_har_file_as_the_format_asks(tmp_path):
    path = tmp_path / "a.har"
    write_har(path, [HarConnection(METRICS + "?channels=a&token=abc", SENT)])
    log = json.loads(path.read_text())["log"]
    assert log["version"] == "1.2"
    (entry,) = log["entries"]
    assert entry["startedDateTime"] == "2026-01-01T00:00:00.001Z"
    assert entry["time"] == 4
    assert entry["request"]["url"] == METRICS + "?channels=a&token=REDACTED"
    assert {"name": "channels", "value": "a"} in entry["request"]["queryString"]
    assert entry["response"]["status"] == 101
    needed = {"request", "response", "cache", "timings", "startedDateTime", "time", "_webSocketMessages"}
    assert needed <= set(entry)
    assert {"method", "httpVersion", "cookies", "headers", "headersSize", "bodySize"} <= set(entry["request"])


def test_a_recording_goes_out_connection_by_connection_without_our_own_events(tmp_path):
    items = [SourceInfo("metrics", "metrics", METRICS), *SENT, event(9, Mark("x", WALL), seq=6)]
    session = write_session(tmp_path / "a.tes", items)
    with SessionFile.open(session) as opened:
        assert write_har(tmp_path / "a.har", connections_of(opened, {"metrics": METRICS})) == 5
    assert list(read_har(tmp_path / "a.har", recognise)) == SENT


def test_text_that_is_no_unicode_keeps_its_bytes(tmp_path):
    odd = made(1, "metrics", b"\xff\xfe text", Opcode.TEXT)
    write_har(tmp_path / "a.har", [HarConnection(METRICS, [odd])])
    (found,) = read_har(tmp_path / "a.har", recognise)
    assert (found.payload, found.opcode) == (odd.payload, Opcode.BINARY)


def test_credentials_stay_behind_unless_asked_for(tmp_path):
    secret = made(1, "metrics", b'{"token": "planted"}', Opcode.TEXT)
    connection = HarConnection(METRICS + "?token=planted", [secret])
    write_har(tmp_path / "a.har", [connection])
    assert b"planted" not in (tmp_path / "a.har").read_bytes()
    write_har(tmp_path / "b.har", [connection], redact=False)
    assert (tmp_path / "b.har").read_text().count("planted") == 3


def test_an_export_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.har"
    path.write_text("before")

    def broken():
        yield SENT[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_har(path, [HarConnection(METRICS, broken())])
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.har"]
    with pytest.raises(ExportError, match=r"a part of the path is a file|it is a file, not a folder"):
        write_har(path / "b.har", [])
