"""`figure(live=True)`: a FigureWidget that goes on by itself, and ends with its feed or its widget."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

import tes_nb as tes
from tests.support.waiting import eventually


@pytest.fixture
def session():
    with tes.start(ports=(0, 0)) as running:
        running.metrics.wait(rows=2, timeout=20)
        yield running


def test_it_goes_on_by_itself(session):
    figure = session.metrics.figure(["memory_rss", "cpu_percent"], live=True)
    assert isinstance(figure, go.FigureWidget)
    before = len(figure.data[0].x)
    eventually(lambda: len(figure.data[0].x) >= before + 2)
    assert [trace.name for trace in figure.data] == ["process", "process"]
    assert [title.text for title in figure.layout.annotations] == ["Memory", "CPU of one core"]
    assert not isinstance(session.metrics.figure(live=False), go.FigureWidget)


def test_lines_that_come_later_are_drawn(session):
    figure = session.kernel.gauges.figure(["value"], live=True)
    assert len(figure.data) == 0
    session.gauge("loss", 0.5)
    session.gauge("accuracy", 0.9)
    eventually(lambda: len(figure.data) == 2)
    assert {trace.name for trace in figure.data} == {"loss", "accuracy"}


def test_it_ends_with_its_widget(session):
    figure = session.metrics.figure(["memory_rss"], live=True)
    updater = figure._tes_updater
    assert updater.step()
    figure.close()
    assert not updater.step()


def test_it_ends_with_its_feed(session):
    figure = session.metrics.figure(["memory_rss"], live=True)
    assert figure._tes_updater.step()
    session.metrics.close()
    eventually(lambda: not figure._tes_updater.step())
