"""Steam as it happens: ticks received and derived, judged as rows come in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from tes_nb.analysis.odds import KEY, ticks_from_odds
from tes_nb.analysis.steam import DEFAULTS, SteamDetector, SteamSettings
from tes_nb.model import Message
from tes_nb.net.loop import now
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.tables import StreamStore

if TYPE_CHECKING:
    from tes_nb.store.memory.columns import Columns

EVERY_S = 0.25
"""New rows are judged at most so often; the cost depends on their number alone."""


class SteamWatch:
    """Hands each steam tick to a callback once. `on_message` belongs on the feed's own thread, in its loop.

    What comes right after a look waits for the next message, or for a look of its own where none comes.
    """

    def __init__(
        self,
        store: StreamStore,
        callback: Callable[[pd.DataFrame], object],
        settings: SteamSettings = DEFAULTS,
        named: Callable[[pd.DataFrame], pd.DataFrame] = lambda odds: odds,
        run: Callable[[Callable[[], None]], None] = lambda look: look(),
    ) -> None:
        """Judge what comes from now on; prices known so far are what the next ones are compared with.

        `callback` gets a frame of new steam ticks, as `ng.steam()` has them. `named` adds names to odds. `run` calls a
        look that no message brought, and takes what it raises.
        """
        self._store = store
        self._callback = callback
        self._named = named
        self._detector = SteamDetector(settings)
        self._lock = threading.Lock()
        self._last = _latest(frame_of(store.tables["odds"]))
        self._cursors = {name: store.tables[name].total for name in ("odds", "ticks")} | {"scores": 0}
        self._refreshes = _refreshes(self._new("scores"))
        self._looked_s = 0.0
        self._run = run
        self._later: asyncio.TimerHandle | None = None
        self._ended = False

    def on_message(self, message: Message) -> None:
        """Look at new rows; where that was done just now, a little later."""
        del message
        if now() >= self._looked_s + EVERY_S:
            self.look()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(
                self._looked_s + EVERY_S - now(), self._look_late
            )

    def _look_late(self) -> None:
        self._later = None
        if not self._ended:
            self._run(self.look)

    def end(self) -> None:
        """Call back no more."""
        self._ended = True

    def look(self) -> None:
        """Judge all new rows and call back with the steam among them."""
        with self._lock:
            self._looked_s = now()
            ticks = [one for one in (self._new("ticks"), self._derived()) if len(one)]
            if not ticks:
                return
            judged = self._detector.add_frame(pd.concat(ticks).sort_index(kind="stable"))
        steam = judged[judged["steam"]]
        if len(steam):
            self._callback(steam)

    def _derived(self) -> pd.DataFrame:
        odds = self._new("odds")
        if not len(odds):
            return odds
        both = pd.concat([self._last, self._named(odds)]) if len(self._last) else self._named(odds)
        self._refreshes = pd.concat([self._refreshes, _refreshes(self._new("scores"))])
        ticks = ticks_from_odds(both, self._store.gaps, self._refreshes)
        self._last = _latest(both)
        return ticks

    def _new(self, name: str) -> pd.DataFrame:
        table: Columns = self._store.tables[name]
        rows = table.snapshot()
        total = rows.dropped + len(rows)
        fresh = max(self._cursors[name] - rows.dropped, 0)
        self._cursors[name] = total
        return frame_of(rows.slice(min(fresh, len(rows)), len(rows)))


def _latest(odds: pd.DataFrame) -> pd.DataFrame:
    """The newest row of each match, company and market: what the next prices are compared with."""
    return odds[~odds.duplicated(list(KEY), keep="last")]


def _refreshes(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows that say: everything is sent anew."""
    return scores[scores["refresh"].eq(other=True).fillna(value=False)]
