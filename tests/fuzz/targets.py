"""One function per parser that reads what strangers send: bytes in, nothing out, documented errors only.

The hypothesis tests beside this file run them in every test run; `run_atheris.py` runs them for as long as one
likes.
"""

from __future__ import annotations

import zlib

import msgspec

from tes_nb.errors import AuthenticationError, DecodeError
from tes_nb.model import Kind, Message, Opcode
from tes_nb.streams.nowgoal.stream import STREAM, classify, decode
from tes_nb.wire import inflate, json_guard, xml_guard
from tes_nb.wire.jwt import read_token


def fuzz_inflate(data):
    """Any bytes as a binary frame."""
    inflate.peek(data)
    try:
        text = inflate.inflate(data)
    except DecodeError as error:
        assert error.reason in inflate.REASONS
    else:
        assert len(text) <= inflate.LIMITS.inflated


def fuzz_json(data):
    """Any bytes as JSON."""
    try:
        value = json_guard.parse_json(data)
    except DecodeError as error:
        assert error.reason in json_guard.REASONS
    else:
        assert msgspec.json.decode(msgspec.json.encode(value)) == value


def fuzz_xml(data):
    """Any bytes as XML."""
    try:
        xml_guard.parse_xml(xml_guard.text_of(data))
    except DecodeError as error:
        assert error.reason in xml_guard.REASONS


def fuzz_token(data):
    """Any bytes as a token source's answer."""
    try:
        token = read_token(data, fetched_at_s=0, server_date_s=1_600_000_000)
    except AuthenticationError:
        return
    assert token.reveal()[9:] not in repr(token)


def fuzz_nowgoal_text(data):
    """Any bytes as a text message of NowGoal."""
    _check(Message("nowgoal", 0, Opcode.TEXT, data, 1_600_000_000_000_000_000, 0, 1, 1))


def fuzz_nowgoal_binary(data):
    """Any bytes as a binary message of NowGoal."""
    _check(Message("nowgoal", 0, Opcode.BINARY, data, 0, 0, 1, 1))


def fuzz_nowgoal_inflated(data):
    """Any bytes as what a good binary message of NowGoal holds."""
    _check(Message("nowgoal", 0, Opcode.BINARY, zlib.compress(data, 1), -(2**63), 0, 1, 1))


def _check(message):
    classify(message)
    decoded = decode(message)
    assert len(decoded.notes) == len(decoded.rows.get("raw", ()))
    assert decoded.kind is not Kind.UNDECODED or decoded.notes
    for table, rows in decoded.rows.items():
        width = len(STREAM.table(table).columns)
        assert all(len(row) == width for row in rows)


TARGETS = {
    name.removeprefix("fuzz_"): run for name, run in list(globals().items()) if name.startswith("fuzz_")
}
