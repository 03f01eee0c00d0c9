"""HAR files of other tools than Chrome: other encodings, times and words, and none at all."""

from __future__ import annotations

import codecs
import json
import tempfile
from base64 import b64encode

import pytest

import tes_nb as tes
from tes_nb.errors import SessionError
from tes_nb.model import Direction, Opcode
from tes_nb.store.har import har as har_module
from tes_nb.store.har.har import HarReport, read_har
from tes_nb.store.har.har_message import CONTROL
from tes_nb.store.har.har_session import import_har
from tests.support.hars import METRICS, TIME, binary, entry, har, recognise, text, write

BASE = round(TIME * 1e6) * 1000
IN, OUT = Direction.IN, Direction.OUT
TEXT, BINARY = Opcode.TEXT, Opcode.BINARY


def read(path):
    report = HarReport()
    return list(read_har(path, recognise, report=report)), report


def reading(tmp_path, message):
    """(direction, opcode, payload, time) of the one message, or why it is none."""
    messages, report = read(write(tmp_path / "a.har", entry(METRICS, [message])))
    if not messages:
        return next(iter(report.bad))
    (one,) = messages
    assert report.bad == {}
    assert one.t_wall_ns == one.t_mono_ns
    return one.direction, one.opcode, one.payload, one.t_wall_ns


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
@pytest.mark.parametrize("early", [False, True])
def test_encodings_and_byte_order_marks(tmp_path, monkeypatch, encoding, mark, early):
    if early:  # the address is looked for ahead, and the text is read in pieces that end within characters
        monkeypatch.setattr(har_module, "_MEMORY", 1000)
        monkeypatch.setattr(har_module, "_BLOCK", 4097)
    said = [f"{number} Köln \U0001f600" for number in range(3000)]
    whole = json.dumps(har(entry(METRICS, [text(0, each) for each in said])), ensure_ascii=False)
    (tmp_path / "a.har").write_bytes(mark + whole.encode(encoding))
    messages, report = read(tmp_path / "a.har")
    assert [each.payload.decode() for each in messages] == said
    assert not report.lossy
    (tmp_path / "a.har").write_bytes((mark + whole.encode(encoding))[:-1001])
    messages, report = read(tmp_path / "a.har")
    assert report.broken.startswith("The file breaks off (")


def test_a_file_with_a_mark_opens_as_a_session(tmp_path):
    frame = {"type": "metrics", "timestamp": 1_767_225_600_000, "data": {}}
    (tmp_path / "a.har").write_text(
        json.dumps(har(entry(METRICS, [text(0, json.dumps(frame))]))), encoding="utf-16"
    )
    with tes.open(tmp_path / "a.har") as session:
        assert list(session.feeds) == ["metrics"]


@pytest.mark.parametrize(
    "when",
    [
        TIME,
        TIME * 1e3,
        round(TIME * 1e3),
        round(TIME * 1e6),
        round(TIME * 1e9),
        "2026-01-01T00:00:00.250Z",
        "2026-01-01T00:00:00.250000000Z",
        "2026-01-01T01:00:00.250+01:00",
        "2026-01-01T00:00:00.250",
    ],
)
def test_times_in_every_unit_are_the_same_moment(tmp_path, when):
    assert reading(tmp_path, {**text(0, "x"), "time": when}) == (IN, TEXT, b"x", BASE)


@pytest.mark.parametrize("when", ["", "soon", "1767225600", "2026-13-01T00:00:00Z", 1e12, 1e20, -1e13])
def test_what_is_no_time_is_a_bad_time(tmp_path, when):
    assert reading(tmp_path, {**text(0, "x"), "time": when}) == "bad time"


@pytest.mark.parametrize("seconds", [0, 1.5, 946_684_800, 4_102_444_800.123456])
def test_seconds_from_1970_to_2100_stay_seconds(tmp_path, seconds):
    assert reading(tmp_path, {**text(0, "x"), "time": seconds})[3] == round(seconds * 1e6) * 1000


@pytest.mark.parametrize(
    ("words", "direction"),
    [
        *(({"type": word}, IN) for word in ("receive", "Received", "incoming", "IN", "inbound", "server")),
        *(({"type": word}, OUT) for word in ("send", "sent", "SENT", "outgoing", "out", "client")),
        ({"direction": "in"}, IN),
        ({"type": "text", "direction": "outgoing"}, OUT),
        ({"type": "message", "fromClient": True}, OUT),
        ({"from_client": False}, IN),
    ],
)
def test_both_directions_in_many_words(tmp_path, words, direction):
    message = {"time": TIME, "opcode": 1, "data": "x", **words}
    assert reading(tmp_path, message) == (direction, TEXT, b"x", BASE)


ENCODED = b64encode(b'{"a":1}').decode()


