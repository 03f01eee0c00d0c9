"""The one time zone of views: what may be said, what figures make of it, and that frames stay in UTC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tes_nb.views.figure import table_figure
from tes_nb.views.live import usual_spec
from tes_nb.views.zone import WallClock
from tests.support.ticking import TABLES, Ticking


@pytest.fixture
def berlin():
    tes.options.tz = "Europe/Berlin"
    yield
    tes.options.tz = None


def frame(start: str, rows: int = 4, freq: str = "30min") -> pd.DataFrame:
    index = pd.date_range(start, periods=rows, freq=freq, tz="UTC", name="time").as_unit("ns")
    numbers = {"size": np.arange(rows), "load": np.ones(rows), "total": np.arange(rows)}
    return pd.DataFrame(
        {**numbers, "note": pd.array(["x"] * rows, dtype="str"), "seq": np.arange(rows)}, index=index
    )


def test_a_figure_is_on_the_zone_s_clocks_and_says_so(berlin):
    figure = table_figure(frame("2026-07-01 10:00"), TABLES[0], title="t")
    assert [str(at)[11:16] for at in figure.data[0].x] == ["12:00", "12:30", "13:00", "13:30"]
    assert "time (Europe/Berlin)" in {axis.title.text for axis in figure.select_xaxes()}
    spec = usual_spec(Ticking(), TABLES[0], "")
    assert spec["tz"] == "Europe/Berlin"


def test_a_figure_over_a_change_of_clocks_keeps_to_one_distance(berlin):
    figure = table_figure(frame("2026-10-25 00:00", rows=8), TABLES[0], title="t")
    times = pd.DatetimeIndex(figure.data[0].x)
    assert times.is_monotonic_increasing
    assert times.is_unique
    assert "time (UTC+01:00)" in {axis.title.text for axis in figure.select_xaxes()}


def test_without_an_option_figures_are_in_utc_and_browsers_take_their_own():
    figure = table_figure(frame("2026-07-01 10:00"), TABLES[0], title="t")
    assert str(figure.data[0].x[0])[11:16] == "10:00"
    assert "time (UTC)" in {axis.title.text for axis in figure.select_xaxes()}
    assert usual_spec(Ticking(), TABLES[0], "")["tz"] is None
    assert WallClock([]).axis == "time (UTC)"


@pytest.mark.parametrize("name", ["Berlin", "", "../../etc/passwd", 5, ["UTC"], "x" * 1_000_000, "\0"])
def test_what_is_no_zone_is_one_sentence(name):
    with pytest.raises(ArgumentError, match="must be the name of a time zone"):
        tes.options.tz = name
    assert tes.options.tz is None
