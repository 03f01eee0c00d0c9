"""Live tables and cards: by key, only what changed; or the newest rows of one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.row_actions import actions_spec
from tes_nb.views.annotations import upstream_info
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import newest_rows, picture_cell, picture_head, picture_unit, state_html
from tes_nb.views.live import LiveView, usual_spec
from tes_nb.views.push import Sent, SentState
from tes_nb.views.source import Lookup, RowlessMessages, all_columns, moved, plain_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tes_nb.model import Table
    from tes_nb.store.memory.columns import Fresh
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.annotations import Upstream
    from tes_nb.views.controls import Steering
    from tes_nb.views.source import TableSource
    from tes_nb.views.where import Where


READ_ROWS = 200_000
"""Rows that are looked through for the newest of each key."""
MOST_KEYS = 10_000
TREND_ROWS = 60


class RowsContent:
    """What tables and cards have in common."""

    def __init__(self, store: StreamStore, table: Table, upstream: Upstream | None = None) -> None:
        self._store = store
        self._table = table
        self._rows = store.tables[table.name]
        self._upstream = upstream
        self._state = SentState()
        self._cursor = 0
        self._rowless = RowlessMessages(store, table)

    def check(self) -> None:
        """Nothing to watch for."""

    def state_line(self) -> str:
        """Return the upstream's state as HTML, for a picture."""
        return state_html(upstream_info(self._store, self._upstream))

    def state(self) -> dict[str, Any]:
        """Return the upstream's state, and whether messages came without rows, when it changed."""
        state = {"upstream": upstream_info(self._store, self._upstream), "rowless": self._rowless.count()}
        return self._state.changes(state)


class TableContent(RowsContent):
    """The newest row of each key. Where each message lists everybody, who is missing in the newest one is gone."""

    def __init__(
        self,
        store: StreamStore,
        table: Table,
        *,
        upstream: Upstream | None = None,
        lookup: Lookup | None = None,
        where: Where | None = None,
    ) -> None:
        """lookup: more columns, `None` = the table's own are all. where: the rows to show, `None` = all."""
        super().__init__(store, table, upstream)
        self._where = where
        self._lookup = lookup
        self._version = 0
        self._newest: dict[str, list[Any]] = {}
        self._openings: dict[str, list[Any]] = {}
        """The first row of each key, for what has moved since."""

    def everything(self) -> list[Sent]:
        """Return all rows."""
        self._state.forget()
        self._newest = {}
        self._version = 0 if self._lookup is None else self._lookup.version()
        self._update(self._rows.since(self._rows.total - READ_ROWS))
        return [Sent({"type": "rows", "replace": True, "rows": list(self._newest.items()), "gone": []})]

    def news(self) -> list[Sent]:
        """Return changed rows, and the keys that are gone; nothing when nothing came."""
        renamed = self._lookup is not None and self._lookup.version() != self._version
        if self._cursor < self._rows.cleared or renamed:
            return self.everything()
        fresh = self._rows.since(self._cursor)
        changed, gone = self._update(fresh)
        if not changed and not gone and not len(fresh):
            return []
        return [Sent({"type": "rows", "rows": list(changed.items()), "gone": gone})]

    def fallback(self) -> str:
        """Return the first rows."""
        # of its own: this one's place in the rows is the browser's
        content = TableContent(self._store, self._table, lookup=self._lookup, where=self._where)
        content.everything()
        columns = all_columns(self._table, self._lookup)
        names = [column.name for column in columns]
        first = [name for name in self._table.first if name in names] or names
        places = [names.index(name) for name in first]
        rows = [[picture_cell(row[at], columns[at]) for at in places] for row in content._newest.values()]
        return self.state_line() + newest_rows([picture_head(columns[at]) for at in places], rows)

    def _update(self, fresh: Fresh) -> tuple[dict[str, list[Any]], list[str]]:
        """Take over new rows; return those that differ from the ones before, and the keys that are gone."""
        self._cursor = fresh.cursor
        newest = self._last_rows(fresh)
        gone: list[str] = []
        if self._table.complete and (len(fresh) or self._emptied()):
            gone = [key for key in self._newest if key not in newest]
        for key in gone:
            del self._newest[key]
        changed = {key: row for key, row in newest.items() if self._newest.get(key) != row}
        self._newest.update(changed)
        over = list(self._newest)[: max(0, len(self._newest) - MOST_KEYS)]
        for key in over:
            del self._newest[key]
            self._openings.pop(key, None)
        return changed, gone + over

    def _last_rows(self, fresh: Fresh) -> dict[str, list[Any]]:
        """The last row of each key; of the last message alone, where that lists everybody."""
        columns = fresh.columns
        if self._table.complete and len(fresh):
            last = columns["seq"] == columns["seq"][-1]
            columns = {name: cells[last] for name, cells in columns.items()}
        if self._where is not None:
            chosen = self._where.mask(columns)
            columns = {name: cells[chosen] for name, cells in columns.items()}
        rows = plain_rows(columns, self._table.names)
        places = [self._table.names.index(name) for name in self._table.key]
        keys = [" · ".join(str(row[place]) for place in places) for row in rows]
        newest = dict(zip(keys, rows, strict=True))
        if self._table.moves:
            for key, row in zip(keys, rows, strict=True):
                self._openings.setdefault(key, row)
            newest = {
                key: [*row, *moved(self._table, self._openings[key], row)] for key, row in newest.items()
            }
        if self._lookup is None or not newest:
            return newest
        return dict(zip(newest, self._lookup.join(self._table, list(newest.values())), strict=True))

    def _emptied(self) -> bool:
        """Whether the newest message listed nobody: then no row of it came."""
        latest = self._store.latest
        if latest is None or not self._newest:
            return False
        newest = self._rows.since(self._rows.total - 1, ()).time
        return bool(len(newest)) and latest.t_wall_ns > int(newest[-1])


