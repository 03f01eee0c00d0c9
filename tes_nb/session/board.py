"""A session's dashboard: which views of which feeds stand in which tab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tes_nb.session.plotting import chart_options
from tes_nb.session.showing import saver, upstream_of
from tes_nb.views.chart import chart_parts
from tes_nb.views.dashboard import Dashboard, Part, Steering, Tab
from tes_nb.views.inspecting import InspectorContent
from tes_nb.views.inspector import InspectorDesk, inspector_spec
from tes_nb.views.table_content import CardsContent, TableContent
from tes_nb.views.tables import view_spec

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed

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
    desk = InspectorDesk(InspectorContent([feed.tap for feed in feeds]), saver(feeds))
    spec = inspector_spec("messages", 1.0, url, can_save=True)
    return Tab("Inspector", "", [Part("inspector", spec, desk.content, desk.asked)])


def chart_part(feed: Feed, table: str) -> Part:
    """Return a live chart."""
    spec, content = chart_parts(feed, table, chart_options(feed, table))
    return Part("chart", spec, content)


def table_part(feed: Feed, table: str) -> Part:
    """Return a live table."""
    described = feed.stream.table(table)
    known = feed.known_of(table)
    content = TableContent(feed.store, described, upstream=lambda: upstream_of(feed), known=known)
    return Part("table", view_spec(feed, described, feed.url, known), content)


def cards_part(feed: Feed, table: str) -> Part:
    """Return live cards."""
    described = feed.stream.table(table)
    content = CardsContent(feed.store, described, upstream=lambda: upstream_of(feed))
    return Part("cards", view_spec(feed, described, feed.url), content)
