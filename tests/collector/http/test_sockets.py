"""The pace at which strangers are read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.http.sockets import Pace


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=300))
def test_no_order_of_messages_gets_more_than_the_rate_and_one_burst(pauses):
    now, pace = 100.0, Pace(200, 100, 100.0)
    for passed, pause in enumerate(pauses, 1):
        now += pause
        now += pace.spend(now)
        assert passed <= 100 + (now - 100.0) * 200 + 1e-6


def test_who_is_slow_never_waits():
    pace = Pace(200, 5, 0.0)
    assert all(pace.spend(second / 200) == 0 for second in range(1, 1000))


def test_rest_is_saved_up_to_one_burst():
    pace = Pace(10, 5, 0.0)
    assert [pace.spend(1000.0) for _ in range(5)] == [0] * 5
    assert pace.spend(1000.0) == 0.1
