"""Marks and executed cells: in figures, in exports, and back from them; live, recorded and replayed."""

from __future__ import annotations

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.model.control import Cell, KernelReport


@pytest.fixture(scope="module")
def recorded(session, tmp_path_factory):
    """A recording with a mark and a cell in the middle of its rows."""
    path = tmp_path_factory.mktemp("marks") / "marks.tes"
    with session.record(path) as recording:
        session.metrics.wait(rows=2, timeout=20)
        began = pd.Timestamp.now("UTC")
        session.mark("deploy")
        session.metrics.wait(rows=1, timeout=20)
        session.report_kernel(KernelReport(row=a_cell(began), between=(1, 2)))
        session.metrics.wait(rows=2, timeout=20)
        recording.wait(messages=1, timeout=20)
    return path


def a_cell(began: pd.Timestamp) -> Cell:
    return Cell(
        number=7,
        start=began.value,
        wall_s=0.4,
        cpu_s=0.1,
        outcome="ok",
        first_line="fit()",
        rss_peak=1_000_000,
    )


def texts(figure):
    """Of what is annotated; the panels' titles stand beside it."""
    return [one.text for one in figure.layout.annotations if one.hovertext]


def test_live_figures_show_marks_and_cells(session, recorded):
    assert {"deploy", "[7]"} <= set(texts(session.metrics.figure(["cpu_percent"])))
    assert "deploy" in set(session.marks["label"])
    assert session.gaps.empty


def test_recorded_figures_show_the_same(session, recorded):
    with tes.open(recorded) as opened:
        assert texts(opened.metrics.figure(["cpu_percent"])) == ["deploy", "[7]"]
        annotations = opened.metrics.figure(["cpu_percent"]).layout.annotations
        hover = [one.hovertext for one in annotations if one.hovertext]
        assert hover == ["deploy", "[7] fit()"]


def test_replayed_figures_show_the_same(recorded):
    with tes.replay(recorded, speed="max") as replay:
        replay.wait()
        replay.metrics.wait(rows=0, timeout=20)
        assert texts(replay.metrics.figure(["cpu_percent"])) == ["deploy", "[7]"]
        assert list(replay.marks["label"]) == ["deploy"]


def test_marks_travel_in_csv_and_parquet_and_come_back(recorded, tmp_path):
    with tes.open(recorded) as opened:
        opened.to_csv(tmp_path / "csv", progress=False)
        opened.to_parquet(tmp_path / "parquet", progress=False)
        expected = list(opened.marks.itertuples(index=False, name=None))
        cells = opened.kernel.frame("cells")
    back = tes.read_csv(tmp_path / "csv")
    assert list(zip(back["marks"].index, back["marks"]["label"], strict=True)) == expected
    assert list(back["kernel_cells"]["first_line"]) == list(cells["first_line"]) == ["fit()"]
    read = pd.read_parquet(tmp_path / "parquet" / "stream=session" / "table=marks")
    assert list(read["label"]) == ["deploy"]
