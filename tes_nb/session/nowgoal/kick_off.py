"""When each match kicked off, as its rows of scores tell it: for walks, for states at kick-off, for closing prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tes_nb.errors import ArgumentError
from tes_nb.store.memory.timespec import span_ns
from tes_nb.streams.nowgoal.tables import SCORES

IN_PLAY = range(1, 6)
"""States from the first half to penalties, half-time included."""
_MATCH, _STATE, _KICK_OFF = (SCORES.names.index(name) for name in ("match_id", "state", "kick_off"))


class MatchFilter:
    """Chooses rows of a walk by what the scores have said of their match before."""

    def __init__(self, *, inplay: bool | None = None, before_kick_off: Any = None) -> None:
        """inplay: only while the match is played (True), or not (False). before_kick_off: at most so long before it.

        `None` = it does not matter. A row of a match whose state nobody has told is left out.
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

    A match kicks off when the first row that says it is played is received: that is what anybody who reads the feed
    can know, whatever its own clock says. One that was played already in its first row was not seen to kick off, and
    one that has not been played yet has no row. The times are in UTC.
    """
    rows = scores.dropna(subset=["match_id", "state"]).sort_index(kind="stable")
    rows = rows.assign(received=pd.DatetimeIndex(rows.index).tz_convert("UTC"))
    played = rows[rows["state"].isin(IN_PLAY).fillna(value=False).to_numpy(bool)]
    kick_off = played.drop_duplicates("match_id").set_index("match_id")["received"]
    seen_at = rows.drop_duplicates("match_id").set_index("match_id")["received"]
    return pd.DataFrame({"kick_off": kick_off, "seen": seen_at.reindex(kick_off.index) < kick_off})
