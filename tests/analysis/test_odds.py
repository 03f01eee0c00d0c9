import doctest

import numpy as np
import pandas as pd
import pytest

from tes_nb.analysis import odds
from tes_nb.analysis.odds import around, example, example_scores, goals, implied, movement, overround, wide
from tes_nb.errors import TesError

NAN = np.nan


def test_examples():
    assert doctest.testmod(odds).failed == 0


def test_wide_gives_one_market_of_one_match():
    two = pd.concat([example(), example().assign(match_id="8")])
    series = wide(two, "7", "over_under")
    assert list(series.columns) == ["over", "under", "line"]
    assert series.to_numpy().tolist() == [[1.80, 1.94, 2.5]]
    assert series.index.name == "time"
    assert len(wide(two, "9", "1x2")) == 0


def test_wide_wants_one_company():
    two = pd.concat([example(), example().assign(company_id="31")])
    with pytest.raises(TesError, match="quoted by 8, 31: name one"):
        wide(two, "7", "1x2")
    assert len(wide(two, "7", "1x2", company_id="31")) == 2


def test_wide_knows_its_markets():
    with pytest.raises(TesError, match="no market 'corners'; there are asian_handicap"):
        wide(example(), "7", "corners")


def test_fair_probabilities_sum_to_one_and_plain_ones_to_the_margin():
    fair = implied(example())
    assert fair.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert (implied(example(), fair=False).sum(axis=1) - 1).tolist() == pytest.approx(
        overround(example()).tolist()
    )
    assert fair["over"].isna().tolist() == [True, True, False]


def test_a_row_that_lacks_a_side_has_no_margin():
    rows = example().assign(draw=NAN)
    assert overround(rows).isna().tolist() == [True, True, False]
    assert implied(rows)["home"].isna().all()
    assert implied(rows, fair=False)["home"].notna().sum() == 2


def test_an_unknown_market_has_no_margin():
    rows = example().assign(market=pd.Categorical([None, "corners", "1x2"]))
    assert overround(rows).isna().all()


def test_movement_since_the_opening():
    moved = movement(example())
    assert moved.index.names == ["match_id", "company_id", "market", "side"]
    assert list(moved.columns) == ["open", "last", "change", "percent", "open_line", "line", "rows"]
    home = moved.loc[("7", "8", "1x2", "home")]
    assert (home["open"], home["last"], home["rows"]) == (2.0, 1.6, 2)
    assert home["percent"] == pytest.approx(-20)
    over = moved.loc[("7", "8", "over_under", "over")]
    assert (over["change"], over["open_line"], over["rows"]) == (0.0, 2.5, 1)


def test_movement_tells_both_lines():
    rows = example().iloc[[2, 2]].assign(line=[2.5, 3.0])
    over = movement(rows).loc[("7", "8", "over_under", "over")]
    assert (over["open_line"], over["line"]) == (2.5, 3.0)


def scores(*rows):
    times = pd.to_datetime([60 * minute for minute, *_ in rows], unit="s", utc=True)
    frame = pd.DataFrame(
        [row[1:] for row in rows], columns=["match_id", "home_goals", "away_goals"], index=times
    )
    return frame.astype({"home_goals": "Int64", "away_goals": "Int64"}).rename_axis("time")


def test_goals_are_rises_of_the_score():
    found = goals(
        scores((0, "1", 0, 0), (3, "2", 1, 0), (5, "1", 1, 0), (6, "2", 1, 1), (7, "1", 1, 0), (9, "1", 2, 1))
    )
    results = list(zip(found.index.minute, found["match_id"], found["side"], strict=True))
    assert results == [(5, "1", "home"), (6, "2", "away"), (9, "1", "home"), (9, "1", "away")]
    assert found["home_goals"].tolist() == [1, 1, 2, 2]


def test_a_goal_taken_back_is_none_and_an_absent_score_hides_none():
    found = goals(
        scores((0, "1", 0, 0), (1, "1", 1, 0), (2, "1", 0, 0), (3, "1", None, None), (4, "1", 1, 0))
    )
    assert found.index.minute.tolist() == [1, 4]


def prices(*rows):
    times = pd.to_datetime([60 * minute for minute, *_ in rows], unit="s", utc=True)
    frame = pd.DataFrame(
        [row[1:] for row in rows], columns=["match_id", "line", "over", "under"], index=times
    )
    return frame.assign(company_id="8", market="over_under").rename_axis("time")


def test_around_takes_the_last_price_before_and_the_last_within():
    table = prices(
        (1, "1", 2.5, 1.9, 1.9),
        (4, "1", 2.5, 1.8, 2.0),
        (5, "1", 3.5, 2.1, 1.7),
        (7, "1", 3.5, 2.2, 1.6),
        (9, "1", 3.5, 9, 1.01),
    )
    results = scores((0, "1", 0, 0), (5, "1", 1, 0))
    [over, under] = around(table, results).to_dict("records")
    assert (over["side"], over["scored"], over["before"], over["later"]) == ("over", "home", 1.8, 2.2)
    assert (over["line_before"], over["line_later"]) == (2.5, 3.5)
    assert over["change"] == pytest.approx(0.4)
    assert under["percent"] == pytest.approx(-20)
    assert around(table, results, after="30s")["later"].tolist() == [2.1, 1.7]


def test_around_without_a_price_in_time_is_nan():
    results = scores((0, "1", 0, 0), (5, "1", 1, 0))
    before_only = around(prices((1, "1", 2.5, 1.9, 1.9)), results)
    assert before_only["before"].tolist() == [1.9, 1.9]
    assert before_only["later"].isna().all()
    assert before_only["line_later"].isna().all()
    after_only = around(prices((6, "1", 2.5, 1.9, 1.9)), results)
    assert after_only["before"].isna().all()


def test_around_keeps_matches_apart_and_knows_no_goals():
    table = prices((1, "1", 2.5, 1.9, 1.9), (1, "2", 2.5, 1.5, 2.5))
    results = scores((0, "2", 0, 0), (0, "1", 0, 0), (5, "2", 0, 1))
    assert around(table, results)["before"].tolist() == [1.5, 2.5]
    none = around(table, scores((0, "1", 0, 0)))
    assert len(none) == 0
    assert "percent" in none.columns


def test_inputs_are_left_as_they_are():
    table, results = example(), example_scores()
    for function in (implied, overround, movement):
        function(table)
    around(table, results)
    wide(table, "7", "1x2")
    pd.testing.assert_frame_equal(table, example())
    pd.testing.assert_frame_equal(results, example_scores())