class CardsContent(RowsContent):
    """The newest rows of a table with one subject."""

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

    def fallback(self) -> str:
        """Return the newest values, with their units."""
        newest = self._rows.since(self._rows.total - 1, self._table.names)
        rows = plain_rows(newest.columns, self._table.names)[-1:] or [[]]
        values = zip(self._table.columns, rows[0], strict=False)
        return self.state_line() + newest_rows(
            ("value", "now", "unit"),
            [
                (column.caption, picture_cell(value, column), picture_unit(column))
                for column, value in values
                if value is not None
            ],
        )

    def _new(self) -> list[list[Any]]:
        fresh = self._rows.since(max(self._cursor, self._rows.total - TREND_ROWS), self._table.names)
        self._cursor = fresh.cursor
        rows = plain_rows(fresh.columns, self._table.names)
        return [list(pair) for pair in zip((fresh.time / 1e9).tolist(), rows, strict=True)]


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
        where: Where | None = None,
        steering: Steering | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show `table` of the source; `None` = its main one. Raises `SessionError` for one without a key.

        lookup: columns beside the table's own; `None` = there are none. where: the rows to show, `None` = all.
        steering: how its buttons reach the collector; `None` = it has none. url, upstream, on_origin: as in
        `ChartOptions`.
        """
        spec, content = table_parts(source, table, url=url, upstream=upstream, lookup=lookup, where=where)
        self._steering = steering if spec["actions"] else None
        if self._steering is not None:
            spec["control_port"] = self._steering.port
        super().__init__("views", "table", spec, content, on_origin=on_origin, repaint=repaint)

    def on_request(self, content: Mapping[str, Any]) -> None:
        """Called with what buttons request through the kernel; a new view gets the token, as a message."""
        if self._steering is None:
            return
        if content.get("type") == "hello":
            self.send_message(Sent({"type": "token", "token": self._steering.reveal()}))
        elif content.get("type") == "control":
            self._steering.answer(content, self.send)


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
        spec, content = cards_parts(source, table, url=url, upstream=upstream)
        super().__init__("views", "cards", spec, content, on_origin=on_origin, repaint=repaint)


def table_parts(
    source: TableSource,
    table: str | None,
    *,
    url: str,
    upstream: Upstream | None,
    lookup: Lookup | None,
    where: Where | None = None,
) -> tuple[dict[str, Any], TableContent]:
    """Return what the browser must know of a table, and what it is sent. Raises `SessionError`, see `LiveTable`."""
    described = source.stream.table(table or source.stream.main)
    if not described.key:
        able = ", ".join(one.name for one in source.stream.tables if one.key) or "none"
        raise SessionError(
            f"'{described.name}' has one subject and no rows to update; tables with a key are {able}. "
            "Show it with cards() or plot()."
        )
    content = TableContent(source.store, described, upstream=upstream, lookup=lookup, where=where)
    columns = json_columns(all_columns(described, lookup))
    usual = usual_spec(source, described, url)
    spec = {
        **usual,
        "title": usual["title"] if where is None else f"{usual['title']} · {where.text}",
        "columns": columns,
        "first": described.first,
        "key": described.key,
        "actions": actions_spec(described),
    }
    return spec, content


def cards_parts(
    source: TableSource, table: str | None, *, url: str, upstream: Upstream | None
) -> tuple[dict[str, Any], CardsContent]:
    """Return what the browser must know of cards, and what it is sent. Raises `SessionError`, see `LiveCards`."""
    described = source.stream.table(table or source.stream.main)
    if described.key:
        raise SessionError(f"'{described.name}' has many subjects; show it with table() or plot().")
    content = CardsContent(source.store, described, upstream)
    return {**usual_spec(source, described, url), "columns": json_columns(described.columns)}, content
