"""What holds for every stream: described once, decodable, and never an uncaught exception."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import DecodeError
from tes_nb.model import Decoded, Kind, Stream
from tes_nb.streams import NAMES, all_streams, get, tes_protocol
from tes_nb.wire import json_guard
from tests.support.messages import message
from tests.support.observations import observation

STREAMS = pytest.mark.parametrize("stream", all_streams(), ids=lambda stream: stream.name)
PRODUCED = pytest.mark.parametrize(
    "stream", [one for one in all_streams() if one.producer], ids=lambda stream: stream.name
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def test_every_file_is_listed_once():
    assert len(set(NAMES)) == len(NAMES)
    assert [stream.name for stream in all_streams()] == list(NAMES)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match="status, workers, metrics"):
        get("nothing")


@STREAMS
def test_tables_are_well_described(stream: Stream):
    assert stream.main in [table.name for table in stream.tables]
    for table in stream.tables:
        assert table.doc
        assert len(set(table.names)) == len(table.names)
        assert set(table.key) <= set(table.names)
        drawn = {column.name for column in table.columns if column.kind in ("gauge", "counter")}
        assert set(table.plot) <= drawn
        for column in table.columns:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name), column.name
            assert column.doc, f"{stream.name}.{column.name} has no doc"


@STREAMS
@given(payload=st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_no_input_raises_anything_but_decode_error(stream: Stream, payload: bytes):
    assert stream.classify(message(payload)) in Kind
    try:
        decoded = stream.decode(message(payload))
    except DecodeError as error:
        assert error.reason
        return
    check_rows(stream, decoded)


def check_rows(stream: Stream, decoded: Decoded) -> None:
    for name, rows in decoded.rows.items():
        width = len(stream.table(name).columns)
        assert all(len(row) == width for row in rows)


@PRODUCED
def test_what_we_build_decodes(stream: Stream):
    assert stream.producer is not None
    built = stream.producer.build(observation())
    decoded = stream.decode(message(built))
    assert decoded.kind is Kind.DATA
    assert stream.classify(message(built)) is Kind.DATA
    assert decoded.sent_at_ns == 1_767_225_600_123_000_000
    assert decoded.rows[stream.main]
    check_rows(stream, decoded)


@PRODUCED
def test_what_our_own_collector_built_is_parsed_once_and_decodes_to_the_same(stream: Stream, monkeypatch):
    assert stream.producer is not None
    of_a_peer = message(stream.producer.build(observation()))
    expected = stream.decode(of_a_peer)

    def refuse(payload: bytes) -> None:
        raise AssertionError("parsed once more")

    monkeypatch.setattr(json_guard, "parse_json", refuse)
    monkeypatch.setattr(tes_protocol, "small_talk", refuse)
    assert stream.decode(msgspec.structs.replace(of_a_peer, conn=0)) == expected
    with pytest.raises(AssertionError, match="once more"):
        stream.decode(of_a_peer)


@STREAMS
@given(payload=st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_what_only_claims_to_be_our_own_raises_nothing_else_either(stream: Stream, payload: bytes):
    try:
        check_rows(stream, stream.decode(msgspec.structs.replace(message(payload), conn=0)))
    except DecodeError as error:
        assert error.reason


@PRODUCED
def test_http_halves_decode_to_the_same_row(stream: Stream):
    assert stream.producer is not None
    built = stream.producer.build(observation())
    for half in stream.producer.http:
        if half.path == stream.endpoint.poll:
            polled = stream.decode(message(half.bare(built)))
            assert polled.rows == stream.decode(message(built)).rows


@PRODUCED
@given(payload=st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_any_client_message_gets_an_answer(stream: Stream, payload: bytes):
    assert stream.producer is not None
    assert stream.producer.answer is not None
    answer = stream.producer.answer(payload, 1)
    assert answer.reply["type"]
    msgspec.json.encode(answer.reply)
