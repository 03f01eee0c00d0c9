"""Frames: typed, sorted, sliced, safe."""

import math
import threading
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tes_nb.errors import ArgumentError
from tes_nb.model import Column, Table
from tes_nb.store.memory import cells as cells_module
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import describe, frame
from tes_nb.wire.events import Gap
from tests.support.rows import DTYPES, EVERY_DTYPE, NOON, NUMBERS, SECOND, filled, number_rows, rows

ROWS = [
    (12.5, 1, 4096, True, "007", "idle", NOON),
    (None, 2, None, None, None, None, None),
    (float("inf"), 3, 0, False, "", "error", NOON + 1),
]


def expected(given_rows, start=NOON, step=SECOND):
    """The frame as pandas itself would make it."""
    count = len(given_rows)
    at = [start + number * step for number in range(count)]
    columns = {
        "sent_at": [pd.Timestamp(moment - 5, tz="UTC") for moment in at],
        "seq": range(1, count + 1),
        "conn": [1] * count,
        "source": ["test"] * count,
    }
    for place, column in enumerate(EVERY_DTYPE.columns):
        values = [row[place] for row in given_rows]
        if column.name == "started":
            values = [pd.NaT if value is None else pd.Timestamp(value, tz="UTC") for value in values]
        elif column.name == "load":
            values = [math.nan if value is None else value for value in values]
        columns[column.name] = values
    made = {}
    for name, values in columns.items():
        if DTYPES[name] == "category":
            present = pd.Index(sorted({value for value in values if value is not None}), dtype="str")
            made[name] = pd.Series(values, dtype=pd.CategoricalDtype(present))
        else:
            made[name] = pd.Series(values, dtype=DTYPES[name])
    wanted = pd.DataFrame(made)
    wanted.index = pd.DatetimeIndex(
        pd.to_datetime(pd.Series(at, dtype="int64"), utc=True), dtype="datetime64[ns, UTC]", name="time"
    )
    return wanted


@given(st.lists(rows, max_size=12))
@settings(max_examples=60)
def test_a_frame_is_what_pandas_would_make_of_the_rows(given_rows):
    columns = filled(EVERY_DTYPE, given_rows)
    wanted = expected(given_rows)
    assert_frame_equal(frame(columns), wanted)
    assert_frame_equal(frame(columns, copy=False), wanted)


def test_an_empty_frame_has_the_same_dtypes():
    empty = frame(Columns(EVERY_DTYPE))
    assert len(empty) == 0
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == DTYPES
    assert empty.dtypes["name"] == pd.StringDtype(na_value=np.nan)
    assert str(empty.index.dtype) == "datetime64[ns, UTC]"
    assert empty.index.name == "time"
    whole = frame(filled(EVERY_DTYPE, ROWS))
    assert {name: str(dtype) for name, dtype in whole.dtypes.items()} == DTYPES


def test_attrs_name_stream_table_and_units_and_do_not_disturb_comparison():
    first, second = (frame(filled(EVERY_DTYPE, ROWS)) for _ in range(2))
    assert first.attrs == {"stream": "test", "table": "probe", "units": {"load": "percent", "rss": "bytes"}}
    assert_frame_equal(first, second)
    assert_frame_equal(pd.concat([first.iloc[:1], first.iloc[1:]]), second)
    first.attrs["units"]["load"] = "mine"
    assert second.attrs["units"]["load"] == "percent"
    assert frame(filled(EVERY_DTYPE, ROWS)).attrs["units"]["load"] == "percent"


def test_a_clock_that_jumps_back_gives_a_sorted_frame_with_equal_times_in_order_received():
    columns = Columns(NUMBERS)
    for seq, at in enumerate([5, 7, 5, 3, 7, 9]):
        columns.append(number_rows(1, seq), time_ns=NOON + at, seq=seq)
    for copy in (True, False):
        made = frame(columns, copy=copy)
        assert made.index.is_monotonic_increasing
        assert made["n"].tolist() == [3, 0, 2, 1, 4, 5]
    assert frame(columns, start=NOON + 5, end=NOON + 7)["n"].tolist() == [0, 2, 1, 4]


def test_a_range_includes_both_ends_as_loc_does():
    columns = filled(NUMBERS, number_rows(10))
    whole = frame(columns)
    for start, end in [("12:00:03", "12:00:06"), ("12:00:03", None), (None, "12:00:06"), ("11:00", "11:30")]:
        bounds = [None if text is None else f"2026-01-01 {text}" for text in (start, end)]
        low, high = (None if text is None else pd.Timestamp(text, tz="UTC") for text in bounds)
        assert_frame_equal(frame(columns, *bounds), whole.loc[low:high], check_categorical=False)


