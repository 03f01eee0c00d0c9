"""The NowGoal stream as a whole: every form of transport and envelope, what is refused, what is counted."""

from __future__ import annotations

import json
import random
import zlib

import pytest

from tes_nb.model import Kind, Opcode
from tes_nb.streams.nowgoal import stream as nowgoal
from tes_nb.streams.nowgoal.records import MAX_NOTES, MAX_RECORDS
from tes_nb.streams.nowgoal.stream import STREAM, classify, decode, subscription
from tests.support.deflate import FORMS, bomb
from tests.support.nowgoal_corpus import (
    CHANNELS,
    ENVELOPES,
    GAME,
    GAME_ODDS,
    ODDS,
    PROP,
    SCORE,
    SHORT_ODDS,
    SISTER,
    TICK,
    faults,
    message,
    odds_xml,
    rows,
    scores_xml,
    transports,
)

TABLE = {
    "change_xml": "scores",
    "nba_change_xml": "games",
    "ch_goal8_xml": "odds",
    "ch_nbaGoal8_xml": "odds",
}


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_reads_the_same_in_every_envelope_and_compression(channel, envelope):
    bare = decode(message(CHANNELS[channel]))
    assert bare.rows[TABLE[channel]]
    for sent in transports(ENVELOPES[envelope](CHANNELS[channel], channel)):
        assert classify(sent) is Kind.DATA
        assert decode(sent) == bare  # the channel too: named here, inferred there


@pytest.mark.parametrize("content", [TICK, [TICK, PROP], {"odds": TICK}, [{"change": PROP}]])
def test_ticks_read_the_same_in_every_compression(content):
    text = json.dumps(content)
    first = decode(message(text))
    assert first.rows["ticks"]
    assert first.notes == ()
    for sent in transports(text):
        assert classify(sent) is Kind.DATA
        assert decode(sent) == first


@pytest.mark.parametrize("payload", ["ok", " ok\n"])
def test_ok_is_a_keepalive_and_no_data(payload):
    for sent in transports(payload):
        assert decode(sent).kind is classify(sent) is Kind.KEEPALIVE
        assert not decode(sent).rows


def test_our_own_request_is_an_echo():
    sent = message(subscription(["scores"]))
    assert decode(sent).kind is classify(sent) is Kind.ECHO
    assert decode(message('{"channels": ["a_xml"], "type": 0}')).kind is Kind.ECHO


def test_an_empty_list_of_records_is_data_without_rows():
    for text in ("<c/>", '<c refresh="0"></c>', "[]"):
        decoded = decode(message(text))
        assert decoded.kind is Kind.DATA
        assert not any(decoded.rows.values())


