"""The chart in Chromium: what it draws, what it says, what a reader can do with it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tes_nb.views.append import Block, pack

SERIES = [
    {"key": "0:rss", "label": "", "column": "memory_rss", "unit": "bytes", "kind": "gauge"},
    {"key": "0:heap", "label": "", "column": "memory_heap_used", "unit": "bytes", "kind": "gauge"},
    {"key": "0:cpu", "label": "", "column": "cpu_percent", "unit": "percent", "kind": "gauge"},
    {"key": "0:req", "label": "", "column": "http_total_requests", "unit": "", "kind": "counter"},
]
SPEC = {
    "title": "metrics",
    "window_s": 300,
    "period_s": 0.5,
    "break_s": 1.5,
    "limits": [{"column": "cpu_percent", "above": 90}],
    "silent": "Restart the kernel.",
}


def ring(rows: int = 600, *, end: float | None = None) -> Block:
    times = (time.time() if end is None else end) - np.arange(rows)[::-1] * 0.5
    wave = np.sin(np.arange(rows) / 40)
    values = [3e8 + 6e7 * wave, 2e8 + 4e7 * np.cos(np.arange(rows) / 25), 55 + 44 * wave, np.cumsum(1 + wave)]
    return Block(range(4), times, np.array(values))


def begin(stage, spec=SPEC, block=None, series=SERIES):
    stage.begin(uid="u1", spec=spec)
    stage.append(pack(1, [block or ring()], keyframe=True, series=series))
    stage.settle()


@pytest.mark.parametrize(
    "stage",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 400, "height": 900}}],
    indirect=True,
    ids=["light", "dark", "narrow"],
)
def test_draws_a_panel_per_unit(stage, request):
    begin(stage)
    now = time.time()
    stage.deliver(
        {
            "type": "state",
            "state": {
                "marks": [{"t": now - 200, "label": "warm-up over"}],
                "cells": [{"start": now - 150, "end": now - 90, "label": "model.fit(X, y)"}],
                "held": [{"start": now - 120, "end": now - 95}],
                "gaps": [{"start": now - 260, "end": now - 230, "label": "connection reset"}],
                "alerts": [{"t": now - 30, "text": "cpu_percent is 97, > 90"}],
            },
        }
    )
    stage.settle()
    assert stage.page.locator(".tes-unit").all_text_contents() == ["bytes", "percent", "per second"]
    assert stage.text(".tes-state") == "LIVE"
    stage.picture(f"chart-{request.node.callspec.id}")
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
