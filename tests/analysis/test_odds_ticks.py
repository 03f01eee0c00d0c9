import doctest

import numpy as np
import pandas as pd
import pytest

from tes_nb.analysis import odds as odds_module
from tes_nb.analysis.odds import ticks_from_odds
from tes_nb.errors import TesError
from tes_nb.model import Message
from tes_nb.simulate import Options
from tes_nb.simulate.composer import Composer
from tes_nb.simulate.encoding import Instant
from tes_nb.simulate.matchday import MatchDay
from tes_nb.streams.nowgoal.stream import STREAM
from tes_nb.wire.events import Gap

COLUMNS = [
    *("game_id", "bookmaker_id", "odds_type", "old_value", "new_value", "timestamp"),
    *("home_team", "away_team", "league", "player_id", "player_name", "stat_type"),
    *("market", "side", "line"),
]


def at(second):
    return pd.Timestamp("2026-03-01 15:00:00", tz="UTC") + pd.Timedelta(second, "s")


def odds(*rows, market="over_under", **fields):
    """Rows of (second, over, under), or as the market has it, with a line of 2.5 unless told otherwise."""
    sides = odds_module.MARKET_SIDES[market]
    frame = pd.DataFrame([row[1:] for row in rows], columns=list(sides), index=[at(row[0]) for row in rows])
    basis = {"match_id": "1", "company_id": "8", "market": market, "line": 2.5}
    return frame.assign(**(basis | fields)).rename_axis("time")


def moves(ticks):
    return [
        (int((stamp - at(0)).total_seconds()), side, old, new)
        for stamp, side, old, new in zip(
            ticks["timestamp"], ticks["side"], ticks["old_value"], ticks["new_value"], strict=True
        )
    ]


THREE = odds((0, 1.9, 1.9), (5, 1.95, 1.9), (9, 1.95, 1.8))


def test_examples():
    assert doctest.testmod(odds_module).failed == 0