UNREADABLE = {
    "words": (b"hello", "unknown form"),
    "nothing": (b"", "empty"),
    "a number": (b"7", "unknown form"),
    "okay": (b"okay", "unknown form"),
    "other JSON": (b'{"hello":1}', "unknown form"),
    "JSON that is no object": (b'["a",1]', "unknown form"),
    "other XML": (b"<html><b>x</b></html>", "unknown form"),
    "broken XML": (b"<c><h>", "not XML"),
    "a DTD": (b"<!DOCTYPE c><c/>", "dtd"),
    "a DTD in an envelope": (b'{"channel":"change_xml","data":"<!DOCTYPE c><c/>"}', "dtd"),
    "deep XML": (b"<c>" * 65 + b"</c>" * 65, "too deep"),
    "XML that is not UTF-8": (b"<c>\xff</c>", "utf-8"),
    "broken JSON": (b'{"a":', "not JSON"),
    "deep JSON": (b"[" * 65 + b"]" * 65, "too deep"),
    "a key twice": (b'{"gameId":"1","gameId":"2"}', "duplicate key"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(TICK).encode(), "bom"),
    "NaN": (json.dumps(TICK | {"oldValue": float("nan")}).encode(), "number"),
    "a lone surrogate": (b'{"gameId":"\\ud800"}', "surrogate"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_what_is_unreadable_as_a_whole_is_kept_counted_and_named(name, opcode):
    payload, reason = UNREADABLE[name]
    sent = payload if opcode == Opcode.TEXT else zlib.compress(payload)
    decoded = decode(message(sent, opcode))
    assert decoded.kind is Kind.UNDECODED
    assert decoded.reason == reason
    reasons = rows("raw", decoded)
    assert {row["reason"] for row in reasons} == {reason}
    assert len(decoded.notes) == len(reasons) == (2 if name == "JSON that is no object" else 1)
    assert reasons[0]["size"] == len(sent)
    assert reasons[0]["opcode"] == ("text" if opcode == Opcode.TEXT else "binary")
    assert bytes.fromhex(reasons[0].get("head", "")) == sent[:32]
    assert set(decoded.rows) == {"raw"}


def test_frames_that_do_not_inflate_are_undecoded():
    good = zlib.compress(CHANNELS["change_xml"].encode())
    for payload, reason in (
        (good[:-1], "truncated"),
        (good[:-1] + b"\0", "corrupt"),
        (good + b"x", "trailing bytes"),
        (zlib.compress(good), "twice compressed"),
        (bomb("gzip", 16 << 20), "too large"),
        (b"\xff" * 20, "corrupt"),
    ):
        decoded = decode(message(payload, Opcode.BINARY))
        assert decoded.kind is Kind.UNDECODED
        assert [row["reason"] for row in rows("raw", decoded)] == [reason]


def test_classify_tells_junk_from_data_by_the_first_bytes():
    for payload, opcode in ((b"junk", Opcode.TEXT), (b"\xff\xfe\xfd", Opcode.BINARY), (b"", Opcode.BINARY)):
        assert classify(message(payload, opcode)) is Kind.UNDECODED
    assert classify(message(b"\x78\x9c", Opcode.BINARY)) is Kind.UNDECODED


def test_one_bad_object_of_an_array_costs_the_others_nothing():
    array = [TICK, 7, {"channel": "change_xml", "data": "<c"}, {"data": scores_xml(SCORE)}, {"what": 1}]
    decoded = decode(message(json.dumps(array)))
    assert decoded.kind is Kind.DATA
    assert len(decoded.rows["ticks"]) == len(decoded.rows["scores"]) == 1
    assert [row["reason"] for row in rows("raw", decoded)] == ["unknown form", "not XML", "unknown form"]
    assert [row.get("channel") for row in rows("raw", decoded)] == [None, None, None]


# --- what is counted


def _mutations(rng):
    """Yield (message's text, table, faults injected into it), of every kind that the decoders must count."""
    score, game, odds = SCORE.split("^"), GAME.split("^"), ODDS.split(",")

    def with_field(fields, at, text, by):
        return by.join([*fields[:at], text, *fields[at + 1 :]])

    letters = rng.choice(["x", "1x", "1,5", "½", "--1", "1 2", "NaN", "0x1", "1_0", "e", "1e5", "9" * 40])
    yield scores_xml(SCORE, with_field(score, rng.choice([2, 3, 4, 6, 9, 16, 17]), letters, "^")), "scores", 1
    yield scores_xml(with_field(score, 18, "2", "^"), SCORE), "scores", 1
    yield (
        scores_xml(with_field(score, 10, rng.choice(["2020-13-01 00:00:00", "9999-01-01 00:00:00"]), "^")),
        "scores",
        1,
    )
    yield scores_xml(with_field(score, 1, rng.choice(["7", "-2", "99"]), "^"), SCORE), "scores", 1
    yield scores_xml("^".join(score[: rng.randrange(1, 4)]), SCORE), "scores", 1
    yield scores_xml(SCORE + "more", SCORE), "scores", 1
    yield scores_xml(SCORE + "^".join("abc"), SCORE), "scores", 1
    yield scores_xml("^" + SCORE.split("^", 1)[1], SCORE), "scores", 1
    yield scores_xml("", SCORE), "scores", 1
    yield scores_xml(with_field(with_field(score, 2, "x", "^").split("^"), 3, "y", "^")), "scores", 2
    yield scores_xml(SISTER.replace("2020,0,9,7,16,6", "2020,12,9,7,16,6")), "scores", 1
    yield scores_xml(SISTER.replace("^01-09^", "^13-09^")), "scores", 1
    yield scores_xml(with_field(game, rng.choice([1, 3, 5, 13, 15]), letters, "^"), GAME), "games", 1
    yield (
        scores_xml("^".join(game[: rng.randrange(1, 5)]), GAME)
        if rng.random() < 0.5
        else scores_xml(GAME + "x"),
        "games",
        1,
    )
    yield (
        odds_xml(with_field(odds, rng.choice([3, 4, 6, 7, 8, 11, 12]), rng.choice([letters, "-1.5"]), ",")),
        "odds",
        1,
    )
    yield odds_xml(ODDS, ",".join(odds[: rng.choice([1, 2, 3, 4, 6, 7, 8, 10, 11, 12])])), "odds", 1
    yield odds_xml(ODDS + ",", SHORT_ODDS), "odds", 1
    yield json.dumps({"channel": "ch_goal999_xml", "data": odds_xml(ODDS, SHORT_ODDS)}), "odds", 1
    yield json.dumps({"channel": "ch_nbaGoal8_xml", "data": odds_xml(GAME_ODDS, "5,1.5,0.9")}), "odds", 1
    tick = json.loads(json.dumps(rng.choice([TICK, PROP])))
    del tick[rng.choice([key for key in tick if key != "bookmakerId"])]
    yield json.dumps(tick), "ticks", 1
    renamed = {("x" + key if key == "newValue" else key): value for key, value in TICK.items()}
    yield json.dumps([TICK, renamed]), "ticks", 1
    wrong = TICK | {
        rng.choice(["gameId", "oddsType", "oldValue", "timestamp"]): rng.choice([[], [1], {"a": 1}, True])
    }
    yield json.dumps([wrong, TICK]), "ticks", 1
    yield json.dumps(TICK | {"oddsType": "sideways"}), "ticks", 1
    yield json.dumps(TICK | {"oldValue": "1,85"}), "ticks", 1
    yield json.dumps(TICK | {"market": TICK["market"] | {"league": "123"}}), "ticks", 1
    yield json.dumps([TICK, {"nothing": "known"}]), "ticks", 1
    yield "<x>" + scores_xml(SCORE) + "<y>7</y></x>", "scores", 1


def test_fault_62_every_injected_fault_is_counted_once_and_nothing_else_is_lost():
    rng = random.Random(62)
    counted = injected = 0
    for _ in range(60):
        for text, table, expected in _mutations(rng):
            form = rng.choice(list(FORMS))
            decoded = decode(message(FORMS[form](text.encode()), Opcode.BINARY))
            assert decoded.kind is Kind.DATA, text
            assert decoded.rows[table], text
            assert len(decoded.notes) == len(decoded.rows["raw"]) == expected, (text, decoded.notes)
            counted += len(decoded.notes)
            injected += expected
    assert counted == injected > 1000


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        '{"odds":{"a":1}}',
        '{"odds":[1,2]}',
        '{"type":5}',
        "[[]]",
        "<x><y>1</y><z>2</z></x>",
        '"text"',
        "null",
    ],
)
def test_fault_62_messages_of_an_unknown_schema_count_once_each(text):
    assert faults(text) == ["unknown form"]


