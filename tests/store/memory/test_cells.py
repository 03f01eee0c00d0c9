"""Python values become cells, or are refused one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.store.memory.buffers import encode
from tes_nb.store.memory.cells import NAT, Cells
from tests.support.rows import instants, int64s

VALUES = {
    "float64": st.none() | st.floats(),
    "int64": int64s,
    "Int64": st.none() | int64s,
    "boolean": st.none() | st.booleans(),
    "datetime64[ns, UTC]": st.none() | instants,
}


def back(dtype, encoded):
    """The values that the cells stand for."""
    absent = Cells(dtype, encoded.values, encoded.mask).absent()
    values = zip(encoded.values.tolist(), absent, strict=True)
    return [None if gone else value for value, gone in values]


@pytest.mark.parametrize("dtype", VALUES)
def test_values_come_back(dtype):
    @given(st.lists(VALUES[dtype]))
    def check(values):
        encoded = encode(dtype, values)
        wanted = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        assert back(dtype, encoded) == wanted
        assert encoded.unfit == ()

    check()


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        ("float64", "1,85"),
        ("float64", 10**400),
        ("Int64", 1.5),
        ("Int64", "7"),
        ("Int64", 2**63),
        ("Int64", math.nan),
        ("boolean", 2),
        ("boolean", "yes"),
        ("datetime64[ns, UTC]", 1.7e18),
        ("datetime64[ns, UTC]", -(2**63) - 1),
    ],
)
def test_what_does_not_fit_is_absent_and_reported_while_its_neighbours_stay(dtype, bad):
    encoded = encode(dtype, [1, bad, None, 0])
    assert back(dtype, encoded) == [1, None, None, 0]
    assert encoded.unfit == (1,)


def test_an_int_that_must_not_be_absent_is_reported_for_the_row_to_be_refused():
    encoded = encode("int64", [1, None, 1.5, 2**64, 4])
    assert encoded.unfit == (1, 2, 3)
    assert encoded.values[[0, 4]].tolist() == [1, 4]


def test_take_repeats_cells_and_their_faults():
    encoded = encode("Int64", [1, "x", 3]).take(np.array([2, 1, 1]))
    assert back("Int64", encoded) == [3, None, None]
    assert encoded.unfit == (1, 2)


def test_views_get_floats_times_and_objects():
    masked = Cells("Int64", np.array([1, 0]), np.array([False, True])).numpy()
    assert masked.dtype == np.float64
    np.testing.assert_array_equal(masked, [1.0, np.nan])
    times = Cells("datetime64[ns, UTC]", np.array([5, NAT])).numpy()
    assert times.dtype == "M8[ns]"
    assert np.isnat(times).tolist() == [False, True]
    text = Cells("str", np.array([1, -1, 1], np.int8), None, ["a", "b"]).numpy()
    assert text.tolist() == ["b", None, "b"]
    assert not any(array.flags.writeable for array in (masked, times, text))


@given(st.lists(st.integers(-1, 300), max_size=40))
def test_compact_keeps_the_words_in_use_alone(places):
    words = [f"w{number}" for number in range(301)]
    used, moved = Cells("str", np.array(places, np.int16), None, words).compact()
    assert [used[place] if place >= 0 else None for place in moved] == [
        words[place] if place >= 0 else None for place in places
    ]
    assert sorted(used) == sorted({words[place] for place in places if place >= 0})
