import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.wire.schedule import NS, Schedule

FIRST, LAST = 5 * NS, 105 * NS


def playing(speed=1.0, now=0.0):
    schedule = Schedule(FIRST, LAST, speed=speed, now=now)
    schedule.resume(now)
    return schedule


def test_messages_are_due_with_the_recorded_spacing_divided_by_the_speed():
    assert [playing().due(FIRST + at * NS) for at in (0, 1, 40)] == [0.0, 1.0, 40.0]
    assert playing().position(1000.0) == LAST + 1
    assert [playing(20, now=3).due(FIRST + at * NS) for at in (0, 1, 40)] == [3.0, 3.05, 5.0]


def test_it_begins_paused_and_nothing_is_due_then():
    schedule = Schedule(FIRST, LAST)
    assert schedule.due(FIRST) is None
    assert schedule.position(50.0) == FIRST


def test_a_pause_holds_the_position_and_its_length_does_not_count():
    schedule = playing()
    schedule.pause(10.0)
    assert schedule.position(99.0) == FIRST + 10 * NS
    assert schedule.due(FIRST + 11 * NS) is None
    schedule.resume(100.0)
    assert schedule.due(FIRST + 11 * NS) == 101.0
    schedule.resume(100.5)  # again: no matter
    assert schedule.due(FIRST + 11 * NS) == 101.0


def test_a_new_speed_counts_from_the_position():
    schedule = playing()
    schedule.set_speed(10.0, 20.0)
    assert schedule.position(20.0) == FIRST + 20 * NS
    assert schedule.due(FIRST + 30 * NS) == 21.0


def test_what_lies_before_a_position_that_was_sought_is_due_at_once_also_while_paused():
    schedule = Schedule(FIRST, LAST)
    schedule.seek(FIRST + 50 * NS, 7.0)
    assert schedule.due(FIRST + 49 * NS) == 7.0
    assert schedule.due(FIRST + 50 * NS) is None
    schedule.resume(8.0)
    assert schedule.due(FIRST + 51 * NS) == 9.0


def test_a_position_beyond_the_ends_is_the_end():
    schedule = playing()
    schedule.seek(LAST + NS, 0.0)
    assert schedule.position(1.0) == LAST + 1
    assert schedule.due(LAST) == 0.0
    schedule.seek(0, 0.0)
    assert schedule.position(0.0) == FIRST


def test_as_fast_as_it_goes_everything_is_due_and_a_pause_holds_what_was_reached():
    schedule = playing(math.inf)
    assert schedule.due(LAST) == 0.0
    schedule.reached(FIRST + 30 * NS)
    schedule.pause(1.0)
    assert schedule.position(2.0) == FIRST + 30 * NS + 1
    assert schedule.due(FIRST + 31 * NS) is None
    schedule.set_speed(1.0, 2.0)
    schedule.resume(2.0)
    assert schedule.due(FIRST + 31 * NS) == pytest.approx(3.0)


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_that_is_none_is_refused_and_changes_nothing(speed):
    schedule = playing()
    with pytest.raises(ValueError, match="above 0"):
        schedule.set_speed(speed, 1.0)
    assert schedule.due(FIRST + 2 * NS) == 2.0
    with pytest.raises(ValueError, match="above 0"):
        Schedule(FIRST, LAST, speed=speed)


Acts = st.lists(
    st.tuples(
        st.sampled_from(["pause", "resume", "speed", "seek"]),
        st.floats(0.0, 5.0),
        st.sampled_from([0.5, 1.0, 20.0, math.inf]),
        st.integers(0, 200),
    ),
    max_size=30,
)


@given(Acts)
def test_whatever_is_asked_the_position_stays_inside_and_goes_back_only_when_sought(acts):
    schedule, now = Schedule(FIRST, LAST), 0.0
    before = schedule.position(now)
    for act, wait, speed, at in acts:
        now += wait
        here = schedule.position(now)
        assert FIRST <= here <= LAST + 1
        if not math.isinf(schedule.speed):
            assert here >= before
            assert (schedule.due(here - 1) or 0.0) <= now + 1e-6
        if act == "speed":
            schedule.set_speed(speed, now)
        elif act == "seek":
            schedule.seek(FIRST + (at - 20) * NS, now)
        else:
            getattr(schedule, act)(now)
        before = schedule.position(now)
