"""The lanes of a session, live or recorded: workers, jobs, executed cells, feeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.streams.kernel import KERNEL
from tes_nb.streams.lanes import LaneChange, folds_of
from tes_nb.views.lanes import FoldedTable
from tes_nb.views.timeline import LaneSpan, state_spans

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed

WORKERS = "workers"
_OWN = (KERNEL, WORKERS)


def lanes(feeds: Mapping[str, Feed], last: Any = None) -> list[LaneSpan]:
    """Return what each lane did, in the order in which they are drawn. last: only what is so new; `None` = all."""
    return [
        *(span for feed in feeds.values() if feed.stream.name == KERNEL for span in _cells(feed, last)),
        *(span for feed in feeds.values() if feed.stream.name == WORKERS for span in _workers(feed, last)),
        *(span for feed in feeds.values() if feed.stream.name not in _OWN for span in _declared(feed, last)),
        *(span for feed in feeds.values() if feed.stream.name != KERNEL for span in _feed(feed, last)),
    ]


def _cells(feed: Feed, last: Any) -> Iterator[LaneSpan]:
    cells: Any = feed.frame("cells", last=last)
    for cell in cells.itertuples(index=False):
        end = cell.start + pd.Timedelta(seconds=float(cell.wall_s))
        state = "error" if cell.outcome == "error" else "working"
        text = " ".join(str(word) for word in (cell.first_line, cell.place) if not pd.isna(word))
        yield LaneSpan("cells", cell.start, end, state, f"cell {cell.number} {text}".strip())
    running: Any = feed.frame("activity").tail(1)
    for cell in running[running["cell"].notna()].itertuples():
        place = "" if pd.isna(cell.place) else str(cell.place)
        yield LaneSpan(
            "running cell",
            cell.since,
            max(cell.Index, cell.since),
            "working",
            f"cell {cell.cell} {place}".strip(),
        )


def _workers(feed: Feed, last: Any) -> Iterator[LaneSpan]:
    rows = feed.frame("workers", last=last)
    if rows.empty:
        return
    until = rows.index.max()
    names = _names(rows)
    health = feed.frame("health")  # a state that began long ago lasts
    begin = rows.index.min()
    worker: Any
    for worker, changes in health.groupby("worker", sort=False):
        if worker in names:
            steps = [
                (max(time, begin), None if pd.isna(to) else str(to), "" if pd.isna(reason) else str(reason))
                for time, to, reason in zip(changes.index, changes["to"], changes["reason"], strict=True)
            ]
            yield from (span for span in state_spans(names[worker], steps, until) if span.end > span.start)
    yield from _jobs(rows)


def _names(rows: pd.DataFrame) -> dict[str, str]:
    """What people call each worker: its name, role and number; the id once more where that is the same of two."""
    newest: Any = rows[~rows["id"].duplicated(keep="last")]
    names: dict[str, str] = {}
    for one in newest.itertuples(index=False):
        role = "" if pd.isna(one.role) or one.role == one.name else f", {one.role}"
        pid = "" if pd.isna(one.pid) else f" {one.pid}"
        name = f"{one.name}{pid}{role}"
        names[one.id] = f"{name} ({one.id})" if name in names.values() else name
    return names


def _jobs(rows: pd.DataFrame) -> Iterator[LaneSpan]:
    """A span for each job that a row shows; a job shorter than the stream's period may be in none."""
    running = rows[rows["current_job_id"].notna() & rows["pool"].notna()]
    for (worker, job), of_job in running.groupby(["id", "current_job_id"], sort=False):
        function, start = of_job["current_job_type"].iloc[-1], of_job["current_job_started_at"].iloc[-1]
        begin = of_job.index.min() if pd.isna(start) else start
        failed = of_job["status"].iloc[-1] == "error"
        text = str(of_job["last_error"].iloc[-1]) if failed else f"job {job}"
        yield LaneSpan(
            f"job {function} on {_short(str(worker), of_job)}",
            begin,
            max(of_job.index.max(), begin),
            "error" if failed else "working",
            text,
        )


def _short(worker: str, of_job: pd.DataFrame) -> str:
    pid = of_job["pid"].iloc[-1]
    return worker if pd.isna(pid) else str(pid)


def _declared(feed: Feed, last: Any) -> Iterator[LaneSpan]:
    """What the stream itself declares as lanes, such as the states of matches."""
    times = feed.frame(last=last).index
    for fold in folds_of(feed.stream):
        table = FoldedTable(feed, fold)
        table.forget()
        lanes: dict[str, list[LaneChange]] = {}
        for change in table.changes():
            lanes.setdefault(change.lane, []).append(change)
        for changes in lanes.values():
            steps = [
                (pd.Timestamp(one.time, unit="s", tz="UTC"), one.look, f"{one.state} {one.text}".strip())
                for one in changes
            ]
            for span in state_spans(changes[0].name, steps, times.max()):
                if span.end > times.min():
                    yield replace(span, start=max(span.start, times.min()))


def _feed(feed: Feed, last: Any) -> Iterator[LaneSpan]:
    times = feed.frame(last=last).index
    if not len(times):
        return
    lane, begin, until = f"feed {feed.source}", times.min(), times.max()
    yield LaneSpan(lane, begin, until, "open", str(feed.stream.name))
    for gap in feed.store.gaps:
        lost = pd.Timestamp(gap.began_ns, tz="UTC")
        back = until if gap.back_at_ns is None else pd.Timestamp(gap.back_at_ns, tz="UTC")
        if back > begin and back > lost:
            yield LaneSpan(lane, max(lost, begin), back, "gap", gap.cause)
