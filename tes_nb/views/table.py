"""What a live table and live cards show, as JSON: by key, only what changed; or the newest rows of one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.views.annotations import upstream_info
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import newest_rows
from tes_nb.views.live import LiveView, json_period, silent_sentence
from tes_nb.views.push import Sent
from tes_nb.views.rows import Lookup, column_specs, plain_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tes_nb.model import Column, Table
    from tes_nb.store.memory.columns import Fresh
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.chart import Upstream
    from tes_nb.views.source import TableSource


READ_ROWS = 200_000
"""Rows that are looked through for the newest of each key."""
MOST_KEYS = 10_000
TREND_ROWS = 60


def shown_columns(table: Table, lookup: Lookup | None) -> Sequence[Column]:
    """Return the columns that a live table shows."""
    return table.columns if lookup is None else lookup.shown(table)


class UpstreamState:
    """The reader's state, told when it changes."""

    def __init__(self, store: StreamStore, upstream: Upstream | None) -> None:
        self._store = store
        self._upstream = upstream
        self._sent: dict[str, Any] | None = None

    def forget(self) -> None:
        """Tell it again."""
        self._sent = None

    def changes(self) -> dict[str, Any]:
        """Return {"upstream": …} if it is not what was told."""
        now = upstream_info(self._store.state if self._upstream is None else self._upstream())
        if now == self._sent:
            return {}
        self._sent = now
        return {"upstream": now}


