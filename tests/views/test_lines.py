from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import SessionError
from tes_nb.model import Column, Table
from tes_nb.views.figure import table_figure
from tes_nb.views.html import picture_cell, picture_head, picture_unit
from tes_nb.views.lines import lines, plotted_columns, rate, thin

TABLE = Table(
    "table",
    "A table.",
    (
        Column("id", "str", "", "label", "whose"),
        Column("load", "float64", "percent", "gauge", "how much"),
        Column("total", "Int64", "bytes", "counter", "so far"),
        Column("note", "str", "", "text", "words"),
    ),
    key=("id",),
)


def frame() -> pd.DataFrame:
    index = pd.date_range("2026-01-01", periods=4, freq="1s", tz="UTC", name="time").as_unit("ns")
    return pd.DataFrame(
        {
            "id": pd.array(["a", "b", "a", "b"], dtype="str"),
            "load": [1.0, 2.0, np.nan, 4.0],
            "total": pd.array([0, 10, 100, None], dtype="Int64"),
            "note": pd.array(["x"] * 4, dtype="str"),
        },
        index=index,
    )


def test_numbers_are_drawn_and_words_are_not():
    assert [column.name for column in plotted_columns(frame(), TABLE, None)] == ["load", "total"]
    with pytest.raises(SessionError, match=r"'note' cannot be drawn; columns with numbers are load, total"):
        plotted_columns(frame(), TABLE, ["note"])


def test_a_line_per_label_and_counters_as_rates():
    drawn = {line.name: line for line in lines(frame(), TABLE, plotted_columns(frame(), TABLE, None))}
    assert set(drawn) == {"a load", "b load", "a total", "b total"}
    assert drawn["a total"].unit == "bytes/s"
    np.testing.assert_array_equal(drawn["a total"].values, [np.nan, 50.0])
    np.testing.assert_array_equal(drawn["a load"].values, [1.0, np.nan])


def test_a_counter_that_falls_was_restarted():
    time = np.array([0, 1, 2, 3], dtype="datetime64[s]").astype("datetime64[ns]")
    np.testing.assert_array_equal(rate(time, np.array([5.0, 7.0, 1.0, 2.0])), [np.nan, 2.0, np.nan, 1.0])


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), min_size=1, max_size=400),
    st.integers(4, 50),
)
def test_thinning_keeps_extremes_and_order(values: list[float], most: int):
    data = np.array(values, dtype="float64")
    time = np.arange(len(data)).astype("datetime64[ns]")
    kept_time, kept = thin(time, data, most)
    assert len(kept) <= max(most, 1) or len(data) <= most
    assert (np.diff(kept_time.astype("int64")) > 0).all()
    if not np.isnan(data).all():
        assert np.nanmax(kept) == np.nanmax(data)
        assert np.nanmin(kept) == np.nanmin(data)


def test_figure_has_a_panel_per_unit():
    figure = table_figure(frame(), TABLE, title="t")
    assert {axis.title.text for axis in figure.select_yaxes()} == {"percent", "bytes/s"}
    assert len(figure.data) == 4


@pytest.mark.parametrize("rows", [0, 1])
def test_figure_of_nothing_and_of_one_point(rows: int):
    figure = table_figure(frame().iloc[:rows], TABLE, title="t")
    if rows == 0:
        assert "No data" in figure.layout.annotations[0].text
    else:
        assert figure.data[0].mode == "markers"


@pytest.mark.parametrize(("unit", "sent"), [("MiB", 12.3), ("bytes", 12.3 * 2**20)])
def test_sizes_read_mb_whatever_unit_their_stream_has(unit, sent):
    rss = Column("rss_mb", "float64", unit, "gauge", "resident memory")
    index = pd.date_range("2026-01-01", periods=2, freq="1s", tz="UTC", name="time").as_unit("ns")
    (line,) = lines(
        pd.DataFrame({"rss_mb": [sent, sent]}, index=index), Table("t", "A table.", (rss,)), [rss]
    )
    assert (line.unit, list(line.values)) == ("bytes", [12.3 * 2**20] * 2)
    assert (picture_head(rss), picture_unit(rss)) == ("rss [MB]", "MB")
    assert picture_cell(sent, rss) == pytest.approx(12.897, abs=0.001)
