"""Several frames on one grid."""

import numpy as np
import pandas as pd
import pytest

from tes_nb.errors import ArgumentError
from tes_nb.model import Column, Table
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.grid import align
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


def by_subject(frames, step):
    """The plain way: each subject by itself, its last values there are, put on the grid by reindex."""
    parts = {}
    for name, one in frames.items():
        key = [column for column in one.attrs.get("key", ()) if column in one]
        columns = [column for column in one if column not in {"sent_at", "seq", "conn", "source", *key}]
        for subject, rows in one.groupby(key, observed=True, sort=True) if key else [((), one)]:
            values = rows[columns].astype(
                dict.fromkeys(rows[columns].select_dtypes("int64").columns, "Int64")
            )
            last = values.groupby(rows.index.as_unit("ns").asi8 // step * step).last()
            suffix = f"[{', '.join(map(str, subject))}]" if key else ""
            parts |= {f"{name}_{column}{suffix}": last[column] for column in columns}
    starts = [values.index for values in parts.values() if len(values)]
    grid = np.arange(min(map(min, starts)), max(map(max, starts)) + 1, step)
    return pd.DataFrame({name: values.reindex(grid) for name, values in parts.items()}, index=grid)


@pytest.mark.parametrize("seed", range(12))
def test_one_pass_gives_what_each_subject_by_itself_gives(seed):
    chance = np.random.default_rng(seed)

    def maybe(value):
        return None if chance.random() < 0.3 else value

    subjects = Table("probe", "", (*EVERY_DTYPE.columns, *WORKERS.columns[:1]), key=("state", "id"))
    columns, plain = Columns(subjects), Columns(EVERY_DTYPE)
    at = NOON
    for number in range(200):
        at += int(chance.integers(-SECOND // 4, 2 * SECOND))
        row = (
            maybe(float(number)),
            number,
            maybe(2**60 + number),
            maybe(bool(number % 2)),
            maybe(f"text {number % 9}"),
            maybe("ab"[number % 2]),
            maybe(NOON + number),
        )
        columns.append([(*row, maybe(f"w{number % 5}"))], time_ns=at)
        plain.append([row], time_ns=at + SECOND)
    gap = Gap(1, last_seen_ns=NOON, lost_at_ns=NOON + 3 * SECOND, back_at_ns=NOON + 9 * SECOND, cause="x")
    frames = {"many": frame(columns, gaps=[gap] if seed % 2 else None), "one": frame(plain)}
    step = int(chance.choice([1, 3, 20])) * SECOND
    aligned = align(frames, every=step / SECOND)
    expected = by_subject(frames, step)
    assert aligned.index.as_unit("ns").asi8.tolist() == expected.index.tolist()
    pd.testing.assert_frame_equal(
        aligned.reset_index(drop=True), expected.reset_index(drop=True), check_categorical=False
    )


def test_the_latest_value_is_carried_on_but_across_no_gap():
    columns = filled(NUMBERS, number_rows(3), step=4 * SECOND)  # at 0, 4 and 8 s
    gap = Gap(
        1,
        last_seen_ns=NOON + 4 * SECOND,
        lost_at_ns=NOON + 6 * SECOND,
        back_at_ns=NOON + 8 * SECOND,
        cause="x",
    )
    filled_up = align({"a": frame(columns)}, every="1s", fill="latest")
    assert filled_up["a_n"].tolist() == [0] * 4 + [1] * 4 + [2]
    across = align({"a": frame(columns)}, every="1s", fill="latest", gaps={"a": [gap]})
    assert across["a_n"].tolist()[:4] == [0] * 4
    assert across["a_n"].isna().tolist()[5:8] == [True] * 3  # nobody knows what it was
    assert across["a_n"].tolist()[8] == 2
    assert str(across["a_n"].dtype) == "Int64"


def test_bars_have_open_high_low_and_close():
    workers = Columns(WORKERS)
    for place, cpu in enumerate([5.0, 9.0, None, 2.0, 4.0]):
        workers.append([("w", cpu)], time_ns=NOON + place * SECOND // 4, seq=place)
    workers.append([("w", 7.0)], time_ns=NOON + 3 * SECOND)
    bars = align({"workers": frame(workers)}, every="1s", how={"workers": "ohlc"}, fill="latest")
    assert bars.columns.tolist() == [f"workers_cpu_{word}[w]" for word in ("open", "high", "low", "close")]
    assert bars.to_numpy().tolist() == [[5, 9, 2, 2], [4, 4, 4, 4], [4, 4, 4, 4], [7, 7, 7, 7]]
    assert bars.attrs["units"]["workers_cpu_high[w]"] == "percent"
    resampled = frame(workers)["cpu"].resample("1s").ohlc()
    assert bars.iloc[[0, 1, 3]].to_numpy().tolist() == resampled.iloc[[0, 1, 3]].to_numpy().tolist()
    mean = align({"workers": frame(workers)}, every="1s", how={"workers": "mean"})
    assert mean["workers_cpu[w]"].tolist()[0] == pytest.approx(16 / 3)
    total = align({"workers": frame(workers)}, every="1s", how={"workers": "sum"})
    assert total["workers_cpu[w]"].isna().tolist() == [False, False, True, False]


def test_what_is_to_become_of_an_interval_must_be_known():
    rows = frame(filled(NUMBERS, number_rows(3)))
    with pytest.raises(ArgumentError, match="how='candles' is not known: give one of last, first"):
        align({"a": rows}, how={"a": "candles"})
    with pytest.raises(ArgumentError, match="how= names 'b', which is not among a"):
        align({"a": rows}, how={"b": "mean"})
    with pytest.raises(ArgumentError, match="fill='zero' is not known"):
        align({"a": rows}, fill="zero")
