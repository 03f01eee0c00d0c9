"""The binary append: sizes, alignment, refusals (what it means is tested by the front end that reads it).

From rows to blocks: one place a line, labels seen together in one block, breaks in every line.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.model import Column
from tes_nb.views.chart_codec import Block, ChartSeries, pack
from tes_nb.views.subjects import MAX_LABEL, Subjects
from tests.support.ticking import COLUMNS, TABLES, Ticking

PARTS = TABLES[1]

SIZE, LOAD, TOTAL = COLUMNS[:3]


def test_header_and_json_are_as_documented():
    packed = pack(5, [], keyframe=True, series=[{"key": "ä"}])
    magic, version, flags, blocks, sequence, length = struct.unpack_from("<4sBBHII", packed)
    assert (magic, version, flags, blocks, sequence) == (b"TNBA", 1, 1, 0, 5)
    assert length % 8 == 0
    assert json.loads(packed[16 : 16 + length]) == {"series": [{"key": "ä"}]}


@given(rows=st.integers(0, 50), width=st.integers(0, 9), sequence=st.integers(0, 2**40))
def test_every_block_begins_at_a_multiple_of_eight(rows: int, width: int, sequence: int):
    block = Block(range(width), np.zeros(rows), np.zeros((width, rows)))
    packed = pack(sequence, [block, block])
    size = 8 + -(-4 * width // 8) * 8 + 8 * rows * (1 + width)
    assert len(packed) == 16 + 2 * size
    assert struct.unpack_from("<II", packed, 16 + size) == (rows, width)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 series of 3 times"):
        pack(1, [Block([0, 1], np.zeros(3), np.zeros((3, 2)))])
    with pytest.raises(ValueError, match="at most 65535 blocks"):
        pack(1, [Block([], np.zeros(0), np.zeros((0, 0)))] * 65_536)


def test_six_series_at_two_hertz_are_within_two_kilobytes_a_second():
    tick = pack(1, [Block(range(6), np.zeros(1), np.zeros((6, 1)))])
    assert 2 * len(tick) < 2_000


def fresh(source: Ticking, series: ChartSeries, table: str = "ticks"):
    return source.store.tables[table].since(0, series.names)


def test_without_labels_all_columns_share_one_block():
    source, series = Ticking(), ChartSeries([SIZE, LOAD, TOTAL], Subjects(PARTS, ()))
    source.put((5, 1.5, None, "x"), at=100.0)
    source.put((None, float("nan"), 7, "x"), at=100.5)
    rows = fresh(source, series)
    (block,) = series.blocks(rows.time, rows.columns)
    assert list(block.series) == [0, 1, 2]
    assert block.times.tolist() == [100.0, 100.5]
    np.testing.assert_array_equal(block.values, [[5, np.nan], [1.5, np.nan], [np.nan, 7]])
    assert [one["column"] for one in series.info] == ["size", "load", "total"]
    assert series.info[2] == {
        "key": "0:total",
        "label": "",
        "column": "total",
        "unit": "",
        "kind": "counter",
        "title": "total",
        "quantity": "",
        "doc": "only rises",
        "colour": 2,
        "subject": "",
        "part": "",
    }


def test_labels_seen_at_the_same_times_are_one_block_others_their_own():
    source, series = Ticking(), ChartSeries([SIZE], Subjects(PARTS, ("id",)))
    source.put(("a", 1, 0.0, 0), ("b", 2, 0.0, 0), table="parts", at=1.0)
    source.put(("b", 20, 0.0, 0), ("a", 10, 0.0, 0), table="parts", at=2.0)
    source.put(("c", 5, 0.0, 0), table="parts", at=3.0)
    rows = fresh(source, series, "parts")
    first, second = series.blocks(rows.time, rows.columns)
    assert (list(first.series), first.times.tolist(), first.values.tolist()) == (
        [0, 1],
        [1.0, 2.0],
        [[1, 10], [2, 20]],
    )
    assert (list(second.series), second.times.tolist(), second.values.tolist()) == ([2], [3.0], [[5]])
    assert [one["label"] for one in series.info] == ["a", "b", "c"]


def test_a_line_keeps_its_place_and_too_many_labels_are_counted():
    source, series = Ticking(), ChartSeries([SIZE, LOAD], Subjects(PARTS, ("id",)), most=6)
    for n in range(5):
        source.put((f"w{n}", n, 0.0, 0), table="parts", at=float(n))
    rows = fresh(source, series, "parts")
    assert len(series.blocks(rows.time, rows.columns)) == 3
    assert len(series) == 6
    assert series.ignored == {("w3",), ("w4",)}
    series.forget()
    last = source.store.tables["parts"].since(3, series.names)
    series.blocks(last.time, last.columns)
    assert [one["label"] for one in series.info[::2]] == ["w3", "w4"]
    assert not series.ignored


def test_absent_and_endless_labels():
    source, series = Ticking(), ChartSeries([SIZE], Subjects(PARTS, ("id",)))
    source.put((None, 1, 0.0, 0), ("x" * 1_000_000, 2, 0.0, 0), table="parts")
    rows = fresh(source, series, "parts")
    series.blocks(rows.time, rows.columns)
    none, long = (one["label"] for one in series.info)
    assert none == "(none)"
    assert len(long) < MAX_LABEL + 40
    assert "1000000 characters" in long


def test_gaps_break_every_line_where_they_began():
    source, series = Ticking(), ChartSeries([SIZE], Subjects(PARTS, ()))
    for at in (1.0, 2.0, 5.0):
        source.put((7, 0.0, 0, "x"), at=at)
    rows = fresh(source, series)
    (block,) = series.blocks(rows.time, rows.columns, [2.001])
    assert block.times.tolist() == [1.0, 2.0, 2.001, 5.0]
    np.testing.assert_array_equal(block.values, [[7, 7, np.nan, 7]])
    (alone,) = series.blocks(rows.time[:0], {"size": np.empty(0)}, [6.0])
    assert (alone.times.tolist(), np.isnan(alone.values).tolist()) == ([6.0], [[True]])


def test_by_more_than_one_column_and_no_rows():
    column = Column("bookmaker", "str", "", "label", "")
    series = ChartSeries(
        [SIZE], Subjects(replace(PARTS, columns=(*PARTS.columns, column)), ("id", column.name))
    )
    assert series.names == ["size", "id", "bookmaker"]
    nothing = np.empty(0, np.int64)
    assert series.blocks(nothing, {"size": nothing, "id": nothing, "bookmaker": nothing}) == []
    columns = {"size": np.ones(1), "id": np.array(["m"], object), "bookmaker": np.array(["b"], object)}
    series.blocks(np.ones(1, np.int64), columns)
    assert series.info[0]["label"] == "m · b"
