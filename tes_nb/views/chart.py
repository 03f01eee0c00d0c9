"""The live chart in the notebook: an anywidget around uPlot, fed with one binary append a tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tes_nb.errors import SessionError
from tes_nb.model import Column, Stream, Table
from tes_nb.store.memory.tables import StreamStore
from tes_nb.views.alerts import Alerts, Limit
from tes_nb.views.chart_content import ChartContent, Upstream
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.drawn import Drawn
from tes_nb.views.live import LiveView, silent_sentence, told_period
from tes_nb.views.notes import Notes
from tes_nb.views.series import names_of

DRAWN_KINDS = ("gauge", "counter")


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
        chosen = options or ChartOptions()
        spec, content = chart_parts(source, table, chosen)
        self._alerts = content.alerts
        super().__init__("widget", "chart", spec, content, on_origin=chosen.on_origin, repaint=repaint)

    @property
    def alerts(self) -> list[str]:
        """What passed a limit, oldest first; at most 200."""
        return [alert.text for alert in tuple(self._alerts.log)]


def chart_parts(
    source: ChartSource, table: str | None, options: ChartOptions
) -> tuple[dict[str, Any], ChartContent]:
    """Return what the browser must know of a chart, and what it is told then. Raises `SessionError`, see `Chart`."""
    described = source.stream.table(table or source.stream.main)
    by = tuple(described.key if options.by is None else options.by)
    drawn = Drawn(drawn_columns(described, options.columns, by), by)
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
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "window_s": options.window_s,
        "period_s": told_period(source.stream.period_s),
        "break_s": None if table.key else told_period(3 * source.stream.period_s),
        "limits": [limit.told() for limit in limits],
        "silent": silent_sentence(options.url),
    }