@pytest.mark.parametrize(
    ("fields", "opcode", "payload"),
    [
        ({"opcode": 2, "data": ENCODED}, BINARY, b'{"a":1}'),
        ({"opcode": 2, "data": ENCODED, "base64": True}, BINARY, b'{"a":1}'),
        ({"opcode": 2, "data": ENCODED, "encoding": "base64"}, BINARY, b'{"a":1}'),
        ({"opcode": 2, "data": "plain", "base64": False}, BINARY, b"plain"),
        ({"opcode": 1, "data": ENCODED}, TEXT, ENCODED.encode()),
        ({"opcode": 1, "data": ENCODED, "base64": False}, TEXT, ENCODED.encode()),
        ({"opcode": 1, "data": ENCODED, "encoding": "base64"}, TEXT, b'{"a":1}'),
        ({"opcode": "binary", "data": ENCODED}, BINARY, b'{"a":1}'),
        ({"opcode": "Text", "data": "x"}, TEXT, b"x"),
        ({"data": "x"}, TEXT, b"x"),
        ({"data": ENCODED, "isBase64": True}, BINARY, b'{"a":1}'),
        ({"payload": "x", "kind": "text"}, TEXT, b"x"),
        ({"opcode": 1, "data": "x", "masked": None, "size": 1}, TEXT, b"x"),
    ],
)
def test_texts_and_bytes_in_many_forms(tmp_path, fields, opcode, payload):
    message = {"type": "receive", "time": TIME, **fields}
    assert reading(tmp_path, message) == (IN, opcode, payload, BASE)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            {"type": "receive", "time": TIME, "opcode": None, "data": "x"},
            "a field is missing or of another type",
        ),
        (
            {"type": "receive", "time": TIME, "opcode": True, "data": "x"},
            "a field is missing or of another type",
        ),
        (
            {"type": "receive", "time": True, "opcode": 1, "data": "x"},
            "a field is missing or of another type",
        ),
        ({"type": "receive", "time": TIME, "data": "!", "base64": True}, "bad base64"),
        (
            {"type": "neither", "time": TIME, "opcode": 1, "data": "x"},
            "a field is missing or of another type",
        ),
        ({"type": "close", "time": TIME, "data": ""}, CONTROL),
        ({"type": "receive", "time": TIME, "opcode": "ping", "data": ""}, CONTROL),
    ],
)
def test_what_no_dialect_says_is_counted(tmp_path, message, reason):
    assert reading(tmp_path, message) == reason


def test_secrets_in_other_dialects_are_taken_out_too(tmp_path):
    secret = '{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJlLXBsYW50ZWQ"}'
    encoded = b64encode(secret.encode()).decode()
    for message in (
        {"direction": "in", "time": TIME * 1000, "data": secret},
        {"direction": "in", "time": TIME * 1000, "data": encoded, "encoding": "base64"},
        {"direction": "in", "time": TIME * 1000, "data": encoded, "encoding": "base64", "opcode": 1},
    ):
        assert b"planted" not in reading(tmp_path, message)[2]
        assert b"eyJzdWIi" not in reading(tmp_path, message)[2]


@pytest.mark.parametrize("name", ["_webSocketMessages", "_websocketMessages", "webSocketMessages"])
def test_the_list_of_messages_has_more_than_one_spelling(tmp_path, name):
    one = entry("https" + METRICS.removeprefix("ws"), None, **{name: [text(0, "x"), binary(1, b"y")]})
    messages, _ = read(write(tmp_path / "a.har", one))
    assert [each.payload for each in messages] == [b"x", b"y"]


@pytest.mark.parametrize(
    ("creator", "words"),
    [
        ("WebInspector", ["open Chrome's DevTools before the page connects"]),
        ("WebKit Web Inspector", ["Safari", "open Chrome's DevTools"]),
        ("Firefox", ["Firefox", "open Chrome's DevTools"]),
        ("Playwright", ["Playwright", "1.61", 'record_har_content="embed"']),
        ("mitmproxy exporthar", ["mitmproxy", "10.1", "--set hardump=FILE.har"]),
        ("Charles Proxy", ["it was written by Charles Proxy", "open Chrome's DevTools"]),
        ("tes_nb", ["tes_nb wrote it"]),
        ("evil\n\x1b[31m" + "x" * 500, ["it was written by evil[31mxxx", "open Chrome's DevTools"]),
        (None, ["has no WebSocket messages: open Chrome's DevTools"]),
    ],
)
def test_a_file_without_messages_is_a_sentence_for_the_tool_at_hand(tmp_path, creator, words):
    content = har(entry("https://x/page.js", None))
    content["log"]["creator"] = {"name": creator, "version": "1"}
    (tmp_path / "a.har").write_text(json.dumps(content))
    with pytest.raises(SessionError) as caught:
        import_har(tmp_path / "a.har", tmp_path / "a.tes", recognise)
    sentence = str(caught.value)
    assert sentence.startswith("a.har has no WebSocket messages: ")
    assert sentence.endswith(".")
    assert len(sentence) < 400
    assert sentence.isprintable()
    for each in words:
        assert each in sentence


def test_a_large_file_in_utf_16_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    many = [text(number, "x" * 1000) for number in range(3000)]
    (tmp_path / "a.har").write_text(json.dumps(har(entry(METRICS, many))), encoding="utf-16")
    messages, _ = read(tmp_path / "a.har")
    assert len(messages) == 3000
    assert list((tmp_path / "temporary").iterdir()) == []
