"""Odds as frames: time series, probabilities, margins, moves since the opening and around goals.

All functions take frames of the table odds (index = receive time, decimal prices) and leave them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from tes_nb.analysis.companies import best, clv, lead_lag
from tes_nb.analysis.markets import KEY, MARKET_SIDES, SIDES, Method, check_market, fair_sides, inverse_sides
from tes_nb.errors import TesError
from tes_nb.wire.events import Gap

Gaps: TypeAlias = Iterable[Gap] | pd.DataFrame | None
"""Gap records, or a frame of them with `lost_at` (times) or `lost_at_ns`; `None` = there are none."""

ODDS_TYPES = {
    "asian_handicap": "spread",
    "1x2": "moneyline",
    "over_under": "total",
    "asian_handicap_half": "spread",
    "over_under_half": "total",
}
"""Market → what TES calls it, which knows no halves."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def ticks_from_odds(
    odds: pd.DataFrame, gaps: Gaps = None, scores: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the moves between consecutive rows of one match, company, market and side, in time order.

    `odds` is a frame of the table odds: its index is the receive time, prices are decimal. The result has the
    columns of the table ticks and `market`, `side`, `line`; index and `timestamp` are the receive time of the
    later row. Names of teams and league are NA unless `odds` has such columns.

    There is no tick where the price stayed, none where either price is absent, and none across a change of
    the line, a gap (`gaps`, or rows of NA as `frame(gaps=True)` puts them), or a refresh (a row of `odds` so
    marked, or one of `scores`, whose refresh says that everything is sent anew).

    >>> times = pd.to_datetime(["2026-03-01 15:00:00", "2026-03-01 15:00:05"], utc=True)
    >>> odds = pd.DataFrame({
    ...     "match_id": "7", "company_id": "8", "market": "asian_handicap", "line": -0.5,
    ...     "home": [1.90, 1.95], "away": [1.90, 1.85],
    ... }, index=times)
    >>> ticks_from_odds(odds)[["odds_type", "side", "old_value", "new_value"]].reset_index(drop=True)
      odds_type  side  old_value  new_value
    0    spread  home        1.9       1.95
    1    spread  away        1.9       1.85
    """
    absent = [name for name in KEY if name not in odds.columns]
    if absent:
        raise TesError(f"Ticks are derived from the table odds; the frame lacks {', '.join(absent)}.")
    rows = odds.sort_index(kind="stable")
    keys = _keys(rows)
    order = np.flatnonzero(keys >= 0)
    order = order[np.argsort(keys[order], kind="stable")]
    later, before = order[1:], order[:-1]
    joined = keys[later] == keys[before]
    joined &= _same_line(rows, later, before)
    breaks = _breaks(rows, gaps, scores).to_numpy()
    epoch = breaks.searchsorted(
        _utc(rows.index).to_numpy(), side="left"
    )  # how many breaks lie before each row
    joined &= epoch[later] == epoch[before]
    if "refresh" in rows.columns:
        joined &= ~rows["refresh"].eq(other=True).fillna(value=False).to_numpy(dtype=np.bool_)[later]
    return _moves(rows, later[joined], before[joined])


def _keys(rows: pd.DataFrame) -> Ints:
    """Return a number for each row, equal for one match, company and market; -1 without a match or market.

    -1 too where the row's channel is not known: it may be of any company.
    """
    keys = np.zeros(len(rows), dtype=np.int64)
    unknown = np.zeros(len(rows), dtype=np.bool_)
    for name in KEY:
        codes, values = pd.factorize(rows[name])
        keys = keys * (len(values) + 1) + codes + 1
        unknown |= (codes < 0) & (name != "company_id")
    if "channel" in rows.columns:
        unknown |= rows["channel"].isna().to_numpy() & rows["company_id"].isna().to_numpy()
    return np.where(unknown, -1, keys)


def _same_line(rows: pd.DataFrame, later: Ints, before: Ints) -> Bools:
    if "line" not in rows.columns:
        return np.ones(len(later), dtype=np.bool_)
    codes, _ = pd.factorize(rows["line"])
    same: Bools = codes[later] == codes[before]
    return same


def _breaks(rows: pd.DataFrame, gaps: Gaps, scores: pd.DataFrame | None) -> pd.DatetimeIndex:
    """Return the times at which the history of all matches ends: losses, rows of NA, refreshes of the scores."""
    breaks = [_lost_at(gaps), rows.index[rows["match_id"].isna().to_numpy()]]
    if scores is not None and "refresh" in scores.columns:
        breaks.append(
            scores.index[scores["refresh"].eq(other=True).fillna(value=False).to_numpy(dtype=np.bool_)]
        )
    return pd.DatetimeIndex(np.concatenate([_utc(times).to_numpy() for times in breaks])).sort_values()


def _lost_at(gaps: Gaps) -> pd.Index:
    if gaps is None:
        return pd.DatetimeIndex([])
    if not isinstance(gaps, pd.DataFrame):
        return pd.to_datetime([gap.lost_at_ns for gap in gaps], unit="ns")
    if "lost_at" in gaps.columns:
        return pd.DatetimeIndex(gaps["lost_at"])
    if "lost_at_ns" in gaps.columns:
        return pd.to_datetime(gaps["lost_at_ns"].to_numpy(), unit="ns")
    raise TesError("A frame of gaps needs the column lost_at (times) or lost_at_ns (Unix nanoseconds).")


def _utc(times: pd.Index) -> pd.DatetimeIndex:
    """Return times as UTC without a zone, in nanoseconds."""
    stamps = pd.DatetimeIndex(times)
    return (stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)).as_unit("ns")


def _moves(rows: pd.DataFrame, later: Ints, before: Ints) -> pd.DataFrame:
    """Return the ticks of all sides, in time order, sides in their usual order."""
    parts = []
    for number, side in enumerate(SIDES):
        if side in rows.columns:
            prices = rows[side].to_numpy(dtype=np.float64, na_value=np.nan)
            old, new = prices[before], prices[later]
            moved = np.flatnonzero((old != new) & np.isfinite(old) & np.isfinite(new))
            parts.append((later[moved], np.full(len(moved), number), old[moved], new[moved]))
    if not parts:
        raise TesError(f"The frame of odds has none of the price columns {', '.join(SIDES)}.")
    at, side_number, old, new = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((side_number, at))
    return _frame(rows.iloc[at[order]], side_number[order], old[order], new[order])


def _frame(
    rows: pd.DataFrame, side: Ints, old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Return the table; `rows` are the later rows."""
    columns: dict[str, object] = {
        "game_id": rows["match_id"].astype("str"),
        "bookmaker_id": rows["company_id"].astype("str"),
        "odds_type": pd.Categorical(
            rows["market"].map(ODDS_TYPES), categories=list(dict.fromkeys(ODDS_TYPES.values()))
        ),
        "old_value": old,
        "new_value": new,
        "timestamp": rows.index,
    }
    for name in ("home_team", "away_team", "league", "player_id", "player_name", "stat_type"):
        columns[name] = (
            rows[name].array if name in rows.columns else pd.array([pd.NA] * len(rows), dtype="str")
        )
    columns["market"] = pd.Categorical(rows["market"], categories=list(MARKET_SIDES))
    columns["side"] = pd.Categorical.from_codes(side, categories=pd.Index(SIDES))
    columns["line"] = rows["line"].array if "line" in rows.columns else np.nan
    return pd.DataFrame(columns, index=rows.index)


