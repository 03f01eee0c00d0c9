"""What a live chart is told by the session around it: the page, the state, executed cells, held times."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.store.memory.frames import frame as frame_of
from tes_nb.store.memory.timespec import span_ns
from tes_nb.store.session.schema import SourceInfo, session_path
from tes_nb.store.session.writer import SessionWriter
from tes_nb.views.chart import chart_parts
from tes_nb.views.dashboard import Dashboard, Part, Steering, Tab
from tes_nb.views.inspector import InspectorContent, InspectorRequests, inspector_spec
from tes_nb.views.table import CardsContent, TableContent, view_spec

if TYPE_CHECKING:
    from tes_nb.model import Message
    from tes_nb.session.feed import Feed
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.alerts import AlertLimit
    from tes_nb.views.chart import Chart, ChartOptions
    from tes_nb.views.inspector import Inspector, Save
    from tes_nb.views.table import LiveCards, LiveTable


def upstream_of(feed: Feed) -> tuple[str, str]:
    """Return (word, text) of the feed's state, as views tell it."""
    state = feed.look()
    return state.word, str(state)


def live_table(feed: Feed, table: str) -> LiveTable:
    """Return the widget. Raises `SessionError` for a table without a key or a front end that was not built."""
    from tes_nb.views.table import LiveTable  # noqa: PLC0415 - widgets only when somebody looks

    return LiveTable(
        feed,
        table,
        url=feed.url,
        upstream=lambda: upstream_of(feed),
        lookup=feed.known_of(table),
        on_origin=feed.on_origin,
    )


def live_cards(feed: Feed, table: str) -> LiveCards:
    """Return the widget. Raises `SessionError` for a table with a key or a front end that was not built."""
    from tes_nb.views.table import LiveCards  # noqa: PLC0415

    return LiveCards(feed, table, url=feed.url, upstream=lambda: upstream_of(feed), on_origin=feed.on_origin)


def live_inspector(feeds: Sequence[Feed], title: str) -> Inspector:
    """Return the widget: the newest messages of these feeds and those to come."""
    from tes_nb.views.inspector import Inspector  # noqa: PLC0415

    if not feeds:
        raise SessionError("There is no feed to inspect.")

    return Inspector(
        [feed.recent for feed in feeds],
        title=title,
        period_s=max(feed.stream.period_s for feed in feeds),
        url=feeds[0].url,
        save=saver(feeds),
        on_origin=feeds[0].on_origin,
    )


def saver(feeds: Sequence[Feed]) -> Save:
    """Return what writes messages of these feeds as a session file."""
    streams = {feed.source: feed.stream.name for feed in feeds}
    return lambda messages: save_messages(messages, streams)


