"""What the session's kernel and its children cost, as a small table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

UNITS = {"cpu_s": "s", "gb_h": "GB·h", "peak": "bytes"}


def cost_frame(cost: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row each for kernel, children and total: CPU seconds, GB·h, peak bytes, shares of the limits.

    Children's memory is PSS (shared pages counted once). `.attrs` has the wall time and the limits.
    """
    rows = {
        "kernel": (cost["cpu_s"], cost["gb_h"], cost["peak"]),
        "children": (cost["children_cpu_s"], cost["children_gb_h"], cost["children_peak"]),
        "total": (
            cost["cpu_s"] + cost["children_cpu_s"],
            cost["gb_h"] + cost["children_gb_h"],
            cost["total_peak"],
        ),
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(UNITS))
    frame["peak"] = frame["peak"].astype("int64")
    frame["share_of_memory"] = frame["peak"] / cost["memory_limit"]
    frame["share_of_cpu"] = frame["cpu_s"] / (cost["wall_s"] * cost["cores_limit"]) if cost["wall_s"] else 0.0
    frame.index.name = "what"
    frame.attrs = {
        "units": {**UNITS, "share_of_memory": "ratio", "share_of_cpu": "ratio"},
        "wall_s": cost["wall_s"],
        "memory_limit": cost["memory_limit"],
        "cores_limit": cost["cores_limit"],
    }
    return frame
