"""Margins by four methods, best prices, who leads, what bets were worth: against other people's code and by hand."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pandas as pd
import pytest
import shin

from tes_nb.analysis import companies
from tes_nb.analysis import odds as analysis
from tes_nb.analysis.markets import fair_probabilities
from tes_nb.errors import ArgumentError, TesError

START = pd.Timestamp("2026-03-01 15:00", tz="UTC")


def odds_of(rows):
    """A frame of odds of (second, match, company, line, home, away)."""
    times = [START + pd.Timedelta(row[0], unit="s") for row in rows]
    frame = pd.DataFrame(
        [row[1:] for row in rows], columns=["match_id", "company_id", "line", "home", "away"]
    )
    return frame.assign(market="asian_handicap").set_index(pd.DatetimeIndex(times, name="time"))


def test_examples():
    assert doctest.testmod(companies).failed == 0


@pytest.mark.parametrize("sides", [2, 3, 5])
def test_shin_equals_the_package_shin(sides):
    chance = np.random.default_rng(sides)
    fair = chance.dirichlet(np.ones(sides) * 2, size=300).clip(0.01)
    prices = 1 / (fair / fair.sum(axis=1, keepdims=True) * chance.uniform(1.001, 1.15, (300, 1)))
    prices = prices.clip(1.001)
    prices = prices[(1 / prices).sum(axis=1) > 1]
    ours = fair_probabilities(1 / prices, "shin")
    theirs = [shin.calculate_implied_probabilities(list(row), max_iterations=10**6) for row in prices]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("method", ["multiplicative", "additive", "power", "shin"])
def test_probabilities_sum_to_one_and_keep_their_order(method):
    chance = np.random.default_rng(1)
    inverse = chance.uniform(0.2, 0.45, (200, 3))
    inverse *= chance.uniform(1.01, 1.1, (200, 1)) / inverse.sum(axis=1, keepdims=True)
    fair = fair_probabilities(inverse, method)
    np.testing.assert_allclose(fair.sum(axis=1), 1, atol=1e-9)
    assert (np.argsort(fair, axis=1) == np.argsort(inverse, axis=1)).all()
    assert ((fair > 0) & (fair < inverse)).all()


def test_each_method_does_what_it_says():
    inverse = np.array([[0.5, 0.3, 0.26]])
    np.testing.assert_allclose(fair_probabilities(inverse, "multiplicative"), inverse / 1.06)
    np.testing.assert_allclose(fair_probabilities(inverse, "additive"), inverse - 0.02)
    power = fair_probabilities(inverse, "power")
    exponents = np.log(power) / np.log(inverse)
    np.testing.assert_allclose(exponents, exponents[0, 0])


def test_where_a_method_has_no_answer_it_says_none():
    longshot = np.array([[0.99, 0.05, 0.002]])
    assert np.isnan(fair_probabilities(longshot, "additive")).all()  # the last would be negative
    arbitrage = np.array([[0.45, 0.45], [np.nan, 0.5]])
    assert np.isnan(fair_probabilities(arbitrage, "shin")).all()
    np.testing.assert_allclose(fair_probabilities(arbitrage, "power")[0], [0.5, 0.5])
    with pytest.raises(ArgumentError, match="method='magic' is not known: give one of multiplicative"):
        fair_probabilities(arbitrage, "magic")


def test_implied_takes_a_method_for_each_row_of_its_own_market():
    rows = analysis.example()
    for method in ("additive", "power", "shin"):
        fair = analysis.implied(rows, method=method)
        np.testing.assert_allclose(fair.sum(axis=1), 1)
        assert fair.isna().sum(axis=1).tolist() == [2, 2, 3]
    theirs = shin.calculate_implied_probabilities([1.6, 3.8, 5.5])
    ours = analysis.implied(rows, method="shin").iloc[1][["home", "draw", "away"]]
    np.testing.assert_allclose(ours.to_numpy(float), theirs, atol=1e-9)


def test_best_prices_by_hand():
    chance = np.random.default_rng(5)
    rows = [
        (n, f"{n % 3}", f"c{n % 4}", float(chance.choice([-0.5, 0])), *chance.uniform(1.5, 2.5, 2))
        for n in range(80)
    ]
    newest = {(row[1], row[2]): row for row in rows}
    expected = {}
    for row in newest.values():
        for side, price in (("home", row[4]), ("away", row[5])):
            spot = row[1], "asian_handicap", row[3], side
            expected[spot] = max(expected.get(spot, (0, "")), (price, row[2]))
    got = analysis.best(odds_of(rows))
    assert {
        spot: (row.price, row.company_id) for spot, row in zip(got.index, got.itertuples(), strict=True)
    } == expected
    for (match, market, line), book in got.groupby(level=[0, 1, 2]):
        prices = book["price"]
        assert book["margin"].iloc[0] == pytest.approx((1 / prices).sum() - 1), (match, market, line)


def test_a_side_that_lacks_leaves_the_margin_open():
    rows = odds_of([(0, "7", "8", 0.0, 2.0, np.nan)])
    assert analysis.best(rows)["margin"].isna().all()
    assert analysis.best(rows.iloc[:0]).empty


def test_who_leads_is_found_and_chance_is_said():
    chance = np.random.default_rng(2)
    rows, price, at = [], 2.0, 0.0
    for _ in range(200):
        at += float(chance.uniform(20, 60))
        price = float(np.clip(price * chance.choice([0.95, 1.05]), 1.2, 4))
        rows += [
            (at, "7", "lead", 0.0, price, 1.9),
            (at + float(chance.uniform(2, 8)), "7", "late", 0.0, price, 1.9),
        ]
    table = analysis.lead_lag(odds_of(rows), window="10s").set_index(["leader", "follower"])
    first, second = table.loc[("lead", "late")], table.loc[("late", "lead")]
    assert first["share"] > 0.95
    assert first["by_chance"] < 0.3
    assert 2 <= first["lag"] <= 8
    assert second["share"] < 0.2
    moments = [(float(at), name) for name in "ab" for at in chance.uniform(0, 20_000, 800)]
    noise = [(at, "7", name, 0.0, float(chance.uniform(1.5, 2.5)), 1.9) for at, name in moments]
    for row in analysis.lead_lag(odds_of(noise), window="10s").itertuples():
        assert row.share == pytest.approx(row.by_chance, abs=0.08)


def test_closing_line_value_by_hand():
    closing = odds_of([(0, "7", "8", -0.5, 1.90, 1.95), (0, "8", "8", 0.0, 2.10, 1.80)])
    bets = pd.DataFrame(
        {
            "match_id": ["7", "7", "8", "9"],
            "market": "asian_handicap",
            "side": ["home", "away", "away", "home"],
            "price": [2.0, 2.0, 1.85, 1.9],
            "line": [-0.5, -1.0, 0.0, 0.0],
        },
        index=["a", "b", "c", "d"],
    )
    value = analysis.clv(bets, closing)
    fair = (1 / 1.90) / (1 / 1.90 + 1 / 1.95)
    assert value.loc["a", ["closing_price", "closing_line", "clv"]].tolist() == pytest.approx(
        [1.90, -0.5, 2 * fair - 1]
    )
    assert pd.isna(value.loc["b", "clv"])  # another line than the closing one
    assert value.loc["c", "clv"] == pytest.approx(1.85 * (1 / 1.80) / (1 / 2.10 + 1 / 1.80) - 1)
    assert pd.isna(value.loc["d", "closing_price"])
    assert value.index.tolist() == ["a", "b", "c", "d"]

    class Feed:
        def closing(self):
            return closing

    pd.testing.assert_frame_equal(analysis.clv(bets, Feed()), value)
    shinned = analysis.clv(bets.iloc[:1], closing, method="shin")["fair"].iloc[0]
    assert shinned == pytest.approx(shin.calculate_implied_probabilities([1.90, 1.95])[0])


def test_bets_that_cannot_be_understood_get_a_sentence():
    closing = odds_of([(0, "7", "8", 0.0, 1.9, 1.9), (0, "7", "3", 0.0, 1.9, 1.9)])
    bets = pd.DataFrame({"match_id": ["7"], "market": ["asian_handicap"], "side": ["home"], "price": [2.0]})
    with pytest.raises(TesError, match="the frame lacks side, price"):
        analysis.clv(bets.drop(columns=["side", "price"]), closing)
    with pytest.raises(TesError, match="closing prices are of 8, 3: give bets a company_id"):
        analysis.clv(bets, closing)
    with pytest.raises(ArgumentError, match="There is no side 'left'"):
        analysis.clv(bets.assign(side="left"), closing)
    assert list(itertools.chain(analysis.clv(bets.assign(company_id="3"), closing)["clv"])) == pytest.approx(
        [0.0]
    )
