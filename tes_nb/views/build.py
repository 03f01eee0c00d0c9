"""The views of a feed: its figures, charts, tables, cards, inspectors, and the dashboard of several feeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.store.memory.timespec import span_ns
from tes_nb.store.session.schema import SourceInfo, session_path
from tes_nb.store.session.writer import SessionWriter
from tes_nb.streams.first_views import ViewPart, first_views
from tes_nb.views.alerts import AlertLimit
from tes_nb.views.annotations import Beside
from tes_nb.views.chart import Chart, ChartOptions, chart_parts
from tes_nb.views.controls import Steering
from tes_nb.views.dashboard import Dashboard, Part, Tab
from tes_nb.views.figure import FigureContent, table_figure
from tes_nb.views.figure_widget import live_figure
from tes_nb.views.inspector import Inspector, InspectorContent, InspectorRequests, inspector_spec
from tes_nb.views.lanes import LanesContent
from tes_nb.views.lines import numeric_columns
from tes_nb.views.lists import StreamsContent, event_parts
from tes_nb.views.live import LiveView, json_period, silent_sentence
from tes_nb.views.table import LiveCards, LiveTable, cards_parts, table_parts
from tes_nb.views.where import chosen_by, drawn_by

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tes_nb.model import Message
    from tes_nb.views.annotations import Notes
    from tes_nb.views.inspector import Save
    from tes_nb.views.source import ViewSource


ViewT = TypeVar("ViewT", bound=LiveView)


def upstream_of(feed: ViewSource) -> tuple[str, str]:
    """Return (word, text) of the feed's state, as views show it."""
    state = feed.look()
    return state.word, str(state)


def feed_figure(
    feed: ViewSource,
    table: str,
    *,
    columns: Iterable[str] | None,
    last: Any,
    live: bool,
    where: Mapping[str, Any] | None = None,
) -> go.Figure:
    """Return the plotly figure; live=True gives a FigureWidget that goes on by itself. See `Feed.figure`."""
    described = feed.stream.table(table)
    chosen_rows = chosen_by(described, where)
    title = feed.name if chosen_rows is None else f"{feed.name} · {chosen_rows.text}"

    drawn_rows = drawn_by(described, chosen_rows)

    def rows() -> pd.DataFrame:
        frame = feed.frame(table, last=last, gaps=True)
        return frame if drawn_rows is None else drawn_rows.rows(frame)

    def beside() -> Beside:
        return Beside(feed.mark_list(), {} if feed.notes is None else feed.notes())

    if not live:
        return table_figure(rows(), described, columns=columns, title=title, beside=beside())

    def version() -> int | None:
        return None if feed.closed else feed.store.version

    chosen = None if columns is None else list(columns)
    return live_figure(FigureContent(rows, version, described, chosen, title, beside))


def live_table(feed: ViewSource, table: str, where: Mapping[str, Any] | None = None) -> LiveTable:
    """Return the widget. Raises `SessionError` for a table without a key or a front end that was not built."""
    view = LiveTable(
        feed,
        table,
        url=feed.url,
        upstream=lambda: upstream_of(feed),
        lookup=feed.lookup(table),
        where=chosen_by(feed.stream.table(table), where),
        steering=feed.steering,
        on_origin=feed.on_origin,
    )
    return _ending(view, [feed])


def live_cards(feed: ViewSource, table: str) -> LiveCards:
    """Return the widget. Raises `SessionError` for a table with a key or a front end that was not built."""
    view = LiveCards(feed, table, url=feed.url, upstream=lambda: upstream_of(feed), on_origin=feed.on_origin)
    return _ending(view, [feed])


def _ending(view: ViewT, feeds: Sequence[ViewSource]) -> ViewT:
    """Let a view know when all of its feeds have ended."""
    view.ended = lambda: bool(feeds) and all(feed.closed for feed in feeds)
    return view


