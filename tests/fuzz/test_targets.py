"""Every fuzz target for a moment: random bytes, damaged real messages, and grammar gone wrong."""

from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.support.deflate import FORMS
from tests.support.nowgoal_corpus import CHANNELS, ENVELOPES, PROP, TICK

SEEDS = [
    *(wrap(xml, channel).encode() for channel, xml in CHANNELS.items() for wrap in ENVELOPES.values()),
    json.dumps([TICK, PROP]).encode(),
    json.dumps({"odds": TICK}).encode(),
    b'<oddsChange gameId="1" type="ml" old="1" new="2" time="3"><market home="a" away="b" league="c"/></oddsChange>',
    b"eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDAwMDAwMDB9.c2lnbmF0dXJl",
    b"ok",
    b"-----",
]
TOKENS = [
    *(
        "<c>",
        "</c>",
        "<h>",
        "</h>",
        "<![CDATA[",
        "]]>",
        "<match>",
        "<m>",
        "</m>",
        "</match>",
        "^",
        ",",
        "1",
        "-1",
    ),
    *(
        "2020-01-09 06:15:00",
        ":",
        "1.5",
        '{"',
        '":',
        '"}',
        "[",
        "]",
        "{",
        "}",
        '"gameId"',
        '"odds"',
        '"market"',
        "null",
    ),
    *(
        '"channel":"change_xml"',
        '"data":"<c>',
        "<oddsChange ",
        'old="1"',
        "/>",
        "&amp;",
        "\\ud800",
        "é",
        "\x00",
        "NaN",
    ),
]

DAMAGED = st.builds(
    lambda seed, at, cut, put: seed[: at % (len(seed) + 1)] + put + seed[at % (len(seed) + 1) + cut :],
    st.sampled_from(SEEDS),
    st.integers(0, 1000),
    st.integers(0, 20),
    st.binary(max_size=6) | st.sampled_from([token.encode() for token in TOKENS]),
)
GRAMMAR = st.lists(st.sampled_from(TOKENS), max_size=25).map("".join).map(str.encode)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150)
@given(data=st.binary(max_size=200) | DAMAGED | GRAMMAR)
def test_fault_61_no_bytes_crash_a_parser(target, data):
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_fault_61_damaged_messages_crash_no_parser(target):
    rng = random.Random(target)
    for _ in range(300):
        data = bytearray(FORMS[rng.choice(list(FORMS))](rng.choice(SEEDS)))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        TARGETS[target](bytes(data))


def test_the_seeds_are_good_messages():
    assert len(SEEDS) > 30
    assert all(zlib.decompress(FORMS["zlib"](seed)) == seed for seed in SEEDS)
