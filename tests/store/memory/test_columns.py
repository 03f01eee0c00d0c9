"""Columns grow, drop, and are read while they grow."""

import gc
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tes_nb.model import Column, Table
from tes_nb.store.memory import columns as columns_module
from tes_nb.store.memory.columns import Columns
from tests.support.interrupts import broken_off_after
from tests.support.rows import EVERY_DTYPE, NOON, NUMBERS, filled, number_rows, rows


def numbers_in(snapshot):
    return snapshot.cells["n"].numpy().tolist()


@given(
    st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=25),
    st.integers(1, 900),
)
@settings(max_examples=60)
def test_columns_keep_what_a_list_would(steps, cap):
    """Messages of any number of rows, read in between or not: the newest `cap` rows, in order, all counted."""
    columns, sent = Columns(NUMBERS, cap=cap), []
    seen, cursor, lost = [], 0, 0
    for number, (count, read) in enumerate(steps, 1):
        batch = number_rows(count, len(sent))
        sent += [n for _, n in batch]
        columns.append(batch, time_ns=NOON + number, seq=number)
        if read:
            fresh = columns.since(cursor, ["n"])
            seen += fresh.columns["n"].tolist()
            cursor, lost = fresh.cursor, lost + fresh.lost
            assert numbers_in(columns.snapshot()) == sent[-cap:]
    fresh = columns.since(cursor, ["n"])
    seen += fresh.columns["n"].tolist()
    assert numbers_in(columns.snapshot()) == sent[-cap:]
    assert len(seen) + lost + fresh.lost == len(sent) == columns.total
    assert seen == [n for n in sent if n in set(seen)]
    assert columns.dropped == max(len(sent) - cap, 0)
    assert len(columns) == min(len(sent), cap)


def test_what_waits_to_become_cells_is_little_work_for_the_garbage_collector():
    """It looks through every tracked object of the kernel again and again while their number grows (decisions/0042)."""
    columns, count = Columns(NUMBERS), 1_000
    batches = [tuple(number_rows(1, number)) for number in range(count)]
    gc.collect()
    before = len(gc.get_objects())
    for number, batch in enumerate(batches):
        columns.append(batch, time_ns=NOON + number, seq=number)
    assert columns.received == count
    assert len(gc.get_objects()) - before < count // 10
    assert len(columns) == count


@given(st.lists(rows, max_size=30))
def test_every_dtype_comes_back_as_it_was(given_rows):
    snapshot = filled(EVERY_DTYPE, given_rows).snapshot()
    for place, column in enumerate(EVERY_DTYPE.columns):
        absent = snapshot.cells[column.name].absent()
        for row, gone in zip(given_rows, absent, strict=True):
            assert gone == (row[place] is None or row[place] != row[place])
    wanted = [row[4] for row in given_rows]
    assert snapshot.cells["name"].numpy().tolist() == wanted
    assert snapshot.cells["ticks"].numpy().tolist() == [row[1] for row in given_rows]


def test_rows_of_one_message_share_its_stamp():
    columns = Columns(NUMBERS)
    columns.append(number_rows(2), time_ns=5, sent_at_ns=None, seq=1, conn=3, source="a")
    columns.append([], time_ns=6, seq=2)
    columns.append(number_rows(1, 2), time_ns=7, sent_at_ns=4, seq=3, conn=4, source="b")
    snapshot = columns.snapshot()
    assert snapshot.time.tolist() == [5, 5, 7]
    shared = {name: snapshot.cells[name].numpy().tolist() for name in ("seq", "conn", "source")}
    assert shared == {"seq": [1, 1, 3], "conn": [3, 3, 4], "source": ["a", "a", "b"]}
    assert snapshot.cells["sent_at"].absent().tolist() == [True, True, False]


