"""What markets of the table odds are made of, and the ways to take a bookmaker's margin out of prices.

Sources: H. S. Shin, "Measuring the incidence of insider trading in a market for state-contingent claims", The Economic
Journal 103 (1993); B. Jullien and B. Salanie, "Measuring the incidence of insider trading: a comment on Shin", The
Economic Journal 104 (1994), whose form is used here; C. Clarke, S. Kovalchik and M. Ingram, "Adjusting bookmaker's
odds to allow for overround", American Journal of Sports Science 5 (2017), for the additive and the power method.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from tes_nb.errors import ArgumentError, meant

SIDES = ("home", "draw", "away", "over", "under")
MARKET_SIDES = {
    "asian_handicap": ("home", "away"),
    "1x2": ("home", "draw", "away"),
    "over_under": ("over", "under"),
    "asian_handicap_half": ("home", "away"),
    "over_under_half": ("over", "under"),
}
KEY = ("match_id", "company_id", "market")

Method: TypeAlias = Literal["multiplicative", "additive", "power", "shin"]
Floats: TypeAlias = npt.NDArray[np.float64]
ROUNDS = 200
CLOSE = 1e-13
HALVINGS = 60


def check_market(market: object) -> None:
    """Raise `ArgumentError`, which lists those there are, for what is no market."""
    if market not in tuple(MARKET_SIDES):
        raise ArgumentError(
            f"There is no market {market!r}; there are {', '.join(MARKET_SIDES)}.{meant(market, MARKET_SIDES)}"
        )


def inverse_sides(odds: pd.DataFrame) -> pd.DataFrame:
    """Return 1 / price of all sides: a row per row of odds, a column per side."""
    return 1 / odds.reindex(columns=list(SIDES)).astype("float64")


def fair_sides(odds: pd.DataFrame, method: Method) -> pd.DataFrame:
    """Return the probabilities of the sides of each row's market, the margin taken out; NaN for other sides."""
    inverse = inverse_sides(odds).to_numpy(dtype=np.float64)
    fair = np.full(inverse.shape, np.nan)
    markets = odds["market"].astype("object").to_numpy()
    for market, sides in MARKET_SIDES.items():
        columns = np.array([SIDES.index(side) for side in sides])
        places = np.ix_(np.flatnonzero(markets == market), columns)
        fair[places] = fair_probabilities(inverse[places], method)
    return pd.DataFrame(fair, index=odds.index, columns=list(SIDES))


def fair_probabilities(inverse: Floats, method: Method) -> Floats:
    """Return probabilities that sum to 1 in each row of 1 / price; NaN where a price lacks or the method has no answer.

    multiplicative: each is divided by their sum. additive: each gives up the same, and none may become negative.
    power: each is raised to the same power. shin: some of the money knows the outcome, and outsiders are priced high
    for it; a row without a margin has no answer. Raises `ArgumentError` for another method.
    """
    if method not in get_args(Method):
        raise ArgumentError(f"method={method!r} is not known: give one of {', '.join(get_args(Method))}.")
    total: Floats = inverse.sum(axis=1, keepdims=True)
    if method == "multiplicative":
        return np.divide(inverse, total)
    if method == "additive":
        fair = inverse - (total - 1) / inverse.shape[1]
        return np.where((fair >= 0).all(axis=1, keepdims=True), fair, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _power(inverse) if method == "power" else _shin(inverse, total)


def _power(inverse: Floats) -> Floats:
    """Find the power by Newton's method: the sum falls, and is convex, as the power rises, so that it comes near."""
    logs = np.log(inverse)
    power = np.ones((len(inverse), 1))
    for _ in range(ROUNDS):
        raised = np.exp(power * logs)
        step = (raised.sum(axis=1, keepdims=True) - 1) / (raised * logs).sum(axis=1, keepdims=True)
        power -= np.where(np.isfinite(step), step, 0)
        if not (np.abs(step) > CLOSE).any():
            break
    fair = np.exp(power * logs)
    whole = np.abs(fair.sum(axis=1, keepdims=True) - 1) < 1e-9
    return np.where(whole, fair, np.nan)


def _shin(inverse: Floats, total: Floats) -> Floats:
    """Find the share of money that knows: of two sides in closed form, of more by halving, since the sum falls with it.

    The usual iteration from 0 needs thousands of rounds where the margin is small.
    """

    def outsiders(share: Floats) -> Floats:
        fair: Floats = (np.sqrt(share**2 + 4 * (1 - share) * inverse**2 / total) - share) / (2 * (1 - share))
        return fair

    if inverse.shape[1] == 2:
        difference = (inverse[:, :1] - inverse[:, 1:]) ** 2
        share = (total - 1) * (difference - total) / (total * (difference - 1))
    else:
        low, high = np.zeros_like(total), np.ones_like(total)
        for _ in range(HALVINGS):
            share = (low + high) / 2
            above = outsiders(share).sum(axis=1, keepdims=True) > 1
            low, high = np.where(above, share, low), np.where(above, high, share)
    return np.where((total >= 1) & (share >= 0) & (share < 1), outsiders(share), np.nan)
