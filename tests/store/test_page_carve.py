"""Rows are found in real pages of real files, and nothing else is."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from tes_nb.model import Message
from tes_nb.store.page_carve import _encode_varint, _varint, carve
from tes_nb.store.session.schema import PAGE_SIZE
from tests.support.sessions import write_session

numbers = st.integers(-(2**63), 2**63 - 1)
messages = st.builds(
    Message,
    source=st.sampled_from(["a", "b"]),
    direction=st.integers(0, 255),
    opcode=st.integers(1, 255),
    payload=st.binary(max_size=300)
    | st.integers(3000, 20_000).map(lambda size: bytes(range(256)) * (size // 256 + 1)),
    t_wall_ns=numbers,
    t_mono_ns=numbers,
    conn=st.integers(0, 2**32 - 1),
    seq=st.integers(0, 2**63 - 1),
    flags=st.integers(0, 255),
)


@settings(max_examples=30)
@given(st.lists(messages, min_size=1, max_size=30))
def test_every_row_of_any_session_is_found_once_and_exactly(tmp_path_factory, sent):
    path = write_session(tmp_path_factory.mktemp("carve") / "a.tes", sent, group=7)
    data = path.read_bytes()

    def page(number: int) -> bytes | None:
        return data[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] if number > 0 else None

    found = {}
    for number in range(1, len(data) // PAGE_SIZE + 1):
        for row in carve(page(number), (page,)):
            if row.source_id:
                found[row.id] = (row.source_id, row.message)
    names: list[str] = []
    for message in sent:
        names += [message.source] * (message.source not in names)
    expected = [
        (
            names.index(message.source) + 1,
            Message("", *(getattr(message, name) for name in Message.__struct_fields__[1:])),
        )
        for message in sent
    ]
    assert [found[number] for number in sorted(found)] == expected


@given(st.binary(min_size=512, max_size=PAGE_SIZE))
def test_no_row_is_found_in_noise(page):
    assert list(carve(page, (lambda _: page,))) == []


def test_a_page_that_looks_like_rows_all_over_ends():
    header = b"\x0d\x00" + b"\x01" * 9 + b"\xc4\x14"
    page = (header * 400)[:PAGE_SIZE]
    assert list(carve(page, (lambda _: page, lambda _: os.urandom(PAGE_SIZE)))) == []


@given(st.integers(0, 2**28 - 1))
def test_varints(value):
    encoded = _encode_varint(value)
    assert _varint(encoded, 0) == (value, len(encoded))
