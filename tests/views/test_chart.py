"""The chart widget without a browser: what it refuses, what it saves, what it tells."""

from __future__ import annotations

import json

import pytest

from tes_nb.errors import SessionError
from tes_nb.views.alerts import AlertLimit
from tes_nb.views.chart import Chart, ChartOptions
from tes_nb.views.clock import RepaintClock
from tests.support.ticking import Ticking

pytest.importorskip("anywidget")


@pytest.fixture
def repaint():
    yield RepaintClock(fps=0.1)
    Chart.close_all()


def chart(repaint, table=None, **options):
    return Chart(Ticking(), table, ChartOptions(**options), repaint=repaint)


def test_wrong_names_are_answered_with_the_right_ones(repaint):
    with pytest.raises(
        SessionError, match=r"'note' cannot be drawn; columns with numbers are size, load, total"
    ):
        chart(repaint, columns=["note"])
    with pytest.raises(SessionError, match="no column 'who' to split by"):
        chart(repaint, by=["who"])
    with pytest.raises(SessionError, match="'note' has no numbers to alert on"):
        chart(repaint, limits=[AlertLimit("note", above=1)])
    with pytest.raises(KeyError, match="no table 'nothing'"):
        chart(repaint, "nothing")


def test_saved_state_is_small_and_says_what_the_browser_needs(repaint):
    one = chart(repaint, window_s=60.0, url="http://127.0.0.1:3002/", limits=[AlertLimit("load", above=9)])
    state = one.get_state()
    assert len(json.dumps(state, default=str)) < 80_000
    assert state["spec"]["window_s"] == 60.0
    assert state["spec"]["break_s"] == 1.5
    assert state["spec"]["limits"] == [{"column": "load", "above": 9}]
    assert "http://127.0.0.1:3002/" in state["spec"]["silent"]
    assert chart(repaint, "parts").spec["break_s"] is None
    assert chart(repaint).uid != one.uid
    one.close()


def test_browsers_are_heard_and_their_origin_passed_on(repaint):
    origins: list[str] = []
    one = chart(repaint, on_origin=origins.append)
    one._receive(one, {"type": "hello", "client": "a", "origin": "http://localhost:8888"}, [])
    one._receive(one, {"type": "hello", "client": "a", "origin": 5}, [])
    one._receive(one, "nonsense", [])
    assert origins == ["http://localhost:8888"]
    assert one._presence.confirmed
    assert one.alerts == []
    one.close()
    assert one._push.step() is False