class TableContent:
    """The newest row of each key. Where each message lists everybody, who is missing in the newest one is gone."""

    def __init__(
        self,
        store: StreamStore,
        table: Table,
        *,
        upstream: Upstream | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        """lookup: more columns, `None` = the table's own are all."""
        self._store = store
        self._table = table
        self._beside = lookup
        self._version = 0
        self._rows = store.tables[table.name]
        self._state = UpstreamState(store, upstream)
        self._cursor = 0
        self._known: dict[str, list[Any]] = {}

    def check(self) -> None:
        """Nothing to watch for."""

    def everything(self) -> list[Sent]:
        """Return all rows."""
        self._state.forget()
        self._known = {}
        self._version = 0 if self._beside is None else self._beside.version()
        self._take(self._rows.since(max(0, self._rows.total - READ_ROWS)))
        return [Sent({"type": "rows", "replace": True, "rows": list(self._known.items()), "gone": []})]

    def news(self) -> list[Sent]:
        """Return changed rows, and the keys that are gone; nothing when nothing changed."""
        renamed = self._beside is not None and self._beside.version() != self._version
        if self._cursor < self._rows.cleared or renamed:
            return self.everything()
        fresh = self._rows.since(self._cursor)
        changed, gone = self._take(fresh)
        if not changed and not gone and not len(fresh):
            return []
        return [Sent({"type": "rows", "rows": list(changed.items()), "gone": gone})]

    def state(self) -> dict[str, Any]:
        """Return what changed of the upstream's state."""
        return self._state.changes()

    def fallback(self) -> str:
        """Return the first rows."""
        fresh = TableContent(
            self._store, self._table, lookup=self._beside
        )  # this one's place in the rows is the browser's
        fresh.everything()
        names = [one.name for one in shown_columns(self._table, self._beside)]
        return newest_rows(names, list(fresh._known.values()))

    def _take(self, fresh: Fresh) -> tuple[dict[str, list[Any]], list[str]]:
        """Take new rows; return those that differ from what was known, and the keys that are gone."""
        self._cursor = fresh.cursor
        newest = self._newest(fresh)
        gone: list[str] = []
        if self._table.complete and (len(fresh) or self._emptied()):
            gone = [key for key in self._known if key not in newest]
        for key in gone:
            del self._known[key]
        changed = {key: row for key, row in newest.items() if self._known.get(key) != row}
        self._known.update(changed)
        gone += self._forget_oldest()
        return changed, gone

    def _newest(self, fresh: Fresh) -> dict[str, list[Any]]:
        """The last row of each key; of the last message alone, where that lists everybody."""
        columns = fresh.columns
        if self._table.complete and len(fresh):
            last = columns["seq"] == columns["seq"][-1]
            columns = {name: cells[last] for name, cells in columns.items()}
        rows = plain_rows(columns, self._table.names)
        places = [self._table.names.index(name) for name in self._table.key]
        keys = [" · ".join(str(row[place]) for place in places) for row in rows]
        newest = dict(zip(keys, rows, strict=True))
        if self._beside is None or not newest:
            return newest
        return dict(zip(newest, self._beside.joined(self._table, list(newest.values())), strict=True))

    def _emptied(self) -> bool:
        """Whether the newest message listed nobody: then no row of it came."""
        latest = self._store.latest
        if latest is None or not self._known:
            return False
        newest = self._rows.since(self._rows.total - 1, ()).time
        return bool(len(newest)) and latest.t_wall_ns > int(newest[-1])

    def _forget_oldest(self) -> list[str]:
        over = list(self._known)[: max(0, len(self._known) - MOST_KEYS)]
        for key in over:
            del self._known[key]
        return over


class CardsContent:
    """The newest rows of a table with one subject."""

    def __init__(self, store: StreamStore, table: Table, *, upstream: Upstream | None = None) -> None:
        self._table = table
        self._rows = store.tables[table.name]
        self._state = UpstreamState(store, upstream)
        self._cursor = 0

    def check(self) -> None:
        """Nothing to watch for."""

    def everything(self) -> list[Sent]:
        """Return the rows that a trend needs."""
        self._state.forget()
        self._cursor = 0
        return [Sent({"type": "values", "replace": True, "rows": self._new()})]

    def news(self) -> list[Sent]:
        """Return the new rows."""
        if self._cursor < self._rows.cleared:
            return self.everything()
        rows = self._new()
        return [Sent({"type": "values", "rows": rows})] if rows else []

    def state(self) -> dict[str, Any]:
        """Return what changed of the upstream's state."""
        return self._state.changes()

    def fallback(self) -> str:
        """Return the newest values, with their units."""
        newest = self._rows.since(self._rows.total - 1, self._table.names)
        rows = plain_rows(newest.columns, self._table.names)
        told = [
            (one.name, value, one.unit)
            for one, value in zip(self._table.columns, rows[-1] if rows else (), strict=False)
        ]
        return newest_rows(("value", "now", "unit"), [one for one in told if one[1] is not None])

    def _new(self) -> list[list[Any]]:
        fresh = self._rows.since(max(self._cursor, self._rows.total - TREND_ROWS), self._table.names)
        self._cursor = fresh.cursor
        times = (fresh.time / 1e9).tolist()
        return [
            [time, row] for time, row in zip(times, plain_rows(fresh.columns, self._table.names), strict=True)
        ]


class LiveTable(LiveView):
    """A table whose rows are updated in place by key; sort, filter, scroll and selection stay."""

    def __init__(
        self,
        source: TableSource,
        table: str | None = None,
        *,
        url: str = "",
        upstream: Upstream | None = None,
        lookup: Lookup | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show `table` of the source; `None` = its main one. Raises `SessionError` for one without a key.

        lookup: columns beside the table's own; `None` = there are none. url, upstream, on_origin: as in `ChartOptions`.
        """
        described = source.stream.table(table or source.stream.main)
        if not described.key:
            able = ", ".join(one.name for one in source.stream.tables if one.key) or "none"
            raise SessionError(
                f"'{described.name}' has one subject and no rows to update; tables with a key are {able}. "
                "Show it with cards() or plot()."
            )
        content = TableContent(source.store, described, upstream=upstream, lookup=lookup)
        spec = view_spec(source, described, url, lookup)
        super().__init__("views", "table", spec, content, on_origin=on_origin, repaint=repaint)


class LiveCards(LiveView):
    """The newest values of a table with one subject, grouped, with small trends."""

    def __init__(
        self,
        source: TableSource,
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


def view_spec(source: TableSource, table: Table, url: str, lookup: Lookup | None = None) -> dict[str, Any]:
    """What the browser must know of a table from the start."""
    main = table.name == source.stream.main
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "columns": column_specs(shown_columns(table, lookup)),
        "period_s": json_period(source.stream.period_s),
        "silent": silent_sentence(url),
    }