def test_garbage_without_end_is_noted_with_an_end():
    bad = "x^" * 19
    decoded = decode(message(scores_xml(*[bad] * 2000)))
    assert len(decoded.notes) == MAX_NOTES
    assert "not noted" in decoded.notes[-1]
    assert rows("raw", decoded)[-1]["reason"] == "too large"


def test_a_message_with_too_many_records_is_refused():
    assert len(decode(message(scores_xml(*[SCORE] * MAX_RECORDS))).rows["scores"]) == MAX_RECORDS
    tick = {"gameId": "1", "oldValue": 1}
    for text in (
        scores_xml(*["1^0^0^0"] * (MAX_RECORDS + 1)),
        odds_xml(*["1,2,3,4,5"] * (MAX_RECORDS + 1)),
        json.dumps([tick] * (MAX_RECORDS + 1)),
        json.dumps({"odds": [tick] * (MAX_RECORDS + 1)}),
        json.dumps({"x": ["<c/>"] * (MAX_RECORDS + 2)}),
    ):
        assert faults(text) == ["too large"]


# --- the description


def test_the_stream_describes_itself():
    assert STREAM.name == "nowgoal"
    assert [table.name for table in STREAM.tables] == ["scores", "games", "odds", "ticks", "raw"]
    assert all("channel" in table.names and "time" not in table.names for table in STREAM.tables)
    assert STREAM.endpoint.path == "wss://live.nowgoal26.com/ws"
    source = STREAM.endpoint.token
    assert source.url == "https://live.nowgoal26.com/ajax/getwebsockettoken"
    assert source.nonce == "rnum"
    assert source.headers == {
        "Origin": "https://live.nowgoal26.com",
        "Referer": "https://live.nowgoal26.com/basketball",
        "Accept": "*/*",
    }
    assert (source.auth, nowgoal.QUERY_ENDPOINT.token.auth) == ("header", "query")
    assert nowgoal.QUERY_ENDPOINT.path == "wss://www.nowgoal26.com:9800/stream"
    assert source.query.format(channels="a,b", token="x") == "?channels=a,b&&token=x"
    assert nowgoal.STATES[-14] == "postponed"
    assert nowgoal.COMPANIES["47"] == "Pinnacle"


def test_every_row_has_a_cell_for_every_column():
    sent = [*CHANNELS.values(), json.dumps([TICK, PROP]), "junk"]
    for text in sent:
        for table, found in decode(message(text)).rows.items():
            for row in found:
                assert len(row) == len(STREAM.table(table).columns)
                for column, value in zip(STREAM.table(table).columns, row, strict=True):
                    _fits(column, value)


def _fits(column, value):
    kinds = {"float64": float, "boolean": bool, "str": str, "category": str}
    if value is not None:
        assert type(value) is kinds.get(column.dtype, int), column.name
    else:
        assert column.dtype not in {"int64", "float64"}, column.name
