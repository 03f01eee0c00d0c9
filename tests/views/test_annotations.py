"""Marks, executed cells and held times in plotly figures."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from tes_nb.views.annotations import LABEL_CHARACTERS, MAX_TEXT, MOST, Beside, annotate
from tes_nb.wire.events import Mark
from tests.support.hostile import HOSTILE

BEGAN = 1_700_000_000
TIMES = [pd.Timestamp(BEGAN, unit="s", tz="UTC"), pd.Timestamp(BEGAN + 100, unit="s", tz="UTC")]


def mark(after_s: float, label: str = "deploy") -> Mark:
    return Mark(label, int((BEGAN + after_s) * 1e9))


def annotated(beside: Beside, times=TIMES) -> go.Figure:
    figure = go.Figure()
    annotate(figure, beside, times)
    return figure


def texts(figure: go.Figure) -> list[str]:
    return [one.text for one in figure.layout.annotations]


def test_marks_in_the_range_are_lines_with_their_labels():
    figure = annotated(Beside([mark(-1, "before"), mark(50), mark(101, "after")]))
    assert texts(figure) == ["deploy"]
    (line,) = figure.layout.shapes
    assert line.x0 == line.x1 == pd.Timestamp(BEGAN + 50, unit="s", tz="UTC")
    assert (line.y0, line.y1, line.yref) == (0, 1, "paper")


def test_cells_show_their_number_and_tell_their_first_line_on_hover():
    cells = [{"start": BEGAN - 10, "end": BEGAN + 10, "label": "[5] model.fit(X, y)"}]
    figure = annotated(Beside(spans={"cells": cells}))
    assert texts(figure) == ["[5]"]
    assert figure.layout.annotations[0].hovertext == "[5] model.fit(X, y)"
    assert figure.layout.shapes[0].x0 == TIMES[0]  # cut at the range: the axis does not move


def test_held_times_are_bands_over_everything():
    held = [{"start": BEGAN + 20, "end": BEGAN + 24.1, "label": "kernel held 4.1 s"}]
    figure = annotated(Beside(spans={"held": held}))
    assert texts(figure) == ["kernel held 4.1 s"]
    assert (figure.layout.shapes[0].y1, figure.layout.shapes[0].layer) == (1, "below")


def test_what_is_drawn_anew_replaces_what_was_there():
    figure = annotated(Beside([mark(50)]))
    annotate(figure, Beside([mark(60, "rollback")]), TIMES)
    assert texts(figure) == ["rollback"]
    assert len(figure.layout.shapes) == 1


def test_without_data_nothing_is_annotated():
    assert texts(annotated(Beside([mark(50)]), times=[])) == []


def test_many_and_long_ones_are_bounded():
    figure = annotated(Beside([mark(number / 10, "x" * 1000) for number in range(900)]))
    assert len(figure.layout.annotations) == MOST
    assert len(figure.layout.annotations[0].text) == LABEL_CHARACTERS
    assert len(figure.layout.annotations[0].hovertext) == MAX_TEXT


def test_fault_51_a_label_is_text():
    figure = annotated(Beside([mark(50, name) for name in HOSTILE]))
    assert not any("<" in one.text or "<" in one.hovertext for one in figure.layout.annotations)