def test_last_counts_back_from_the_newest_row_or_from_now():
    columns = filled(NUMBERS, number_rows(10))
    assert frame(columns, last="3s")["n"].tolist() == [6, 7, 8, 9]
    assert frame(columns, last=3)["n"].tolist() == [6, 7, 8, 9]
    assert frame(columns, last="3s", now_ns=NOON + 11 * SECOND)["n"].tolist() == [8, 9]
    assert frame(columns, last="1000 days")["n"].tolist() == list(range(10))
    assert len(frame(columns, last=3, now_ns=NOON + 60 * SECOND)) == 0
    assert len(frame(Columns(NUMBERS), last="3s")) == 0


def test_a_zone_shows_all_times_and_reads_the_bounds():
    columns = filled(EVERY_DTYPE, ROWS)
    berlin = frame(columns, start="2026-01-01 13:00:01", tz="Europe/Berlin")
    assert str(berlin.index.dtype) == str(berlin.dtypes["started"]) == "datetime64[ns, Europe/Berlin]"
    assert str(berlin.index[0]) == "2026-01-01 13:00:01+01:00"
    assert len(berlin) == 2
    assert_frame_equal(berlin.tz_convert("UTC")[["seq"]], frame(columns)[["seq"]].iloc[1:])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": "nonsense"}, "start='nonsense' is no time"),
        ({"end": "nonsense"}, "end='nonsense' is no time"),
        ({"last": "10"}, "last='10' is no length"),
        ({"last": "5s", "start": "2026-01-01"}, "cannot go together"),
        ({"last": "5s", "end": "2026-01-01"}, "cannot go together"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "is later than end"),
        ({"tz": "Mars/Olympus"}, "is no time zone"),
    ],
)
def test_wrong_arguments_get_a_sentence(options, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        frame(filled(NUMBERS, number_rows(3)), **options)


def overwritten(made):
    """What each column would be overwritten with."""
    other = {"seq": 99, "conn": 99, "load": 9.0, "ticks": 99, "rss": 9, "alive": False, "name": "new"}
    other |= {"source": "test", "state": "error", "sent_at": made.index[0], "started": made.index[0]}
    return other


def test_a_frame_may_be_changed_without_touching_the_table():
    columns = filled(EVERY_DTYPE, ROWS)
    before = frame(columns)
    changed = frame(columns)
    for name, value in overwritten(changed).items():
        changed.iloc[0, changed.columns.get_loc(name)] = value
        changed.loc[changed.index[1], name] = value
        assert changed[name].iloc[0] == changed[name].iloc[1] == value
    changed["new"] = 1
    assert_frame_equal(frame(columns), before)
    columns.append([ROWS[0]], time_ns=NOON + 99 * SECOND, seq=4)
    assert len(changed) == 3


def test_a_frame_without_copying_cannot_be_written_to():
    columns = filled(EVERY_DTYPE, ROWS)
    shared = frame(columns, copy=False)
    for name, value in overwritten(shared).items():
        with pytest.raises((ValueError, TypeError, AssertionError)):
            shared.iloc[0, shared.columns.get_loc(name)] = value
    assert_frame_equal(frame(columns), expected(ROWS))
    assert_frame_equal(shared, expected(ROWS))


def test_a_frame_without_copying_shares_memory_and_stays_as_it_was():
    columns = filled(NUMBERS, number_rows(3000))
    shared, again = frame(columns, copy=False), frame(columns, copy=False)
    assert np.shares_memory(shared["x"].to_numpy(), again["x"].to_numpy())
    assert np.shares_memory(shared.index.asi8, again.index.asi8)
    assert not np.shares_memory(frame(columns)["x"].to_numpy(), shared["x"].to_numpy())
    assert not np.shares_memory(frame(columns).index.asi8, shared.index.asi8)
    for first in range(3000, 20_000, 500):
        columns.append(number_rows(500, first), time_ns=NOON, seq=first)
    assert shared["n"].tolist() == list(range(3000))


def test_gaps_get_one_row_without_values_each():
    columns = filled(EVERY_DTYPE, ROWS * 2, step=10 * SECOND)
    at = [NOON + seconds * SECOND for seconds in (12, 15, 18)]
    inside = Gap(1, last_seen_ns=NOON + 10 * SECOND, lost_at_ns=at[0], back_at_ns=at[2], cause="reset")
    never_seen = Gap(2, last_seen_ns=None, lost_at_ns=at[1], back_at_ns=None, cause="refused")
    late_notice = Gap(
        3, NOON + 30 * SECOND, lost_at_ns=NOON + 60 * SECOND, back_at_ns=NOON + 40 * SECOND, cause="x"
    )
    before = Gap(0, None, lost_at_ns=NOON - SECOND, back_at_ns=NOON, cause="start")
    still_open = Gap(4, NOON + 50 * SECOND, lost_at_ns=NOON + 55 * SECOND, back_at_ns=None, cause="silence")
    made = frame(columns, gaps=[still_open, late_notice, inside, never_seen, before])
    empty = made[made["seq"].isna()]
    assert [(moment.value - NOON) / SECOND for moment in empty.index] == [12, 15, 39.999999999, 55]
    assert empty.isna().all(axis=None)
    assert made.index.is_monotonic_increasing
    wanted = {name: "Int64" if dtype == "int64" else dtype for name, dtype in DTYPES.items()}
    assert {name: str(dtype) for name, dtype in made.dtypes.items()} == wanted
    assert_frame_equal(made[made["seq"].notna()].astype(frame(columns).dtypes), frame(columns))


def test_gaps_respect_the_range_and_keep_dtypes_when_there_are_none():
    columns = filled(NUMBERS, number_rows(10))
    gap = Gap(1, last_seen_ns=NOON + 5 * SECOND, lost_at_ns=NOON + 5 * SECOND + 1, back_at_ns=None, cause="x")
    assert frame(columns, gaps=[gap], end=NOON + 4 * SECOND)["n"].tolist() == [0, 1, 2, 3, 4]
    assert frame(columns, gaps=[gap], start=NOON + 6 * SECOND)["n"].notna().all()
    assert frame(columns, gaps=[gap], start=NOON + 4 * SECOND)["n"].isna().sum() == 1
    assert str(frame(columns, gaps=[])["n"].dtype) == "Int64"
    assert len(frame(Columns(NUMBERS), gaps=[gap])) == 0


def test_a_gap_in_a_shared_frame_cannot_touch_the_table():
    columns = filled(NUMBERS, number_rows(10))
    gap = Gap(1, last_seen_ns=NOON, lost_at_ns=NOON + 1, back_at_ns=None, cause="x")
    made = frame(columns, gaps=[gap], copy=False)
    assert made["n"].isna().sum() == 1
    assert frame(columns)["n"].tolist() == list(range(10))


def test_frames_can_be_made_while_rows_pour_in():
    columns, stop = Columns(NUMBERS, cap=5000), threading.Event()

    def pour():
        number = 0
        while not stop.is_set():
            columns.append([(number / 2, number)], time_ns=NOON + number, seq=number)
            number += 1

    writer = threading.Thread(target=pour)
    writer.start()
    try:
        ends, made = time.monotonic() + 1, 0
        while time.monotonic() < ends:
            rows_now = frame(columns, copy=made % 2 == 0)
            n = rows_now["n"].to_numpy()
            assert np.array_equal(rows_now["x"] * 2, n)
            assert np.array_equal(rows_now.index.asi8 - NOON, n)
            assert n.size < 2 or np.all(np.diff(n) == 1)
            made += 1
    finally:
        stop.set()
        writer.join(20)
    assert made > 10


def test_describe_lists_all_columns():
    facts = describe(EVERY_DTYPE)
    assert facts.columns.tolist() == ["name", "dtype", "unit", "doc"]
    assert facts["name"].tolist() == ["time", *DTYPES]
    assert facts.set_index("name").loc["rss"].tolist() == ["Int64", "bytes", "An int that may be absent."]


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9), min_size=1, max_size=30),
    st.integers(5, 40),
    st.randoms(use_true_random=False),
)
def test_the_categories_of_a_growing_table_are_the_words_that_it_still_holds(batches, cap, chance):
    """Words that only dropped rows had are gone, and one that comes back is there again, whoever looks at what part."""
    words = Table("t", "", (Column("word", "category", "", "label", ""),))
    columns, sent = Columns(words, cap=cap), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells_module, "COUNTED_ROWS", 3)
        for number, batch in enumerate(batches, 1):
            columns.append([(None if word == "h" else word,) for word in batch], time_ns=number)
            sent += [(number, None if word == "h" else word) for word in batch]
            start = chance.choice([None, number - 1, number // 2])
            seen = frame(columns, start and pd.Timestamp(start, tz="UTC"), copy=False)["word"]
            wanted = [word for at, word in sent[-cap:] if at >= (start or 0)]
            assert [None if pd.isna(word) else word for word in seen] == wanted
            assert list(seen.cat.categories) == sorted({word for word in wanted if word})