def test_rows_of_another_width_are_refused_and_counted_alone():
    columns = Columns(NUMBERS)
    columns.append([(0.0, 0), (1.0,), (1.0, 1, 1)], time_ns=1, seq=1)
    columns.append([(0.5, 1)], time_ns=2, seq=2)
    snapshot = columns.snapshot()
    assert numbers_in(snapshot) == [0, 1]
    assert snapshot.time.tolist() == [1, 2]
    assert columns.refused == 2


def test_unfit_cells_are_absent_and_rows_that_cannot_be_without_are_refused():
    columns = Columns(NUMBERS)
    columns.append([(0.0, 0), ("x", 1), (1.0, None), (1.5, 3)], time_ns=1, seq=1)
    assert numbers_in(columns.snapshot()) == [0, 1, 3]
    assert np.isnan(columns.snapshot().cells["x"].numpy()).tolist() == [False, True, False]
    assert (columns.unfit, columns.refused) == (2, 1)


def test_a_stamp_that_does_not_fit_costs_its_own_rows_alone():
    columns = Columns(NUMBERS)
    columns.append(number_rows(2), time_ns=1, seq=2**64)
    columns.append(number_rows(2), time_ns=1, seq=1, sent_at_ns=2**70)
    assert columns.snapshot().cells["seq"].numpy().tolist() == [1, 1]
    assert columns.refused == 2
    assert columns.snapshot().cells["sent_at"].absent().all()


