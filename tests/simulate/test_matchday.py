from collections import Counter
from itertools import pairwise

import pytest

from tes_nb.simulate import Options, matchday
from tes_nb.simulate.football import outcome
from tes_nb.simulate.matchday import MatchDay
from tes_nb.simulate.world import GameScore, Move, Price, Score

HOUR = 3600.0


def changes_of(kind, day, hours):
    return [change for change in day.until(hours * HOUR) if isinstance(change.body, kind)]


def test_the_same_seed_gives_the_same_day():
    first, second, other = (MatchDay(Options(seed=seed)).until(HOUR / 4) for seed in (7, 7, 8))
    assert first == second != other


def test_asking_in_steps_gives_the_same_as_asking_at_once():
    whole = MatchDay(Options()).until(600)
    day = MatchDay(Options())
    assert [change for at in range(1, 601) for change in day.until(at)] == whole


def test_changes_come_in_time_order_and_never_end():
    day = MatchDay(Options(matches=2, games=1))
    changes = day.until(12 * HOUR)
    assert all(one.at <= other.at for one, other in pairwise(changes))
    assert changes[-1].at > 11.9 * HOUR
    assert day.next_at > 12 * HOUR


def test_every_phase_of_a_match_is_on_show_from_the_start():
    states = {
        body.state for body in MatchDay(Options(matches=40, games=0, companies=())).standing("change_xml")
    }
    assert {1, 2, 3} <= states


def test_nothing_happens_without_matches():
    day = MatchDay(Options(matches=0, games=0))
    assert day.until(HOUR) == []
    assert day.next_at is None


def test_goals_are_as_frequent_as_in_football():
    day = MatchDay(Options(matches=30, games=0, companies=()))
    finals = [change.body for change in changes_of(Score, day, 6) if change.body.state == -1]
    assert len(finals) > 70
    assert 2.0 < sum(body.home + body.away for body in finals) / len(finals) < 3.6


def test_scores_only_rise_and_half_time_stays():
    last = {}
    for change in changes_of(Score, MatchDay(Options(matches=10, games=0, companies=())), 4):
        body, before = change.body, last.get(change.body.match_id)
        if before is not None:
            assert (body.home, body.away) >= (before.home, before.away) or body.home >= before.home
            assert body.home + body.away - before.home - before.away in {0, 1}
            assert before.half_home is None or (before.half_home, before.half_away) == (
                body.half_home,
                body.half_away,
            )
        last[body.match_id] = body


def test_a_goal_moves_the_prices_of_its_match():
    day = MatchDay(Options(matches=12, games=0))
    prices, goals = {}, {}
    for change in day.until(3 * HOUR):
        body = change.body
        if isinstance(body, Price):
            before = prices.get(body.match_id)
            scored = goals.pop(body.match_id, None)
            if scored is not None and before is not None and before.decimal[scored] > 1.2:
                assert body.decimal[scored] < before.decimal[scored]
            prices[body.match_id] = body
        elif isinstance(body, Score):
            before = goals.get(f"score {body.match_id}")
            if before is not None and (body.home, body.away) != before:
                goals[body.match_id] = 0 if body.home > before[0] else 2
            goals[f"score {body.match_id}"] = (body.home, body.away)


def test_rows_of_odds_stop_after_any_market():
    said = Counter(change.body.markets for change in changes_of(Price, MatchDay(Options()), 1))
    assert set(said) == {1, 2, 3}
    assert said[3] > said[1] + said[2]


def test_prices_hold_a_margin_and_stay_quotable():
    for change in changes_of(Price, MatchDay(Options()), 2):
        body = change.body
        assert all(1.01 <= price <= 101 for price in body.decimal)
        assert sum(1 / price for price in body.decimal) > 0.99
        assert min(*body.handicap_hk, *body.total_hk) > 0


def test_companies_quote_on_their_own_channels():
    channels = {change.channel for change in MatchDay(Options(companies=(8, 31), games=0)).until(600)}
    assert {"ch_goal8_xml", "ch_goal31_xml"} <= channels


def test_basketball_quarters_add_up_and_no_game_ends_level_before_three_overtimes():
    day = MatchDay(Options(matches=0, games=15))
    finals = [change.body for change in changes_of(GameScore, day, 5) if change.body.state == -1]
    assert len(finals) > 30
    for body in finals:
        home, away = (sum(part[side] for part in body.parts) for side in (0, 1))
        assert home != away or len(body.parts) == 7
        assert 40 < home < 180


def test_ticks_move_from_the_last_value():
    last = {}
    for change in changes_of(Move, MatchDay(Options()), 2):
        body = change.body
        key = (body.fixture.match_id, body.odds_type, body.player)
        assert body.old == last.get(key, body.old)
        assert body.old != body.new
        last[key] = body.new
    assert any(key[2] for key in last)


def test_every_team_says_that_it_is_simulated():
    day = MatchDay(Options(companies=()))
    day.until(3 * HOUR)
    roster = day.roster()
    assert len({fixture.match_id for fixture in roster}) == len(roster) > 20
    for fixture in roster:
        assert fixture.home_team.startswith("Simulated ")
        assert fixture.away_team.startswith("Simulated ")
        assert fixture.home_team != fixture.away_team


def test_old_matches_are_forgotten(monkeypatch):
    monkeypatch.setattr(matchday, "REMEMBERED", 10)
    day = MatchDay(Options(matches=10, games=0, companies=()))
    day.until(8 * HOUR)
    assert len(day.roster()) == 20
    assert len(day.standing("change_xml")) == 20
    # those that are on are all still known
    assert sum(body.state in {1, 2, 3} for body in day.standing("change_xml")) > 5


@pytest.mark.parametrize(
    ("to_come", "lead", "favourite"),
    [((1.5, 1.0), 0, 0), ((0.5, 0.5), 1, 0), ((0.1, 0.1), 0, 1), ((1.0, 1.0), -2, 2)],
)
def test_outcome_is_a_distribution(to_come, lead, favourite):
    chances = outcome(to_come, lead)
    assert sum(chances) == pytest.approx(1)
    assert max(range(3), key=chances.__getitem__) == favourite


def test_outcome_of_equal_sides_is_symmetric():
    home, _, away = outcome((1.3, 1.3), 0)
    assert home == pytest.approx(away)
