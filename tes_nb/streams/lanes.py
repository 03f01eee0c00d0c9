"""Which tables are lanes over time, and how their rows become changes of state: for kernel and page alike (0034).

A lane is what one subject was doing: a worker, a job, a match, the executed cells. Views draw the changes and know no
stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tes_nb.model import Stream
from tes_nb.streams.browser_json import json_text

Look = Literal["idle", "working", "pause", "error", "terminated", "other"]
"""How a state is drawn: a colour and a pattern each."""
MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class LaneRule:
    """How the rows of one table become lanes."""

    stream: str
    table: str
    state: str
    """The column that holds the state; a row without one changes nothing, unless `ends`."""
    looks: Mapping[str, Look]
    """State → its look; "" = that of all others."""
    subject: tuple[str, ...] = ()
    """Columns that tell lanes apart; () = there is one."""
    name: tuple[str, ...] = ()
    """Columns whose words call a lane, after `title`."""
    title: str = ""
    text: tuple[str, ...] = ()
    """Columns whose words are said on hover."""
    start: str = ""
    """The column of when a state began; "" = when its row came."""
    seconds: str = ""
    """The column of how long it lasted; "" = until the next state of its lane."""
    ends: bool = False
    """Whether a row without a state ends the one before."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all columns that it reads."""
        named = (*self.subject, self.state, *self.name, *self.text, self.start, self.seconds)
        return tuple(dict.fromkeys(name for name in named if name))


_WORKING: Mapping[str, Look] = {"": "working"}
RULES = (
    LaneRule(
        *("kernel", "cells", "outcome"),
        {"ok": "working", "error": "error", "": "pause"},
        title="cells",
        text=("number", "first_line", "place"),
        start="start",
        seconds="wall_s",
    ),
    LaneRule(
        *("kernel", "activity", "cell"),
        _WORKING,
        title="running cell",
        text=("place",),
        start="since",
        ends=True,
    ),
    LaneRule(
        *("workers", "workers", "status"),
        {"idle": "idle", "working": "working", "error": "error", "terminated": "terminated", "": "other"},
        subject=("id",),
        name=("name", "pid", "role"),
        text=("current_job_type", "last_error"),
    ),
    LaneRule(
        *("workers", "workers", "current_job_id"),
        _WORKING,
        subject=("id", "current_job_type"),
        name=("current_job_type", "name", "pid"),
        title="job",
        start="current_job_started_at",
        ends=True,
    ),
    LaneRule(
        *("nowgoal", "scores", "state_word"),
        {
            **dict.fromkeys(("not started", "to be announced"), "idle"),
            **dict.fromkeys(("first half", "second half", "extra time", "penalties"), "working"),
            "half-time": "pause",
            "finished": "terminated",
            **dict.fromkeys(("cancelled", "abandoned", "interrupted", "postponed"), "error"),
            "": "other",
        },
        subject=("match_id",),
        title="match",
        name=("match_id",),
        text=("home_goals", "away_goals"),
    ),
)


class LaneChange(NamedTuple):
    """From `time` on a lane is in a state."""

    lane: str
    name: str
    time: float
    """Unix seconds."""
    state: str | None
    """`None` = it is in none any more."""
    look: Look | None
    text: str
    end: float | None
    """Unix seconds; `None` = until its next change."""


@dataclass(slots=True)
class LaneFold:
    """Turns the rows of one table into changes: what is as before is none."""

    rule: LaneRule
    complete: bool
    """Whether each message lists every subject."""
    _now: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget what was: a replay has gone back."""
        self._now.clear()

    def add(self, time: float, rows: Iterable[Mapping[str, Any]]) -> list[LaneChange]:
        """Return what the rows of one message change. time: its own, Unix seconds; times in rows are seconds, too."""
        changes: list[LaneChange] = []
        present = set()
        for row in rows:
            lane = self._lane(row)
            state = row[self.rule.state]
            if state is not None:
                present.add(lane)
                changes += self._enter(lane, time, str(state), row)
        if self.complete:
            for lane in [lane for lane in self._now if lane not in present]:
                del self._now[lane]
                changes.append(LaneChange(lane, "", time, None, None, "", None))
        return changes

    def _lane(self, row: Mapping[str, Any]) -> str:
        rule = self.rule
        return " · ".join([rule.stream, rule.title or rule.table, *(_word(row[one]) for one in rule.subject)])

    def _enter(self, lane: str, time: float, state: str, row: Mapping[str, Any]) -> list[LaneChange]:
        rule = self.rule
        began = row[rule.start] if rule.start else None
        began = time if began is None else float(began)
        seconds = row[rule.seconds] if rule.seconds else None
        text = ", ".join(word for word in (_word(row[one]) for one in rule.text) if word)
        newest = (state, text, began if rule.start else None)
        if self._now.get(lane) == newest:
            return []
        self._now[lane] = newest
        name = " ".join(filter(None, (rule.title, *dict.fromkeys(_word(row[one]) for one in rule.name))))
        look = rule.looks.get(state, rule.looks.get("", "other"))
        end = None if seconds is None else began + float(seconds)
        return [LaneChange(lane, name, began, state, look, text[:MOST_TEXT], end)]


def _word(value: Any) -> str:
    """Return a cell as people read it; absent is empty."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else json_text(str(value), MOST_TEXT)


def folds_of(stream: Stream) -> list[LaneFold]:
    """Return what turns the rows of a stream's tables into lanes; [] = they are none."""
    return [
        LaneFold(rule, rule.ends or stream.table(rule.table).complete)
        for rule in RULES
        if rule.stream == stream.name
    ]


def row_dicts(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Return rows by their columns' names."""
    return [dict(zip(names, row, strict=True)) for row in rows]
