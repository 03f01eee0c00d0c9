"""`tes.compare(a, b)`: what differs between two recordings, running sessions, or cells of one.

tes.compare("before.tes", "after.tes")
tes.compare(rec, rec, on=("cell 3", "cell 7"))
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tes_nb.analysis.differences import Floats, cells_beside
from tes_nb.errors import SessionError
from tes_nb.model import Column, Table
from tes_nb.session.asof import began_ns, moment_ns
from tes_nb.session.comparison import Comparison, Pair
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
IDENTITY = ("role", "kind", "name")
"""What tells processes apart over two runs; their ids and numbers do not."""


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
    common = [name for name in a.feeds if name in b.feeds and (feeds is None or name in feeds)]
    if not common:
        raise SessionError(
            f"There is no feed to compare: {titles[0]} has {', '.join(a.feeds) or 'none'}, and "
            f"{titles[1]} has {', '.join(b.feeds) or 'none'}."
        )
    unmatched = [
        f"Only {title} has the feed '{name}'."
        for title, one, other in ((titles[0], a, b), (titles[1], b, a))
        for name in one.feeds
        if name not in other.feeds and feeds is None
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
    lost = np.zeros(count, dtype=bool)
    for session, (begin, _) in zip((a, b), spans, strict=True):
        lost |= _in_gaps(session, common, begin, step_ns, count)
    series = []
    for name in common:
        for table in a.feeds[name].stream.tables:
            if table.name == "cells" or (name, table.name) not in frames[1]:
                continue
            sides = [
                _columns_of(one[name, table.name], table, begin, step_ns, count)
                for one, (begin, _) in zip(frames, spans, strict=True)
            ]
            series += list(_matched(name, table, sides[0], sides[1], lost, unmatched))
    return Comparison(
        titles,
        series,
        step_s=step_ns / 1e9,
        seconds=count * step_ns / 1e9,
        lasts_s=tuple((end - begin) / 1e9 for begin, end in spans),
        left_out_s=float(np.count_nonzero(lost)) * step_ns / 1e9,
        unmatched=unmatched,
        cells=cells_beside(*(session.feeds[KERNEL].frame("cells") for session in (a, b)))
        if KERNEL in common
        else pd.DataFrame(),
        began=(spans[0][0], spans[1][0]),
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
    moment = moment_ns(on, session._all_marks(), cells)  # noqa: SLF001 - the same of a session
    number = re.search(r"(\d+)", on) if isinstance(on, str) and cells is not None else None
    if number is not None and cells is not None and re.match(r"\s*(cell|in)\b", str(on), re.IGNORECASE):
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


def _in_gaps(session: SessionOutputs, names: Sequence[str], begin: int, step_ns: int, count: int) -> Any:
    lost = np.zeros(count, dtype=bool)
    for name in names:
        for gap in session.feeds[name].origin.gaps():
            low = (began_ns(gap) - begin) // step_ns
            high = count if gap.back_at_ns is None else (gap.back_at_ns - begin) // step_ns + 1
            lost[max(low, 0) : max(high, 0)] = True
    return lost


def _columns_of(
    frame: pd.DataFrame, table: Table, begin: int, step_ns: int, count: int
) -> dict[str, list[Callable[[Column], Floats]]]:
    """Return subject → what puts its columns on even steps, one for each of those that are called so."""
    key = [name for name in table.key if name in frame]
    found: dict[str, list[Callable[[Column], Floats]]] = {}
    for one, rows in frame.groupby(key, observed=True, sort=True) if key else [((), frame)]:
        if not len(rows):
            continue
        named: tuple[Any, ...] = one if isinstance(one, tuple) else (one,)
        if "pid" in rows:  # a process: what it is, not which number it had
            last = [rows[name].dropna().iloc[-1:] for name in IDENTITY if name in rows]
            named = tuple(word for words in last for word in words)
        label = " ".join(map(str, named))
        found.setdefault(label, []).append(_resampler(rows, begin, step_ns, count))
    return found


def _resampler(rows: pd.DataFrame, begin: int, step_ns: int, count: int) -> Callable[[Column], Floats]:
    place = (rows.index.as_unit("ns").asi8 - begin) // step_ns  # type: ignore[attr-defined]
    inside = (place >= 0) & (place < count)

    def cells(column: Column) -> Floats:
        values = rows[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
        if column.kind == "counter":
            seconds = np.diff(rows.index.as_unit("ns").asi8, prepend=begin) / 1e9  # type: ignore[attr-defined]
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.diff(values, prepend=np.nan) / seconds
            values = np.where(np.isfinite(values) & (values >= 0), values, np.nan)
        there = inside & ~np.isnan(values)
        sums = np.bincount(place[there], values[there], minlength=count)
        amounts = np.bincount(place[there], minlength=count)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean: Floats = np.where(amounts > 0, sums / amounts, np.nan)
        return mean

    return cells


def _matched(  # noqa: PLR0917 - what is matched, and where the rest is said
    feed: str,
    table: Table,
    a: Mapping[str, list[Callable[[Column], Floats]]],
    b: Mapping[str, list[Callable[[Column], Floats]]],
    lost: Any,
    unmatched: list[str],
) -> Iterator[Pair]:
    """Yield the columns of subjects that both have once; say what is left."""
    if max(len(a), len(b)) > MOST_SUBJECTS:
        unmatched.append(f"{feed}.{table.name} has more than {MOST_SUBJECTS} subjects: it was left out.")
        return
    numbers = [
        column
        for column in table.columns
        if column.kind in {"gauge", "counter"} and column.dtype != "boolean"
    ]
    for subject in dict.fromkeys([*a, *b]):
        here, there = a.get(subject, []), b.get(subject, [])
        if not numbers:
            continue
        if len(here) != 1 or len(there) != 1:
            spot = f"'{subject}' of {feed}.{table.name}" if subject else f"{feed}.{table.name}"
            unmatched.append(
                f"{spot} is there {len(here)} times in the one and {len(there)} times in the other."
            )
            continue
        for column in numbers:
            yield Pair(
                feed,
                table.name,
                column,
                subject,
                np.where(lost, np.nan, here[0](column)),
                np.where(lost, np.nan, there[0](column)),
            )
