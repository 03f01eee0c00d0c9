"""inflate: the four forms told apart, limits kept, broken and ambiguous frames refused by name."""

from __future__ import annotations

import gzip
import json
import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.wire.inflate import MAX_MEMBERS, REASONS, InflateLimits, inflate, peek
from tests.support.child import in_child
from tests.support.deflate import (
    FORMS,
    TEXT_AND_RAW_AT_ONCE,
    WBITS,
    bomb,
    raw_deflate,
    zlib_and_raw_at_once,
)

TEXT = b'{"channel":"change_xml","data":"' + b"1828723^1^1^0^^^0^0^" * 200 + b'"}'


def refused(payload, limits=None):
    with pytest.raises(DecodeError) as error:
        inflate(payload, limits) if limits else inflate(payload)
    return error.value.reason


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_text(form):
    assert inflate(FORMS[form](TEXT)) == TEXT


@pytest.mark.parametrize("form", WBITS)
@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED])
def test_each_level_and_strategy_is_read(form, level, strategy):
    for text in (b"[]", TEXT, "<c>ä€😀</c>".encode() * 50):
        packer = zlib.compressobj(level, wbits=WBITS[form], strategy=strategy)
        assert inflate(packer.compress(text) + packer.flush()) == text


# --- limits


@pytest.mark.parametrize("form", WBITS)
def test_fault_53_bombs_are_refused_quickly(form):
    for size in (2 << 20, 16 << 20, 1 << 30):
        payload = bomb(form, size)
        start = time.process_time()  # a neighbour may take the core for a while
        assert refused(payload) == "too large"
        assert time.process_time() - start < 0.5  # 25 ms here; 50 ms is asserted in the child, best of three


def test_fault_53_bombs_cost_neither_time_nor_memory():
    figures = in_child("""
        import gc
        from tests.support.deflate import bomb
        from tes_nb.errors import DecodeError
        from tes_nb.wire.inflate import inflate
        bombs = [bomb(form, size << 20) for form in ("zlib", "gzip", "raw") for size in (1, 4, 8, 16, 1024)]
        gc.collect()
        before, slowest = peak_memory(), 0
        for payload in bombs:
            best = 1e9
            for _ in range(3):
                start = time.process_time()
                try:
                    inflate(payload)
                except DecodeError:
                    pass
                best = min(best, time.process_time() - start)
            slowest = max(slowest, best)
        print(json.dumps({"grown": peak_memory() - before, "slowest": slowest}))
    """)
    assert figures["grown"] <= 32 << 20
    assert figures["slowest"] <= 0.05


def test_the_limits_are_exact():
    limits = InflateLimits(wire=1000, inflated=4000, ratio=10, ratio_from=2000)
    noise = bytes(random.Random(1).choices(b"abcdefghijklmnopqrstuvwxyz", k=4001))
    assert inflate(zlib.compress(b"a" * 2000), limits) == b"a" * 2000  # any ratio up to ratio_from
    assert refused(zlib.compress(b"a" * 2001), limits) == "too large"
    assert refused(b"a" * 1001, limits) == "too large"
    assert inflate(b"a" * 1000, limits) == b"a" * 1000
    wide = InflateLimits(wire=5000, inflated=4000, ratio=10, ratio_from=2000)
    assert inflate(zlib.compress(noise[:4000]), wide) == noise[:4000]
    assert refused(zlib.compress(noise), wide) == "too large"


def test_the_defaults_are_one_and_eight_mebibytes():
    lines = b"\n".join(b"%d" % number for number in range(1_200_000))
    for form in WBITS:
        packer = zlib.compressobj(9, wbits=WBITS[form])
        whole = packer.compress(lines[: 3 << 20]) + packer.flush()
        assert (1 << 16) < len(whole) <= 1 << 20
        assert inflate(whole) == lines[: 3 << 20]
    with pytest.raises(FrameTooLarge):
        inflate(b" " * ((1 << 20) + 1))


# --- broken frames


def test_fault_55_only_one_layer_is_inflated():
    for outer in (zlib.compress, gzip.compress, raw_deflate):
        for inner in (zlib.compress, gzip.compress):
            assert refused(outer(inner(TEXT))) == "twice compressed"


def test_fault_55_gzip_members_count_together():
    parts = [TEXT[at : at + 20] for at in range(0, len(TEXT), 20)]
    assert inflate(b"".join(map(gzip.compress, parts))) == TEXT
    thousand = gzip.compress(b"<c/>") * MAX_MEMBERS
    assert inflate(thousand) == b"<c/>" * MAX_MEMBERS
    assert refused(thousand + gzip.compress(b"")) == "too large"
    assert refused(b"".join([bomb("gzip", 1 << 20)] * 9)) == "too large"
    spread = b"".join(gzip.compress((b"%d" % number * 9000)[:9000]) for number in range(999))
    assert len(spread) <= 1 << 20
    assert refused(spread) == "too large"  # 999 times 9,000 bytes are more than 8 MiB


def test_members_of_many_slices_are_read_without_copying_the_rest_each_time():
    noise = bytes(random.Random(2).choices(b"abcdefgh", k=90_000))
    assert inflate(gzip.compress(noise) * 3) == noise * 3


@pytest.mark.parametrize("form", WBITS)
def test_fault_55_truncated_frames_are_refused_at_every_byte(form):
    whole = FORMS[form](TEXT)
    for end in range(2 if form != "raw" else 1, len(whole)):
        assert refused(whole[:end]) in {"truncated", "corrupt", "not text"}
    assert refused(whole[:-1]) == "truncated"
    big = FORMS[form](bytes(random.Random(3).choices(range(32, 127), k=150_000)))
    assert len(big) > 1 << 16
    assert refused(big[:-1]) == "truncated"


