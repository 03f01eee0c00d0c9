"""One match of a feed: found by name or id, its goals and steam as marks, its prices as a chart."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def ng():
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(tes.SIMULATED, speed=200)
        eventually(lambda: len(feed.odds) > 300 and len(feed.matches()) > 2 and len(feed.steam()), 40)
        yield feed


def test_a_match_is_found_by_its_id_and_by_a_part_of_its_name_that_is_its_own(ng):
    matches = ng.matches()
    match_id, home, away = matches.index[0], matches["home_team"].iloc[0], matches["away_team"].iloc[0]
    assert ng.match(match_id).title == f"{home} v {away}"
    assert ng.match(f"{home} v {away}".upper()).id == match_id
    assert ng.match(f"{home.split()[-1]} v {away.split()[-1]}").id == match_id  # "Rovers v Athletic"
    with pytest.raises(ArgumentError, match=r"matches fit 'Simulated'.*Say more of the name, or the id"):
        ng.match("Simulated")
    with pytest.raises(ArgumentError, match=r"No match fits 'Real Nowhere'. There are Simulated"):
        ng.match("Real Nowhere")


def test_its_frames_are_its_rows_alone_and_its_goals_are_where_the_score_changed(ng):
    def scorer():
        return next((one for one in map(ng.match, ng.matches().index) if len(one.goals)), None)

    eventually(scorer, 40)
    match = scorer()
    assert set(match.prices["match_id"]) <= {match.id}
    goals = match.goals
    scores = [tuple(row) for row in match.scores[["home_goals", "away_goals"]].dropna().to_numpy().tolist()]
    changes = [now for before, now in itertools.pairwise(scores) if now != before]
    assert [tuple(row) for row in goals[["home_goals", "away_goals"]].to_numpy().tolist()] == changes[
        : len(goals)
    ]
    assert f"{len(goals)} goals seen" in repr(match)
    marks = ng.subject_notes()()["marks"]
    own = [mark for mark in marks if mark["subject"] == match.id and mark["label"].startswith("goal")]
    assert pd.Timestamp(own[0]["t"], unit="s", tz="UTC") == pytest.approx(
        goals.index[0], abs=pd.Timedelta("1ms")
    )
    assert own[0]["label"] == "goal {home_goals}:{away_goals}".format(**goals.iloc[0])


def test_steam_gives_the_moves_alone_and_a_chart_marks_those_of_its_match(ng):
    steam = ng.steam()
    assert steam["steam"].all()
    assert len(ng.steam(all=True)) > len(steam)
    match_id = str(steam["game_id"].iloc[0])
    chart = ng.plot(match=match_id, market="1x2")
    try:
        assert chart.spec["filter"] == f"match_id = {match_id} · market = 1x2"
        marks = chart._push.content._annotations.state()["marks"]
        assert {mark["subject"] for mark in marks} == {match_id}
        assert any(mark["label"].startswith("steam ") for mark in marks)
        points = [mark for mark in marks if "value" in mark]
        prices = ng.match(match_id).prices
        assert points
        for point in points:  # on a line of its panel, at its time
            at = pd.Timestamp(point["t"], unit="s", tz="UTC")
            then = prices[abs(prices.index - at) < pd.Timedelta("1ms")]
            sides = then[["home", "draw", "away", "over", "under"]].to_numpy()
            assert (abs(sides - point["value"]) < 1e-9).any(), point
    finally:
        chart.close()


def test_a_market_that_there_is_not_is_a_sentence_with_those_there_are(ng):
    match = ng.match(ng.matches().index[0])
    for act in (
        lambda: ng.plot(match=match.id, market="1x3"),
        lambda: ng.plot(market=["over_under", "1x3"]),
        lambda: match.plot("1x3"),
    ):
        with pytest.raises(
            ArgumentError, match=r"no market '1x3'; there are asian_handicap, 1x2.*mean '1x2'\?"
        ):
            act()
