"""Odds: markets, prices, lines, companies, and rows that stop early."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.streams.nowgoal.fields import HANDICAPS, HONG_KONG, PRICES
from tes_nb.streams.nowgoal.odds import _football_rows
from tes_nb.streams.nowgoal.odds_columns import OddsBatch, whole_records
from tes_nb.streams.nowgoal.records import DICTIONARIES, Context
from tes_nb.streams.nowgoal.stream import COMPANIES, decode
from tests.support.nowgoal_corpus import GAME_ODDS, ODDS, SHORT_ODDS, faults, message, odds_xml, read, rows

HANDICAP = {
    "channel": "ch_goal8_xml",
    "match_id": "3018359",
    "company_id": "8",
    "company": "Bet365",
    "market": "asian_handicap",
    "odds_id": "17535243",
    "line": 0.0,
    "line_raw": "0",
    "home": 2.2,
    "away": 1.63,
    "home_raw": "1.20",
    "away_raw": "0.63",
    "price_format": "hong_kong",
}
THREE_WAY = {
    "channel": "ch_goal8_xml",
    "match_id": "3018359",
    "company_id": "8",
    "company": "Bet365",
    "market": "1x2",
    "odds_id": "156460524",
    "home": 3.03,
    "draw": 3.24,
    "away": 2.21,
    "home_raw": "3.03",
    "draw_raw": "3.24",
    "away_raw": "2.21",
    "price_format": "decimal",
}
OVER_UNDER = {
    "channel": "ch_goal8_xml",
    "match_id": "3018359",
    "company_id": "8",
    "company": "Bet365",
    "market": "over_under",
    "odds_id": "20216243",
    "line": 2.25,
    "line_raw": "2.25",
    "over": 1.83,
    "under": 1.9,
    "over_raw": "0.83",
    "under_raw": "0.90",
    "price_format": "hong_kong",
}


def whatever(record):
    return rows("odds", decode(message(odds_xml(record))))


def test_the_real_record_has_three_markets():
    assert read("odds", odds_xml(ODDS)) == [HANDICAP, THREE_WAY, OVER_UNDER]


def test_the_real_short_record_stops_after_two():
    first, second = read("odds", odds_xml(SHORT_ODDS))
    assert (first["line"], first["line_raw"], first["home"], first["away"]) == (-0.5, "-0.5", 1.91, 1.89)
    assert (second["home"], second["draw"], second["away"]) == (1.63, 4.41, 5.28)


@pytest.mark.parametrize(("count", "markets"), [(5, 1), (9, 2), (13, 3), (14, 3), (24, 3)])
def test_rows_may_stop_after_any_market(count, markets):
    fields = ODDS.split(",")[:count]
    expected = [HANDICAP, THREE_WAY, OVER_UNDER][:markets]
    assert read("odds", odds_xml(",".join(fields))) == expected
    if count < 24:
        assert read("odds", odds_xml(",".join([*fields, ""]))) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 8, 10, 11, 12])
def test_rows_that_stop_within_a_market_keep_what_is_there(count):
    record = ",".join(ODDS.split(",")[:count])
    assert faults(odds_xml(record)) == ["too few fields"]
    for row, full in zip(whatever(record), (HANDICAP, THREE_WAY, OVER_UNDER), strict=False):
        assert row.items() <= full.items()
    assert len(whatever(record)) == (count + 2) // 4


def test_several_rows_may_share_a_match_element():
    text = f"<c><match><m>{ODDS}</m><m>{SHORT_ODDS}</m></match><match><m>{SHORT_ODDS}</m></match></c>"
    assert len(read("odds", text)) == 3 + 2 + 2


def test_a_market_that_is_empty_is_not_offered():
    assert read("odds", odds_xml("3018359,,,,,156460524,3.03,3.24,2.21,,,,")) == [THREE_WAY]
    assert read("odds", odds_xml("3018359,,,,,,,,,,,,")) == []


def test_hong_kong_prices_become_decimal_exactly():
    for cents in range(1, 300):
        text = f"{cents / 100:.2f}"
        (row,) = read("odds", odds_xml(f"1,9999999,0,{text},{text}"))
        assert row["home"] == row["away"] == float(f"{1 + cents / 100:.2f}")
        assert row["home_raw"] == text


def test_unreadable_prices_are_absent_and_kept_as_sent():
    record = ODDS.replace("1.20", "1.2O").replace("3.24", "-3.24")
    assert faults(odds_xml(record)) == ["unreadable field"] * 2
    handicap, three_way, over_under = whatever(record)
    assert handicap == {key: value for key, value in HANDICAP.items() if key != "home"} | {"home_raw": "1.2O"}
    assert three_way == {key: value for key, value in THREE_WAY.items() if key != "draw"} | {
        "draw_raw": "-3.24"
    }
    assert over_under == OVER_UNDER


def test_a_line_keeps_its_sign_and_its_text():
    for text, line in (("-0.25", -0.25), ("+1.5", 1.5), ("0", 0.0), ("10.75", 10.75)):
        assert read("odds", odds_xml(f"1,9999999,{text},0.9,0.9"))[0]["line"] == line
    assert faults(odds_xml("1,9999999,0.5/1,0.9,0.9")) == ["unreadable field"]
    (row,) = whatever("1,9999999,0.5/1,0.9,0.9")
    assert row["line_raw"] == "0.5/1"
    assert "line" not in row


@pytest.mark.parametrize("company", COMPANIES)
def test_the_company_is_the_channel_s(company):
    channel = f"ch_goal{company}_xml"
    found = read("odds", json.dumps({"channel": channel, "data": odds_xml(ODDS)}))
    assert {(row["channel"], row["company_id"], row["company"]) for row in found} == {
        (channel, company, COMPANIES[company])
    }


def test_an_unknown_company_keeps_its_id():
    text = json.dumps({"channel": "ch_goal99_xml", "data": odds_xml(ODDS, SHORT_ODDS)})
    assert faults(text) == ["unknown company"]
    found = rows("odds", decode(message(text)))
    assert {row["company_id"] for row in found} == {"99"}
    assert not any("company" in row for row in found)


def test_a_channel_that_names_no_company_gives_none():
    (row, *_) = read("odds", json.dumps({"channel": "other", "data": odds_xml(ODDS)}))
    assert row["channel"] == "other"
    assert "company_id" not in row


def test_basketball_s_row_is_a_handicap_without_an_id():
    assert read("odds", odds_xml(GAME_ODDS)) == [
        {
            "channel": "ch_nbaGoal8_xml",
            "match_id": "555",
            "company_id": "8",
            "company": "Bet365",
            "market": "asian_handicap",
            "line": -5.5,
            "line_raw": "-5.5",
            "home": 1.85,
            "away": 1.95,
            "home_raw": "0.85",
            "away_raw": "0.95",
            "price_format": "hong_kong",
        }
    ]


def test_a_football_row_cut_to_four_fields_is_not_taken_for_basketball():
    assert faults(odds_xml("3018359,17535243,0,1.20")) == ["too few fields"]
    (row,) = whatever("3018359,17535243,0,1.20")
    assert row["odds_id"] == "17535243"


def test_refresh_is_reported_where_the_message_has_it():
    text = odds_xml(ODDS).replace("<c>", '<c refresh="1">')
    assert {row["refresh"] for row in read("odds", text)} == {True}
    assert not any("refresh" in row for row in read("odds", odds_xml(ODDS)))


# --- what a record means is told by its values

WHOLE_GAME = "376203,-5.5,0.90,0.94,215.5,0.88,0.92,-2.5,0.85,0.95,108.5,0.91,0.89"
"""Basketball with as many fields as football has."""
MARKETS = ["asian_handicap", "over_under", "asian_handicap_half", "over_under_half"]


@pytest.mark.parametrize(("count", "markets"), [(4, 1), (7, 2), (10, 3), (13, 4)])
@pytest.mark.parametrize("channel", [None, "ch_nbaGoal8_xml"])
def test_basketball_comes_with_totals_and_the_first_half(count, markets, channel):
    record = ",".join(WHOLE_GAME.split(",")[:count])
    for end in ("", ","):
        text = odds_xml(record + end)
        found = read("odds", text if channel is None else json.dumps({channel: text}))
        assert [row["market"] for row in found] == MARKETS[:markets]
        assert {(row["channel"], row["match_id"], row["company"]) for row in found} == {
            ("ch_nbaGoal8_xml", "376203", "Bet365")
        }
        assert not any("odds_id" in row for row in found)


def test_the_values_of_a_whole_basketball_record():
    handicap, total, half, half_total = read("odds", odds_xml(WHOLE_GAME))
    assert (handicap["line"], handicap["home"], handicap["away"], handicap["price_format"]) == (
        *(-5.5, 1.9, 1.94),
        "hong_kong",
    )
    assert (total["line"], total["over"], total["under"], total["over_raw"]) == (215.5, 1.88, 1.92, "0.88")
    assert (half["line"], half["home"], half["away"]) == (-2.5, 1.85, 1.95)
    assert (half_total["line"], half_total["over"], half_total["under"]) == (108.5, 1.91, 1.89)


@pytest.mark.parametrize("line", ["-5.5", "+5.5", "0", "5", "-12", "3.25"])
@pytest.mark.parametrize("count", [4, 7, 13])
def test_a_basketball_record_is_never_taken_for_football(line, count):
    fields = WHOLE_GAME.split(",")[:count]
    found = read("odds", odds_xml(",".join([fields[0], line, *fields[2:]])))
    assert found[0]["channel"] == "ch_nbaGoal8_xml"
    assert found[0]["line"] == float(line)
    assert not any(row["market"] == "1x2" for row in found)


def test_basketball_on_football_s_channel_keeps_the_channel_and_its_meaning():
    found = read("odds", json.dumps({"ch_goal3_xml": odds_xml(ODDS, WHOLE_GAME)}))
    assert {row["channel"] for row in found} == {"ch_goal3_xml"}
    assert {row["company"] for row in found} == {"Crown"}
    assert [row["market"] for row in found] == ["asian_handicap", "1x2", "over_under", *MARKETS]


SENSELESS = "senseless value"


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("3.03", "0.92", "1x2"),
        ("3.24", "1", "1x2"),
        ("1.20", "0", "asian_handicap"),
        ("1.20", "60.5", "asian_handicap"),
        ("0.83", "215.5", "over_under"),
        ("17535243", "-5.5", "asian_handicap"),
        ("17535243", "1753.5", "asian_handicap"),
        ("156460524", "-1", "1x2"),
        ("20216243", "2a", "over_under"),
        ("2.25", "2.3", "over_under"),
        ("2.25", "20216243", "over_under"),
    ],
)
def test_a_market_with_a_value_that_makes_no_sense_has_no_row(old, new, lost):
    record = ODDS.replace(old, new, 1)
    for text in (odds_xml(record), odds_xml(ODDS, record)):
        decoded = decode(message(text))
        assert [row["reason"] for row in rows("raw", decoded)] == [SENSELESS]
        assert repr(new) in decoded.notes[0]
        expected = [row for row in (HANDICAP, THREE_WAY, OVER_UNDER) if row["market"] != lost]
        assert rows("odds", decoded)[-2:] == expected


def test_a_record_of_nothing_but_nonsense_is_undecoded():
    record = odds_xml("376203,5.3,0.00,99,1.1,61,0.001")
    decoded = decode(message(json.dumps({"ch_nbaGoal8_xml": record})))
    assert decoded.kind.value == "undecoded"
    assert decoded.reason == SENSELESS
    assert "odds" not in {name for name, found in decoded.rows.items() if found}


@pytest.mark.parametrize("count", [5, 6, 8, 9, 11, 12])
def test_a_basketball_record_that_stops_within_a_market_keeps_what_is_there(count):
    record = ",".join(WHOLE_GAME.split(",")[:count])
    assert faults(json.dumps({"ch_nbaGoal8_xml": odds_xml(record)})) == ["too few fields"]
    found = rows("odds", decode(message(odds_xml(record))))
    assert [row["market"] for row in found] == MARKETS[: (count + 1) // 3]


def test_what_is_new_and_what_is_known_are_judged_alike():
    """The first look at a number learns it; what a record means does not depend on that."""
    for turn in range(200):
        line, price = turn / 4 - 25, f"0.{turn % 90 + 10}7"
        record = f"1,{line:g},{price},{price},{200 + turn / 4:g},{price},{price}"
        first, again = (decode(message(odds_xml(record))) for _ in range(2))
        assert first == again
        assert [row["market"] for row in rows("odds", first)] == MARKETS[:2]


def known(cache, *texts):
    """Texts that were met before, among them the empty one."""
    for text in texts:
        cache[text]
    return st.sampled_from(["", *texts])


LINE, HONG, PRICE = (
    known(HANDICAPS, "0", "-0.25", "2.5"),
    known(HONG_KONG, "0.63", "1.20"),
    known(PRICES, "3.03", "2.21"),
)
IDS = st.sampled_from(["17535243", "5", "6", "7", "\u0663", "", "x"])
WHOLE = st.tuples(
    st.sampled_from(["3018359", "1", "2", ""]),
    IDS,
    LINE,
    HONG,
    HONG,
    IDS,
    PRICE,
    PRICE,
    PRICE,
    IDS,
    LINE,
    HONG,
    HONG,
)
CONTEXTS = st.builds(
    Context,
    st.sampled_from([None, "ch_goal8_xml"]),
    st.just(1),
    st.sampled_from([None, False, True]),
    st.sampled_from([None, "8"]),
    st.sampled_from([None, "Bet365"]),
)


@given(
    st.lists(st.tuples(CONTEXTS, st.lists(WHOLE.map(list), min_size=1, max_size=4)), min_size=1, max_size=4)
)
def test_columns_of_whole_records_are_the_rows_read_one_by_one(sent):
    """Whole is what has every id; then the rows are the same, and in the same order, alone and joined."""
    joined, rows_of_all = [], []
    for context, split in sent:
        batch = whole_records(split, context)
        ids = [fields[at] for fields in split for at in (1, 5, 9)]
        assert (batch is not None) == (all(fields[0] for fields in split) and all(map(str.isdecimal, ids)))
        if batch is not None:
            wanted = _football_rows(split, context, DICTIONARIES)
            assert (list(batch), len(batch)) == (wanted, len(wanted))
            joined += batch.items
            rows_of_all += wanted
    assert list(OddsBatch(joined)) == rows_of_all


def test_whole_messages_go_to_columns_and_what_lacks_something_to_rows():
    decode(message(odds_xml(ODDS)))  # each field is met
    assert isinstance(decode(message(odds_xml(ODDS, ODDS))).rows["odds"], OddsBatch)
    for record in (SHORT_ODDS, ODDS.replace("2.25", "731.25"), ODDS.replace("17535243", "")):
        assert not isinstance(decode(message(odds_xml(ODDS, record))).rows["odds"], OddsBatch)
        assert len(rows("odds", decode(message(odds_xml(ODDS, record))))) > 3
