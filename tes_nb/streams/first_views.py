"""What somebody sees first: three views, each the answer to one person's question, as parts of the streams' tables.

Views and pages draw them without knowing a stream (0029). A part stands for each source of its stream; a part without
a source is left out, and so is a view without parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tes_nb.model import Column, Stream
from tes_nb.streams.browser_json import json_columns


@dataclass(frozen=True, slots=True)
class Meter:
    """A number of one row, as a bar where it is a share of another."""

    title: str
    column: str
    of: str = ""
    """The column that it is a share of; "" = none."""


@dataclass(frozen=True, slots=True)
class ViewPart:
    """One table of one stream, or the list of all streams."""

    kind: Literal["chart", "table", "cards", "streams"]
    stream: str = ""
    table: str = ""
    title: str = ""
    """"" = the source's and the table's own."""
    columns: tuple[str, ...] = ()
    """Those that are drawn or shown at first; () = the table's usual ones."""
    meters: tuple[Meter, ...] = ()
    """What cards show instead of all columns."""
    bars: tuple[str, ...] = ()
    """Columns whose cells are bars, as long as their share of the largest value shown."""
    newest_first: bool = False
    chooses: bool = False
    """Whether a click on a row lets the parts that follow show its subject alone."""
    follows: str = ""
    """The column in which a chosen subject's key is looked for; "" = none. A chart shows nothing before a choice."""
    if_any: bool = False
    """Whether it is only seen when there are rows."""

    def spec(self) -> dict[str, Any]:
        """Return what a browser must know of it beside its table."""
        spec: dict[str, Any] = {"newest_first": self.newest_first, "if_any": self.if_any, "bars": self.bars}
        if self.title:
            spec["title"] = self.title
        if self.columns and self.kind == "table":
            spec["first"] = self.columns
        if self.chooses or self.follows:
            spec |= {"chooses": self.chooses, "follows": self.follows}
        if self.meters:
            spec["meters"] = [{"title": one.title, "column": one.column, "of": one.of} for one in self.meters]
        if self.kind == "streams":
            spec |= {
                "columns": json_columns(STREAM_COLUMNS),
                "period_s": None,
                "key": ("stream",),
                "flash": False,
            }
        return spec


@dataclass(frozen=True, slots=True)
class FirstView:
    """A person's first view."""

    name: str
    title: str
    question: str
    """What it answers."""
    parts: tuple[ViewPart, ...]


STREAM_COLUMNS = (
    Column("stream", "str", "", "label", "The source's name."),
    Column("state", "str", "", "label", "How its connection is doing."),
    Column("last_message", "datetime64[ns, UTC]", "ago", "time", "When a message came last."),
    Column("rate", "float64", "/s", "gauge", "Messages a second, over the last seconds."),
    Column("messages", "int64", "", "gauge", "Messages so far."),
    Column("gaps", "int64", "", "gauge", "Holes in what was received."),
)
"""What the list of streams shows of each."""

_WORKERS = ViewPart("table", "workers", "workers", title="Workers", if_any=True)
NOTEBOOK = FirstView(
    "notebook",
    "My notebook",
    "What does my notebook use, what runs now, and what did the last cells cost?",
    (
        ViewPart(
            "cards",
            "metrics",
            "metrics",
            title="Now",
            meters=(
                Meter("CPU, kernel", "cpu_cores", "limits_cores"),
                Meter("CPU, with children", "total_cores", "limits_cores"),
                Meter("Memory, kernel", "memory_rss", "limits_memory"),
                Meter("Memory, with children", "total_memory", "limits_memory"),
            ),
        ),
        ViewPart(
            "cards",
            "kernel",
            "activity",
            title="What runs now",
            meters=(Meter("Cell", "cell"), Meter("Since", "since"), Meter("Where", "place")),
        ),
        ViewPart(
            "chart",
            "metrics",
            "metrics",
            title="CPU and memory",
            columns=(
                *("cpu_cores", "total_cores", "limits_cores"),
                *("memory_rss", "total_memory", "limits_memory"),
            ),
        ),
        ViewPart(
            "table",
            "kernel",
            "cells",
            title="Last cells",
            columns=(
                *("number", "first_line", "start", "wall_s", "cpu_s", "children_cpu_s", "total_peak"),
                "outcome",
            ),
            bars=("wall_s", "cpu_s", "children_cpu_s", "total_peak"),
            newest_first=True,
            if_any=True,
        ),
        ViewPart("table", "kernel", "held", title="When the kernel was held", newest_first=True, if_any=True),
        _WORKERS,
        ViewPart("chart", "kernel", "gauges", title="My gauges", if_any=True),
    ),
)
TES = FirstView(
    "tes",
    "My TES",
    "Is it up, what comes from it, and what do its workers do?",
    (
        ViewPart("cards", "status", "status", title="Status"),
        ViewPart("streams", title="Streams"),
        replace(_WORKERS, if_any=False),
        ViewPart("chart", "metrics", "metrics", title="Metrics"),
    ),
)
MATCH_DAY = FirstView(
    "match-day",
    "My match day",
    "What is the score, which prices move, and how old are they?",
    (
        ViewPart("table", "nowgoal", "scores", title="Matches: click one to see it alone", chooses=True),
        ViewPart("chart", "nowgoal", "odds", title="Prices of the match", follows="match_id", if_any=True),
        ViewPart("table", "nowgoal", "odds", title="Prices", follows="match_id"),
        ViewPart("table", "nowgoal", "ticks", title="Ticks", follows="game_id", if_any=True),
        ViewPart("table", "nowgoal", "games", title="Basketball", if_any=True),
    ),
)


def first_views(
    sources: Mapping[str, Stream], *, notebook: bool
) -> Iterator[tuple[FirstView, list[tuple[str, ViewPart]]]]:
    """Yield each view with its parts and the source of each, "" = none. sources: name → stream.

    notebook: whether they show a notebook's own process; else they are a TES's.
    """
    main = NOTEBOOK if notebook else TES
    named = {part.stream for view in (NOTEBOOK, TES, MATCH_DAY) for part in view.parts}
    for view in (MATCH_DAY, main):
        parts = [
            (source, part)
            for part in view.parts
            for source in ("",) * (not part.stream) or _of_stream(sources, part.stream)
        ]
        if view is main:
            others = {name: stream for name, stream in sources.items() if stream.name not in named}
            parts += [
                (name, ViewPart(stream.view, stream.name, stream.main))
                for name, stream in others.items()
                if stream.period_s < float("inf")
            ]
        if any(source for source, _ in parts):
            yield view, parts


def _of_stream(sources: Mapping[str, Stream], stream: str) -> Iterable[str]:
    return [name for name, one in sources.items() if one.name == stream]
