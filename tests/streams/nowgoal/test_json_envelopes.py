"""JSON that holds records: under a channel's key, bare, several in one message, and as converters write XML."""

from __future__ import annotations

import json
import zlib

import pytest

from tes_nb.model import Kind, Opcode
from tes_nb.streams.nowgoal.stream import decode
from tests.support.nowgoal_corpus import (
    GAME,
    ODDS,
    SCORE,
    SHORT_ODDS,
    TICK,
    faults,
    message,
    odds_xml,
    read,
    rows,
    scores_xml,
)

CROWN, PINNACLE = "ch_goal3_xml", "ch_goal47_xml"


def companies(payload):
    found = read("odds", payload if isinstance(payload, str) else json.dumps(payload))
    return [(row["match_id"], row["company"], row["market"]) for row in found]


FOOTBALL = [("3003850", "asian_handicap"), ("3003850", "1x2")]


def of(company):
    return [(match, company, market) for match, market in FOOTBALL]


@pytest.mark.parametrize(
    "inner",
    [
        odds_xml(SHORT_ODDS),
        SHORT_ODDS,
        [odds_xml(SHORT_ODDS)],
        {"data": odds_xml(SHORT_ODDS)},
        f" {SHORT_ODDS}! ",
    ],
    ids=["XML", "bare", "a list", "an object", "bare with white space"],
)
def test_a_key_that_is_a_channel_is_the_channel(inner):
    assert companies({CROWN: inner}) == of("Crown")
    assert companies({CROWN: inner, PINNACLE: inner}) == [*of("Crown"), *of("Pinnacle")]
    assert companies({"data": {CROWN: inner}}) == of("Crown")
    assert companies([{CROWN: inner}, {PINNACLE: inner}]) == [*of("Crown"), *of("Pinnacle")]
    assert companies({"channel": PINNACLE, CROWN: inner}) == of("Crown")


def test_bare_records_are_joined_by_exclamation_marks():
    assert len(companies({CROWN: f"{ODDS}!{SHORT_ODDS}!{ODDS}"})) == 3 + 2 + 3
    assert companies({"channel": CROWN, "data": SHORT_ODDS, "time": "12:30", "n": "1,2"}) == of("Crown")
    (row,) = read("scores", json.dumps({"change_xml": f"{SCORE}!"}))
    assert (row["match_id"], row["channel"]) == ("1828723", "change_xml")
    (row,) = read("games", json.dumps({"nba_change_xml": GAME}))
    assert row["channel"] == "nba_change_xml"


def test_an_unknown_channel_s_key_is_named_all_the_same():
    (row, *_) = read("odds", json.dumps({"other_xml": odds_xml(ODDS)}))
    assert row["channel"] == "other_xml"
    assert "company_id" not in row


def test_bare_records_that_no_channel_names_are_not_guessed():
    assert faults(json.dumps({"data": ODDS})) == ["unknown form"]


def test_a_channel_without_a_change_is_no_fault():
    for payload in ({CROWN: ""}, {CROWN: None, PINNACLE: ""}, {CROWN: []}):
        decoded = decode(message(json.dumps(payload)))
        assert (decoded.kind, decoded.notes, decoded.rows) == (Kind.DATA, (), {})
    assert companies({CROWN: "", PINNACLE: SHORT_ODDS}) == of("Pinnacle")


def test_one_bad_channel_costs_the_others_nothing():
    text = json.dumps({CROWN: "<c><match>", PINNACLE: odds_xml(SHORT_ODDS), "ch_goal8_xml": "hello"})
    decoded = decode(message(text))
    assert decoded.kind is Kind.DATA
    assert {row["company"] for row in rows("odds", decoded)} == {"Pinnacle"}
    assert [(row["channel"], row["reason"]) for row in rows("raw", decoded)] == [
        (CROWN, "not XML"),
        ("ch_goal8_xml", "unknown form"),
    ]
    assert decode(message(json.dumps({CROWN: "hello"}))).kind is Kind.UNDECODED


def test_names_of_several_channels_are_no_answer():
    text = json.dumps({"from": CROWN, "to": PINNACLE, "data": odds_xml(SHORT_ODDS)})
    assert companies(text) == of("Bet365")  # nothing is known of the connection: the usual one


@pytest.mark.parametrize(
    "payload",
    [
        {"c": {"@_refresh": "0", "h": [SCORE, SCORE]}},
        {"c": {"@refresh": "0", "h": [{"#text": SCORE}, {"#cdata": SCORE}]}},
        {"?xml": {"@_version": "1.0"}, "c": {"@_refresh": "0", "h": [SCORE, SCORE]}},
    ],
)
def test_scores_that_a_converter_made_json_of_are_read(payload):
    assert read("scores", json.dumps(payload)) == read("scores", scores_xml(SCORE, SCORE, refresh="0"))


