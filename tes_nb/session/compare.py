"""`tes.compare(a, b)`: what differs between two recordings, running sessions, or cells of one.

tes.compare("before.tes", "after.tes")
tes.compare(rec, rec, on=("cell 3", "cell 7"))
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tes_nb.analysis.differences import FEWEST, Floats, cells_beside
from tes_nb.errors import ArgumentError, SessionError, meant
from tes_nb.model import Column, Table
from tes_nb.session.asof import CELL, moment_ns
from tes_nb.session.comparison import CellPair, Comparison, Pair
from tes_nb.session.open import open_session
from tes_nb.session.outputs import SessionOutputs
from tes_nb.streams.kernel import KERNEL

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed

LEAST = 0.05
MOST_CELLS = 3600
"""Values of a series; longer ones have longer steps."""
MOST_SUBJECTS = 50
SHORTEST_STEP_S = 0.1
NUMBERS = {"gauge", "counter"}
UNITS: tuple[dict[str, float], ...] = (
    {"bytes": 1, "B": 1, "kB": 1e3, "KiB": 1024, "MB": 1e6, "MiB": 1024**2, "GB": 1e9, "GiB": 1024**3},
    {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600},
    {"ratio": 1, "percent": 0.01, "%": 0.01},
)
"""Units of one kind: what one of each is."""
IDENTITY = ("role", "kind", "name")
"""What identifies processes over two runs; their ids and numbers do not."""


def compare(
    a: SessionOutputs | str | Path,
    b: SessionOutputs | str | Path,
    *,
    on: Any = None,
    feeds: Sequence[str] | None = None,
    least: float = LEAST,
) -> Comparison:
    """Return what differs between two sessions, recorded or running: see `Comparison`.

    a, b: sessions, or files. on: `None` = both from their beginning; the name of a mark, a time or "cell 12" = what
    follows that in both, of a cell until its end; a pair = one for each. feeds: names, `None` = all that both have.
    least: the share by which a value must differ to count. Gauges are compared as they are and counters as rates,
    processes by role and name. Raises `SessionError` where there is nothing to compare, `ArgumentError` for what makes
    no sense.
    """
    with contextlib.ExitStack() as stack:
        sessions = [
            one if isinstance(one, SessionOutputs) else stack.enter_context(open_session(one))
            for one in (a, b)
        ]
        return _compare(sessions[0], sessions[1], on, feeds, least)


def _compare(
    a: SessionOutputs, b: SessionOutputs, on: Any, feeds: Sequence[str] | None, least: float
) -> Comparison:
    titles = a._title_and_page()[0], b._title_and_page()[0]  # noqa: SLF001 - as its own report has it
    there = {**a.feeds, **b.feeds}
    wanted = there.keys() if feeds is None else [feeds] if isinstance(feeds, str) else feeds
    for name in wanted:
        if name not in there:
            raise ArgumentError(
                f"Neither has a feed '{name}'; there are {', '.join(there)}.{meant(name, there)}"
            )
    if isinstance(on, tuple) and len(on) != 2:
        raise ArgumentError(f"on= is one thing for both, or a pair, one for each, and not {len(on)} of them.")
    common = [name for name in a.feeds if name in b.feeds and name in wanted]
    if not common:
        raise SessionError(
            f"There is no feed to compare: {titles[0]} has {', '.join(a.feeds) or 'none'}, and "
            f"{titles[1]} has {', '.join(b.feeds) or 'none'}."
        )
    unmatched = [
        f"Only {title} has the feed '{name}'."
        for title, one, other in ((titles[0], a, b), (titles[1], b, a))
        for name in one.feeds
        if name not in other.feeds and name in wanted
    ]
    frames = [
        {
            (name, table): session.feeds[name].frame(table)
            for name in common
            for table in session.feeds[name].tables
        }
        for session in (a, b)
    ]
    first, second = on if isinstance(on, tuple) else (on, on)
    spans = [
        _span(session, tables, one)
        for session, tables, one in ((a, frames[0], first), (b, frames[1], second))
    ]
    length_ns = min(end - begin for begin, end in spans)
    step_ns = max(round(SHORTEST_STEP_S * 1e9), length_ns // MOST_CELLS, _usual_step(frames))
    count = length_ns // step_ns
    if count < 1:
        raise SessionError(f"There is nothing to compare: both together last {length_ns / 1e9:.1f} s.")
    sides = [_subjects_of(session, one, common) for session, one in ((a, frames[0]), (b, frames[1]))]
    lost = _lost((a, b), common, (spans[0][0], spans[1][0]), step_ns, count)
    window = Window((spans[0][0], spans[1][0]), step_ns, count, lost)
    beside, numbers = pd.DataFrame(), list[CellPair]()
    if KERNEL in common:
        cells = [session.feeds[KERNEL].frame("cells") for session in (a, b)]
        beside = cells_beside(*cells)
        for number, begins, shorter_ns in _cells_in_both(cells[0], cells[1]):
            steps = shorter_ns // step_ns
            lost = _lost((a, b), common, begins, step_ns, steps)
            part = Window(begins, step_ns, steps, lost)
            pairs = list(_matched(sides[0], sides[1], part, [])) if steps >= FEWEST else []
            seconds = np.count_nonzero(~lost) * step_ns / 1e9
            numbers.append(CellPair(number, seconds, pairs))
    return Comparison(
        titles,
        list(_matched(sides[0], sides[1], window, unmatched)),
        step_s=step_ns / 1e9,
        seconds=count * step_ns / 1e9,
        lasts_s=tuple((end - begin) / 1e9 for begin, end in spans),
        left_out_s=float(np.count_nonzero(window.lost)) * step_ns / 1e9,
        unmatched=unmatched,
        cells=beside,
        cell_pairs=numbers,
        began=window.begins,
        least=least,
    )


Frames = Mapping[tuple[str, str], pd.DataFrame]


def _span(session: SessionOutputs, tables: Frames, on: Any) -> tuple[int, int]:
    """Return what is compared of a session: from and to, Unix ns."""
    indexes = [frame.index.as_unit("ns").asi8 for frame in tables.values() if len(frame)]  # type: ignore[attr-defined]
    if not indexes:
        title = session._title_and_page()[0]  # noqa: SLF001 - as its own report has it
        raise SessionError(f"There is nothing to compare: {title} is empty.")
    begin, end = min(int(one[0]) for one in indexes), max(int(one[-1]) for one in indexes)
    if on is None:
        return begin, end
    kernel: Feed | None = session.feeds.get(KERNEL)
    cells = None if kernel is None else kernel.frame("cells")
    marks = session._all_marks()  # noqa: SLF001 - the same of a session
    moment = moment_ns(on, marks, cells)
    number = CELL.fullmatch(on) if isinstance(on, str) and all(mark.label != on for mark in marks) else None
    if number is not None and cells is not None:
        cell = cells[cells["number"] == int(number[1])].iloc[-1]
        return int(cell["start"].as_unit("ns").value), moment
    return moment, end


def _usual_step(frames: Sequence[Frames]) -> int:
    """Return the usual distance between messages of the feed that is heard most often, ns, but 1 s at most."""
    steps = [
        int(np.median(np.diff(frame.index.as_unit("ns").asi8)))  # type: ignore[attr-defined]
        for tables in frames
        for frame in tables.values()
        if len(frame) > 2
    ]
    return min([step for step in steps if step > 0] + [10**9])


def _cells_in_both(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[tuple[int, tuple[int, int], int]]:
    """Yield cells that ran once in both: number, when they began, and the shorter of their times, ns."""
    runs = []
    for cells in (a, b):
        once = cells[~cells["number"].duplicated(keep=False)]
        begins = pd.DatetimeIndex(once["start"]).as_unit("ns").asi8.tolist()
        lasts = (once["wall_s"] * 1e9).round().astype("int64").tolist()
        runs.append(dict(zip(once["number"].tolist(), zip(begins, lasts, strict=True), strict=True)))
    for number in sorted(runs[0].keys() & runs[1].keys()):
        (begin, lasts), (other, other_lasts) = runs[0][number], runs[1][number]
        yield number, (begin, other), min(lasts, other_lasts)


def _lost(
    sessions: tuple[SessionOutputs, SessionOutputs],
    names: Sequence[str],
    begins: tuple[int, int],
    step_ns: int,
    count: int,
) -> Any:
    """Return which of so many steps lie in a gap of either."""
    lost = np.zeros(count, dtype=bool)
    for session, begin in zip(sessions, begins, strict=True):
        for name in names:
            for gap in session.feeds[name].origin.gaps():
                low = (gap.began_ns - begin) // step_ns
                high = count if gap.back_at_ns is None else (gap.back_at_ns - begin) // step_ns + 1
                lost[max(low, 0) : max(high, 0)] = True
    return lost


@dataclass(frozen=True, slots=True)
class Window:
    """What of both is compared: even steps from a moment of each."""

    begins: tuple[int, int]
    """Unix ns, of the one and of the other."""
    step_ns: int
    count: int
    lost: Any
    """Which steps lie in a gap of either."""


@dataclass(frozen=True)
class Subject:
    """The rows of one subject of a table, such as one worker."""

    rows: pd.DataFrame
    unit: str
    """Where rows have a unit of their own; "" = the columns' units hold."""

    @cached_property
    def times(self) -> Any:
        """When each row was received, Unix ns."""
        return self.rows.index.as_unit("ns").asi8  # type: ignore[attr-defined] # a frame's index is time

    @cached_property
    def numbers(self) -> dict[str, Floats]:
        """The columns that were asked for until now: name → values, none = all of them are absent."""
        return {}

    def steps(self, column: Column, begin: int, window: Window) -> Floats:
        """Return the mean of a column in each step; a counter's is its rate."""
        if column.name not in self.numbers:  # each is asked for once for the whole, and once for each cell
            values = self.rows[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
            self.numbers[column.name] = values[:0] if np.isnan(values).all() else values
        values = self.numbers[column.name]
        if not len(values):
            return np.full(window.count, np.nan)
        low, high = np.searchsorted(self.times, (begin, begin + window.count * window.step_ns))
        low = max(low - 1, 0)  # what a counter is compared with
        times, values = self.times[low:high], values[low:high]
        if column.kind == "counter":
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.diff(values, prepend=np.nan) / (np.diff(times, prepend=begin) / 1e9)
            values = np.where(np.isfinite(values) & (values >= 0), values, np.nan)
        place = (times - begin) // window.step_ns
        there = (place >= 0) & (place < window.count) & ~np.isnan(values)
        sums = np.bincount(place[there], values[there], minlength=window.count)
        amounts = np.bincount(place[there], minlength=window.count)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean: Floats = np.where((amounts > 0) & ~window.lost, sums / amounts, np.nan)
        return mean


Subjects = Mapping[tuple[str, str], tuple[Table, Mapping[str, list[Subject]]]]
"""Names of feed and table → the table, and subject → those that are called so."""


def _subjects_of(session: SessionOutputs, frames: Frames, names: Sequence[str]) -> Subjects:
    return {
        (name, table.name): (table, _called(frames[name, table.name], table))
        for name in names
        for table in session.feeds[name].stream.tables
        if table.name != "cells"
    }


def _called(frame: pd.DataFrame, table: Table) -> dict[str, list[Subject]]:
    """Return the subjects of a table, by what they are called."""
    key = [name for name in table.key if name in frame]
    subjects: dict[str, list[Subject]] = {}
    for one, rows in frame.groupby(key, observed=True, sort=True) if key else [((), frame)]:
        if not len(rows):
            continue
        named: tuple[Any, ...] = one if isinstance(one, tuple) else (one,)
        if "pid" in rows:  # a process: what it is, not which number it had
            last = [rows[name].dropna().iloc[-1:] for name in IDENTITY if name in rows]
            named = tuple(word for words in last for word in words)
        units = rows[table.unit_by].dropna().iloc[-1:].tolist() if table.unit_by else []
        subjects.setdefault(" ".join(map(str, named)), []).append(Subject(rows, "".join(map(str, units))))
    return subjects


def _matched(a: Subjects, b: Subjects, window: Window, unmatched: list[str]) -> Iterator[Pair]:
    """Yield the columns of subjects that both have once, in one unit; say what is left."""
    for (feed, name), (table, those) in a.items():
        _, others = b.get((feed, name), (table, {}))
        numbers = [one for one in table.columns if one.kind in NUMBERS and one.dtype != "boolean"]
        if not numbers:
            continue
        if max(len(those), len(others)) > MOST_SUBJECTS:
            unmatched.append(f"{feed}.{table.name} has more than {MOST_SUBJECTS} subjects: it was left out.")
            continue
        for subject in dict.fromkeys([*those, *others]):
            here, there = those.get(subject, []), others.get(subject, [])
            spot = f"'{subject}' of {feed}.{table.name}" if subject else f"{feed}.{table.name}"
            if len(here) != 1 or len(there) != 1:
                unmatched.append(
                    f"{spot} is there {len(here)} times in the one and {len(there)} times in the other."
                )
                continue
            units = here[0].unit, there[0].unit
            factor = _factor(*units)
            if factor is None:
                unmatched.append(
                    f"{spot} is in '{units[0]}' in the one and in '{units[1]}' in the other, which is not the same."
                )
                continue
            for column in numbers:
                named = replace(column, unit=units[0]) if units[0] else column
                values = [
                    side[0].steps(column, begin, window)
                    for side, begin in zip((here, there), window.begins, strict=True)
                ]
                yield Pair(feed, table.name, named, subject, values[0], values[1] * factor)


def _factor(unit: str, other: str) -> float | None:
    """Return by what values in `other` become values in `unit`; `None` = they are not of one kind."""
    if unit == other:
        return 1.0
    for units in UNITS:
        if unit in units and other in units:
            return units[other] / units[unit]
    return None
