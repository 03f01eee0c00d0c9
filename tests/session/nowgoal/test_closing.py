"""States at a moment, closing and opening prices: against what the raw messages say."""

from __future__ import annotations

import re
import zlib

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tests.support.nowgoal_sessions import at, gap, odds, recording, score


def text_of(message):
    """The text of a message, inflated by zlib alone."""
    for bits in (15, 31, -15):
        try:
            return zlib.decompress(message.payload, bits).decode()
        except zlib.error:
            continue
    return message.payload.decode()


def closing_by_hand(messages):
    """(match, market) → closing prices as sent, in a plain loop over the raw messages."""
    state, last, closing = {}, {}, {}
    for message in messages:
        text = text_of(message) if message.opcode else ""
        for record in re.findall(r"CDATA\[([^\]]*)\]", text):
            for line in record.split("!"):
                match, now, *_ = line.split("^")
                if state.get(match) == "0" and now == "1":
                    closing.update(
                        {(match, market): price for (one, market), price in last.items() if one == match}
                    )
                state[match] = now
        for record in re.findall(r"<m>(.*?)</m>", text):
            match, *fields = record.split(",")
            for market, place, count in (("asian_handicap", 1, 3), ("1x2", 5, 3), ("over_under", 9, 3)):
                prices = fields[place : place + count] if market != "1x2" else fields[5:8]
                if len(fields) > place and any(prices):
                    last[match, market] = prices
    return closing


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("closing") / "day.tes"
    with tes.start(ports=(0, 0)) as session:
        ng = session.watch(tes.SIMULATED, ["scores", "odds"], speed=600, seed=11)
        with session.record(path):
            ng.wait(seconds=14)
        live = ng.closing()
        last = ng.store.newest_ns
    with tes.open(path) as recorded:
        yield recorded.simulated, live, last


def test_closing_prices_equal_those_by_hand_from_the_raw_messages(day):
    ng, live, _ = day
    by_hand = closing_by_hand(ng.origin.file.messages("simulated"))
    closing = ng.closing()
    raw = {
        (row.match_id, row.market): [
            text
            for text in (row.line_raw, row.home_raw, row.draw_raw, row.away_raw, row.over_raw, row.under_raw)
            if isinstance(text, str)
        ]
        for row in closing.itertuples()
    }
    assert len({match for match, _ in raw}) >= 5
    assert raw == by_hand
    assert (closing.index < pd.DatetimeIndex(closing["kick_off"])).all()
    assert closing["home_team"].str.startswith("Simulated").all()  # no stand-in runs any more
    both = live.index.intersection(closing.index)
    assert len(both) > 5
    prices = ["match_id", "market", "line", "home", "draw", "away", "over", "under", "kick_off", "home_team"]
    here, there = (one.loc[both, prices].astype({"market": "str"}) for one in (live, closing))
    pd.testing.assert_frame_equal(here, there)
    assert live["home_team"].str.startswith("Simulated").all()


def test_a_price_across_a_gap_is_no_closing_price_unless_asked(tmp_path):
    steps = [
        (1, score(7, 0)), (1, score(8, 0)), (2, odds(7, 0.9)), (3, odds(8, 0.5)),
        (4, gap(4, 6)), (7, odds(8, 0.6)), (10, score(7, 1)), (10, score(8, 1)), (11, odds(7, 0.1)),
    ]  # fmt: skip
    with recording(tmp_path / "c.tes", steps) as rec:
        ng = rec.nowgoal
        assert ng.closing()[["match_id", "home"]].to_numpy().tolist() == [["8", 1.6]]
        assert ng.closing().attrs["left_out"] == 1
        assert sorted(ng.closing(across_gaps=True)["home"]) == [1.6, 1.9]
        assert ng.as_of("kick_off", "scores")["state"].tolist() == []  # the rows of scores lie before the gap
        assert ng.as_of("kick_off", "scores", across_gaps=True)["state"].tolist() == [0, 0]


def test_a_match_that_was_not_seen_to_kick_off_has_no_closing_price(tmp_path):
    steps = [(1, odds(7, 0.9)), (2, score(7, 1)), (3, odds(7, 0.8)), (4, score(8, 0)), (5, odds(8, 0.5))]
    with recording(tmp_path / "n.tes", steps) as rec:
        assert rec.nowgoal.closing().empty
        assert "kick_off" in rec.nowgoal.closing().columns