@pytest.mark.parametrize(
    "payload",
    [
        {"c": {"match": {"m": [ODDS, SHORT_ODDS]}}},
        {"c": {"match": [{"m": ODDS}, {"m": SHORT_ODDS}], "ids": "1,2", "isMaintain": 0}},
        {"odds": {"match": [{"m": ODDS}, {"m": SHORT_ODDS}]}},
    ],
)
def test_odds_that_a_converter_made_json_of_are_read(payload):
    assert read("odds", json.dumps(payload)) == read("odds", odds_xml(ODDS, SHORT_ODDS))


def test_nothing_in_a_converted_document_is_no_change():
    for payload in ({"c": {"match": "", "ids": "7"}}, {"c": {"@_refresh": "0"}}):
        decoded = decode(message(json.dumps(payload)))
        assert (decoded.kind, decoded.notes) == (Kind.DATA, ())


XML_TICK = (
    '<{0} gameId="007" bookmakerId="pinnacle" type="ml" old="1.85" new="1.92" time="1767225600000">'
    '<market home="Duke" away="UNC" league="ncaab"/></{0}>'
)
CONVERTED = {
    "@_gameId": "007",
    "@_bookmakerId": "pinnacle",
    "@_type": "ml",
    "@_old": 1.85,
    "@_new": "1.92",
    "@_time": "1767225600000",
    "market": {"@_home": "Duke", "@_away": "UNC", "@_league": "ncaab"},
}
FLAT = {key: value for key, value in TICK.items() if key != "market"} | TICK["market"]


@pytest.mark.parametrize(
    "text",
    [
        *(XML_TICK.format(name) for name in ("oddsChange", "odds", "change")),
        f"<odds>{XML_TICK.format('oddsChange')}</odds>",
        f"<change><odds>{XML_TICK.format('oddsChange')}</odds></change>",
        (
            '<oddsChange gameId="007" bookmakerId="pinnacle" type="ml" old="1.85" new="1.92" time="1767225600000" '
            'homeTeam="Duke" awayTeam="UNC" league="ncaab"/>'
        ),
        (
            "<oddsChange><gameId>007</gameId><bookmakerId>pinnacle</bookmakerId><type>ml</type><old>1.85</old>"
            "<new>1.92</new><time>1767225600000</time><market><home>Duke</home><away>UNC</away><league>ncaab</league>"
            "</market></oddsChange>"
        ),
        json.dumps({"oddsChange": CONVERTED}),
        json.dumps(CONVERTED),
        json.dumps([{"odds": [CONVERTED]}]),
        json.dumps(FLAT),
        json.dumps({"change": FLAT}),
    ],
)
def test_ticks_in_other_spellings_are_the_same_tick(text):
    (expected,) = decode(message(json.dumps(TICK))).rows["ticks"]
    (row,) = read("ticks", text)
    (again,) = decode(message(text)).rows["ticks"]
    assert tuple(again) == tuple(expected)
    assert row["home_team"] == "Duke"


def test_what_a_flat_tick_lacks_is_one_fault():
    assert faults(json.dumps({key: value for key, value in FLAT.items() if key != "awayTeam"})) == [
        "missing field"
    ]
    assert faults("<oddsChange/>").count("missing field") == 6


def test_xml_that_declares_chinese_is_read():
    declared = '<?xml version="1.0" encoding="gb2312"?>'
    assert read("odds", declared + odds_xml(ODDS)) == read("odds", odds_xml(ODDS))
    assert companies({CROWN: declared + odds_xml(SHORT_ODDS)}) == of("Crown")
    chinese = (declared + f"<c>{odds_xml(ODDS)}<ids>足球</ids></c>").encode("gb2312")
    decoded = decode(message(zlib.compress(chinese), Opcode.BINARY))
    assert (decoded.kind, decoded.notes, len(decoded.rows["odds"])) == (Kind.DATA, (), 3)
    for payload in (declared.encode() + b"<c>\xff\xff</c>", b"<c>\xd7\xe3</c>"):
        assert decode(message(zlib.compress(payload), Opcode.BINARY)).reason == "utf-8"


@pytest.mark.parametrize(
    "extra", ["<ids>1,2</ids>", "<jcIds/>", "<isMaintain>1</isMaintain>", "<ids><i>1</i></ids>"]
)
def test_harmless_elements_are_no_fault(extra):
    assert read("odds", f"<c><match><m>{ODDS}</m></match>{extra}</c>") == read("odds", odds_xml(ODDS))
    for text in (f"<c><match></match>{extra}</c>", f"<c>{extra}</c>"):
        decoded = decode(message(text))
        assert (decoded.kind, decoded.notes, decoded.rows) == (Kind.DATA, (), {})


@pytest.mark.parametrize(
    "text", ["<odds>hello</odds>", "<c>hello</c>", "<c><match>1,2,3</match></c>", "<x/>"]
)
def test_what_holds_other_things_alone_is_named(text):
    assert decode(message(text)).kind is Kind.UNDECODED
    assert faults(text) == ["unknown form"]
