"""What is sent to a chart, and when: the full ring at first and after a hole, then what is new, if anybody looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tes_nb.views.append import pack
from tes_nb.views.notes import Notes, Told, upstream_told

if TYPE_CHECKING:
    from tes_nb.store.tables import StreamStore
    from tes_nb.views.alerts import Alerts
    from tes_nb.views.drawn import Drawn
    from tes_nb.views.presence import Presence

KEYFRAME_CELLS = 400_000
"""Values in a full ring, at most: 3.2 MB."""
KEYFRAME_ROWS = 60_000
REPEATED_AT_S = (0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""When the full ring is sent again while no browser could answer: the first may have come before its listener."""
HEARTBEAT_S = 3.0
ROOM_AGAIN_S = 30.0

Send = Callable[[dict[str, Any], list[bytes]], None]
Upstream = Callable[[], tuple[str, str] | None]


class ChartPush:
    """One chart's traffic. `step` runs on the clock's thread, `ask_all` on any."""

    def __init__(
        self,
        store: StreamStore,
        table: str,
        send: Send,
        *,
        drawn: Drawn,
        alerts: Alerts,
        presence: Presence,
        upstream: Upstream | None = None,
        notes: Notes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """send: (content, buffers) → the browser. upstream, notes: see `ChartOptions`. clock: seconds."""
        self._store = store
        self._rows = store.tables[table]
        self._drawn = drawn
        self._alerts = alerts
        self._presence = presence
        self._browser = send
        self._upstream = upstream
        self._told = Told(store, notes)
        self._clock = clock
        self._cursor = 0
        self._sequence = 0
        self._series_sent = 0
        self._all_due = True
        self._made = clock()
        self._last_all = self._last_sent = self._made
        self._repeats = list(REPEATED_AT_S)
        self.ended = False

    def ask_all(self) -> None:
        """Send the full ring at the next step."""
        self._all_due = True

    def step(self) -> bool:
        """Send what is new, if anybody looks; False when the chart has ended."""
        if self.ended:
            return False
        self._alerts.check(self._rows)
        if not self._presence.watched:
            return True
        now = self._clock()
        self._plan(now)
        if self._all_due:
            self._send_all(now)
        else:
            self._send_new(now)
        self._send_state(now)
        return True

    def _plan(self, now: float) -> None:
        """Until a browser has spoken, send all again now and then; and when labels found no room."""
        if self._presence.confirmed:
            self._repeats.clear()
        elif self._repeats and now - self._made >= self._repeats[0]:
            self._repeats.pop(0)
            self._all_due = True
        if self._drawn.ignored and now - self._last_all > ROOM_AGAIN_S:
            self._all_due = True

    def _send_all(self, now: float) -> None:
        self._all_due = False  # first: what is asked for meanwhile is asked for again
        self._last_all = now
        self._drawn.forget()
        most = min(KEYFRAME_ROWS, KEYFRAME_CELLS // max(1, len(self._drawn.columns)))
        fresh = self._rows.since(max(0, self._rows.total - most), self._drawn.wanted)
        self._cursor = fresh.cursor
        blocks = self._drawn.blocks(fresh.time, fresh.columns, self._told.all_breaks())
        self._told.forget()
        self._send(now, pack(self._sequence, blocks, keyframe=True, series=self._drawn.series))

    def _send_new(self, now: float) -> None:
        fresh = self._rows.since(self._cursor, self._drawn.wanted)
        breaks = self._told.new_breaks()
        if not len(fresh) and not breaks:
            return
        self._cursor = fresh.cursor
        blocks = self._drawn.blocks(fresh.time, fresh.columns, breaks)
        series = self._drawn.series if len(self._drawn) != self._series_sent else None
        self._send(now, pack(self._sequence, blocks, series=series))

    def _send(self, now: float, append: bytes) -> None:
        self._sequence += 1
        self._series_sent = len(self._drawn)
        self._last_sent = now
        self._browser({"type": "append"}, [append])

    def _send_state(self, now: float) -> None:
        """Tell what changed beside the points, and at least every 3 s that the kernel is there."""
        upstream = upstream_told(self._store.state if self._upstream is None else self._upstream())
        state = self._told.changes(upstream, tuple(self._alerts.log), self._sentence())
        if state or now - self._last_sent >= HEARTBEAT_S:
            self._last_sent = now
            self._browser({"type": "state", "state": state}, [])

    def _sentence(self) -> str:
        ignored = len(self._drawn.ignored)
        if not ignored:
            return ""
        return f"{ignored} more lines are not drawn; choose fewer columns, or other ones to split by."
