"""When each match kicked off, by its rows of scores, and the first and the last price before that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.store.memory.timespec import span_ns
from tes_nb.streams.nowgoal.tables import SCORES
from tes_nb.wire.events import Gap

IN_PLAY = range(1, 6)
"""States from the first half to penalties, half-time included."""
_MATCH, _STATE, _KICK_OFF = (SCORES.names.index(name) for name in ("match_id", "state", "kick_off"))


class MatchFilter:
    """Chooses rows of a walk by what the scores have said of their match before."""

    def __init__(self, *, inplay: bool | None = None, before_kick_off: Any = None) -> None:
        """inplay: only while the match is played (True), or not (False). before_kick_off: at most so long before it.

        `None` = it does not matter. A row of a match whose state is not known is left out.
        """
        if inplay is not None and not isinstance(inplay, bool):
            raise ArgumentError(f"inplay={inplay!r} must be True or False; leave it out for both.")
        self._inplay = inplay
        self._before_ns = (
            None if before_kick_off is None else span_ns(before_kick_off, name="before_kick_off")
        )
        self._matches: dict[str, tuple[int | None, int | None]] = {}
        """Match → its newest state and time of kick-off."""

    def learn(self, rows: Mapping[str, Sequence[Any]], at_ns: int) -> None:
        """Take note of the scores."""
        del at_ns
        for row in rows.get("scores", ()):
            if row[_MATCH] is not None:
                self._matches[row[_MATCH]] = row[_STATE], row[_KICK_OFF]

    def chosen(self, table: str, rows: Iterable[Any], at_ns: int) -> list[Any]:
        """Return the rows of matches that are where they should be."""
        del table
        return [row for row in rows if self._fits(getattr(row, "match_id", None), at_ns)]

    def _fits(self, match_id: str | None, at_ns: int) -> bool:
        state, kick_off = self._matches.get(match_id or "", (None, None))
        if state is None:
            return False
        if self._inplay is not None and (state in IN_PLAY) != self._inplay:
            return False
        if self._before_ns is None:
            return True
        return state == 0 and kick_off is not None and kick_off - at_ns <= self._before_ns


def kick_offs(scores: pd.DataFrame) -> pd.DataFrame:
    """Return when each match kicked off, a row each: `kick_off`, and `seen`, whether the change was seen.

    A match kicks off when the first row that says it is played is received: that is what a reader of the feed
    can know, whatever its own clock says. One that was played already in its first row was not seen to kick off, and
    one that has not been played yet has no row. The times are in UTC.
    """
    rows = scores.dropna(subset=["match_id", "state"]).sort_index(kind="stable")
    rows = rows.assign(received=pd.DatetimeIndex(rows.index).tz_convert("UTC"))
    played = rows[rows["state"].isin(IN_PLAY).fillna(value=False).to_numpy(bool)]
    kick_off = played.drop_duplicates("match_id").set_index("match_id")["received"]
    seen_at = rows.drop_duplicates("match_id").set_index("match_id")["received"]
    return pd.DataFrame({"kick_off": kick_off, "seen": seen_at.reindex(kick_off.index) < kick_off})


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
    kick_off_of = matches[matches["seen"].to_numpy(bool)]["kick_off"]
    rows = table.sort_index(kind="stable")
    at = kick_off_of.reindex(rows["match_id"])
    times = pd.DatetimeIndex(rows.index).tz_convert("UTC")
    before = times < pd.DatetimeIndex(at)
    last = rows.assign(kick_off=at.array)[before]
    last = last[~last.duplicated(list(key), keep="last").to_numpy()]
    left_out = 0
    if not across_gaps and len(last):
        began = np.array(sorted(gap.began_ns for gap in gaps), dtype=np.int64)
        priced = pd.DatetimeIndex(last.index).as_unit("ns").asi8
        kicked = pd.DatetimeIndex(last["kick_off"]).as_unit("ns").asi8
        whole = np.searchsorted(began, priced, "left") == np.searchsorted(began, kicked, "left")
        left_out = int(np.count_nonzero(~whole))
        last = last[whole]
    last.attrs = {**table.attrs, "left_out": left_out}
    return last


def opening_rows(odds: pd.DataFrame, scores: pd.DataFrame, gaps: Iterable[Gap]) -> pd.DataFrame:
    """Return the first row of odds of each match, company and market, with the column `opening`.

    The feed sends changes, so that the first price received need not be the first there was. `opening` is True where
    everything had been sent anew (a row with `refresh`) and this was not among it, no gap since; False where the price
    was itself among what was sent anew, or its match was played already; NA where it cannot be known.
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
    began = np.array(sorted(gap.began_ns for gap in gaps), dtype=np.int64)
    lost = np.searchsorted(began, since, "left") != np.searchsorted(began, times, "left")
    certain = (since >= 0) & ~lost
    played = kick_offs(scores)["kick_off"].reindex(first["match_id"])
    late = pd.DatetimeIndex(played) <= pd.DatetimeIndex(first.index).tz_convert("UTC")
    stood = first["refresh"].fillna(value=False).to_numpy(bool) | late
    opening = pd.arrays.BooleanArray(certain & ~stood, ~(certain | stood))
    result = first.assign(opening=opening)
    result.attrs = dict(odds.attrs)
    return result