__all__ = [
    "KEY",
    "MARKET_SIDES",
    "SIDES",
    "Gaps",
    "around",
    "best",
    "clv",
    "goals",
    "implied",
    "lead_lag",
    "movement",
    "overround",
    "ticks_from_odds",
    "wide",
]


def wide(odds: pd.DataFrame, match_id: str, market: str, company_id: str | None = None) -> pd.DataFrame:
    """Return one match's market as a time series: a column of decimal prices per side, and the line.

    `company_id` of `None` means the only company there is. Raises `TesError` for an unknown market, or when
    there are several companies and none was named.

    >>> wide(example(), "7", "1x2").round(2).to_dict("list")
    {'home': [2.0, 1.6], 'draw': [3.4, 3.8], 'away': [3.8, 5.5], 'line': [nan, nan]}
    """
    check_market(market)
    rows = odds[(odds["match_id"] == match_id) & (odds["market"] == market)]
    companies = rows["company_id"].dropna().unique()
    if company_id is None and len(companies) > 1:
        raise TesError(f"Match {match_id} is quoted by {', '.join(companies)}: name one as company_id.")
    if company_id is not None:
        rows = rows[rows["company_id"] == company_id]
    return rows[[*MARKET_SIDES[market], "line"]]


def implied(odds: pd.DataFrame, *, fair: bool = True, method: Method = "multiplicative") -> pd.DataFrame:
    """Return the probabilities in the prices: a row per row of odds, a column per side, 0 to 1.

    With `fair` the bookmaker's margin is taken out, so that the sides of a market sum to 1: by `method`
    "multiplicative" (in proportion), "additive", "power" or "shin", see `tes_nb.analysis.markets`. A row that
    lacks a side, or for which the method has no answer, is NaN then. Without `fair`, it is 1 / price.

    >>> implied(example()).loc[:, ["home", "draw", "away"]].dropna().round(3).to_numpy().tolist()
    [[0.473, 0.278, 0.249], [0.584, 0.246, 0.17]]
    >>> implied(example(), method="shin").loc[:, ["home", "draw", "away"]].dropna().round(3).to_numpy().tolist()
    [[0.479, 0.276, 0.245], [0.597, 0.241, 0.162]]
    """
    return fair_sides(odds, method) if fair else inverse_sides(odds)


