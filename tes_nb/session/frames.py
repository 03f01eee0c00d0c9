"""Gaps, marks and undecoded messages as frames."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tes_nb.model.control import Cost
from tes_nb.store.memory.tables import Undecoded
from tes_nb.wire.events import Gap, Mark

UNITS = {"cpu_s": "s", "gb_h": "GB·h", "peak": "bytes"}


def cost_frame(cost: Cost) -> pd.DataFrame:
    """Return a row each for kernel, children and total: CPU seconds, GB·h, peak bytes, shares of the limits.

    The kernel's memory is its RSS; the children's, and the total, count pages that several of them share once.
    `.attrs` has the wall time and the limits.
    """
    rows = {
        "kernel": (cost.cpu_s, cost.gb_h, cost.peak),
        "children": (cost.children_cpu_s, cost.children_gb_h, cost.children_peak),
        "total": (
            cost.cpu_s + cost.children_cpu_s,
            cost.total_gb_h,
            cost.total_peak,
        ),
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(UNITS))
    frame["peak"] = frame["peak"].astype("int64")
    frame["share_of_memory"] = frame["peak"] / cost.memory_limit
    frame["share_of_cpu"] = frame["cpu_s"] / (cost.wall_s * cost.cores_limit) if cost.wall_s else 0.0
    frame.index.name = "what"
    frame.attrs = {
        "units": {**UNITS, "share_of_memory": "ratio", "share_of_cpu": "ratio"},
        "wall_s": cost.wall_s,
        "memory_limit": cost.memory_limit,
        "cores_limit": cost.cores_limit,
    }
    return frame


FIRST_BYTES = 32


def gaps_frame(gaps: Iterable[Gap]) -> pd.DataFrame:
    """Return a row per gap; `back_at` is NA while it is open, `missing` where it is not known."""
    rows = [
        (gap.conn, gap.last_seen_ns, gap.lost_at_ns, gap.back_at_ns, gap.cause, gap.missing) for gap in gaps
    ]
    frame = pd.DataFrame(
        rows, columns=["conn", "last_seen", "lost_at", "back_at", "cause", "missing"], dtype=object
    )
    dtypes = {"conn": "int64", "cause": "str", "missing": "Int64"}
    return _timed(frame, ("last_seen", "lost_at", "back_at")).astype(dtypes)


def marks_frame(marks: Iterable[Mark]) -> pd.DataFrame:
    """Return a row per mark: time, label."""
    frame = pd.DataFrame(
        [(mark.at_ns, mark.label) for mark in marks], columns=["time", "label"], dtype=object
    )
    return _timed(frame, ("time",)).astype({"label": "str"})


def in_time(marks: Iterable[Mark]) -> list[Mark]:
    """Return each mark once, by time."""
    return sorted(set(marks), key=lambda mark: (mark.at_ns, mark.label))


def undecoded_frame(undecoded: Iterable[Undecoded]) -> pd.DataFrame:
    """Return a row per message: time, seq, reason, sentence, size in bytes, the first bytes in hex."""
    rows = [
        (
            one.message.t_wall_ns,
            one.message.seq,
            one.reason,
            one.sentence,
            len(one.message.payload),
            one.message.payload[:FIRST_BYTES].hex(" "),
        )
        for one in undecoded
    ]
    names = ["time", "seq", "reason", "sentence", "size", "first_bytes"]
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    dtypes = {"seq": "int64", "size": "int64", "reason": "str", "sentence": "str", "first_bytes": "str"}
    return _timed(frame, ("time",)).astype(dtypes)


def _timed(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    for name in names:
        times = pd.to_datetime(frame[name].astype("Int64"), unit="ns", utc=True)
        frame[name] = times.astype("datetime64[ns, UTC]")
    return frame
