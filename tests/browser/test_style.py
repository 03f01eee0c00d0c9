"""What a view looks like is its own affair: the styles of all other views, before or after its own, change no pixel."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tes_nb.views.chart_codec import pack
from tests.browser.test_chart import SERIES, ring
from tests.browser.test_chart import SPEC as CHART
from tests.browser.test_views import COLUMNS, row
from tests.browser.test_views import SPEC as TABLE

DIST = Path(__file__).resolve().parents[2] / "tes_nb/static/dist"
STYLES = ("widget.css", "views.css", "dashboard.css")
ROUNDING = 4
"""A corner that is painted again may differ by so much of 255."""
ROWS = [row(n) for n in range(6)]
MESSAGE = {"t": 1.7e9, "direction": "in", "kind": "data", "outcome": "workers: 1 workers", "decode_ms": 0.1}
MESSAGE |= {"undecoded": False, "size": 9, "inflated": 9, "conn": 1, "preview": "{}", "id": 1}
DASHBOARD = {
    "title": "session",
    "silent": "",
    "control_port": None,
    "tabs": [
        {"title": "Overview", "doc": "", "parts": [{"part": 0, "kind": "table", "spec": TABLE}]},
        {"title": "metrics", "doc": "how it is", "parts": [{"part": 1, "kind": "chart", "spec": CHART}]},
    ],
}
VIEWS = {
    "chart": ("widget", None, CHART),
    "table": ("views", "table", TABLE),
    "cards": ("views", "cards", {**TABLE, "columns": COLUMNS[1:]}),
    "inspector": ("views", "inspector", {"title": "messages", "period_s": 1.0, "silent": ""}),
    "dashboard": ("dashboard", "dashboard", DASHBOARD),
}
LINK = """([name, first]) => new Promise((done) => {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", onload: done });
  link.href = "/static/" + name;
  first ? document.head.prepend(link) : document.head.append(link);
})"""


def fill(stage, name):
    if name == "chart":
        stage.append(pack(1, [ring(end=1_767_225_600)], keyframe=True, series=SERIES))
    elif name == "cards":
        stage.deliver(
            {"type": "values", "replace": True, "rows": [[1.7e9 + n, ROWS[n][1:]] for n in range(6)]}
        )
    elif name == "inspector":
        stage.deliver({"type": "messages", "replace": True, "items": [MESSAGE]})
    else:
        part = {"part": 0} if name == "dashboard" else {}
        stage.deliver({"type": "rows", "replace": True, "rows": [[one[0], one] for one in ROWS], **part})


def picture(stage):
    stage.settle()
    shot = Image.open(io.BytesIO(stage.page.locator("#stage").screenshot())).convert("RGB")
    return np.asarray(shot).astype(int)


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        pytest.param({"js": f"{js}.js", "css": f"{js}.css"}, name, id=name)
        for name, (js, _, _) in VIEWS.items()
    ],
    indirect=["stage"],
)
def test_the_styles_of_all_other_views_change_no_pixel_of_one(stage, name):
    _, kind, spec = VIEWS[name]
    stage.page.clock.set_fixed_time(1_767_225_600_000)
    stage.begin(uid="u1", kind=kind, spec=spec)
    fill(stage, name)
    alone = picture(stage)
    assert len(np.unique(alone.reshape(-1, 3), axis=0)) > 5
    for style in STYLES:
        for first in (False, True):
            stage.page.evaluate(LINK, [style, first])
            now = picture(stage)
            where = f"{style} {'before' if first else 'after'} its own"
            assert now.shape == alone.shape, where
            assert np.abs(now - alone).max() <= ROUNDING, where


@pytest.mark.parametrize("style", STYLES)
def test_every_rule_concerns_our_own_elements_alone(style):
    text = re.sub(r"@keyframes [^{]+\{(?:[^{}]*\{[^{}]*\})*\}", "", (DIST / style).read_text())
    selectors = [
        one
        for many in re.findall(r"([^{}@;]+)\{", re.sub(r"@(?:media|supports|container)[^{]+\{", "", text))
        for one in many.split(",")
    ]
    assert len(selectors) > 40
    assert [one for one in selectors if not re.match(r"\s*\.tes", re.sub(r":(is|where)\(", "", one))] == []
