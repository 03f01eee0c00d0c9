"""Live charts as a feed makes them."""

from __future__ import annotations

import pytest

from tes_nb.errors import SessionError, TesError


def test_a_chart_draws_the_usual_columns_and_knows_its_page(session):
    chart = session.metrics.plot(window="1min", alert={"cpu_percent": 90})
    try:
        assert chart.spec["title"] == "metrics"
        assert chart.spec["window_s"] == 60
        assert chart.spec["limits"] == [{"column": "cpu_percent", "above": 90}]
        assert session.url in chart.spec["silent"]
        assert session._control._token not in str(chart.get_state())
    finally:
        chart.close()


def test_columns_and_bounds_are_checked(session):
    with pytest.raises(SessionError, match="'nope' cannot be drawn"):
        session.metrics.plot("nope")
    with pytest.raises(TesError, match=r"\(below, above\)"):
        session.metrics.plot("cpu_percent", alert={"cpu_percent": (1, 2, 3)})
    with pytest.raises(SessionError, match="no table 'weather'"):
        session.metrics.plot(table="weather")


def test_cells_and_held_times_become_spans(session):
    from tes_nb.store.memory.tables import StreamStore
    from tes_nb.streams import get
    from tes_nb.views.source import KernelNotes
    from tests.support.messages import message

    store = StreamStore(get("kernel"))
    notes = KernelNotes(lambda: store)
    assert notes() == {"cells": [], "held": []}
    start = 1_767_225_600_000_000_000
    store.receive(message({"type": "cell", "number": 3, "start": start, "wall_s": 2.0, "cpu_s": 1.0}))
    store.receive(message({"type": "held", "start": start, "seconds": 4.1}, seq=2))
    assert notes()["cells"] == [{"start": start / 1e9, "end": start / 1e9 + 2, "label": "[3]"}]
    assert notes()["held"][0]["label"] == "kernel held 4.1 s"
    assert notes() is notes()
    since = start + 10 * 10**9
    store.receive(message({"type": "activity", "cell": 4, "since": since}, seq=3))
    assert notes()["cells"][1:] == [{"start": since / 1e9, "end": None, "label": "[4]"}]
    store.receive(message({"type": "cell", "number": 4, "start": since, "wall_s": 1.0, "cpu_s": 1.0}, seq=4))
    assert notes()["cells"][1:] == [{"start": since / 1e9, "end": since / 1e9 + 1, "label": "[4]"}]


def test_an_inspector_of_all_feeds_is_stale_by_those_that_speak_regularly(session):
    inspector = session.inspector()
    try:
        assert inspector.spec["period_s"] == max(
            feed.stream.period_s for feed in session.feeds.values() if feed.name != "kernel"
        )
    finally:
        inspector.close()
