"""Records of the relay: what travels together comes apart again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import DecodeError
from tes_nb.wire.record import join, split, unpack


@given(st.lists(st.binary(min_size=1, max_size=60).map(lambda tail: b"\x01" + tail), min_size=1, max_size=9))
def test_records_that_travel_together_come_apart_again(records):
    assert list(split(join(records))) == records


def test_one_record_travels_as_it_is():
    assert join([b"\x01record"]) == b"\x01record"


@pytest.mark.parametrize(
    "message", [b"\x02", b"\x02\x05", b"\x02\xff\xff\xff\xff\x01short", b"\x02\x00\x00\x00\x00"]
)
def test_a_batch_that_is_none_gives_no_record(message):
    for record in split(message):
        with pytest.raises(DecodeError):
            unpack("feed", record)
