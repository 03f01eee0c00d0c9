"""Several companies beside each other: the best price of each side, who moves first, and what bets were worth.

All functions take frames of the table odds (index = receive time, decimal prices) and leave them as they are.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd

from tes_nb.analysis.markets import KEY, MARKET_SIDES, SIDES, Method, fair_sides
from tes_nb.errors import ArgumentError, TesError
from tes_nb.store.memory.timespec import span_ns

LINE = [*KEY, "line"]
BET = ("match_id", "market", "side", "price")


class Closing(Protocol):
    """What knows closing prices, such as a feed of matches."""

    def closing(self) -> pd.DataFrame:
        """Return the last row of odds before kick-off of each match, company and market."""


def best(odds: pd.DataFrame) -> pd.DataFrame:
    """Return the best price of each side: a row per match, market, line and side, of the newest prices.

    Each company counts with its newest row of a market. Columns: price, company_id, time (when it was received) and
    `margin`, that of a book made of the best prices of all sides; NaN where a side lacks, below 0 is an arbitrage.

    >>> best(_example())[["price", "company_id", "margin"]].round(3).to_numpy().tolist()
    [[2.05, '8', 0.009], [1.92, '3', 0.009]]
    """
    rows = odds.sort_index(kind="stable")
    newest = rows[~rows.duplicated(list(KEY), keep="last").to_numpy()]
    newest = newest[newest["match_id"].notna().to_numpy()]
    long = _long(newest)
    group = ["match_id", "market", "line", "side"]
    top = long.sort_values("price", kind="stable").drop_duplicates(group, keep="last")
    top = top.sort_values(["match_id", "market", "line"], kind="stable").reset_index(drop=True)
    order = top["side"].map({side: place for place, side in enumerate(SIDES)})
    top = top.assign(order=order).sort_values(["match_id", "market", "line", "order"], kind="stable")
    book = top.groupby(["match_id", "market", "line"], observed=True, dropna=False)["price"]
    sides = (
        top["market"].map({market: len(sides) for market, sides in MARKET_SIDES.items()}).astype("float64")
    )
    margin = book.transform(lambda prices: (1 / prices).sum()) - 1
    top["margin"] = margin.where(book.transform("size") == sides)
    return top.set_index(group)[["price", "company_id", "time", "margin"]]


def lead_lag(odds: pd.DataFrame, *, window: Any = "30s", least: float = 0.0) -> pd.DataFrame:
    """Return who moves first: a row per ordered pair of companies, the most followed first.

    A move is a change of a price between two rows of one match, company, market and line by more than `least` (of the
    price). It is followed where the other company moves the same side in the same direction within `window` after
    it. Columns: moves (of the leader, in matches that both quote), followed, share, `by_chance` (the share to be
    expected if the follower moved at any time) and lag (median seconds). A share near `by_chance` says nothing.
    """
    length = span_ns(window, name="window")
    moves = _moves(odds, least)
    rows = []
    for leader, mine in moves.groupby("company_id", observed=True):
        for follower, theirs in moves.groupby("company_id", observed=True):
            if leader != follower:
                rows.append((leader, follower, *_followed(mine, theirs, length)))
    names = ["leader", "follower", "moves", "followed", "share", "by_chance", "lag"]
    table = pd.DataFrame(rows, columns=names).astype({"leader": "str", "follower": "str"})
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def clv(
    bets: pd.DataFrame, closing: Closing | pd.DataFrame, *, method: Method = "multiplicative"
) -> pd.DataFrame:
    """Return bets with what they were worth at the close: `closing_price`, `closing_line`, `fair`, `clv`.

    bets: a row each with match_id, market, side and price (decimal), and company_id where there are several;
    optionally line. closing: a feed, `ng`, or what its `closing()` gave. `fair` is the probability of the side at the
    close, the margin taken out by `method`; `clv` is price * fair - 1, above 0 where the bet beat the close. A bet on
    another line than the closing one, or on a match that has no closing price, has NaN. Raises `TesError` where a
    column is missing, or where it is not said which of several companies is meant.
    """
    missing = [name for name in BET if name not in bets.columns]
    if missing:
        raise TesError(f"Bets need the columns {', '.join(BET)}; the frame lacks {', '.join(missing)}.")
    unknown = sorted(set(bets["side"].dropna()) - set(SIDES))
    if unknown:
        raise ArgumentError(
            f"There is no side {', '.join(map(repr, unknown))}; there are {', '.join(SIDES)}."
        )
    prices = closing if isinstance(closing, pd.DataFrame) else closing.closing()
    by = list(KEY)
    if "company_id" not in bets.columns:
        by.remove("company_id")
        several = prices[prices["match_id"].isin(bets["match_id"]).to_numpy()]["company_id"].dropna().unique()
        if len(several) > 1:
            raise TesError(
                f"The closing prices are of {', '.join(map(str, several))}: give bets a company_id."
            )
    fair = pd.concat(
        [prices[by].reset_index(drop=True), fair_sides(prices, method).reset_index(drop=True)], axis=1
    )
    long = _long(prices.drop(columns="company_id") if "company_id" not in by else prices)
    chances = fair.melt(id_vars=by, var_name="side", value_name="fair")
    text = dict.fromkeys([*by, "side"], "str")
    wanted = long.rename(columns={"price": "closing_price", "line": "closing_line"})[
        [*by, "side", "closing_price", "closing_line"]
    ]
    priced = wanted.astype(text).merge(chances.astype(text), on=[*by, "side"], how="left")
    result = bets.astype(text).merge(priced, on=[*by, "side"], how="left").set_index(bets.index)
    if "line" in bets.columns:
        other = (
            (result["line"] != result["closing_line"])
            & result["line"].notna()
            & result["closing_line"].notna()
        )
        result["fair"] = result["fair"].mask(other)
    result["clv"] = result["price"] * result["fair"] - 1
    return result


def _long(odds: pd.DataFrame) -> pd.DataFrame:
    """Return a row per price, with `time` as a column."""
    lines = [name for name in LINE if name in odds.columns]
    parts = [
        odds[lines].assign(side=side, price=odds[side].astype("float64"), time=odds.index)
        for side in SIDES
        if side in odds.columns
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset=["price"])


def _moves(odds: pd.DataFrame, least: float) -> pd.DataFrame:
    long = _long(odds.sort_index(kind="stable")).sort_values("time", kind="stable")
    groups = long.groupby([*LINE, "side"], observed=True, dropna=False)["price"]
    relative = long["price"] / groups.shift() - 1
    moved = long.assign(way=np.sign(relative))[(relative.abs() > least).to_numpy(bool)]
    return moved.assign(at=pd.DatetimeIndex(moved["time"]).as_unit("ns").asi8)


def _followed(mine: pd.DataFrame, theirs: pd.DataFrame, length: int) -> tuple[int, int, float, float, float]:
    """Return moves, followed, share, by chance, and the median lag in seconds."""
    by = ["match_id", "market", "side", "way"]
    both = set(mine["match_id"]) & set(theirs["match_id"])
    mine, theirs = (
        one[one["match_id"].isin(both)].sort_values("at", kind="stable") for one in (mine, theirs)
    )
    if mine.empty:
        return 0, 0, float("nan"), float("nan"), float("nan")
    left = mine[[*by, "at"]].assign(begin=mine["at"] + 1)
    right = theirs[[*by, "at"]].rename(columns={"at": "then"})
    pairs = pd.merge_asof(
        left, right, left_on="begin", right_on="then", by=by, direction="forward", tolerance=length - 1
    )
    lag = (pairs["then"] - pairs["at"]).dropna() / 1e9
    span = max(int(theirs["at"].max() - theirs["at"].min()), 1) if len(theirs) else 1
    rates = theirs.groupby(by, observed=True).size() / span
    own = pd.MultiIndex.from_frame(mine[by])
    chance = float((1 - np.exp(-rates.reindex(own).fillna(0).to_numpy(float) * length)).mean())
    return (
        len(mine),
        len(lag),
        len(lag) / len(mine),
        chance,
        float(lag.median()) if len(lag) else float("nan"),
    )


def _example() -> pd.DataFrame:
    """Return three rows of two companies, for the examples."""
    times = pd.to_datetime(["2026-03-01 15:00:00", "2026-03-01 15:00:05", "2026-03-01 15:00:09"], utc=True)
    return pd.DataFrame(
        {
            "match_id": "7",
            "company_id": ["8", "3", "8"],
            "market": "asian_handicap",
            "line": -0.5,
            "home": [1.90, 1.95, 2.05],
            "away": [1.90, 1.92, 1.80],
        },
        index=times.rename("time"),
    )
