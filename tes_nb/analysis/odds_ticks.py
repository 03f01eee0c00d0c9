"""From rows of odds to ticks: what moved, from what to what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from tes_nb.errors import TesError
from tes_nb.wire.events import Gap

Gaps: TypeAlias = Iterable[Gap] | pd.DataFrame | None
"""Gap records, or a frame of them with `lost_at` (times) or `lost_at_ns`; `None` = there are none."""

SIDES = ("home", "draw", "away", "over", "under")
MARKET_SIDES = {
    "asian_handicap": ("home", "away"),
    "1x2": ("home", "draw", "away"),
    "over_under": ("over", "under"),
}
ODDS_TYPES = {"asian_handicap": "spread", "1x2": "moneyline", "over_under": "total"}
"""Market → what TES calls it."""
KEY = ("match_id", "company_id", "market")

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
    epoch = _epoch(rows, _breaks(rows, gaps, scores))
    joined &= epoch[later] == epoch[before]
    if "refresh" in rows.columns:
        joined &= ~rows["refresh"].eq(other=True).fillna(value=False).to_numpy(dtype=np.bool_)[later]
    return _moves(rows, later[joined], before[joined])


def _keys(rows: pd.DataFrame) -> Ints:
    """Return a number for each row, equal for one match, company and market; -1 without a match or market."""
    keys = np.zeros(len(rows), dtype=np.int64)
    unknown = np.zeros(len(rows), dtype=np.bool_)
    for name in KEY:
        codes, values = pd.factorize(rows[name])
        keys = keys * (len(values) + 1) + codes + 1
        unknown |= (codes < 0) & (name != "company_id")
    return np.where(unknown, -1, keys)


def _same_line(rows: pd.DataFrame, later: Ints, before: Ints) -> Bools:
    if "line" not in rows.columns:
        return np.ones(len(later), dtype=np.bool_)
    codes, _ = pd.factorize(rows["line"])
    same: Bools = codes[later] == codes[before]
    return same


def _breaks(rows: pd.DataFrame, gaps: Gaps, scores: pd.DataFrame | None) -> pd.DatetimeIndex:
    """Return the times at which everybody's history ends: losses, rows of NA, refreshes of the scores."""
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


def _epoch(rows: pd.DataFrame, breaks: pd.DatetimeIndex) -> Ints:
    """Return for each row how many breaks lie before it."""
    return breaks.to_numpy().searchsorted(_utc(rows.index).to_numpy(), side="left").astype(np.int64)


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
        "odds_type": pd.Categorical(rows["market"].map(ODDS_TYPES), categories=list(ODDS_TYPES.values())),
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