def test_each_change_of_a_side_is_a_tick():
    ticks = ticks_from_odds(THREE)
    assert moves(ticks) == [(5, "over", 1.9, 1.95), (9, "under", 1.9, 1.8)]
    assert list(ticks.columns) == COLUMNS
    assert list(ticks.index) == list(ticks["timestamp"])
    assert ticks[["game_id", "bookmaker_id", "odds_type"]].to_numpy().tolist() == [["1", "8", "total"]] * 2
    assert ticks[["home_team", "league", "player_id"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("market", "word"), [("1x2", "moneyline"), ("asian_handicap", "spread"), ("over_under", "total")]
)
def test_markets_have_the_words_of_tes(market, word):
    count = len(odds_module.MARKET_SIDES[market])
    ticks = ticks_from_odds(odds((0, *[2.0] * count), (1, *[2.1] * count), market=market))
    assert ticks["odds_type"].tolist() == [word] * count
    assert ticks["side"].tolist() == list(odds_module.MARKET_SIDES[market])


def test_none_across_a_change_of_the_line():
    rows = THREE.assign(line=[2.5, 2.75, 2.75])
    assert moves(ticks_from_odds(rows)) == [(9, "under", 1.9, 1.8)]


def test_no_line_is_a_line_too():
    assert len(ticks_from_odds(THREE.assign(line=np.nan))) == 2
    assert len(ticks_from_odds(THREE.drop(columns="line"))) == 2
    assert len(ticks_from_odds(THREE.assign(line=[np.nan, 2.5, 2.5]))) == 1


def gap(second):
    ns = at(second).value
    return Gap(conn=1, last_seen_ns=None, lost_at_ns=ns, back_at_ns=ns + 10**9, cause="test")


@pytest.mark.parametrize(("second", "left"), [(-1, 2), (0, 1), (4, 1), (5, 1), (8, 1), (9, 2), (99, 2)])
def test_none_across_a_gap(second, left):
    as_time = pd.DataFrame({"lost_at": [at(second)], "back_at": [pd.NaT]})
    as_ns = pd.DataFrame({"lost_at_ns": [at(second).value]})
    for gaps in ([gap(second)], as_time, as_ns):
        assert len(ticks_from_odds(THREE, gaps)) == left


def test_none_across_rows_of_na_which_stand_for_gaps():
    hole = pd.DataFrame({"match_id": [None]}, index=[at(7)])
    assert moves(ticks_from_odds(pd.concat([THREE, hole]))) == [(5, "over", 1.9, 1.95)]


def test_none_across_a_refresh_of_the_odds_or_the_scores():
    rows = THREE.assign(refresh=pd.array([False, False, True], dtype="boolean"))
    assert moves(ticks_from_odds(rows)) == [(5, "over", 1.9, 1.95)]
    unknown = THREE.assign(refresh=pd.array([None] * 3, dtype="boolean"))
    assert len(ticks_from_odds(unknown)) == 2
    scores = pd.DataFrame({"refresh": pd.array([False, True], dtype="boolean")}, index=[at(2), at(7)])
    assert moves(ticks_from_odds(THREE, scores=scores)) == [(5, "over", 1.9, 1.95)]


def test_none_from_or_to_an_absent_price():
    rows = THREE.assign(over=[1.9, np.nan, 1.95])
    assert moves(ticks_from_odds(rows)) == [(9, "under", 1.9, 1.8)]


def test_matches_companies_and_markets_do_not_mix():
    for field, other in (("match_id", "2"), ("company_id", "31"), ("market", "1x2")):
        rows = THREE.assign(**{field: [THREE[field].iloc[0], other, THREE[field].iloc[0]]})
        assert moves(ticks_from_odds(rows)) == [(9, "over", 1.9, 1.95), (9, "under", 1.9, 1.8)]


def test_none_from_rows_of_which_nobody_says_whose_they_are():
    """They may be of several companies: what looks like a move may be two prices of two."""
    unknown = THREE.assign(channel=pd.Categorical([None] * 3), company_id=pd.Categorical([None] * 3))
    assert len(ticks_from_odds(unknown)) == 0
    own = THREE.assign(channel="tes_ticks_xml", company_id=None)
    assert moves(ticks_from_odds(own)) == moves(ticks_from_odds(THREE))


def test_the_first_half_is_a_market_of_its_own():
    half = THREE.assign(market="over_under_half", over=[2.0, 2.2, 2.2])
    ticks = ticks_from_odds(pd.concat([THREE, half]))
    whole = ticks[ticks["market"] == "over_under"]
    assert moves(whole) == moves(ticks_from_odds(THREE))
    of_half = ticks[ticks["market"] == "over_under_half"]
    assert moves(of_half) == [(5, "over", 2.0, 2.2), (9, "under", 1.9, 1.8)]
    assert set(ticks["odds_type"]) == {"total"}


def test_rows_in_any_order_and_rows_of_the_same_time():
    assert moves(ticks_from_odds(THREE.iloc[[2, 0, 1]])) == moves(ticks_from_odds(THREE))
    same = odds((0, 1.9, 1.9), (0, 2.0, 1.9), (0, 2.1, 1.9))
    assert moves(ticks_from_odds(same)) == [(0, "over", 1.9, 2.0), (0, "over", 2.0, 2.1)]


def test_names_are_taken_where_there_are_some():
    ticks = ticks_from_odds(THREE.assign(home_team="A", away_team="B", league="NBA"))
    assert ticks[["home_team", "away_team", "league"]].to_numpy().tolist() == [["A", "B", "NBA"]] * 2


def test_nothing_gives_an_empty_table():
    for rows in (THREE.iloc[:0], THREE.iloc[:1], THREE.assign(match_id=None)):
        ticks = ticks_from_odds(rows)
        assert len(ticks) == 0
        assert list(ticks.columns) == COLUMNS


def test_another_frame_is_refused_with_a_sentence():
    with pytest.raises(TesError, match="the frame lacks company_id, market"):
        ticks_from_odds(THREE.drop(columns=["company_id", "market"]))
    with pytest.raises(TesError, match="none of the price columns"):
        ticks_from_odds(THREE.drop(columns=["over", "under"]))
    with pytest.raises(TesError, match="needs the column lost_at"):
        ticks_from_odds(THREE, pd.DataFrame({"when": [1]}))


def test_the_input_is_left_as_it_is():
    rows = THREE.iloc[[2, 0, 1]].copy()
    before = rows.copy()
    ticks_from_odds(rows)
    pd.testing.assert_frame_equal(rows, before)


def decoded_odds(seconds):
    """The table odds as the decoder gives it, of a simulated match day."""
    options = Options(matches=4, games=1)
    day, composer = MatchDay(options), Composer(options)
    names = STREAM.table("odds").names
    rows, times = [], []
    for number, change in enumerate(day.until(seconds), 1):
        if change.channel in {"ch_goal8_xml", "ch_nbaGoal8_xml"}:
            now = at(change.at)
            text = composer.changes(change.channel, [change], number, Instant(now.timestamp(), change.at))
            frame = composer.encode(text)
            message = Message("nowgoal", 0, 1 if frame.text else 2, frame.payload, now.value, 0, 1, number)
            found = STREAM.decode(message).rows["odds"]
            rows += found
            times += [now] * len(found)
    return pd.DataFrame(rows, columns=list(names), index=pd.DatetimeIndex(times, name="time"))


def test_a_simulated_match_day_gives_the_moves_one_finds_by_hand():
    rows = decoded_odds(600)
    ticks = ticks_from_odds(rows)
    by_hand = []
    last = {}
    for stamp, row in rows.iterrows():
        key = (row["match_id"], row["company_id"], row["market"])
        before = last.get(key)
        last[key] = row
        same_line = before is not None and (
            before["line"] == row["line"] or (pd.isna(before["line"]) and pd.isna(row["line"]))
        )
        if same_line:
            pairs = [(side, before[side], row[side]) for side in odds_module.SIDES]
            by_hand += [
                (stamp, row["match_id"], row["market"], side, old, new)
                for side, old, new in pairs
                if pd.notna(old) and pd.notna(new) and old != new
            ]
    columns = ["timestamp", "game_id", "market", "side", "old_value", "new_value"]
    assert [tuple(row) for row in ticks[columns].astype(object).to_numpy()] == by_hand
    assert len(by_hand) > 100