def test_as_of_is_the_newest_row_of_each_key_by_then(day):
    ng, _, last = day
    moment = ng.odds.frame().index[200]
    got = ng.as_of(moment, "odds")
    newest = {}
    for row in ng.odds.frame().itertuples():
        if row.Index <= moment:
            newest[row.match_id, row.company_id, row.market] = (row.seq, row.home_raw, row.over_raw)
    assert {
        (r.match_id, r.company_id, r.market): (r.seq, r.home_raw, r.over_raw) for r in got.itertuples()
    } == newest
    assert got.attrs["as_of"] == moment
    assert got.attrs["left_out"] == 0
    assert len(ng.as_of(last)) == ng.scores.frame()["match_id"].nunique()


def test_marks_cells_and_times_are_moments(tmp_path):
    steps = [(1, odds(7, 0.9)), (2, odds(7, 0.8)), (5, gap(2, 5)), (6, odds(8, 0.7))]
    with recording(tmp_path / "m.tes", steps) as rec:
        ng = rec.nowgoal
        assert ng.as_of(at(1.5), "odds")["home"].tolist() == [1.9]
        assert ng.as_of("2026-01-01 00:00:01.500", "odds")["home"].tolist() == [1.9]
        assert ng.as_of(at(2), "odds")["home"].tolist() == [1.8]  # the gap has not begun yet
        assert ng.as_of(at(2.5), "odds").empty
        assert ng.as_of(at(7), "odds")["home"].tolist() == [1.7]
        assert sorted(ng.as_of(at(7), "odds", across_gaps=True)["home"]) == [1.7, 1.8]
        assert ng.as_of(at(0), "odds").empty
        cell = pd.Series({"number": 3, "start": pd.Timestamp(at(0.5), tz="UTC"), "wall_s": 1.0})
        assert ng.as_of(cell, "odds")["home"].tolist() == [1.9]
        with pytest.raises(ArgumentError, match="No cell with the number 3"):
            ng.as_of("cell 3")
        with pytest.raises(ArgumentError, match="no time that can be used"):
            ng.as_of("lunch")
        with pytest.raises(ArgumentError, match="no matches that kick off"):
            ng.as_of("kick_off", "ticks")


def test_as_of_of_a_session_knows_marks_and_ended_workers(tmp_path):
    path = tmp_path / "s.tes"
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=1, timeout=20)
        with session.record(path):
            session.mark("one")
            session.metrics.wait(rows=3, timeout=20)
            session.mark("two")
            session.mark("twice")
            session.mark("twice")
            session.metrics.wait(rows=1, timeout=20)
        live = session.metrics.as_of("two")
        assert len(live) == 1
        assert session.as_of("two")["metrics"]["seq"].tolist() == live["seq"].tolist()
    with tes.open(path) as rec:
        assert rec.as_of("two")["metrics"]["seq"].tolist() == live["seq"].tolist()
        assert rec.metrics.as_of("one")["seq"].tolist() < live["seq"].tolist()
        with pytest.raises(ArgumentError, match="There are 2 marks 'twice'"):
            rec.as_of("twice")


def test_an_opening_price_is_said_to_be_one_only_where_that_is_known(tmp_path):
    steps = [
        (1, odds(7, 0.9)),  # the first seen; what was before, nobody knows
        (2, odds(8, 0.9, refresh=1)),  # stood when everything was sent anew
        (3, odds(9, 0.9)), (4, odds(9, 0.8)),  # was not among it: this is its opening price
        (5, score(6, 1)), (6, odds(6, 0.9)),  # is played already
        (7, gap(6.5, 7)), (8, odds(5, 0.9)),  # may have been sent during the gap
    ]  # fmt: skip
    with recording(tmp_path / "o.tes", steps) as rec:
        opening = rec.nowgoal.opening().set_index("match_id")
    said = {match: None if pd.isna(value) else bool(value) for match, value in opening["opening"].items()}
    assert said == {"7": None, "8": False, "9": True, "6": False, "5": None}
    assert opening.loc["9", "home"] == 1.9
