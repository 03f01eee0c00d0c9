"""The live chart in the notebook: an anywidget around uPlot, fed with one binary append a tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.model import Column, Table
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.alerts import AlertLimit, Alerts
from tes_nb.views.annotations import Notes, SentState, upstream_info
from tes_nb.views.chart_codec import ChartSeries, pack
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import chart
from tes_nb.views.lines import names_of
from tes_nb.views.live import LiveView, json_period, silent_sentence
from tes_nb.views.push import Sent

if TYPE_CHECKING:
    from tes_nb.views.source import TableSource

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
        drawn: ChartSeries,
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
        self._told = SentState(store, notes)
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
        return chart(frame(self._rows, copy=False), table, self._drawn.columns)

    def _append(self, append: bytes) -> Sent:
        self._sequence += 1
        self._series_sent = len(self._drawn)
        return Sent({"type": "append"}, [append])

    def state(self) -> dict[str, Any]:
        """Return what changed of upstream, gaps, marks, cells, held times, alerts and the sentence."""
        upstream = upstream_info(self._store.state if self._upstream is None else self._upstream())
        return self._told.changes(upstream, tuple(self.alerts.log), self._sentence())

    def _sentence(self) -> str:
        ignored = len(self._drawn.ignored)
        if not ignored:
            return ""
        return f"{ignored} more lines are not drawn; choose fewer columns, or other ones to split by."


DRAWN_KINDS = ("gauge", "counter")


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """What a chart may be told beside its source."""

    columns: Sequence[str] | None = None
    """Names to draw; `None` = every gauge and counter."""
    window_s: float | None = 300.0
    """Seconds shown at first; `None` = all there are."""
    by: Sequence[str] | None = None
    """Columns that split lines; `None` = the table's key."""
    limits: Sequence[AlertLimit] = ()
    url: str = ""
    """The page that shows the same while the kernel is held; "" = there is none."""
    upstream: Upstream | None = None
    """→ (word, text) of the feed's state; `None` = as the store tells it."""
    notes: Notes | None = None
    """→ {"cells": [{start, end, label}], "held": […]}, Unix seconds, `end` None while it lasts."""
    on_origin: Callable[[str], None] | None = None
    """Called with a browser's `location.origin` when it shows the chart."""


class Chart(LiveView):
    """A live chart of one table. Display it; it moves by itself, also while a cell runs."""

    def __init__(
        self,
        source: TableSource,
        table: str | None = None,
        options: ChartOptions | None = None,
        *,
        repaint: RepaintClock = clock,
    ) -> None:
        """Draw `table` of the source (`None` = its main one).

        Raises `SessionError` for a column that there is not or that has no numbers, and when the front end was
        not bundled.
        """
        chosen = options or ChartOptions()
        spec, content = chart_parts(source, table, chosen)
        self._alerts = content.alerts
        super().__init__("widget", "chart", spec, content, on_origin=chosen.on_origin, repaint=repaint)

    @property
    def alerts(self) -> list[str]:
        """What passed a limit, oldest first; at most 200."""
        return [alert.text for alert in tuple(self._alerts.log)]


def chart_parts(
    source: TableSource, table: str | None, options: ChartOptions
) -> tuple[dict[str, Any], ChartContent]:
    """Return what the browser must know of a chart, and what it is told then. Raises `SessionError`, see `Chart`."""
    described = source.stream.table(table or source.stream.main)
    by = tuple(described.key if options.by is None else options.by)
    drawn = ChartSeries(drawn_columns(described, options.columns, by), by)
    limits = _checked(options.limits, described)
    content = ChartContent(
        source.store,
        described.name,
        drawn,
        Alerts(described, by, limits),
        upstream=options.upstream,
        notes=options.notes,
    )
    return _spec(source, described, options, limits), content


def drawn_columns(table: Table, chosen: Sequence[str] | None, by: Sequence[str]) -> list[Column]:
    """Return the columns to draw. Raises `SessionError` naming what there is for a wrong one."""
    names = {column.name: column for column in table.columns}
    for name in by:
        if name not in names:
            raise SessionError(f"There is no column '{name}' to split by; there are {', '.join(names)}.")
    able = {name: column for name, column in names.items() if column.kind in DRAWN_KINDS and name not in by}
    if chosen is None:
        return list(able.values())
    wanted = names_of(chosen)
    for name in wanted:
        if name not in able:
            raise SessionError(f"'{name}' cannot be drawn; columns with numbers are {', '.join(able)}.")
    return [able[name] for name in wanted]


def _checked(limits: Sequence[AlertLimit], table: Table) -> tuple[AlertLimit, ...]:
    able = {column.name for column in table.columns if column.kind in DRAWN_KINDS}
    for limit in limits:
        if limit.column not in able:
            raise SessionError(
                f"'{limit.column}' has no numbers to alert on; columns with numbers are {', '.join(able)}."
            )
    return tuple(limits)


def _spec(
    source: TableSource, table: Table, options: ChartOptions, limits: Sequence[AlertLimit]
) -> dict[str, Any]:
    """What the browser must know from the start. It is saved with the notebook, so nothing secret is in it."""
    main = table.name == source.stream.main
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "window_s": options.window_s,
        "period_s": json_period(source.stream.period_s),
        "break_s": None if table.key else json_period(3 * source.stream.period_s),
        "limits": [limit.info() for limit in limits],
        "silent": silent_sentence(options.url),
    }
