"""Tables through Arrow's door: values, absences, types, and what others make of them."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tes_nb as tes
from tes_nb.errors import ExportError
from tes_nb.store.memory.arrow import arrow_schema, arrow_table
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tests.support.nowgoal_sessions import odds, recording, score
from tests.support.rows import EVERY_DTYPE, NOON, SECOND, filled


def rows_of(count):
    """Rows of every dtype with every kind of absence."""
    return [
        (
            None if number % 5 == 0 else number / 3,
            number,
            None if number % 3 == 0 else 2**60 + number,
            None if number % 4 == 0 else bool(number % 2),
            None if number % 7 == 0 else f"name {number} \U0001f600",
            ["idle", "working", "=1+1", None][number % 4],
            None if number % 6 == 0 else NOON + number,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 200])
def test_every_value_and_absence_comes_through(count):
    rows = rows_of(count)
    table = arrow_table(filled(EVERY_DTYPE, rows).snapshot())
    assert table.schema.equals(arrow_schema(EVERY_DTYPE, ""), check_metadata=False)
    table.validate(full=True)
    columns = [table.column(name) for name in EVERY_DTYPE.names]
    plain = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in columns]
    assert list(zip(*(column.to_pylist() for column in plain), strict=True)) == rows
    assert table.column("time").cast(pa.int64()).to_pylist() == [NOON + SECOND * n for n in range(count)]


def test_it_is_what_the_frame_is():
    columns = filled(EVERY_DTYPE, rows_of(50))
    expected = frame(columns).reset_index()
    back = arrow_table(columns.snapshot()).to_pandas(integer_object_nulls=True)
    for name in expected.columns:
        here, there = back[name].astype(object), expected[name].astype(object)
        assert here.where(here.notna(), None).tolist() == there.where(there.notna(), None).tolist(), name


def test_numbers_share_the_memory_of_the_feed():
    columns = filled(EVERY_DTYPE, rows_of(100))
    snapshot = columns.snapshot()
    table = arrow_table(snapshot)
    for name in ("seq", "load"):
        memory = snapshot.cells[name].values  # noqa: PD011 - a numpy array
        assert table.column(name).chunk(0).buffers()[1].address == memory.ctypes.data
    before = table.to_pydict()
    columns.append(rows_of(5), time_ns=NOON + 10**15)
    assert table.to_pydict() == before


def test_units_and_docs_are_in_the_fields_and_categories_are_dictionaries():
    schema = arrow_schema(EVERY_DTYPE, "metrics")
    load = schema.field("load").metadata
    assert (load[b"unit"], load[b"doc"]) == (b"percent", b"A float.")
    assert schema.metadata[b"stream"] == b"metrics"
    assert schema.names[:5] == ["time", "sent_at", "seq", "conn", "source"]
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds["time"] == "timestamp[ns, tz=UTC]"
    assert kinds["source"] == "dictionary<values=string, indices=int32, ordered=0>"


def test_a_clock_that_jumped_back_gives_rows_in_the_order_of_time():
    columns = Columns(EVERY_DTYPE)
    for place, row in enumerate(rows_of(4)):
        columns.append([row], time_ns=NOON + [3, 1, 2, 0][place] * SECOND)
    assert arrow_table(columns.snapshot()).column("ticks").to_pylist() == [3, 1, 2, 0]


def test_many_words_of_which_few_are_used_are_left_out():
    columns = filled(EVERY_DTYPE, rows_of(3000))
    piece = columns.snapshot().slice(2990, 3000)
    table = arrow_table(piece)
    assert table.column("name").to_pylist() == [row[4] for row in rows_of(3000)[2990:]]


@pytest.fixture
def rec(tmp_path):
    steps = [(1, score(7, 0)), (2, odds(7, 0.9)), (3, odds(7, 0.8)), (4, odds(8, 0.7))]
    with recording(tmp_path / "a.tes", steps) as opened:
        yield opened


def test_polars_and_duckdb_read_feeds_tables_and_recordings_with_their_time(rec):
    feed, prices = rec.nowgoal, rec.nowgoal.odds
    assert pl.DataFrame(feed)["match_id"].to_list() == ["7"]
    assert pl.DataFrame(prices)["time"].dtype == pl.Datetime("ns", "UTC")
    assert pl.DataFrame(prices)["home"].to_list() == pytest.approx([1.9, 1.8, 1.7])
    assert duckdb.sql(
        "select match_id, max(home), count(time) from prices group by 1 order by 1"
    ).fetchall() == [
        ("7", pytest.approx(1.9), 2),
        ("8", pytest.approx(1.7), 1),
    ]
    assert duckdb.sql("select count(time) from feed").fetchall() == [(1,)]
    assert feed.to_polars("odds", last=0.5)["match_id"].to_list() == ["8"]
    assert feed.to_arrow("odds", end="2026-01-01 00:00:02").num_rows == 1
    messages = pa.table(rec)
    assert messages.column("source").to_pylist() == ["nowgoal"] * 4
    assert messages.column("payload").to_pylist()[1] == odds(7, 0.9).encode()
    assert duckdb.sql("select source, count(*), sum(size) from rec group by 1").fetchall()[0][:2] == (
        "nowgoal",
        4,
    )


def test_a_live_feed_is_read_too(tmp_path):
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=2, timeout=20)
        frame_ = pl.DataFrame(session.metrics)
    assert frame_.columns[0] == "time"
    assert frame_.height >= 2
    assert np.isfinite(frame_["memory_rss"].to_numpy()).all()


def test_a_schema_that_cannot_be_had_is_a_sentence(rec):
    wrong = pa.schema([("time", pa.int64()), ("nix", pa.list_(pa.int8()))])
    with pytest.raises(
        ExportError, match=r"cannot be given in the schema that was asked for.*they have time: timestamp"
    ):
        rec.nowgoal.__arrow_c_stream__(wrong.__arrow_c_schema__())
    with pytest.raises(tes.SessionError, match="has no table 'nix'"):
        rec.nowgoal.to_arrow("nix")


def test_a_plain_frame_loses_its_time_in_polars_as_the_docs_warn(rec):
    assert "time" not in pl.DataFrame(rec.nowgoal.frame()).columns
    assert pd.Timestamp("2026-01-01 00:00:01", tz="UTC") == rec.nowgoal.frame().index[0]
