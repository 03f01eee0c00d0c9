"""The binary append: sizes, alignment, refusals. What it means is tested by the front end that reads it."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.views.append import Block, pack


def test_header_and_json_are_as_documented():
    packed = pack(5, [], keyframe=True, series=[{"key": "ä"}])
    magic, version, flags, blocks, sequence, length = struct.unpack_from("<4sBBHII", packed)
    assert (magic, version, flags, blocks, sequence) == (b"TNBA", 1, 1, 0, 5)
    assert length % 8 == 0
    assert json.loads(packed[16 : 16 + length]) == {"series": [{"key": "ä"}]}


@given(rows=st.integers(0, 50), width=st.integers(0, 9), sequence=st.integers(0, 2**40))
def test_every_block_begins_at_a_multiple_of_eight(rows: int, width: int, sequence: int):
    block = Block(range(width), np.zeros(rows), np.zeros((width, rows)))
    packed = pack(sequence, [block, block])
    size = 8 + -(-4 * width // 8) * 8 + 8 * rows * (1 + width)
    assert len(packed) == 16 + 2 * size
    assert struct.unpack_from("<II", packed, 16 + size) == (rows, width)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 series of 3 times"):
        pack(1, [Block([0, 1], np.zeros(3), np.zeros((3, 2)))])
    with pytest.raises(ValueError, match="at most 65535 blocks"):
        pack(1, [Block([], np.zeros(0), np.zeros((0, 0)))] * 65_536)


def test_six_series_at_two_hertz_are_within_two_kilobytes_a_second():
    tick = pack(1, [Block(range(6), np.zeros(1), np.zeros((6, 1)))])
    assert 2 * len(tick) < 2_000