def test_pieces_given_out_never_change():
    columns = filled(NUMBERS, number_rows(10), cap=100)
    snapshot, fresh = columns.snapshot(), columns.since(0)
    for first in range(10, 5000, 70):
        columns.append(number_rows(70, first), time_ns=NOON, seq=1)
    assert numbers_in(snapshot) == list(range(10))
    assert fresh.columns["n"].tolist() == list(range(10))
    with pytest.raises(ValueError, match="read-only"):
        snapshot.time[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        fresh.columns["n"][0] = 1


def test_since_tells_how_many_rows_were_lost_in_between():
    columns = filled(NUMBERS, number_rows(10), cap=8)
    cursor = columns.since(0).cursor
    assert cursor == 10
    columns.append(number_rows(20, 10), time_ns=NOON, seq=11)
    fresh = columns.since(cursor, ["n"])
    assert (fresh.lost, fresh.cursor, len(fresh)) == (12, 30, 8)
    assert fresh.columns["n"].tolist() == list(range(22, 30))
    assert len(columns.since(fresh.cursor)) == 0
    assert len(columns.since(10_000)) == 0


@pytest.mark.parametrize("jump", [0, 5, 1023, 1024, 1500])
def test_disorder_is_known_until_its_rows_are_dropped(jump):
    columns = Columns(NUMBERS, cap=2000)
    for number in range(2000):
        columns.append(number_rows(1, number), time_ns=number if number <= jump else number - 500, seq=number)
    assert not columns.snapshot().ordered
    assert columns.snapshot().by_time().ordered
    for number in range(jump + 1):
        columns.append(number_rows(1), time_ns=5000 + number, seq=number)
    assert columns.snapshot().ordered


def test_by_time_is_stable():
    columns = Columns(NUMBERS)
    for seq, at in enumerate([5, 7, 5, 3, 7]):
        columns.append(number_rows(1, seq), time_ns=at, seq=seq)
    assert numbers_in(columns.snapshot().by_time()) == [3, 0, 2, 1, 4]


def test_no_reader_sees_half_a_row_while_rows_pour_in():
    """One thread appends, three read in every way: each row agrees with itself and none is missing."""
    columns, stop, faults = Columns(NUMBERS, cap=3000), threading.Event(), []

    def check(x, n, time_ns):
        if not (np.array_equal(x * 2, n) and np.array_equal(time_ns, n) and np.all(np.diff(n) == 1)):
            faults.append("torn")

    def read_snapshots():
        while not stop.is_set():
            rows = columns.snapshot()
            check(rows.cells["x"].numpy(), rows.cells["n"].numpy(), rows.time)

    def read_fresh():
        cursor, counted = 0, 0
        while not (stop.is_set() and cursor == columns.total):
            fresh = columns.since(cursor)
            check(fresh.columns["x"], fresh.columns["n"], fresh.time)
            counted += len(fresh) + fresh.lost
            cursor = fresh.cursor
        if counted != columns.total:
            faults.append(f"{counted} of {columns.total}")

    readers = [threading.Thread(target=read) for read in (read_snapshots, read_fresh, read_fresh)]
    for reader in readers:
        reader.start()
    sent, ends = 0, time.monotonic() + 1
    while time.monotonic() < ends:
        count = 1 + sent % 7
        for n in range(sent, sent + count):
            columns.append([(n / 2, n)], time_ns=n, seq=n)
        sent += count
    stop.set()
    for reader in readers:
        reader.join(20)
    assert not faults
    assert columns.total == sent
    assert sent > 1000


def test_an_interrupt_at_any_step_of_a_read_loses_nothing():
    """Ctrl-C reaches the thread that asks for a frame between any two lines: break off at each line in turn."""
    pairs = Table("pairs", "", (Column("word", "str", "", "text", ""), Column("n", "int64", "", "gauge", "")))
    broken_off, at_line = 0, 0
    while True:
        columns = Columns(pairs, cap=120)
        for first in (
            0,
            1030,
        ):  # the second batch waits: with new words, and more of them than the cap allows
            columns.append([(f"w{n // 10}", n) for n in range(first, 1030 + first // 8)], time_ns=1, seq=1)
        at_line += 1
        try:
            broken_off_after(at_line, columns.snapshot, within="tes_nb/store")
        except KeyboardInterrupt:
            broken_off += 1
            columns.append([("new", n) for n in (1158, 1159)], time_ns=NOON, seq=2)
            cells = columns.snapshot().cells
            assert cells["n"].numpy().tolist() == list(range(1040, 1160))
            assert cells["word"].numpy().tolist() == [f"w{n // 10}" for n in range(1040, 1158)] + ["new"] * 2
            assert columns.total == 1160
        else:
            break
    assert broken_off > 50


def test_memory_is_bounded_by_the_cap_however_many_different_words_come():
    text = Table("text", "", (Column("word", "str", "", "text", ""),))
    columns = Columns(text, cap=5000)

    def pour(first, count):
        for number in range(first, first + count):
            columns.append([(f"a rather long word with the number {number}",)], time_ns=number, seq=number)
        return len(columns)

    tracemalloc.start()
    try:
        pour(0, 12_000)
        settled = tracemalloc.get_traced_memory()[0]
        pour(12_000, 24_000)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 1.5 * settled
    assert columns.snapshot().cells["word"].numpy()[-1].endswith("35999")


def test_each_row_is_moved_a_bounded_number_of_times(monkeypatch):
    """Constant cost per row: what is copied in all stays under five times what came."""
    moved = 0
    roomy = columns_module.Columns._roomy

    def counting(self, kept, count):
        nonlocal moved
        made = roomy(self, kept, count)
        moved += made.living if made is not kept else 0
        return made

    monkeypatch.setattr(columns_module.Columns, "_roomy", counting)
    columns = Columns(NUMBERS, cap=20_000)
    for first in range(0, 200_000, 50):
        columns.append(number_rows(50, first), time_ns=NOON, seq=first)
    assert columns.dropped == 180_000
    assert moved < 5 * 200_000


def test_a_table_without_columns_of_its_own_keeps_its_stamps():
    columns = Columns(Table("pings", "", ()))
    columns.append([(), ()], time_ns=1, seq=1)
    assert len(columns) == 2


def test_wrong_tables_and_caps_are_named():
    twice = Table("t", "", (Column("seq", "int64", "", "counter", ""),))
    with pytest.raises(ValueError, match="'t' uses a column name twice: seq"):
        Columns(twice)
    with pytest.raises(ValueError, match="at least 1 row, not 0"):
        Columns(NUMBERS, cap=0)
