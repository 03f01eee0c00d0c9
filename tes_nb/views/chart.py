"""The live chart in the notebook: an anywidget around uPlot, fed with one binary append a tick.

docs/decisions/0010 says why it is not plotly's widget, and what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError, meant
from tes_nb.model import Table
from tes_nb.model.stream import STALE_PERIODS
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.alerts import AlertLimit, Alerts
from tes_nb.views.annotations import Annotations, Notes, Upstream, upstream_info
from tes_nb.views.chart_codec import ChartSeries, pack
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import chart, state_html
from tes_nb.views.lines import numeric_columns
from tes_nb.views.live import LiveView, json_period, usual_spec
from tes_nb.views.push import Sent, SentState
from tes_nb.views.source import RowlessMessages
from tes_nb.views.subjects import Subjects
from tes_nb.views.where import drawn_by

if TYPE_CHECKING:
    from tes_nb.views.source import Lookup, TableSource
    from tes_nb.views.where import Where

KEYFRAME_CELLS = 400_000
"""Values in a full ring, at most: 3.2 MB."""
KEYFRAME_ROWS = 60_000
ROOM_AGAIN_S = 30.0
"""So often lines that are no longer in the ring make room for labels that found none."""


class ChartContent:
    """One table's series."""

    def __init__(
        self,
        store: StreamStore,
        table: str,
        series: ChartSeries,
        alerts: Alerts,
        *,
        upstream: Upstream | None = None,
        notes: Notes | None = None,
        where: Where | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """upstream, notes, where: see `ChartOptions`. clock: seconds."""
        self._store = store
        self._rows = store.tables[table]
        self._series = series
        self.alerts = alerts
        self._upstream = upstream
        self._annotations = Annotations(store, notes)
        self._where = where
        self._called = series.subjects.version
        self._info: list[dict[str, Any]] = []
        self._state = SentState()
        self._rowless = RowlessMessages(store, self._rows.table)
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
        self._state.forget()
        self._series.forget()
        most = min(KEYFRAME_ROWS, KEYFRAME_CELLS // max(1, len(self._series.columns)))
        return self._append(self._rows.total - most, self._annotations.all_breaks(), keyframe=True)

    def news(self) -> list[Sent]:
        """Return the new rows; the full ring when labels found no room for a while, or the table was cleared."""
        crowded = self._series.ignored and self._clock() - self._last_all > ROOM_AGAIN_S
        if crowded or self._cursor < self._rows.cleared:
            return self.everything()
        return self._append(self._cursor, self._annotations.new_breaks())

    def _append(self, cursor: int, breaks: Sequence[float], *, keyframe: bool = False) -> list[Sent]:
        names = self._series.names
        fresh = self._rows.since(cursor, names if self._where is None else [*names, *self._where.names])
        self._cursor = fresh.cursor
        times, columns = fresh.time, fresh.columns
        if self._where is not None:
            chosen = self._where.mask(columns)
            times, columns = times[chosen], {name: cells[chosen] for name, cells in columns.items()}
        called = self._series.subjects.version
        renamed, self._called = called != self._called, called
        if not (keyframe or len(times) or breaks or renamed):
            return []
        blocks = self._series.blocks(times, columns, breaks)
        info = self._series.info if keyframe or renamed or len(self._series) != self._series_sent else None
        if not keyframe and info == self._info:
            info = None
        self._info = self._info if info is None else info
        if not (keyframe or blocks or info):
            return []
        append = pack(self._sequence, blocks, keyframe=keyframe, series=info)
        self._sequence += 1
        self._series_sent = len(self._series)
        return [Sent({"type": "append"}, [append])]

    def fallback(self) -> str:
        """Return a picture of the newest rows and their last values."""
        table = replace(self._rows.table, key=self._series.by)
        rows = frame(self._rows, copy=False)
        state = state_html(upstream_info(self._store, self._upstream))
        return state + chart(
            rows if self._where is None else self._where.rows(rows), table, self._series.columns
        )

    def state(self) -> dict[str, Any]:
        """Return what changed of upstream, gaps, marks, cells, held times, alerts and the sentence."""
        ignored = len(self._series.ignored)
        sentence = f"{ignored} more lines are not drawn; choose fewer columns, or other ones to split by."
        state = {
            "upstream": upstream_info(self._store, self._upstream),
            "alerts": [{"t": alert.time, "text": alert.text} for alert in tuple(self.alerts.log)],
            "sentence": sentence if ignored else "",
            "rowless": self._rowless.count(),
        }
        return self._state.changes(state | self._annotations.state())


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """How a chart shows its source."""

    columns: Sequence[str] | None = None
    """Names to draw; `None` = every gauge and counter."""
    window_s: float | None = 300.0
    """Seconds shown at first; `None` = all there are."""
    by: Sequence[str] | None = None
    """Columns that split lines; `None` = the table's key."""
    where: Where | None = None
    """The rows that are drawn; `None` = all."""
    lookup: Lookup | None = None
    """What subjects are called beside the table's own columns; `None` = there is nothing."""
    limits: Sequence[AlertLimit] = ()
    url: str = ""
    """The page that shows the same while the kernel is held; "" = there is none."""
    upstream: Upstream | None = None
    """`None` = as the store has it."""
    notes: Notes | None = None
    """`None` = there are no executed cells and held times."""
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
    """Return what the browser must know of a chart, and what it is sent then. Raises `SessionError`, see `Chart`."""
    described = source.stream.table(table or source.stream.main)
    _check(described, options.by or (), options.limits)
    subjects = Subjects(described, options.by, options.lookup)
    by = subjects.by
    where = drawn_by(described, options.where)
    content = ChartContent(
        source.store,
        described.name,
        ChartSeries(numeric_columns(described, options.columns, but=by), subjects),
        Alerts(described, by, options.limits),
        upstream=options.upstream,
        notes=options.notes,
        where=where,
    )
    spec = {
        **usual_spec(source, described, options.url),
        "window_s": options.window_s,
        "break_s": None if described.key else json_period(STALE_PERIODS * source.stream.period_s),
        "limits": [limit.info() for limit in options.limits],
        "filter": "" if options.where is None else options.where.text,
    }
    return spec, content


def _check(table: Table, by: Sequence[str], limits: Sequence[AlertLimit]) -> None:
    for name in by:
        if name not in table.names:
            raise SessionError(
                f"There is no column '{name}' to split by; there are {', '.join(table.names)}."
                f"{meant(name, table.names)}"
            )
    numeric = [column.name for column in numeric_columns(table, None)]
    for limit in limits:
        if limit.column not in numeric:
            raise SessionError(
                f"'{limit.column}' has no numbers to alert on; columns with numbers are {', '.join(numeric)}."
                f"{meant(limit.column, numeric)}"
            )
