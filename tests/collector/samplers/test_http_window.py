"""The minute of requests, on an injected clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.samplers.http_window import WINDOW_S, HttpWindow


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def window() -> tuple[HttpWindow, Clock]:
    clock = Clock()
    return HttpWindow(clock=clock), clock


def request(
    counted: HttpWindow, clock: Clock, *, route: str | None = "/a", status: int = 200, took: float = 0.0
) -> None:
    started = counted.begin()
    clock.now += took
    counted.end(started, route=route, status=status)


def test_nothing_asked_is_all_zero() -> None:
    counted, clock = window()
    for _ in range(2):
        facts = counted.facts(14)
        assert (facts.pending, facts.total, facts.latency_ms, facts.per_second, facts.error_rate) == (
            0,
            0,
            0,
            0,
            0,
        )
        assert (facts.total_routes, facts.active_routes) == (14, 0)
        clock.now += 10_000


def test_requests_in_flight() -> None:
    counted, _ = window()
    first, second = counted.begin(), counted.begin()
    assert counted.facts(1).pending == 2
    counted.end(first, route="/a", status=200)
    assert (counted.facts(1).pending, counted.facts(1).total) == (1, 1)
    counted.end(second, route=None, status=None)
    assert (counted.facts(1).pending, counted.facts(1).total) == (0, 1), "a client that left got no answer"


def test_latency_rate_and_errors() -> None:
    counted, clock = window()
    clock.now += 120
    for status, took in ((200, 0.010), (404, 0.020), (500, 0.030), (302, 0.040)):
        request(counted, clock, status=status, took=took)
    facts = counted.facts(1)
    assert facts.latency_ms == pytest.approx(25.0)
    assert facts.error_rate == 0.5
    assert facts.per_second == pytest.approx(4 / WINDOW_S, abs=0.001)


def test_the_rate_of_a_young_window_counts_over_its_age() -> None:
    counted, clock = window()
    for _ in range(10):
        request(counted, clock)
    assert counted.facts(1).per_second == 10
    clock.now += 4
    assert counted.facts(1).per_second == 2.5


def test_what_is_older_than_the_window_is_forgotten_and_totals_stay() -> None:
    counted, clock = window()
    request(counted, clock, route="/old", status=500, took=1.0)
    clock.now += WINDOW_S
    request(counted, clock, route="/new")
    facts = counted.facts(2)
    assert (facts.error_rate, facts.latency_ms, facts.active_routes, facts.total) == (0, 0, 1, 2)


def test_routes_that_answered() -> None:
    counted, clock = window()
    for route in ("/a", "/b", "/a", None):
        request(counted, clock, route=route)
    assert counted.facts(9).active_routes == 2


def test_a_suspended_machine_comes_back_with_an_empty_window() -> None:
    counted, clock = window()
    for _ in range(100):
        request(counted, clock, status=500)
        clock.now += 1
    clock.now += 7200
    assert counted.facts(1).error_rate == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30), st.floats(0, 2), st.sampled_from([200, 304, 400, 500]), st.sampled_from("abc")
        ),
        max_size=60,
    )
)
def test_agrees_with_a_plain_list(requests: list[tuple[float, float, int, str]]) -> None:
    counted, clock = window()
    answered = []
    for pause, took, status, route in requests:
        clock.now += pause
        request(counted, clock, route=route, status=status, took=took)
        answered.append((int(clock.now), took, status, route))
    kept = [one for one in answered if one[0] > int(clock.now) - WINDOW_S]
    facts = counted.facts(3)
    assert facts.total == len(answered)
    assert facts.active_routes == len({route for *_, route in kept})
    errors = sum(status >= 400 for _, _, status, _ in kept)
    assert facts.error_rate == pytest.approx(errors / len(kept) if kept else 0, abs=1e-4)
    mean = sum(took for _, took, _, _ in kept) / len(kept) * 1000 if kept else 0
    assert facts.latency_ms == pytest.approx(mean, abs=0.01)
