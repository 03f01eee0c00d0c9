"""What a chart tells beside its points: the peer's state, gaps, marks, cells, held times, alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.wire.events import Gap, StateChange

if TYPE_CHECKING:
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.views.alerts import Alert

MOST = 300
"""Notes of one sort that travel: the newest."""
MAX_TEXT = 300

Notes = Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]


class Told:
    """Remembers what the browser was told, so that only changes travel."""

    def __init__(self, store: StreamStore, notes: Notes | None) -> None:
        self._store = store
        self._notes = notes
        self._sent: dict[str, Any] = {}
        self._broken: set[int] = set()

    def forget(self) -> None:
        """Tell everything again: another browser listens."""
        self._sent.clear()

    def changes(
        self, upstream: Mapping[str, Any] | None, alerts: Sequence[Alert], sentence: str
    ) -> dict[str, Any]:
        """Return the parts that differ from what was told before."""
        now = {
            "upstream": upstream,
            "gaps": [_gap(gap) for gap in self._store.gaps[-MOST:]],
            "marks": [
                {"t": mark.at_ns / 1e9, "label": mark.label[:MAX_TEXT]} for mark in self._store.marks[-MOST:]
            ],
            "alerts": [{"t": alert.time, "text": alert.text} for alert in alerts],
            "sentence": sentence,
        }
        for name, spans in (self._notes() if self._notes is not None else {}).items():
            now[name] = [_span(span) for span in spans[-MOST:]]
        changed = {name: part for name, part in now.items() if self._sent.get(name, _EMPTY.get(name)) != part}
        self._sent.update(changed)
        return changed

    def all_breaks(self) -> list[float]:
        """Return where gaps began, in Unix seconds: every line is broken there."""
        gaps = self._store.gaps
        self._broken = {gap.lost_at_ns for gap in gaps}
        return [_began(gap) for gap in gaps]

    def new_breaks(self) -> list[float]:
        """Return the beginnings of gaps since the last time."""
        new = [gap for gap in self._store.gaps if gap.lost_at_ns not in self._broken]
        self._broken.update(gap.lost_at_ns for gap in new)
        return [_began(gap) for gap in new]


_EMPTY: dict[str, Any] = {
    "upstream": None,
    "gaps": [],
    "marks": [],
    "alerts": [],
    "sentence": "",
    "cells": [],
    "held": [],
}


def upstream_told(state: StateChange | tuple[str, str] | None) -> dict[str, Any] | None:
    """Return a reader's state as it travels; `None` = nothing is known of it."""
    if state is None:
        return None
    if isinstance(state, StateChange):
        return {"word": state.state, "text": state.text[:MAX_TEXT], "since": state.at_ns / 1e9}
    word, text = state
    return {"word": word, "text": text[:MAX_TEXT]}


def _began(gap: Gap) -> float:
    """Just after the last thing that was seen."""
    return (gap.lost_at_ns if gap.last_seen_ns is None else gap.last_seen_ns) / 1e9 + 0.001


def _gap(gap: Gap) -> dict[str, Any]:
    back = None if gap.back_at_ns is None else gap.back_at_ns / 1e9
    return {"start": _began(gap), "end": back, "label": gap.cause[:MAX_TEXT]}


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    label = span.get("label")
    return {
        "start": span["start"],
        "end": span.get("end"),
        "label": None if label is None else str(label)[:MAX_TEXT],
    }
