from hypothesis import given
from hypothesis import strategies as st

from tes_nb.wire.retry import Backoff


def test_delays_double_up_to_the_cap_and_start_anew_after_a_reset():
    backoff = Backoff(1, 60, lambda: 1.0)
    assert [backoff.next() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert backoff.next() == 1


def test_the_jitter_is_equal_half_fixed_half_random():
    assert [Backoff(1, 60, lambda: 0.0).next() for _ in range(2)] == [0.5, 0.5]
    backoff = Backoff(1, 60, lambda: 0.5)
    assert [backoff.next() for _ in range(3)] == [0.75, 1.5, 3.0]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=300))
def test_every_delay_lies_between_half_of_the_curve_and_the_curve(dice):
    throws = iter(dice)
    backoff = Backoff(1, 60, lambda: next(throws))
    for tries in range(len(dice)):
        curve = min(60, 2.0 ** min(tries, 20))
        assert curve / 2 <= backoff.next() <= curve


@given(st.floats(0, 1, exclude_max=True))
def test_resting_is_never_shorter_than_the_cap(dice):
    assert 60 <= Backoff(1, 60, lambda: dice).rest() <= 66
