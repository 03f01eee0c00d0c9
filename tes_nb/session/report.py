"""What a session cost, as the first lines of its report: from its frames, live and recorded alike."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from tes_nb.streams.first_views import first_views
from tes_nb.views.report import CostFigure
from tes_nb.views.zone import zone

if TYPE_CHECKING:
    from tes_nb.model import Table
    from tes_nb.session.feed import Feed

GB = 1e9
CELL_COLUMNS = ["number", "first_line", "start", "wall_s", "cpu_s", "children_cpu_s", "total_peak", "outcome"]
MOST_CELLS = 50


def in_order_of_worth(feeds: Mapping[str, Feed], *, notebook: bool) -> list[Feed]:
    """Return the feeds as the first views show them, then the others. notebook: as in `first_views`."""
    streams = {name: feed.stream for name, feed in feeds.items()}
    first = [source for _, parts in first_views(streams, notebook=notebook) for source, _ in parts if source]
    return [feeds[name] for name in dict.fromkeys([*first, *feeds])]


def cost_facts(feeds: Mapping[str, Feed], gaps: pd.DataFrame, *, live: bool) -> list[CostFigure]:
    """Return duration, cells, kernel, children, host and gaps; what was not measured is left out.

    gaps: of all sources. live: whether this machine is the one that was watched.
    """
    frames = [feed.frame() for feed in feeds.values()]
    times = [frame.index[at] for frame in frames if len(frame) for at in (0, -1)]
    facts = []
    if times:
        seconds = (max(times) - min(times)).total_seconds()
        began = min(times).tz_convert(zone.here)
        facts.append(CostFigure("Duration", span(seconds), f"from {began:%Y-%m-%d %H:%M:%S} ({zone.here})"))
    listed = cell_rows(feeds)
    if listed is not None:
        cells = listed[0]
        failed = int((cells["outcome"] != "ok").sum())
        note = f"{span(float(cells['wall_s'].sum()))} in all" + (f", {failed} failed" if failed else "")
        facts.append(CostFigure("Cells", str(len(cells)), note))
    if "metrics" in feeds:
        facts += _metrics_facts(feeds["metrics"].frame(), live=live)
    lost = float((gaps["back_at"] - gaps["lost_at"]).dt.total_seconds().sum())
    still = int(gaps["back_at"].isna().sum())
    note = f"{span(lost)} without data" + (f", {still} open" if still else "")
    facts.append(CostFigure("Gaps", str(len(gaps)), note if len(gaps) else "nothing was missed"))
    marks = {mark for feed in feeds.values() for mark in feed.mark_list()}
    held = feeds["kernel"].frame("held")["seconds"] if "kernel" in feeds else pd.Series(dtype="float64")
    if len(held):
        facts.append(CostFigure("Kernel held", span(float(held.sum())), f"{len(held)} times"))
    if marks:
        facts.append(
            CostFigure("Marks", str(len(marks)), ", ".join(sorted({mark.label for mark in marks})[:5]))
        )
    return facts


def _metrics_facts(metrics: pd.DataFrame, *, live: bool) -> list[CostFigure]:
    facts = []
    seconds = metrics.index.to_series().diff().dt.total_seconds().clip(upper=5.0)
    kernel = metrics["cpu_cores"] * seconds
    children = (metrics["total_cores"] - metrics["cpu_cores"]).clip(lower=0) * seconds
    # Pages that children share with the kernel belong to neither alone: the children's are no difference of the two.
    for title, cpu, memory, words in (
        ("Kernel", kernel, "memory_rss", "at most"),
        ("Children", children, "total_memory", "with the kernel at most"),
    ):
        if cpu.notna().any():
            most = metrics[memory].astype("float64").max()
            facts.append(
                CostFigure(title, f"{cpu.sum():.1f} s CPU", "" if pd.isna(most) else f"{words} {_size(most)}")
            )
    limits = metrics[["limits_cores", "limits_memory"]].dropna().tail(1)
    if len(limits):
        cores, most = map(float, limits.iloc[0])
        host = f"{platform.node()}, {os.cpu_count()} processors" if live else "as recorded"
        facts.append(CostFigure("Host", f"{cores:g} cores, {most / GB:.1f} GB", host))
    return facts


def cell_rows(feeds: Mapping[str, Feed]) -> tuple[pd.DataFrame, Table] | None:
    """Return the newest cells with what each cost, and their table; `None` = none were measured."""
    if "kernel" not in feeds:
        return None
    cells = feeds["kernel"].frame("cells")[CELL_COLUMNS].tail(MOST_CELLS)
    if not len(cells):
        return None
    return cells.dropna(axis="columns", how="all").set_index("number"), feeds["kernel"].stream.table("cells")


def _size(amount: float) -> str:
    """Return "187 MB", "2.05 GB"."""
    return f"{amount / 1e6:.0f} MB" if amount < GB else f"{amount / GB:.2f} GB"


def span(seconds: float) -> str:
    """Return "4.2 s", "3 min 5 s", "2 h 1 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
