"""Ticks: every spelling gives one normal form; what is missing is absent and counted."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.streams.nowgoal.stream import STREAM, decode
from tes_nb.streams.nowgoal.ticks import TYPES, MainType, PropType, quick_rows
from tests.support.nowgoal_corpus import PROP, TICK, faults, message, read, rows

NORMAL = {
    "game_id": "007",
    "bookmaker_id": "pinnacle",
    "odds_type": "moneyline",
    "old_value": 1.85,
    "new_value": 1.92,
    "timestamp": 1767225600000 * 10**6,
    "home_team": "Duke",
    "away_team": "UNC",
    "league": "WNCAAB",
}
PROP_NORMAL = NORMAL | {
    "odds_type": "player_prop",
    "player_id": "023",
    "player_name": "A. Player",
    "stat_type": "points",
}
MARKET_XML = '<market home="Duke" away="UNC" league="ncaab"/>'
TICK_XML = (
    '<oddsChange gameId="007" bookmakerId="pinnacle" type="ml" old="1.85" new="1.92" time="1767225600000">'
    f"{MARKET_XML}</oddsChange>"
)
PROP_XML = TICK_XML.replace('"ml"', '"prop"').replace(
    "</", '<player id="023" name="A. Player" stat="points"/></', 1
)


def without(key):
    return {name: value for name, value in TICK.items() if name != key}


SPELLINGS = {
    "the normal form": TICK,
    "an array": [TICK],
    "oddsChange around it": {"oddsChange": TICK},
    "odds around it": {"odds": TICK},
    "change around several": {"change": [TICK]},
    "id": without("gameId") | {"id": "007"},
    "the names of the XML": {
        "gameId": "007",
        "bookmakerId": "pinnacle",
        "type": "ml",
        "old": 1.85,
        "new": 1.92,
        "time": 1767225600000,
        "market": {"home": "Duke", "away": "UNC", "league": "NCAAB"},
    },
    "numbers as text": TICK | {"oldValue": "1.85", "newValue": " 1.92", "timestamp": "1767225600000"},
    "unknown fields beside it": TICK | {"volume": 12, "more": {"x": [1]}},
    "a type of the envelope": TICK | {"type": "oddsChange"},
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_json_spelling_gives_the_normal_form(name):
    assert read("ticks", json.dumps(SPELLINGS[name])) == [NORMAL]
    assert read("ticks", json.dumps(SPELLINGS[name], indent=2)) == [NORMAL]


@pytest.mark.parametrize("wrap", ["{}", "<?xml version='1.0'?>{}", "<all><some>{}</some></all>", " \n{} "])
def test_xml_gives_the_normal_form(wrap):
    assert read("ticks", wrap.format(TICK_XML)) == [NORMAL]
    assert read("ticks", wrap.format(PROP_XML)) == [PROP_NORMAL]


def test_props_name_their_player_in_either_way():
    assert read("ticks", json.dumps(PROP)) == [PROP_NORMAL]
    player = {"player": {"id": "023", "name": "A. Player", "stat": "points"}}
    assert read("ticks", json.dumps(TICK | {"oddsType": "prop"} | player)) == [PROP_NORMAL]


def test_several_in_one_message_are_several_ticks():
    assert read("ticks", TICK_XML + PROP_XML + TICK_XML) == [NORMAL, PROP_NORMAL, NORMAL]
    assert read("ticks", json.dumps([TICK, PROP, {"odds": [TICK, PROP]}])) == [NORMAL, PROP_NORMAL] * 2
    envelope = {"channel": "tes_ticks", "data": TICK_XML + PROP_XML}
    assert read("ticks", json.dumps(envelope)) == [
        {"channel": "tes_ticks"} | row for row in (NORMAL, PROP_NORMAL)
    ]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("moneyline", "moneyline"),
        ("ml", "moneyline"),
        ("spread", "spread"),
        ("line", "spread"),
        ("total", "total"),
        ("overunder", "total"),
        ("ou", "total"),
        ("OU", "total"),
        ("player_prop", "player_prop"),
        ("prop", "player_prop"),
    ],
)
def test_type_words_are_synonyms(word, kind):
    (row,) = read("ticks", json.dumps(PROP | {"oddsType": word}))
    assert row["odds_type"] == kind


@pytest.mark.parametrize(
    ("text", "league"),
    [
        ("wncaab", "WNCAAB"),
        ("NCAAB", "WNCAAB"),
        ("N.C.A.A.B", "WNCAAB"),
        ("NBA", "NBA"),
        ("nba 2", "NBA"),
        ("Euro", "EuroLeague"),
        ("Euro-League", "EuroLeague"),
        ("Premier League", "premierleague"),
        ("Süper Lig", "süperlig"),
    ],
)
def test_leagues_have_one_name(text, league):
    for _ in range(2):  # read, then remembered
        assert (
            read("ticks", json.dumps(TICK | {"market": TICK["market"] | {"league": text}}))[0]["league"]
            == league
        )


def test_ids_stay_text():
    assert read("ticks", json.dumps(TICK | {"gameId": "0007"}))[0]["game_id"] == "0007"
    assert read("ticks", json.dumps(TICK | {"gameId": 7}))[0]["game_id"] == "7"


def test_the_bookmaker_has_a_default():
    for tick in (without("bookmakerId"), TICK | {"bookmakerId": ""}, TICK | {"bookmakerId": None}):
        assert read("ticks", json.dumps(tick))[0]["bookmaker_id"] == "nowgoal-ws"


@pytest.mark.parametrize("value", ["1,85", "", None, "NaN", "inf", "1.85x", True, [], {}, "½", "1e3", "0x1"])
@pytest.mark.parametrize("field", ["oldValue", "newValue"])
def test_what_is_no_number_is_absent(field, value):
    text = json.dumps(TICK | {field: value})
    assert faults(text) == ["missing field" if value in ("", None) else "unreadable field"]
    (row,) = rows("ticks", decode(message(text)))
    column = {"oldValue": "old_value", "newValue": "new_value"}[field]
    assert row == {key: kept for key, kept in NORMAL.items() if key != column}


@pytest.mark.parametrize("value", [-1, 2**63, 1e300, "soon", "2026-01-01T00:00:00Z", True])
def test_what_is_no_time_is_absent(value):
    decoded = decode(message(json.dumps(TICK | {"timestamp": value})))
    assert len(decoded.notes) == 1
    assert not any("timestamp" in row for row in rows("ticks", decoded))


@pytest.mark.parametrize("key", [key for key in TICK if key != "bookmakerId"])
def test_each_missing_field_is_one_fault(key):
    assert faults(json.dumps(without(key))) == ["missing field"]
    assert faults(json.dumps([TICK, without(key)])) == ["missing field"]


@pytest.mark.parametrize("key", ["homeTeam", "awayTeam", "league"])
def test_each_missing_part_of_the_market_is_one_fault(key):
    market = {name: value for name, value in TICK["market"].items() if name != key}
    assert faults(json.dumps(TICK | {"market": market})) == ["missing field"]
    assert faults(json.dumps(TICK | {"market": "NBA"})) == ["unreadable field"]


def test_a_prop_without_its_player_has_three_faults():
    assert faults(json.dumps(TICK | {"oddsType": "prop"})) == ["missing field"] * 3


def test_text_that_looks_like_xml_stays_text():
    text = json.dumps(TICK | {"market": TICK["market"] | {"homeTeam": "<script>alert(1)</script>"}})
    assert read("ticks", text)[0]["home_team"] == "<script>alert(1)</script>"
    assert read("ticks", json.dumps(PROP | {"playerName": "<c><h>1^2^3^4</h></c>"}))[0][
        "player_name"
    ].startswith("<c>")


# --- the quick way and the careful way


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PRICES = st.floats(-1000, 1000).map(lambda price: round(price, 3)) | st.integers(-(2**53), 2**53)
TICKS = st.fixed_dictionaries(
    {
        "gameId": WORDS,
        "bookmakerId": WORDS,
        "oddsType": st.sampled_from(["moneyline", "ml", "spread", "line", "total", "overunder", "ou"]),
        "oldValue": PRICES,
        "newValue": PRICES,
        "timestamp": st.integers(0, (2**63 - 1) // 10**6),
        "market": st.fixed_dictionaries(
            {
                "homeTeam": WORDS,
                "awayTeam": WORDS,
                "league": st.sampled_from(["nba", "ncaab", "Liga: 1", "euro", "7"]),
            }
        ),
    }
)
PLAYERS = st.fixed_dictionaries(
    {
        "oddsType": st.sampled_from(["prop", "player_prop"]),
        "playerId": WORDS,
        "playerName": WORDS,
        "statType": WORDS,
    }
)
PROPS = st.builds(lambda tick, player: tick | player, TICKS, PLAYERS)


def careful(ticks):
    """The rows of the same ticks, kept off the quick way by a field that it does not know."""
    odd = [tick | {"unknown": 1} for tick in ticks]
    return decode(message(json.dumps(odd))).rows.get("ticks", [])


@given(st.lists(TICKS, max_size=4) | st.lists(PROPS, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_the_quick_way_gives_what_the_careful_way_gives(ticks, ascii_only, indent):
    expected = list(careful(ticks))
    for _ in range(2):  # a league that is new to the quick way is remembered by the careful one
        payload = json.dumps(ticks, ensure_ascii=ascii_only, indent=indent).encode()
        quick = quick_rows(payload)
        assert quick is None or quick == expected
        if len(ticks) == 1:
            single = quick_rows(json.dumps(ticks[0], ensure_ascii=ascii_only, indent=indent).encode())
            assert single is None or single == expected


def test_the_quick_way_is_taken_by_what_it_is_for():
    decode(message(json.dumps([TICK, PROP])))
    for ticks in ([TICK], [TICK] * 30, [PROP] * 3):
        assert quick_rows(json.dumps(ticks).encode()) is not None
    assert quick_rows(json.dumps(TICK).encode()) is not None


def test_the_quick_way_knows_the_words_of_the_careful_way():
    assert {*get_args(MainType), *get_args(PropType)} == set(TYPES)
    for word in TYPES:
        tick = (PROP if word in get_args(PropType) else TICK) | {"oddsType": word}
        assert quick_rows(json.dumps([tick]).encode()) == careful([tick])


@pytest.mark.parametrize("moment", [0, 0.5, 1.5, 2.5, 1767225600000.5, 9223372036854, -0.0])
def test_the_quick_way_rounds_moments_as_the_careful_way_does(moment):
    tick = TICK | {"timestamp": moment}
    expected = careful([tick])
    assert quick_rows(json.dumps(tick).encode()) == expected != []


def test_the_quick_way_leaves_moments_that_no_column_holds():
    for moment in (-1, 9223372036855, 1e300):
        assert quick_rows(json.dumps(TICK | {"timestamp": moment}).encode()) is None


@given(st.lists(TICKS | PROPS, min_size=1, max_size=3), st.data())
def test_a_key_that_comes_twice_never_passes_the_quick_way(ticks, data):
    at = data.draw(st.integers(0, len(ticks) - 1))
    tick = ticks[at]
    inner = data.draw(st.sampled_from([tick, tick["market"]]))
    key = data.draw(st.sampled_from(sorted(inner)))
    again = f"{json.dumps(key)}:{json.dumps(inner[key])},"
    texts = [json.dumps(other) for other in ticks]
    texts[at] = (
        texts[at].replace("{", "{" + again, 1)
        if inner is tick
        else texts[at].replace('"market": {', '"market": {' + again)
    )
    payload = f"[{','.join(texts)}]"
    assert quick_rows(payload.encode()) is None
    assert faults(payload) == ["duplicate key"]


def test_ticks_without_an_envelope_have_no_channel():
    place = STREAM.table("ticks").names.index("channel")
    assert [row[place] for row in decode(message(json.dumps([TICK, PROP]))).rows["ticks"]] == [None, None]
