"""The merge of two connections: every order in which two queues can bring the same broadcast."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from tes_nb.wire.merge import Merge


def key(content):
    return b"%d" % content


def new(emitted):
    return [item for item, duplicate in emitted if not duplicate]


class Wire:
    """Two connections to one broadcast, each with its own delay, in front of a merge."""

    def __init__(self):
        self.merge = Merge()
        self.out = []

    def first(self, *contents):
        for content in contents:
            self.out += self.merge.first(key(content), content)

    def second(self, *contents):
        for content in contents:
            self.out += self.merge.second(key(content), content)

    def promote(self):
        self.out += self.merge.promote()

    @property
    def new(self):
        return new(self.out)


def test_one_connection_is_handed_on_untouched():
    wire = Wire()
    wire.first(1, 1, 2)
    assert wire.out == [(1, False), (1, False), (2, False)]
    assert wire.merge.idle


def test_the_second_carries_on_without_a_hole_a_double_or_a_change_of_order():
    wire = Wire()
    wire.merge.begin()
    wire.first(1, 2)
    wire.second(2)  # came twice
    assert wire.merge.proven
    wire.second(3, 4)  # it is ahead now
    wire.first(3)
    wire.promote()
    wire.first(5)
    assert wire.new == [1, 2, 3, 4, 5]
    assert wire.merge.idle


def test_what_the_second_brings_too_early_waits_for_the_first():
    wire = Wire()
    wire.merge.begin()
    wire.second(3, 4)
    assert wire.out == []
    assert wire.merge.held == 2
    wire.first(1, 2, 3)
    assert wire.new == [1, 2, 3, 4]
    assert wire.merge.proven


def test_what_waits_is_released_when_the_first_is_lost_or_time_is_up():
    for release in (Merge.promote, Merge.release, Merge.forget):
        merge = Merge()
        merge.begin()
        merge.second(b"7", 7)
        assert new(release(merge)) == [7]
        assert not merge.proven
        assert merge.held == 0


def test_what_the_first_had_before_and_the_second_brings_late_is_a_duplicate():
    wire = Wire()
    wire.merge.begin()
    wire.first(1, 2, 3)
    wire.second(1)
    wire.promote()  # the first closed while the second lags behind it
    wire.first(2, 3, 4, 2)
    assert wire.new == [1, 2, 3, 4, 2]  # the last one is a 2 of its own: the lag is over since the 4
    assert wire.merge.idle


def test_a_second_that_is_lost_again_leaves_no_hole_and_no_double():
    wire = Wire()
    wire.merge.begin()
    wire.first(1)
    wire.second(1, 2, 3)
    wire.merge.second_lost()
    wire.first(2, 3, 4)
    wire.merge.begin()
    wire.first(5)
    wire.second(5, 6)
    wire.promote()
    wire.first(7)
    assert wire.new == [1, 2, 3, 4, 5, 6, 7]


def test_what_a_lost_second_had_brought_too_early_still_comes_in_its_place():
    wire = Wire()
    wire.merge.begin()
    wire.second(3)
    wire.merge.second_lost()
    wire.first(1, 2, 3, 4)
    assert wire.new == [1, 2, 3, 4]


def test_equal_contents_are_counted_not_collapsed():
    wire = Wire()
    wire.merge.begin()
    wire.first(9, 9)
    wire.second(9, 9, 9)
    assert wire.new == [9, 9, 9]


def test_memory_is_bounded():
    merge = Merge(remembered=10)
    merge.begin()
    for content in range(100):
        merge.first(key(content), content)
    merge.release()
    for content in range(200, 300):
        merge.second(key(content), content)
    assert len(merge._more_first) <= 10
    assert len(merge._more_second) <= 10


@given(
    count=st.integers(2, 40),
    begins=st.integers(0, 40),
    joins=st.integers(0, 40),
    steps=st.lists(st.booleans(), max_size=120),
    closes_after=st.integers(0, 10),
)
@example(count=6, begins=0, joins=3, steps=[True] * 3 + [False] * 4, closes_after=0)
def test_any_interleaving_gives_the_broadcast_once_and_in_order(count, begins, joins, steps, closes_after):
    """The first has brought `begins` when the second is begun; the second brings all from `joins` on."""
    begins, joins = min(begins, count - 1), min(joins, count - 1)
    joins = max(begins, joins)
    wire = Wire()
    wire.first(*range(begins))
    wire.merge.begin()
    at_first, at_second, after = begins, joins, None
    for take_second in [*steps, *[False] * count]:
        if take_second and at_second < count:
            wire.second(at_second)
            at_second += 1
        elif at_first < count and (after is None or after < closes_after):
            wire.first(at_first)
            at_first += 1
        after = after + 1 if after is not None else 0 if wire.merge.proven else None
    wire.promote()
    wire.first(*range(at_second, count))
    assert wire.new == list(range(count))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_each_content_is_emitted_as_often_as_the_better_connection_brought_it(arrivals):
    wire = Wire()
    wire.merge.begin()
    counts = {True: Counter(), False: Counter()}
    for on_second, content in arrivals:
        counts[on_second][content] += 1
        (wire.second if on_second else wire.first)(content)
    wire.out += wire.merge.release()
    assert Counter(wire.new) == counts[True] | counts[False]
    assert len(wire.out) == len(arrivals)  # what is no news is told as a duplicate
