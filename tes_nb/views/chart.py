"""The live chart in the notebook: an anywidget around uPlot, fed with one binary append a tick."""

from __future__ import annotations

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
from tes_nb.views.bundle import front_end, front_end_module
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.drawn import Drawn
from tes_nb.views.notes import Notes
from tes_nb.views.presence import Listening, Presence
from tes_nb.views.pushing import ChartPush, Upstream

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


class Chart(anywidget.AnyWidget):
    """A live chart of one table. Display it; it moves by itself, also while a cell runs."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    _push: ChartPush | None = None
    """`None` until it is made: a chart that was refused is closed too, by the garbage collector."""

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
        described = source.stream.table(table or source.stream.main)
        by = tuple(described.key if chosen.by is None else chosen.by)
        drawn = Drawn(drawn_columns(described, chosen.columns, by), by)
        limits = _checked(chosen.limits, described)
        super().__init__(
            _esm=front_end_module("widget.js"),
            _css=front_end("widget.css"),
            uid=uuid4().hex,
            spec=_spec(source, described, chosen, limits),
        )
        self._on_origin = chosen.on_origin
        self._alerts = Alerts(described, by, limits)
        self._presence = Presence(Listening().seconds)
        self._repaint = repaint
        self._push = ChartPush(
            source.store,
            described.name,
            self.send,
            drawn=drawn,
            alerts=self._alerts,
            presence=self._presence,
            upstream=chosen.upstream,
            notes=chosen.notes,
        )
        self.on_msg(self._heard)
        repaint.add(self._push)

    @property
    def alerts(self) -> list[str]:
        """What passed a limit, oldest first; at most 200."""
        return [alert.text for alert in tuple(self._alerts.log)]

    def close(self) -> None:
        """End the chart; what is on the screen goes with it."""
        if self._push is not None:
            self._push.ended = True
        super().close()

    def _heard(self, widget: Any, content: Any, buffers: Any) -> None:
        """Take what a browser says. Runs on the kernel's loop, or on any thread."""
        del widget, buffers
        if not isinstance(content, Mapping):
            return
        self._presence.take(content)
        if self._push is not None and content.get("type") in ("hello", "keyframe"):
            self._push.ask_all()
        origin = content.get("origin")
        if isinstance(origin, str) and self._on_origin is not None:
            self._on_origin(origin)
        self._repaint.wake()


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
