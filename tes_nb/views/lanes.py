"""Lanes over time as a live view: what cells, workers, jobs, matches and feeds were doing (docs/decisions/0034)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.streams.lanes import LaneChange, LaneFold, folds_of, row_dicts
from tes_nb.views.annotations import Annotations, upstream_info
from tes_nb.views.html import newest_rows
from tes_nb.views.push import Sent, SentState
from tes_nb.views.source import plain_rows

if TYPE_CHECKING:
    from tes_nb.views.annotations import Notes
    from tes_nb.views.source import Lookup, ViewSource

READ_ROWS = 50_000
"""The newest rows of a table that are looked through for lanes."""
PERIOD_S = 0.5


class FoldedTable:
    """One table of a feed on its way into lanes."""

    def __init__(self, feed: ViewSource, fold: LaneFold) -> None:
        self.feed = feed
        self._fold = fold
        self._rows = feed.store.tables[fold.rule.table]
        self._lookup: Lookup | None = feed.lookup(fold.rule.table)
        self._cursor = 0

    @property
    def cleared(self) -> bool:
        """Whether rows were taken back since the last look: a replay has gone back."""
        return self._cursor < self._rows.cleared

    def forget(self) -> None:
        """Begin with the newest rows again."""
        self._fold.clear()
        self._cursor = self._rows.total - READ_ROWS

    def changes(self) -> list[LaneChange]:
        """Return what changed since the last look."""
        names = self._fold.rule.columns
        fresh = self._rows.since(self._cursor, ("seq", *names))
        self._cursor = fresh.cursor
        rows = row_dicts(("seq", *names), plain_rows(fresh.columns, ("seq", *names)))
        times = (fresh.time / 1e9).tolist()
        changes: list[LaneChange] = []
        timed = zip(times, rows, strict=True)
        for _, some in itertools.groupby(timed, key=lambda one: one[1]["seq"]):
            message = list(some)
            changes += self._fold.add(message[0][0], [row for _, row in message])
        latest = self.feed.store.latest
        if self._fold.complete and latest is not None and not rows and self._rows.total:
            newest = self._rows.since(self._rows.total - 1, ()).time
            if len(newest) and latest.t_wall_ns > int(newest[-1]):
                changes += self._fold.add(latest.t_wall_ns / 1e9, [])  # the newest message listed nobody
        return self._named(changes)

    def _named(self, changes: list[LaneChange]) -> list[LaneChange]:
        """Call subjects as people do, where there is a name."""
        rule, lookup = self._fold.rule, self._lookup
        if lookup is None or lookup.name is None or rule.subject != (lookup.by,) or not changes:
            return changes
        keys = [change.lane.rsplit(" · ", 1)[-1] for change in changes]
        names = [lookup.name(cells) for cells in lookup.find(keys)]
        return [
            change if name in (None, key) or not change.name else change._replace(name=str(name))
            for change, key, name in zip(changes, keys, names, strict=True)
        ]


class LanesContent:
    """The lanes of several feeds, as changes; and beside them feeds with their gaps, marks and held times."""

    def __init__(self, feeds: Sequence[ViewSource], notes: Notes | None) -> None:
        self._feeds = feeds
        self._tables = [FoldedTable(feed, fold) for feed in feeds for fold in folds_of(feed.stream)]
        self._beside = [(feed, Annotations(feed.store, notes)) for feed in feeds]
        self._began: dict[str, float | None] = {}
        self._state = SentState()
        self._looked = 0.0

    def check(self) -> None:
        """Nothing to watch for."""

    def everything(self) -> list[Sent]:
        """Return all changes that the rows in memory tell of."""
        self._state.forget()
        for table in self._tables:
            table.forget()
        self._began.clear()
        return [self._sent(replace=True)]

    def news(self) -> list[Sent]:
        """Return new changes, twice a second at most; all again where a replay has gone back."""
        now = time.monotonic()
        if now - self._looked < PERIOD_S:
            return []
        if any(table.cleared for table in self._tables):
            return self.everything()
        sent = self._sent(replace=False)
        return [sent] if any(sent.content["changes"].values()) else []

    def _sent(self, *, replace: bool) -> Sent:
        self._looked = time.monotonic()
        changes: dict[str, list[LaneChange]] = {}
        for table in self._tables:
            changes.setdefault(table.feed.name, []).extend(table.changes())
        return Sent({"type": "lanes", "replace": replace, "changes": changes})

    def state(self) -> dict[str, Any]:
        """Return feeds with their times and gaps, marks, and times in which the kernel was held."""
        if not self._beside:
            return {}
        beside = [(feed, notes.state()) for feed, notes in self._beside]
        marks = {mark["t"]: mark for _, state in beside for mark in state["marks"]}
        state = {
            "feeds": [self._feed(feed, state["gaps"]) for feed, state in beside],
            "marks": list(marks.values()),
            "held": beside[0][1].get("held", []),
            "upstream": upstream_info(self._feeds[0].store, None),
        }
        return self._state.changes(state)

    def _feed(self, feed: ViewSource, gaps: list[dict[str, Any]]) -> dict[str, Any]:
        latest = feed.store.latest
        if self._began.get(feed.name) is None:
            first = feed.store.main.since(0, ()).time[:1]
            self._began[feed.name] = float(first[0]) / 1e9 if len(first) else None
        end = None if latest is None else round(latest.t_wall_ns / 1e9, 1)
        return {"name": feed.name, "begin": self._began[feed.name], "end": end, "gaps": gaps}

    def fallback(self) -> str:
        """Return the newest state of each lane."""
        content = LanesContent(self._feeds, None)  # of its own: this one's place in the rows is the browser's
        newest = {
            (source, change.lane): change
            for source, changes in content.everything()[0].content["changes"].items()
            for change in changes
        }
        rows = [(change.name, change.state, change.text) for change in newest.values() if change.state]
        return newest_rows(("lane", "state", ""), rows)