def overround(odds: pd.DataFrame) -> pd.Series:
    """Return each row's margin: the sum of 1 / price over the market's sides, minus 1; NaN if a side lacks.

    >>> overround(example()).round(3).tolist()
    [0.057, 0.07, 0.071]
    """
    inverse = inverse_sides(odds)
    margin = pd.Series(float("nan"), index=odds.index, name="overround")
    for market, sides in MARKET_SIDES.items():
        of_market = odds["market"].eq(market).fillna(value=False).to_numpy(dtype=bool)
        margin = margin.mask(of_market, inverse[list(sides)].sum(axis=1, skipna=False) - 1)
    return margin


def movement(odds: pd.DataFrame) -> pd.DataFrame:
    """Return how far each price moved since the first one seen: a row per match, company, market and side.

    `change` is in decimal price, `percent` relative to the opening; where `line` differs from `open_line` the
    two prices are for different bets.

    >>> moved = movement(example())
    >>> moved.loc[("7", "8", "1x2", "home"), ["open", "last", "percent"]].astype(float).round(1).tolist()
    [2.0, 1.6, -20.0]
    """
    long = _long(odds)
    groups = long.groupby([*KEY, "side"], observed=True, sort=False, dropna=False)
    result = groups.agg(
        open=("price", "first"),
        last=("price", "last"),
        open_line=("line", lambda cells: cells.iloc[0]),
        line=("line", lambda cells: cells.iloc[-1]),
        rows=("price", "size"),
    )
    result.insert(2, "change", result["last"] - result["open"])
    result.insert(3, "percent", 100 * result["change"] / result["open"])
    return result


