"""Batches of decoded objects give the cells that their rows would give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.model import Column, Doubles, RowBatch, Same, Table, Woven
from tes_nb.store.memory.columns import Columns
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, PlainBatch, number_rows, rows


def everything_in(columns):
    snapshot = columns.snapshot()
    cells = {name: (piece.dtype, piece.numpy().tolist()) for name, piece in snapshot.cells.items()}
    counts = (columns.total, columns.dropped, columns.unfit, columns.refused)
    return repr((snapshot.time.tolist(), cells, snapshot.ordered, counts))  # as text NaN equals NaN


messages = st.lists(st.tuples(st.lists(rows, max_size=5), st.booleans(), st.booleans()), max_size=12)


@given(messages, st.integers(1, 30))
def test_batches_and_rows_mixed_in_any_way_give_the_same_table(sent, cap):
    by_rows, mixed, batches = (Columns(EVERY_DTYPE, cap=cap) for _ in range(3))
    for seq, (given_rows, as_batch, read) in enumerate(sent, 1):
        stamp = {"time_ns": NOON + seq, "seq": seq, "conn": 1, "source": "test"}
        by_rows.append(given_rows, **stamp)
        mixed.append(PlainBatch(given_rows) if as_batch else given_rows, **stamp)
        batches.append(PlainBatch(given_rows), **stamp)
        if read:
            assert everything_in(by_rows) == everything_in(mixed) == everything_in(batches)
    assert everything_in(by_rows) == everything_in(mixed) == everything_in(batches)


@given(st.lists(rows, max_size=6))
def test_a_batch_looks_like_a_list_of_its_rows(given_rows):
    batch = PlainBatch(given_rows)
    assert repr(list(batch)) == repr(given_rows) == repr(batch)
    assert len(batch) == len(given_rows)
    assert repr(batch[-3:]) == repr(given_rows[-3:])
    assert (batch == []) is (not given_rows)
    assert bool(batch) is bool(given_rows)


class TurnsBatch(RowBatch):
    """Each item is two rows, which take turns."""

    __slots__ = ()

    def __len__(self):
        return 2 * len(self.items)

    @classmethod
    def columns(cls, items):
        first, second = ([pair[turn] for pair in items] for turn in (0, 1))
        pairs = zip(zip(*first, strict=True), zip(*second, strict=True), strict=True)
        return [Woven((a, Same(b[0]) if len(set(map(repr, b))) == 1 else b), len(items)) for a, b in pairs]


@given(
    st.lists(st.lists(st.tuples(rows, rows), min_size=1, max_size=5), min_size=1, max_size=9),
    st.integers(1, 30),
)
def test_rows_that_take_turns_are_the_same_rows(sent, cap):
    by_rows, woven = (Columns(EVERY_DTYPE, cap=cap) for _ in range(2))
    for seq, pairs in enumerate(sent, 1):
        stamp = {"time_ns": NOON + seq, "seq": seq, "conn": 1, "source": "test"}
        batch = TurnsBatch(pairs)
        assert repr(list(batch)) == repr([row for pair in pairs for row in pair])
        by_rows.append([row for pair in pairs for row in pair], **stamp)
        woven.append(batch, **stamp)
    assert everything_in(by_rows) == everything_in(woven)


@pytest.mark.parametrize("parts", [([1.0], [2.0, 3.0]), (Same(1.0),), ([1.0],)])
def test_parts_that_do_not_fit_are_refused(parts):
    class Uneven(RowBatch):
        @classmethod
        def columns(cls, items):
            return [Woven(parts, 1), [0] * len(items)]

    columns = Columns(NUMBERS)
    columns.append(Uneven([1, 2]), time_ns=1, seq=1)
    assert (len(columns), columns.refused) == (0, 2)


def test_packed_numbers_are_rounded_and_multiplied_as_python_does_it():
    moments = [0.0, 0.5, 1.5, 2.5, 1_767_225_600_000.5, -0.0, 9_223_372_036_854.0]
    packed = Doubles.of(moments, 1_000_000)

    class Moments(RowBatch):
        @classmethod
        def columns(cls, items):
            return [packed] * 4

    dtypes = ("datetime64[ns, UTC]", "int64", "Int64", "float64")
    table = Table(
        "moments", "", tuple(Column(f"c{n}", dtype, "", "time", "") for n, dtype in enumerate(dtypes))
    )
    columns = Columns(table)
    columns.append(Moments(moments), time_ns=1)
    cells = columns.snapshot().cells
    wanted = [round(moment) * 1_000_000 for moment in moments]
    assert packed.plain() == wanted
    for name, dtype in zip(table.names, dtypes, strict=True):
        assert cells[name].values.tolist() == (list(map(float, wanted)) if dtype == "float64" else wanted)
    assert (columns.unfit, columns.refused) == (0, 0)


class Short(RowBatch):
    """Its second column is shorter than the first."""

    @classmethod
    def columns(cls, items):
        return [[float(n) for n in items], items[1:]]


class Narrow(RowBatch):
    @classmethod
    def columns(cls, items):
        return [Same(1.0)]


class Failing(RowBatch):
    @classmethod
    def columns(cls, items):
        raise KeyError(items[0])


@pytest.mark.parametrize("kind", [Short, Narrow, Failing])
def test_the_rows_of_a_mistaken_batch_are_refused_and_counted_and_the_table_goes_on(kind):
    columns = Columns(NUMBERS)
    columns.append(kind([1, 2, 3]), time_ns=1, seq=1)
    assert len(columns) == 0
    columns.append(number_rows(2), time_ns=2, seq=2)
    assert columns.snapshot().cells["n"].numpy().tolist() == [0, 1]
    assert columns.refused == 3