def live_inspector(feeds: Sequence[ViewSource], title: str) -> Inspector:
    """Return the widget: the newest messages of these feeds and those to come."""
    if not feeds:
        raise SessionError("There is no feed to inspect.")

    periods = [feed.stream.period_s for feed in feeds]
    return Inspector(
        [feed.recent for feed in feeds],
        title=title,
        # who is silent by nature has no say: the others tell when nothing is heard any more
        period_s=max((one for one in periods if math.isfinite(one)), default=math.inf),
        url=feeds[0].url,
        save=saver(feeds),
        on_origin=feeds[0].on_origin,
    )


def saver(feeds: Sequence[ViewSource]) -> Save:
    """Return what writes messages of these feeds as a session file."""
    streams = {feed.name: feed.stream.name for feed in feeds}
    return lambda messages: save_messages(messages, streams)


def save_messages(messages: Sequence[Message], streams: dict[str, str]) -> str:
    """Write messages, oldest first, as a session file; return the sentence that says where.

    streams: source → the name of its stream. Raises `SessionError` when it cannot be written.
    """
    path = session_path(None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(
            f"'{path.parent}' cannot be written to ({error.strerror}): set TES_SESSION_DIR to another folder."
        ) from error
    first = messages[0]
    writer = SessionWriter(path, time=(first.t_wall_ns, first.t_mono_ns))
    try:
        sources = dict.fromkeys(message.source for message in messages)
        infos = [SourceInfo(source, streams[source], None) for source in sources]
        writer.append([*infos, *messages])
    finally:
        writer.close()
    return f'{len(messages)} messages were saved; tes.open("{path}") reads them.'


Bounds = Mapping[str, float | tuple[float | None, float | None]]
"""Column → above which an alert is raised, or (below, above)."""


def live_chart(
    feed: ViewSource,
    table: str,
    *,
    columns: Sequence[str] | None,
    window: str | float | None,
    by: Sequence[str] | str | None,
    alert: Bounds | None,
    where: Mapping[str, Any] | None = None,
    notes: Notes | None = None,
) -> Chart:
    """Return the widget. Raises `SessionError` for columns without numbers or a front end that was not built."""
    options = chart_options(feed, table, columns=columns, window=window, by=by, alert=alert, where=where)
    chart = Chart(feed, table, options if notes is None else replace(options, notes=notes))
    return _ending(chart, [feed])


def chart_options(
    feed: ViewSource,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    window: str | float | None = "5min",
    by: Sequence[str] | str | None = None,
    alert: Bounds | None = None,
    where: Mapping[str, Any] | None = None,
) -> ChartOptions:
    """Return the options of a feed's chart; see `Feed.plot`."""
    described = feed.stream.table(table)
    usual = described.plot or None
    return ChartOptions(
        columns=usual if columns is None else columns,
        window_s=None if window is None else span_ns(window, name="window") / 1e9,
        by=(by,) if isinstance(by, str) else by,
        where=chosen_by(described, where),
        lookup=feed.lookup(table),
        limits=tuple(_limit(column, bound) for column, bound in (alert or {}).items()),
        url=feed.url,
        upstream=lambda: upstream_of(feed),
        notes=feed.notes,
        on_origin=feed.on_origin,
    )


def _limit(column: str, bound: float | tuple[float | None, float | None]) -> AlertLimit:
    below, above = bound if isinstance(bound, tuple) and len(bound) == 2 else (None, bound)
    bounds = [one for one in (below, above) if one is not None]
    numbers = [one for one in bounds if isinstance(one, int | float) and not isinstance(one, bool)]
    if not bounds or len(numbers) < len(bounds) or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"alert={{'{column}': …}} takes a number, or (below, above), not {bound!r}.")
    return AlertLimit(column, below=below, above=above)


def dashboard(
    feeds: Sequence[ViewSource], *, title: str, url: str, steering: Steering | None, notebook: bool
) -> Dashboard:
    """Return the widget: the first views, a tab per feed, the inspector.

    steering: how its controls reach the collector; `None` = there is nothing to control. notebook: whether the feeds
    show a notebook's own process.
    """
    streams = {feed.name: feed.stream for feed in feeds}
    first = [
        Tab(view.title, view.question, _first_parts(feeds, parts))
        for view, parts in first_views(streams, notebook=notebook)
    ]
    return _controlled(
        feeds, title, url, steering, [*first, _lanes(feeds, url), *map(_tab, feeds), _inspector(feeds, url)]
    )


