"""NowGoal: the external sports feed. `stream.py` describes it; the other files decode what it sends."""

from __future__ import annotations

from tes_nb.streams.nowgoal.stream import STREAM

__all__ = ["STREAM"]
