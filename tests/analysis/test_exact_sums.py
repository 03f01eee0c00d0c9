import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.analysis import exact_sums
from tes_nb.analysis.exact_sums import GrowingSums, WindowSums

VALUES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.3, 1 / 3, 1.0, 2.0**-20, 1023.9, 1e15, 1e300, 5e-324, 1e-9]),
    st.floats(0, 2),
    st.floats(0, 1e300),
)


@given(st.lists(VALUES, max_size=40), st.data(), st.sampled_from([0, 14, 32]))
def test_any_window_is_the_correctly_rounded_sum(values, data, shift):
    low = data.draw(st.integers(0, len(values)))
    high = data.draw(st.integers(low, len(values)))
    expected = math.fsum(values[low:high])
    sums = WindowSums(np.array(values, dtype=np.float64), shift)
    assert sums.of(np.array([low]), np.array([high]))[0] == expected
    growing = GrowingSums(shift)
    for value in values:
        growing.append(value)
    assert growing.of(values, low, high) == expected


def test_a_million_sums_are_exact():
    rng = np.random.default_rng(3)
    values = np.abs(rng.normal(0, 0.05, 100_000)) * rng.integers(0, 2, 100_000)
    high = np.arange(1, len(values) + 1)
    low = np.maximum(high - rng.integers(1, 40, len(values)), 0)
    found = WindowSums(values, 32).of(low, high)
    assert all(found[i] == math.fsum(values[low[i] : high[i]]) for i in range(0, len(values), 7))


def test_long_windows_are_exact(monkeypatch):
    values = np.full(5000, 0.1)
    low, high = np.zeros(1, dtype=np.int64), np.array([5000])
    assert WindowSums(values, 32).of(low, high)[0] == math.fsum(values)
    monkeypatch.setattr(exact_sums, "_LONGEST", 100)
    assert WindowSums(values, 32).of(low, high)[0] == math.fsum(values)


def test_running_sums_may_wrap():
    # whole parts of 2**41 each: their running sum leaves 64 bits, the windows do not
    values = np.full(1 << 23, 2.0**9)
    high = np.array([1, 1 << 22, 1 << 23])
    assert list(WindowSums(values, 32).of(high - 1, high)) == [512.0] * 3


def test_growing_sums_are_cut_at_both_ends():
    sums, values = GrowingSums(32), [0.1, 0.2, 0.3, 1e-30, 0.5]
    for value in values:
        sums.append(value)
    sums.cut(1, 4)
    values = values[1:4]
    assert sums.of(values, 0, 2) == math.fsum([0.2, 0.3])
    assert sums.of(values, 1, 3) == math.fsum([0.3, 1e-30])
    sums.append(0.7)
    assert sums.of([*values, 0.7], 2, 4) == math.fsum([1e-30, 0.7])
    sums.cut(2)
    assert sums.of([1e-30, 0.7], 1, 2) == pytest.approx(0.7, abs=0)
