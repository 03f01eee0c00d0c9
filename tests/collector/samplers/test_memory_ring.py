"""The ring against a plain list of everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tes_nb.collector.samplers.memory import MERGED, Cpu, Level, MemoryRing


def filled(levels: list[int], *, fine: int = 6000, coarse: int = 8640) -> MemoryRing:
    """One sample at 100, 200, 300 … with that memory; the kernel uses 1 s of CPU a sample, the children 2 s."""
    ring = MemoryRing(fine, coarse)
    for number, level in enumerate(levels, 1):
        ring.add(
            number * 100, Level(level, 2 * level, level // 2, 3 * level), Cpu(float(number), 2.0 * number)
        )
    return ring


def test_an_empty_ring_knows_nothing() -> None:
    assert MemoryRing().between(0, 10) is None


def test_a_stretch_before_the_first_sample_is_not_known() -> None:
    assert filled([5]).between(10, 90) is None
    assert filled([5]).between(200, 100) is None, "an end before its start"


def test_peaks_and_means() -> None:
    span = filled([10, 50, 30, 90]).between(100, 300)
    assert span is not None
    assert (span.samples, span.rss_peak, span.rss_mean) == (3, 50, 30)
    assert (span.children_rss_peak, span.children_rss_mean, span.children_peak) == (100, 60, 25)
    assert span.total_peak == 150


def test_a_peak_between_two_samples_counts() -> None:
    ring = filled([10, 50])
    ring.add(300, Level(20, 0, 0, 20), Cpu(3, 6), Level(90, 0, 0, 95))
    span = ring.between(100, 300)
    assert span is not None
    assert (span.rss_peak, span.total_peak, span.rss_mean) == (90, 150, pytest.approx(80 / 3))


def test_cpu_is_interpolated_at_both_ends() -> None:
    span = filled([1] * 5).between(150, 350)
    assert span is not None
    assert (span.cpu_s, span.children_cpu_s) == (pytest.approx(2.0), pytest.approx(4.0))


def test_what_floats_leave_is_no_cpu_time() -> None:
    ring = filled([10, 10])
    for at, share in ((300, 0.1), (400, 0.3 - 0.2)):  # 0.09999999999999998
        ring.add(at, Level(20, 0, 0, 20), Cpu(share, share))
    span = ring.between(300, 400)
    assert span is not None
    assert (span.cpu_s, span.children_cpu_s) == (0, 0)


def test_a_stretch_between_two_samples_takes_those_around_it() -> None:
    span = filled([10, 70]).between(120, 180)
    assert span is not None
    assert (span.samples, span.rss_peak, span.rss_mean) == (0, 70, 40)
    assert span.cpu_s == pytest.approx(0.6)


def test_a_stretch_after_the_last_sample_uses_no_cpu() -> None:
    span = filled([10, 70]).between(900, 1000)
    assert span is not None
    assert (span.rss_peak, span.cpu_s) == (70, 0.0)


def test_space_is_bounded_and_old_peaks_are_kept() -> None:
    levels = [1] * 3000
    levels[17] = 999
    ring = filled(levels, fine=500, coarse=50)
    assert len(ring) <= 500 + MERGED + 50
    whole = ring.between(0, 10**9)
    assert whole is not None
    assert (whole.samples, whole.rss_peak) == (3000, 999)
    assert whole.cpu_s == pytest.approx(3000 - 100), "the oldest coarse sample stands for its end"


def test_the_oldest_are_forgotten_at_last() -> None:
    ring = filled([7] * 1000 + [1] * 2000, fine=200, coarse=5)
    whole = ring.between(0, 10**9)
    assert whole is not None
    assert whole.rss_peak == 1
    assert ring.between(0, 50_000) is None


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=400), st.integers(0, 50_000), st.integers(0, 50_000)
)
def test_fine_samples_agree_with_a_list(levels: list[int], start: int, length: int) -> None:
    span = filled(levels).between(start, start + length)
    inside = [level for number, level in enumerate(levels, 1) if start <= number * 100 <= start + length]
    if inside:
        assert span is not None
        assert (span.samples, span.rss_peak) == (len(inside), max(inside))
        assert span.rss_mean == pytest.approx(sum(inside) / len(inside))
    else:
        assert span is None or span.samples == 0


@settings(max_examples=25)
@given(st.lists(st.integers(0, 10**12), min_size=300, max_size=900), st.data())
def test_merged_samples_lose_no_peak(levels: list[int], data: st.DataObject) -> None:
    ring = filled(levels, fine=50)
    first = data.draw(st.integers(1, len(levels)))
    last = data.draw(st.integers(first, len(levels)))
    span = ring.between(first * 100, last * 100)
    assert span is not None
    assert span.rss_peak >= max(levels[first - 1 : last])
    assert span.samples >= last - first + 1
