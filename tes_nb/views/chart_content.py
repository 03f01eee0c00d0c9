"""What a chart shows, as binary appends: the full ring, then the new rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tes_nb.store.memory.frames import frame
from tes_nb.views import fallback
from tes_nb.views.append import pack
from tes_nb.views.notes import Notes, Told, upstream_told
from tes_nb.views.pushing import Sent

if TYPE_CHECKING:
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.alerts import Alerts
    from tes_nb.views.drawn import Drawn

KEYFRAME_CELLS = 400_000
"""Values in a full ring, at most: 3.2 MB."""
KEYFRAME_ROWS = 60_000
ROOM_AGAIN_S = 30.0
"""So often lines that are no longer in the ring make room for labels that found none."""

Upstream = Callable[[], tuple[str, str] | None]


class ChartContent:
    """One table's series."""

    def __init__(
        self,
        store: StreamStore,
        table: str,
        drawn: Drawn,
        alerts: Alerts,
        *,
        upstream: Upstream | None = None,
        notes: Notes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """upstream, notes: see `ChartOptions`. clock: seconds."""
        self._store = store
        self._rows = store.tables[table]
        self._drawn = drawn
        self.alerts = alerts
        self._upstream = upstream
        self._told = Told(store, notes)
        self._clock = clock
        self._cursor = 0
        self._sequence = 0
        self._series_sent = 0
        self._last_all = clock()

    def check(self) -> None:
        """Look for passed limits."""
        self.alerts.check(self._rows)

    def everything(self) -> list[Sent]:
        """Return the full ring."""
        self._last_all = self._clock()
        self._drawn.forget()
        most = min(KEYFRAME_ROWS, KEYFRAME_CELLS // max(1, len(self._drawn.columns)))
        fresh = self._rows.since(max(0, self._rows.total - most), self._drawn.wanted)
        self._cursor = fresh.cursor
        blocks = self._drawn.blocks(fresh.time, fresh.columns, self._told.all_breaks())
        self._told.forget()
        return [self._append(pack(self._sequence, blocks, keyframe=True, series=self._drawn.series))]

    def news(self) -> list[Sent]:
        """Return the new rows; the full ring when labels found no room for a while, or the table was cleared."""
        if self._cursor < self._rows.cleared:
            return self.everything()
        if self._drawn.ignored and self._clock() - self._last_all > ROOM_AGAIN_S:
            return self.everything()
        fresh = self._rows.since(self._cursor, self._drawn.wanted)
        breaks = self._told.new_breaks()
        if not len(fresh) and not breaks:
            return []
        self._cursor = fresh.cursor
        blocks = self._drawn.blocks(fresh.time, fresh.columns, breaks)
        series = self._drawn.series if len(self._drawn) != self._series_sent else None
        return [self._append(pack(self._sequence, blocks, series=series))]

    def fallback(self) -> str:
        """Return a picture of the newest rows and their last values."""
        table = replace(self._rows.table, key=self._drawn.by)
        return fallback.chart(frame(self._rows, copy=False), table, self._drawn.columns)

    def _append(self, append: bytes) -> Sent:
        self._sequence += 1
        self._series_sent = len(self._drawn)
        return Sent({"type": "append"}, [append])

    def state(self) -> dict[str, Any]:
        """Return what changed of upstream, gaps, marks, cells, held times, alerts and the sentence."""
        upstream = upstream_told(self._store.state if self._upstream is None else self._upstream())
        return self._told.changes(upstream, tuple(self.alerts.log), self._sentence())

    def _sentence(self) -> str:
        ignored = len(self._drawn.ignored)
        if not ignored:
            return ""
        return f"{ignored} more lines are not drawn; choose fewer columns, or other ones to split by."
