"""The live chart in the notebook: an anywidget around uPlot, fed with one binary append a tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import anywidget
import traitlets

from tes_nb.errors import SessionError
from tes_nb.model import Column, Stream, Table
from tes_nb.store.tables import StreamStore
from tes_nb.views.alerts import Alerts, Limit
from tes_nb.views.append import pack
from tes_nb.views.bundle import front_end, front_end_module
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.drawn import Drawn
from tes_nb.views.notes import Told, upstream_told
from tes_nb.views.presence import Listening, Presence

DRAWN_KINDS = ("gauge", "counter")
KEYFRAME_CELLS = 400_000
"""Values in a full ring, at most: 3.2 MB."""
KEYFRAME_ROWS = 60_000
REPEATED_AT_S = (0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""When the full ring is sent again while no browser could answer: the first may have come before its listener."""
HEARTBEAT_S = 3.0
ROOM_AGAIN_S = 30.0


class ChartSource(Protocol):
    """What a chart draws: a feed, or anything with a stream and its store."""

    stream: Stream
    store: StreamStore

    @property
    def name(self) -> str:
        """What the chart is called."""


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """What a chart may be told beside its source."""

    columns: Sequence[str] | None = None
    """Names to draw; `None` = every gauge and counter."""
    window_s: float | None = 300.0
    """Seconds shown at first; `None` = all there are."""
    by: Sequence[str] | None = None
    """Columns that split lines; `None` = the table's key."""
    limits: Sequence[Limit] = ()
    url: str = ""
    """The page that shows the same while the kernel is held; "" = there is none."""
    upstream: Callable[[], tuple[str, str] | None] | None = None
    """→ (word, text) of the feed's state; `None` = as the store tells it."""
    notes: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]] | None = None
    """→ {"cells": [{start, end, label}], "held": […]}, Unix seconds, `end` None while it lasts."""
    on_origin: Callable[[str], None] | None = None
    """Called with a browser's `location.origin` when it shows the chart."""


class Chart(anywidget.AnyWidget):
    """A live chart of one table. Display it; it moves by itself, also while a cell runs."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        source: ChartSource,
        table: str | None = None,
        options: ChartOptions | None = None,
        *,
        repaint: RepaintClock = clock,
    ) -> None:
        """Draw `table` of the source (`None` = its main one).

        Raises `SessionError` for a column that there is not or that has no numbers, and when the front end was
        not bundled.
        """
        options = options or ChartOptions()
        described = source.stream.table(table or source.stream.main)
        by = tuple(described.key if options.by is None else options.by)
        columns = drawn_columns(described, options.columns, by)
        limits = _checked(options.limits, described)
        self._options = options
        self._store = source.store
        self._rows = source.store.tables[described.name]
        self._drawn = Drawn(columns, by)
        self._alerts = Alerts(described, by, limits)
        self._told = Told(source.store, options.notes)
        self._repaint = repaint
        self._cursor = 0
        self._sequence = 0
        self._series_sent = 0
        self._keyframe_due = True
        self._last_keyframe = self._last_sent = 0.0
        self._ended = False
        super().__init__(
            _esm=front_end_module("widget.js"),
            _css=front_end("widget.css"),
            uid=uuid4().hex,
            spec=_spec(source, described, options, limits),
        )
        self._made = time.monotonic()
        self._repeats = list(REPEATED_AT_S)
        self._presence = Presence(Listening().seconds)
        self.on_msg(self._from_browser)
        repaint.add(self)

    @property
    def alerts(self) -> list[str]:
        """What passed a limit, oldest first; at most 200."""
        return [alert.text for alert in tuple(self._alerts.log)]

    def close(self) -> None:
        """End the chart; what is on the screen stays as it is."""
        self._ended = True
        self._repaint.remove(self)
        super().close()

    # On the kernel's loop, or on any thread --------------------------------------------------------------------

    def _from_browser(self, widget: Any, content: Any, buffers: Any) -> None:
        del widget, buffers
        if not isinstance(content, Mapping):
            return
        self._presence.take(content)
        if content.get("type") in ("hello", "keyframe"):
            self._keyframe_due = True
        origin = content.get("origin")
        if isinstance(origin, str) and self._options.on_origin is not None:
            self._options.on_origin(origin)
        self._repaint.wake()

    # On the clock's thread -------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Send what is new, if anybody looks; False when the chart has ended."""
        if self._ended or self.comm is None:
            return False
        self._alerts.check(self._rows)
        if not self._presence.watched:
            return True
        now = time.monotonic()
        self._plan_keyframe(now)
        if self._keyframe_due:
            self._send_keyframe(now)
        else:
            self._send_new(now)
        self._send_state(now)
        return True

    def _plan_keyframe(self, now: float) -> None:
        """Until a browser has spoken, send all again now and then; and when labels found no room."""
        if self._presence.confirmed:
            self._repeats.clear()
        elif self._repeats and now - self._made >= self._repeats[0]:
            self._repeats.pop(0)
            self._keyframe_due = True
        if self._drawn.ignored and now - self._last_keyframe > ROOM_AGAIN_S:
            self._keyframe_due = True

    def _send_keyframe(self, now: float) -> None:
        self._keyframe_due = False  # first: what is asked for meanwhile is asked for again
        self._last_keyframe = now
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
        self.send({"type": "append"}, [append])

    def _send_state(self, now: float) -> None:
        """Tell what changed beside the points, and at least every 3 s that the kernel is there."""
        asked = self._options.upstream
        upstream = upstream_told(self._store.state) if asked is None else upstream_told(asked())
        state = self._told.changes(upstream, tuple(self._alerts.log), self._sentence())
        if state or now - self._last_sent >= HEARTBEAT_S:
            self._last_sent = now
            self.send({"type": "state", "state": state})

    def _sentence(self) -> str:
        ignored = len(self._drawn.ignored)
        if not ignored:
            return ""
        return f"{ignored} more lines are not drawn; choose fewer columns, or other ones to split by."


def drawn_columns(table: Table, chosen: Sequence[str] | None, by: Sequence[str]) -> list[Column]:
    """Return the columns to draw. Raises `SessionError` naming what there is for a wrong one."""
    names = {column.name: column for column in table.columns}
    for name in by:
        if name not in names:
            raise SessionError(f"There is no column '{name}' to split by; there are {', '.join(names)}.")
    able = {name: column for name, column in names.items() if column.kind in DRAWN_KINDS and name not in by}
    if chosen is None:
        return list(able.values())
    wanted = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in wanted:
        if name not in able:
            raise SessionError(f"'{name}' cannot be drawn; columns with numbers are {', '.join(able)}.")
    return [able[name] for name in wanted]


def _checked(limits: Sequence[Limit], table: Table) -> tuple[Limit, ...]:
    able = {column.name for column in table.columns if column.kind in DRAWN_KINDS}
    for limit in limits:
        if limit.column not in able:
            raise SessionError(
                f"'{limit.column}' has no numbers to alert on; columns with numbers are {', '.join(able)}."
            )
    return tuple(limits)


def _spec(
    source: ChartSource, table: Table, options: ChartOptions, limits: Sequence[Limit]
) -> dict[str, Any]:
    """What the browser must know from the start. It is saved with the notebook, so nothing secret is in it."""
    main = table.name == source.stream.main
    page = f" {options.url} shows it meanwhile." if options.url else ""
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "window_s": options.window_s,
        "period_s": source.stream.period_s,
        "break_s": None if table.key else 3 * source.stream.period_s,
        "limits": [limit.told() for limit in limits],
        "silent": f"If a cell holds the kernel, the picture goes on after it.{page} Else restart the kernel.",
    }
