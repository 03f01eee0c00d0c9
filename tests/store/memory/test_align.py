"""Several frames on one grid."""

import numpy as np
import pandas as pd
import pytest

from tes_nb.errors import ArgumentError
from tes_nb.model import Column, Table
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import align, frame
from tes_nb.wire.events import Gap
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, SECOND, filled, number_rows

WORKERS = Table(
    "workers",
    "",
    (Column("id", "str", "", "label", ""), Column("cpu", "float64", "percent", "gauge", "")),
    key=("id",),
)


def test_streams_share_a_grid_and_silence_stays_absent():
    fast = filled(NUMBERS, number_rows(12), step=SECOND // 2)
    slow = filled(NUMBERS, number_rows(3, 100), start=NOON + SECOND, step=3 * SECOND)
    both = align({"fast": frame(fast), "slow": frame(slow)}, every="1s")
    assert both.columns.tolist() == ["fast_x", "fast_n", "slow_x", "slow_n"]
    assert both.index.name == "time"
    assert [(at.value - NOON) // SECOND for at in both.index] == list(range(8))
    assert both["fast_n"].tolist() == [1, 3, 5, 7, 9, 11, pd.NA, pd.NA]
    assert both["slow_n"].tolist() == [pd.NA, 100, pd.NA, pd.NA, 101, pd.NA, pd.NA, 102]
    assert str(both["slow_n"].dtype) == "Int64"
    assert both["slow_x"].isna().tolist() == both["slow_n"].isna().tolist()


def test_the_last_value_of_an_interval_is_the_last_that_is_there():
    rows = [(1.0, 1, 7, True, "a", "idle", NOON), (None, 2, None, None, None, None, None)]
    aligned = align({"p": frame(filled(EVERY_DTYPE, rows, step=1))}, every="1s")
    assert len(aligned) == 1
    values = aligned.iloc[0]
    assert (values["p_load"], values["p_ticks"], values["p_rss"], values["p_name"]) == (1.0, 2, 7, "a")
    assert {name: str(dtype) for name, dtype in aligned.dtypes.items()} == {
        "p_load": "float64",
        "p_ticks": "Int64",
        "p_rss": "Int64",
        "p_alive": "boolean",
        "p_name": "str",
        "p_state": "category",
        "p_started": "datetime64[ns, UTC]",
    }
    assert aligned.attrs["units"] == {"p_load": "percent", "p_rss": "bytes"}


def test_gaps_are_not_filled():
    columns = filled(NUMBERS, number_rows(3), step=5 * SECOND)
    gap = Gap(1, last_seen_ns=NOON, lost_at_ns=NOON + 2 * SECOND, back_at_ns=NOON + 5 * SECOND, cause="x")
    aligned = align({"a": frame(columns, gaps=[gap])}, every=SECOND / 1e9)
    assert aligned["a_n"].dropna().tolist() == [0, 1, 2]
    assert len(aligned) == 11


def test_subjects_get_columns_of_their_own():
    workers = Columns(WORKERS)
    workers.append([("w1", 10.0), ("w2", 20.0)], time_ns=NOON, seq=1)
    workers.append([("w2", 21.0), ("w10", 30.0)], time_ns=NOON + SECOND, seq=2)
    aligned = align({"workers": frame(workers)}, every="1s")
    assert aligned.columns.tolist() == ["workers_cpu[w1]", "workers_cpu[w10]", "workers_cpu[w2]"]
    assert aligned["workers_cpu[w2]"].tolist() == [20.0, 21.0]
    np.testing.assert_array_equal(aligned["workers_cpu[w1]"], [10.0, np.nan])
    assert aligned.attrs["units"]["workers_cpu[w1]"] == "percent"


def test_the_grid_agrees_with_resample():
    columns = filled(NUMBERS, number_rows(50), start=NOON + 123_456_789, step=700_000_000)
    made = frame(columns)
    wanted = made.resample("2s").last()
    aligned = align({"a": made}, every="2s")
    pd.testing.assert_series_equal(aligned["a_x"], wanted["x"], check_names=False, check_freq=False)


def test_zone_and_unsorted_frames():
    berlin = frame(filled(NUMBERS, number_rows(4)), tz="Europe/Berlin")
    aligned = align({"empty": frame(Columns(NUMBERS)), "a": berlin}, every="2s")
    assert str(aligned.index.dtype) == "datetime64[ns, Europe/Berlin]"
    assert aligned["a_n"].tolist() == [1, 3]
    assert aligned["empty_n"].isna().all()
    assert str(aligned["empty_n"].dtype) == "Int64"


def test_nothing_gives_an_empty_frame():
    assert len(align({})) == 0
    nothing = align({"a": frame(Columns(NUMBERS))})
    assert nothing.columns.tolist() == ["a_x", "a_n"]
    assert str(nothing.index.dtype) == "datetime64[ns, UTC]"


def test_what_cannot_be_aligned_gets_a_sentence():
    rows = frame(filled(NUMBERS, number_rows(3), step=3600 * SECOND))
    with pytest.raises(ArgumentError, match=r"every='1us' is too short .* more than 10,000,000 rows"):
        align({"a": rows}, every="1us")
    with pytest.raises(ArgumentError, match="every='0s' must be more"):
        align({"a": rows}, every="0s")
    with pytest.raises(ArgumentError, match="an index of times in a time zone"):
        align({"a": rows.reset_index()})
    with pytest.raises(ArgumentError, match="Two columns would be called 'a_b_x'"):
        align({"a": rows.rename(columns={"x": "b_x"}), "a_b": rows})
