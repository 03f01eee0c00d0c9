"""Series put together from blocks: what is said of them without making them, beside the made ones."""

import math

import numpy as np
import pytest

from tes_nb.analysis.differences import DRAWS, _block_length, _drawn


@pytest.mark.parametrize("count", [20, 21, 119, 1_000, 3_601])
def test_measures_of_drawn_series_equal_those_of_the_series_made(count: int) -> None:
    values = np.random.default_rng(count).integers(0, 50, count) / 4
    length = _block_length(count)
    starts = np.random.default_rng(7).integers(
        0, count - length + 1, (DRAWS, -(-count // length)), dtype=np.int32
    )
    made = [sorted(np.concatenate([values[at : at + length] for at in row])[:count]) for row in starts]
    expected = [
        [one[(count - 1) // 2], one[math.ceil(0.95 * (count - 1))], one[-1], sum(one) / count * 60]
        for one in made
    ]

    drawn = _drawn(values, 60.0, np.random.default_rng(7))

    np.testing.assert_allclose(drawn.T, expected, rtol=1e-12)