def save_messages(messages: Sequence[Message], streams: dict[str, str]) -> str:
    """Write messages, oldest first, as a session file; return the sentence that says where.

    streams: source → the name of its stream. Raises `SessionError` when it cannot be written.
    """
    path = session_path(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = messages[0]
    writer = SessionWriter(path, time=(first.t_wall_ns, first.t_mono_ns))
    try:
        sources = dict.fromkeys(message.source for message in messages)
        infos = [SourceInfo(source, streams[source], None) for source in sources]
        writer.append([*infos, *messages])
    finally:
        writer.close()
    return f'{len(messages)} messages were saved; tes.open("{path}") reads them.'


KERNEL = "kernel"
"""The source of what a kernel reports of itself: executed cells, held times, gauges."""
Bounds = Mapping[str, float | tuple[float | None, float | None]]
"""Column → above which an alert is told, or (below, above)."""


class KernelNotes:
    """Executed cells and held times as spans, built anew only when there are new ones."""

    def __init__(self, kernel: StreamStore) -> None:
        self._kernel = kernel
        self._version = -1
        self._spans: dict[str, list[dict[str, Any]]] = {}

    def __call__(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return {"cells": […], "held": […]}: start, end (Unix seconds), label."""
        version = self._kernel.version
        if version != self._version:
            self._version = version
            self._spans = {"cells": self._cells(), "held": self._held()}
        return self._spans

    def _cells(self) -> list[dict[str, Any]]:
        cells = frame_of(self._kernel.tables["cells"])
        return [
            _span(start, seconds, f"[{number}]" if pd.isna(line) else f"[{number}] {line}")
            for start, seconds, number, line in zip(
                cells["start"], cells["wall_s"], cells["number"], cells["first_line"], strict=True
            )
        ]

    def _held(self) -> list[dict[str, Any]]:
        held = frame_of(self._kernel.tables["held"])
        return [
            _span(start, seconds, f"kernel held {seconds:.1f} s")
            for start, seconds in zip(held["start"], held["seconds"], strict=True)
        ]


def _span(start: pd.Timestamp, seconds: float, label: str) -> dict[str, Any]:
    began = start.value / 1e9
    return {"start": began, "end": began + seconds, "label": label}


def live_chart(
    feed: Feed,
    table: str,
    *,
    columns: Sequence[str] | None,
    window: str | float | None,
    by: Sequence[str] | None,
    alert: Bounds | None,
) -> Chart:
    """Return the widget. Raises `SessionError` for columns without numbers or a front end that was not built."""
    from tes_nb.views.chart import Chart  # noqa: PLC0415 - widgets only when somebody draws

    return Chart(feed, table, chart_options(feed, table, columns=columns, window=window, by=by, alert=alert))


def chart_options(
    feed: Feed,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    window: str | float | None = "5min",
    by: Sequence[str] | None = None,
    alert: Bounds | None = None,
) -> ChartOptions:
    """Return what a chart of a feed is told; see `Feed.plot`."""
    from tes_nb.views.chart import ChartOptions  # noqa: PLC0415

    usual = feed.stream.table(table).plot or None
    return ChartOptions(
        columns=usual if columns is None else columns,
        window_s=None if window is None else span_ns(window, name="window") / 1e9,
        by=by,
        limits=tuple(_limit(column, bound) for column, bound in (alert or {}).items()),
        url=feed.url,
        upstream=lambda: ((state := feed.look()).word, str(state)),
        notes=feed.notes,
        on_origin=feed.on_origin,
    )


def _limit(column: str, bound: float | tuple[float | None, float | None]) -> AlertLimit:
    from tes_nb.views.alerts import AlertLimit  # noqa: PLC0415

    below, above = bound if isinstance(bound, tuple) and len(bound) == 2 else (None, bound)
    given = [one for one in (below, above) if one is not None]
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    if not given or len(numbers) < len(given) or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"alert={{'{column}': …}} takes a number, or (below, above), not {bound!r}.")
    return AlertLimit(column, below=below, above=above)


DRAWN_KINDS = {"gauge", "counter"}


def dashboard(feeds: Sequence[Feed], *, title: str, url: str, steering: Steering | None) -> Dashboard:
    """Return the widget: an overview, a tab per feed, the inspector.

    steering: how its controls reach the collector; `None` = there is nothing to control.
    """
    tabs = [_overview(feeds), *map(_tab, feeds), _inspector(feeds, url)]
    on_origin: Callable[[str], None] | None = feeds[0].on_origin if feeds else None
    return Dashboard(title, tabs, url=url, steering=steering, on_origin=on_origin)


def _overview(feeds: Sequence[Feed]) -> Tab:
    """The usual view of each feed that speaks regularly."""
    regular = [feed for feed in feeds if feed.stream.period_s < float("inf")]
    makers = {"chart": chart_part, "cards": cards_part, "table": table_part}
    return Tab("Overview", "", [makers[feed.stream.view](feed, feed.stream.main) for feed in regular])


def _tab(feed: Feed) -> Tab:
    """All tables of a feed: cards or a table for what is now, a chart for what was."""
    parts: list[Part] = []
    for table in feed.stream.tables:
        drawn = any(column.kind in DRAWN_KINDS and column.name not in table.key for column in table.columns)
        parts.append(table_part(feed, table.name) if table.key else cards_part(feed, table.name))
        if drawn and table.name == feed.stream.main:
            parts.append(chart_part(feed, table.name))
    return Tab(feed.source, feed.stream.doc, parts)


def _inspector(feeds: Sequence[Feed], url: str) -> Tab:
    requests = InspectorRequests(InspectorContent([feed.recent for feed in feeds]), saver(feeds))
    spec = inspector_spec("messages", 1.0, url, can_save=True)
    return Tab("Inspector", "", [Part("inspector", spec, requests.content, requests.on_request)])


def chart_part(feed: Feed, table: str) -> Part:
    """Return a live chart."""
    spec, content = chart_parts(feed, table, chart_options(feed, table))
    return Part("chart", spec, content)


def table_part(feed: Feed, table: str) -> Part:
    """Return a live table."""
    described = feed.stream.table(table)
    lookup = feed.known_of(table)
    content = TableContent(feed.store, described, upstream=lambda: upstream_of(feed), lookup=lookup)
    return Part("table", view_spec(feed, described, feed.url, lookup), content)


def cards_part(feed: Feed, table: str) -> Part:
    """Return live cards."""
    described = feed.stream.table(table)
    content = CardsContent(feed.store, described, upstream=lambda: upstream_of(feed))
    return Part("cards", view_spec(feed, described, feed.url), content)