@pytest.mark.parametrize("form", WBITS)
def test_fault_55_trailing_bytes_are_refused(form):
    big = bytes(random.Random(4).choices(range(32, 127), k=150_000))
    for junk in (b"x", b"\0", TEXT, b"\x1f\x8c"):
        assert refused(FORMS[form](TEXT) + junk) == "trailing bytes"
        assert refused(FORMS[form](big) + junk) == "trailing bytes"
    assert refused(gzip.compress(TEXT) + b"\x1f\x8b") == "truncated"


@pytest.mark.parametrize("form", ["zlib", "gzip"])
def test_fault_55_a_bad_checksum_is_refused(form):
    for text in (TEXT, bytes(random.Random(5).choices(range(32, 127), k=150_000))):
        whole = bytearray(FORMS[form](text))
        whole[-5 if form == "gzip" else -1] ^= 1
        assert refused(bytes(whole)) == "corrupt"


def test_fault_55_a_preset_dictionary_is_refused():
    packer = zlib.compressobj(zdict=b"change_xml")
    assert refused(packer.compress(TEXT) + packer.flush()) == "preset dictionary"


# --- telling the forms apart


def _documents(count, seed):
    """JSON and XML of all sizes, as many as wanted."""
    rng = random.Random(seed)
    letters = "abc^,0123456789 äß€😀{}[]<>:\"'\n"
    for number in range(count):
        words = ["".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(rng.randrange(40))]
        match number % 4:
            case 0:
                yield json.dumps(words, ensure_ascii=rng.random() < 0.5).encode()
            case 1:
                yield json.dumps(
                    {"channel": "change_xml", "data": words}, indent=rng.choice((None, 1))
                ).encode()
            case 2:
                records = "".join(f"<h><![CDATA[{word}]]></h>" for word in words)
                yield f'<c refresh="0">{records}</c>'.encode()
            case _:
                yield str(rng.choice(("ok", "null", rng.random(), rng.randrange(10**9), '""'))).encode()


def test_fault_56_the_form_is_recognised_for_ten_thousand_payloads():
    rng = random.Random(56)
    right = 0
    for text in _documents(10_000, seed=56):
        form = rng.choice(list(FORMS))
        if form == "plain":
            payload = text
        else:
            packer = zlib.compressobj(rng.randrange(10), wbits=WBITS[form], strategy=rng.randrange(5))
            payload = packer.compress(text) + packer.flush()
        right += inflate(payload) == text
    assert right == 10_000


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from(list(FORMS)), st.integers(0, 9)
)
def test_fault_56_the_form_is_recognised_or_refused_as_ambiguous(text, form, level):
    data = text.encode()
    packer = zlib.compressobj(level, wbits=WBITS.get(form, 15))
    payload = data if form == "plain" else packer.compress(data) + packer.flush()
    try:
        inflated = inflate(payload)
    except DecodeError as error:
        assert error.reason == "ambiguous"
        assert zlib.decompressobj(-15).decompress(payload).decode() is not None
    else:
        assert inflated == data


@pytest.mark.parametrize("payload", TEXT_AND_RAW_AT_ONCE)
def test_fault_56_text_that_is_also_raw_deflate_is_ambiguous(payload):
    other = zlib.decompressobj(-15).decompress(payload)
    assert other.decode()
    assert other != payload
    assert refused(payload) == "ambiguous"


def test_fault_56_zlib_that_is_also_raw_deflate_is_ambiguous():
    payload = zlib_and_raw_at_once()
    raw = zlib.decompressobj(-15)
    assert raw.decompress(payload).decode() != zlib.decompress(payload)
    assert raw.eof
    assert not raw.unused_data
    assert refused(payload) == "ambiguous"


def test_bytes_that_are_neither_text_nor_compressed_are_refused():
    assert refused(raw_deflate(b"\xff\xfe\x00\x01")) == "not text"
    assert refused(bytes(range(128, 256))) in REASONS
    assert inflate(b"") == b""


@given(st.binary(max_size=300))
def test_any_bytes_are_inflated_or_refused_by_name(payload):
    try:
        inflate(payload)
    except DecodeError as error:
        assert error.reason in REASONS


@given(st.sampled_from(list(FORMS)), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_frame_gives_text_or_a_named_refusal(form, at, damage):
    whole = FORMS[form](TEXT[:300])
    broken = whole[:at] + damage + whole[at + len(damage) :]
    try:
        inflate(broken)
    except DecodeError as error:
        assert error.reason in REASONS


@pytest.mark.parametrize("form", FORMS)
def test_peek_sees_the_first_bytes(form):
    assert peek(FORMS[form](TEXT)) == TEXT[:16]


@pytest.mark.parametrize("size", [1, 5, 16, 17])
def test_peek_goes_on_to_the_next_member(size):
    members = b"".join(gzip.compress(TEXT[at : at + size]) for at in range(0, len(TEXT), size))
    assert peek(members) == TEXT[:16]
    assert peek(members, 40) == TEXT[:40]
    assert peek(gzip.compress(b"") * 50_000 + members) == b"", "no search through a megabyte"
    assert peek(gzip.compress(TEXT[:3]) + b"no member") == TEXT[:3]


@given(st.binary(max_size=100))
def test_peek_never_raises(payload):
    assert len(peek(payload)) <= 16
