"""Live tables and cards in the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.live import LiveView, silent_sentence, told_period
from tes_nb.views.plain import column_specs
from tes_nb.views.table_content import CardsContent, TableContent, shown_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tes_nb.model import Table
    from tes_nb.views.chart import ChartSource
    from tes_nb.views.chart_content import Upstream
    from tes_nb.views.known import Known


class LiveTable(LiveView):
    """A table whose rows are updated in place by key; sort, filter, scroll and selection stay."""

    def __init__(
        self,
        source: ChartSource,
        table: str | None = None,
        *,
        url: str = "",
        upstream: Upstream | None = None,
        known: Known | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show `table` of the source; `None` = its main one. Raises `SessionError` for one without a key.

        known: columns beside the table's own; `None` = there are none. url, upstream, on_origin: as in `ChartOptions`.
        """
        described = source.stream.table(table or source.stream.main)
        if not described.key:
            able = ", ".join(one.name for one in source.stream.tables if one.key) or "none"
            raise SessionError(
                f"'{described.name}' has one subject and no rows to update; tables with a key are {able}. "
                "Show it with cards() or plot()."
            )
        content = TableContent(source.store, described, upstream=upstream, known=known)
        spec = view_spec(source, described, url, known)
        super().__init__("views", "table", spec, content, on_origin=on_origin, repaint=repaint)


class LiveCards(LiveView):
    """The newest values of a table with one subject, grouped, with small trends."""

    def __init__(
        self,
        source: ChartSource,
        table: str | None = None,
        *,
        url: str = "",
        upstream: Upstream | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show `table` of the source; `None` = its main one. Raises `SessionError` for one with a key."""
        described = source.stream.table(table or source.stream.main)
        if described.key:
            raise SessionError(f"'{described.name}' has many subjects; show it with table() or plot().")
        content = CardsContent(source.store, described, upstream=upstream)
        spec = view_spec(source, described, url)
        super().__init__("views", "cards", spec, content, on_origin=on_origin, repaint=repaint)


def view_spec(source: ChartSource, table: Table, url: str, known: Known | None = None) -> dict[str, Any]:
    """What the browser must know of a table from the start."""
    main = table.name == source.stream.main
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "columns": column_specs(shown_columns(table, known)),
        "period_s": told_period(source.stream.period_s),
        "silent": silent_sentence(url),
    }
