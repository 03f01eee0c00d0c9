"""Live tables of what has no key: events, a row each; and the streams themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.streams.browser_json import json_columns
from tes_nb.streams.first_views import STREAM_COLUMNS
from tes_nb.views.html import newest_rows
from tes_nb.views.live import usual_spec
from tes_nb.views.push import Sent
from tes_nb.views.source import plain_rows
from tes_nb.views.table import RowsContent

if TYPE_CHECKING:
    from tes_nb.views.annotations import Upstream
    from tes_nb.views.source import TableSource, ViewSource

MOST_EVENTS = 500
RATE_OVER_S = 2.0


class EventsContent(RowsContent):
    """The newest rows of a table in which each row is of its own, such as an executed cell."""

    def everything(self) -> list[Sent]:
        """Return the newest rows."""
        self._state.forget()
        self._cursor = max(self._rows.total - MOST_EVENTS, 0)
        rows, _ = self._new()
        return [Sent({"type": "rows", "replace": True, "rows": rows, "gone": []})]

    def news(self) -> list[Sent]:
        """Return the new rows, and the keys of those that make room for them."""
        if self._cursor < self._rows.cleared:
            return self.everything()
        rows, gone = self._new()
        return [Sent({"type": "rows", "rows": rows, "gone": gone})] if rows else []

    def fallback(self) -> str:
        """Return the newest rows, the last one first."""
        fresh = self._rows.since(self._rows.total - MOST_EVENTS, self._table.names)
        return self.state_line() + newest_rows(
            self._table.names, plain_rows(fresh.columns, self._table.names)[::-1]
        )

    def _new(self) -> tuple[list[Any], list[str]]:
        """Return [[key, row], …] and the keys of rows that are too old now. A key is the row's number."""
        before = self._cursor
        fresh = self._rows.since(before, self._table.names)
        self._cursor = fresh.cursor
        rows = plain_rows(fresh.columns, self._table.names)
        first = fresh.cursor - len(rows)
        numbered = [[str(first + place), row] for place, row in enumerate(rows)]
        gone = range(max(before - MOST_EVENTS, 0), max(fresh.cursor - MOST_EVENTS, 0))
        return numbered, [str(number) for number in gone]


def event_parts(
    source: TableSource, table: str, *, url: str, upstream: Upstream | None
) -> tuple[dict[str, Any], EventsContent]:
    """Return what the browser must know of a table of events, and what it is sent."""
    described = source.stream.table(table)
    content = EventsContent(source.store, described, upstream)
    spec = {"columns": json_columns(described.columns), "first": described.first, "newest_first": True}
    return {**usual_spec(source, described, url), **spec}, content


class StreamsContent:
    """The streams of a session: how each is doing, and how much comes."""

    def __init__(self, feeds: Sequence[ViewSource]) -> None:
        self._feeds = feeds
        self._counted: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, float] = {}
        self._rows: dict[str, list[Any]] = {}

    def check(self) -> None:
        """Count what came, every few seconds."""
        now = time.monotonic()
        for feed in self._feeds:
            messages = feed.store.counts().messages
            since, before = self._counted.setdefault(feed.name, (now, messages))
            if now - since >= RATE_OVER_S:
                self._rates[feed.name] = round((messages - before) / (now - since), 2)
                self._counted[feed.name] = (now, messages)

    def everything(self) -> list[Sent]:
        """Return a row for each stream."""
        self._rows = self._now()
        return [Sent({"type": "rows", "replace": True, "rows": list(self._rows.items()), "gone": []})]

    def news(self) -> list[Sent]:
        """Return the rows that changed."""
        rows = self._now()
        changed = [[name, row] for name, row in rows.items() if row != self._rows.get(name)]
        self._rows = rows
        return [Sent({"type": "rows", "rows": changed, "gone": []})] if changed else []

    def state(self) -> dict[str, Any]:
        """There is nothing beside the rows."""
        return {}

    def fallback(self) -> str:
        """Return the same as a table."""
        return newest_rows([column.name for column in STREAM_COLUMNS], list(self._now().values()))

    def _now(self) -> dict[str, list[Any]]:
        return {feed.name: self._row(feed) for feed in self._feeds}

    def _row(self, feed: ViewSource) -> list[Any]:
        latest, counts = feed.store.latest, feed.store.counts()
        at = None if latest is None else latest.t_wall_ns / 1e9
        rate = self._rates.get(feed.name)
        return [feed.name, feed.look().word, at, rate, counts.messages, len(feed.store.gaps)]
