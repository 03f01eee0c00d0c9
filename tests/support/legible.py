"""Whether a person can read what a page shows: no text is cut, pale, leaves its view, or lies over another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAINTED, FAULTS = Path(__file__).with_suffix(".js").read_text().split("// ====\n")
"""PAINTED: to be run in a page before its own scripts, remembers each text painted on a canvas, and where."""


def faults(view: Any) -> list[str]:
    """Return what of a view (a locator) cannot be read, in words; what a scroll or a title shows whole is no fault."""
    found: list[str] = view.evaluate(FAULTS)
    return found


def painted(view: Any) -> list[str]:
    """Return what is written on the canvases of a view."""
    script = "(root) => [...root.querySelectorAll('canvas')].flatMap((one) => window.painted.get(one) ?? [])"
    return [one["text"] for one in view.evaluate(script)]