def scrubber(feeds: Sequence[ViewSource], *, title: str, url: str, steering: Steering | None) -> Dashboard:
    """Return the widget: play, pause, speed and the track of a replay, alone."""
    return _controlled(feeds, title, url, steering, ())


def _controlled(
    feeds: Sequence[ViewSource], title: str, url: str, steering: Steering | None, tabs: Sequence[Tab]
) -> Dashboard:
    on_origin: Callable[[str], None] | None = feeds[0].on_origin if feeds else None
    return _ending(Dashboard(title, tabs, url=url, steering=steering, on_origin=on_origin), feeds)


def _first_parts(feeds: Sequence[ViewSource], parts: Sequence[tuple[str, ViewPart]]) -> list[Part]:
    by_name = {feed.name: feed for feed in feeds}
    made = [
        (part, _part(by_name[source], part))
        if source
        else (part, Part("table", {"title": part.title}, StreamsContent(feeds)))
        for source, part in parts
    ]
    return [replace(made_part, spec={**made_part.spec, **part.spec()}) for part, made_part in made]


def _part(feed: ViewSource, part: ViewPart) -> Part:
    """Return a first view's part of a feed."""
    if part.kind == "chart":
        options = chart_options(feed, part.table, columns=part.columns or None)
        notes = feed.subject_notes() if part.follows else feed.notes
        return Part("chart", *chart_parts(feed, part.table, replace(options, notes=notes)))
    return cards_part(feed, part.table) if part.kind == "cards" else table_part(feed, part.table)


def _tab(feed: ViewSource) -> Tab:
    """All tables of a feed: cards or a table for what is now, a chart for what was."""
    parts: list[Part] = []
    for table in feed.stream.tables:
        numeric = numeric_columns(table, None, but=table.key)
        has_rows = table.key or feed.stream.holds_events(table)
        parts.append(table_part(feed, table.name) if has_rows else cards_part(feed, table.name))
        if numeric and table.name == feed.stream.main:
            parts.append(chart_part(feed, table.name))
    return Tab(feed.name, feed.stream.doc, parts)


def _lanes(feeds: Sequence[ViewSource], url: str) -> Tab:
    period = min((feed.stream.period_s for feed in feeds), default=math.inf)
    spec = {"title": "Lanes", "silent": silent_sentence(url), "period_s": json_period(period)}
    content = LanesContent(feeds, feeds[0].notes if feeds else None)
    return Tab("Lanes", "", [Part("lanes", spec, content)])


def _inspector(feeds: Sequence[ViewSource], url: str) -> Tab:
    requests = InspectorRequests(InspectorContent([feed.recent for feed in feeds]), saver(feeds))
    spec = inspector_spec("messages", 1.0, url, can_save=True)
    return Tab("Inspector", "", [Part("inspector", spec, requests.content, requests.on_request)])


def chart_part(feed: ViewSource, table: str) -> Part:
    """Return a live chart."""
    spec, content = chart_parts(feed, table, chart_options(feed, table))
    return Part("chart", spec, content)


def table_part(feed: ViewSource, table: str) -> Part:
    """Return a live table: the newest row of each key, or events."""
    upstream = lambda: upstream_of(feed)  # noqa: E731
    if not feed.stream.table(table).key:
        return Part("table", *event_parts(feed, table, url=feed.url, upstream=upstream))
    return Part(
        "table", *table_parts(feed, table, url=feed.url, upstream=upstream, lookup=feed.lookup(table))
    )


def cards_part(feed: ViewSource, table: str) -> Part:
    """Return live cards."""
    spec, content = cards_parts(feed, table, url=feed.url, upstream=lambda: upstream_of(feed))
    return Part("cards", spec, content)
