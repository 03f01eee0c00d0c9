"""The first and the last price before kick-off, of each match, company and market, and what is not known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tes_nb.session.asof import began_ns
from tes_nb.session.nowgoal.kick_off import kick_offs
from tes_nb.wire.events import Gap

KEY = ["match_id", "company_id", "market"]


def rows_at_kick_off(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    gaps: Iterable[Gap],
    key: Sequence[str],
    *,
    across_gaps: bool = False,
) -> pd.DataFrame:
    """Return the last row of each key that was received before its match kicked off.

    Index and columns are those of `table`, with `kick_off` beside them. A match that was not seen to kick off has none.
    A row is left out where a gap began between it and the kick-off, unless `across_gaps`; `.attrs["left_out"]` has
    how many.
    """
    matches = kick_offs(scores)
    known = matches[matches["seen"].to_numpy(bool)]["kick_off"]
    rows = table.sort_index(kind="stable")
    at = known.reindex(rows["match_id"])
    times = pd.DatetimeIndex(rows.index).tz_convert("UTC")
    before = times < pd.DatetimeIndex(at)
    last = rows.assign(kick_off=at.array)[before]
    last = last[~last.duplicated(list(key), keep="last").to_numpy()]
    left_out = 0
    if not across_gaps and len(last):
        began = np.array(sorted(began_ns(gap) for gap in gaps), dtype=np.int64)
        priced = pd.DatetimeIndex(last.index).as_unit("ns").asi8
        kicked = pd.DatetimeIndex(last["kick_off"]).as_unit("ns").asi8
        whole = np.searchsorted(began, priced, "left") == np.searchsorted(began, kicked, "left")
        left_out = int(np.count_nonzero(~whole))
        last = last[whole]
    last.attrs = {**table.attrs, "left_out": left_out}
    return last


def opening_rows(odds: pd.DataFrame, scores: pd.DataFrame, gaps: Iterable[Gap]) -> pd.DataFrame:
    """Return the first row of odds of each match, company and market, with the column `opening`.

    The feed tells changes, so that the first price seen need not be the first there was. `opening` is True where
    everything had been sent anew (a row with `refresh`) and this was not among it, no gap since; False where the price
    was itself among what was sent anew, or its match was played already; NA where nobody can know.
    """
    rows = odds.sort_index(kind="stable")
    rows = rows[rows["match_id"].notna().to_numpy()]
    first = rows[~rows.duplicated(KEY).to_numpy()]
    times = pd.DatetimeIndex(first.index).as_unit("ns").asi8
    again = rows["refresh"].fillna(value=False).to_numpy(bool)
    since = np.full(len(first), -1, dtype=np.int64)
    for company, listed in rows[again].groupby("company_id", observed=True):
        its = (first["company_id"] == company).to_numpy(bool)
        when = np.unique(pd.DatetimeIndex(listed.index).as_unit("ns").asi8)
        place = np.searchsorted(when, times[its], "left")
        since[its] = np.where(place > 0, when[place - 1], -1)
    began = np.array(sorted(began_ns(gap) for gap in gaps), dtype=np.int64)
    lost = np.searchsorted(began, since, "left") != np.searchsorted(began, times, "left")
    known = (since >= 0) & ~lost
    played = kick_offs(scores)["kick_off"].reindex(first["match_id"])
    late = pd.DatetimeIndex(played) <= pd.DatetimeIndex(first.index).tz_convert("UTC")
    stood = first["refresh"].fillna(value=False).to_numpy(bool) | late
    opening = pd.arrays.BooleanArray(known & ~stood, ~(known | stood))
    result = first.assign(opening=opening)
    result.attrs = dict(odds.attrs)
    return result