def goals(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the goals in a frame of the table scores: `match_id`, `side`, and the score after it.

    The index is the receive time of the first record with the goal. A score that falls again (a goal taken
    back) is none; a rise across rows is one row per side, however many goals it reports.

    >>> goals(example_scores())[["match_id", "side", "home_goals"]].to_numpy().tolist()
    [['7', 'home', 1]]
    """
    rises = []
    rows = scores.sort_index(kind="stable")
    for side in ("home", "away"):
        counted = rows.dropna(subset=["match_id", f"{side}_goals"])
        rise = counted.groupby("match_id", observed=True)[f"{side}_goals"].diff()
        rises.append(counted[rise.gt(0).fillna(value=False).to_numpy(dtype=bool)].assign(side=side))
    return pd.concat(rises).sort_index(kind="stable")[["match_id", "side", "home_goals", "away_goals"]]


def around(odds: pd.DataFrame, scores: pd.DataFrame, after: str = "2min") -> pd.DataFrame:
    """Return what the prices did around goals: a row per goal, company, market and side.

    `before` is the last price received before the goal's record, `later` the last one from then to `after`
    later (NaN if none came), with their lines; `change` and `percent` are between the two prices.

    >>> moves = around(example(), example_scores())
    >>> moves.loc[moves["side"] == "home", ["before", "later", "percent"]].round(1).to_numpy().tolist()
    [[2.0, 1.6, -20.0]]
    """
    scored = goals(scores).rename(columns={"side": "scored"})
    scored = scored[["match_id", "scored"]].assign(time=_ns(scored.index))
    long = _long(odds)
    long = long.assign(priced=_ns(long.index)).reset_index(drop=True)
    by = [*KEY, "side"]
    series = scored.merge(long[by].drop_duplicates(), on="match_id").sort_values("time", kind="stable")
    series["until"] = series["time"] + pd.Timedelta(after)
    before = _last_price(series, long, by, on="time", exact=False)
    later = _last_price(series, long, by, on="until", exact=True)
    later = later.where(later["priced"] >= series["time"].to_numpy())
    series = series.assign(before=before["price"].to_numpy(), later=later["price"].to_numpy())
    series["change"] = series["later"] - series["before"]
    series["percent"] = 100 * series["change"] / series["before"]
    series = series.assign(line_before=before["line"].to_numpy(), line_later=later["line"].to_numpy())
    return series.set_index("time").drop(columns="until")


def _last_price(
    series: pd.DataFrame, long: pd.DataFrame, by: list[str], *, on: str, exact: bool
) -> pd.DataFrame:
    """Return the last price of each series asked for up to the time `on`, that time included if `exact`."""
    prices = pd.merge_asof(series, long, left_on=on, right_on="priced", by=by, allow_exact_matches=exact)
    return prices[["price", "line", "priced"]]


def _ns(times: pd.Index) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times).as_unit("ns")


def _long(odds: pd.DataFrame) -> pd.DataFrame:
    """Return one row per price, in time order; absent prices are left out."""
    rows = odds.sort_index(kind="stable")
    parts = [
        rows[[*KEY, "line"]].assign(side=side, price=rows[side].astype("float64"))
        for side in SIDES
        if side in rows.columns
    ]
    return pd.concat(parts).dropna(subset=["price"]).sort_index(kind="stable")


def example() -> pd.DataFrame:
    """Return three rows of odds, for the examples: a 1x2 before and after a goal, and a total."""
    times = pd.to_datetime(["2026-03-01 15:09:00", "2026-03-01 15:10:20", "2026-03-01 15:10:20"], utc=True)
    nan = float("nan")
    return pd.DataFrame(
        {
            "match_id": "7",
            "company_id": "8",
            "market": ["1x2", "1x2", "over_under"],
            "line": [nan, nan, 2.5],
            "home": [2.0, 1.6, nan],
            "draw": [3.4, 3.8, nan],
            "away": [3.8, 5.5, nan],
            "over": [nan, nan, 1.80],
            "under": [nan, nan, 1.94],
        },
        index=times.rename("time"),
    )


def example_scores() -> pd.DataFrame:
    """Return three rows of scores, for the examples: one goal of the home side."""
    times = pd.to_datetime(["2026-03-01 15:00:00", "2026-03-01 15:10:00", "2026-03-01 15:10:30"], utc=True)
    return pd.DataFrame(
        {"match_id": "7", "home_goals": [0, 1, 1], "away_goals": 0}, index=times.rename("time")
    ).astype({"home_goals": "Int64", "away_goals": "Int64"})
