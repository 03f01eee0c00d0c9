"""Lanes of a real pool at work, live and from its recording: what they show is what happened."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, wait

import pandas as pd
import plotly.graph_objects as go
import pytest

import tes_nb as tes
from tes_nb.views.annotations import Beside
from tes_nb.views.timeline import LOOKS, LaneSpan, state_spans, timeline_figure
from tests.support.waiting import eventually


def bars(figure: go.Figure, state: str) -> list[tuple[str, pd.Timestamp, float]]:
    """(lane, start, seconds) of a state."""
    return [
        (lane, pd.Timestamp(base, tz="UTC"), length / 1000)
        for trace in figure.data
        if trace.name == state
        for lane, base, length in zip(trace.y, trace.base, trace.x, strict=True)
    ]


def load_chunk(seconds):
    time.sleep(seconds)


def fail():
    raise ValueError


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_pool_at_work_live_and_recorded(session, tmp_path):
    with session.record(tmp_path / "pool.tes"), session.observe(ProcessPoolExecutor(2), name="loads") as pool:
        began = pd.Timestamp.now("UTC")
        wait([pool.submit(load_chunk, 2.5) for _ in range(2)])
        pool.submit(fail).exception()
        session.mark("deploy")
        last = session.workers.rows
        eventually(lambda: session.workers.rows > last)
        live = session.timeline()
    jobs = [bar for bar in bars(live, "working") if bar[0].startswith("job load_chunk on ")]
    assert len(jobs) == 2
    for _, start, seconds in jobs:
        assert abs((start - began).total_seconds()) < 2
        assert 0.9 < seconds < 4
    workers = {lane for lane, _, _ in bars(live, "working") if "pool worker" in lane}
    assert len(workers) == 2
    assert any(lane == "feed metrics" for lane, _, _ in bars(live, "open"))
    assert "deploy" in [annotation.text for annotation in live.layout.annotations]
    with tes.open(tmp_path / "pool.tes") as recorded:
        replayed = recorded.timeline()
    again = [bar for bar in bars(replayed, "working") if bar[0].startswith("job load_chunk on ")]
    assert sorted(start for _, start, _ in again) == sorted(start for _, start, _ in jobs)


def test_states_follow_from_changes():
    at = [pd.Timestamp(second, unit="s", tz="UTC") for second in range(10)]
    changes = [
        (at[1], "idle", ""),
        (at[3], "working", ""),
        (at[4], "error", "killed by SIGKILL"),
        (at[6], None, ""),
    ]
    spans = state_spans("worker", changes, at[9])
    assert [(span.start, span.end, span.state) for span in spans] == [
        (at[1], at[3], "idle"),
        (at[3], at[4], "working"),
        (at[4], at[6], "error"),
    ]
    open_end = state_spans("worker", changes[:2], at[9])
    assert open_end[-1].end == at[9]


def test_each_state_has_a_colour_and_a_pattern_of_its_own():
    assert len(set(LOOKS.values())) == len(LOOKS)
    at = pd.Timestamp(0, unit="s", tz="UTC")
    spans = [LaneSpan("a", at, at + pd.Timedelta(seconds=1), state) for state in ("idle", "working", "error")]
    figure = timeline_figure(spans, beside=Beside())
    patterns = {trace.name: trace.marker.pattern.shape for trace in figure.data}
    assert len(set(patterns.values())) == 3


def test_hostile_names_are_text_and_nothing_is_a_sentence():
    at = pd.Timestamp(0, unit="s", tz="UTC")
    figure = timeline_figure([LaneSpan("<b>x</b>", at, at, "idle", "<script>")], beside=Beside())
    assert "<b>x" not in figure.data[0].y[0]
    assert "<script>" not in figure.data[0].hovertext[0]
    assert timeline_figure([], beside=Beside()).layout.annotations[0].text == "Nothing has happened yet."
