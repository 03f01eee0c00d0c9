"""json_guard: what is refused, under which reason, and that good JSON passes unchanged."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.errors import DecodeError, FrameTooLarge
from tes_nb.wire import json_guard
from tes_nb.wire.json_guard import MAX_DEPTH, REASONS, decode_json, parse_json

REFUSED = {
    "depth 65": (b"[" * 65 + b"]" * 65, "too deep"),
    "depth 65 of objects": (b'{"a":' * 65 + b"1" + b"}" * 65, "too deep"),
    "depth 65 behind many short arrays": (b"[" + b"[]," * 100 + b"[" * 64 + b"]" * 65, "too deep"),
    "depth 500": (b"[" * 500 + b"]" * 500, "too deep"),
    "depth 100 k": (b"[" * 100_000 + b"]" * 100_000, "too deep"),
    "depth 100 k, never closed": (b'{"a":[' * 100_000, "too deep"),
    "integer of 1 M digits": (b"9" * 1_000_000, "integer"),
    "integer of 5,000 digits": (b'{"a":' + b"1" * 5_000 + b"}", "integer"),
    "integer of 20 digits": (b"[10000000000000000000]", "integer"),
    "integer of 2**63": (b'{"a":{"b":[1,9223372036854775808]}}', "integer"),
    "integer below -2**63": (b"[-9223372036854775809]", "integer"),
    "NaN": (b'{"a":NaN}', "number"),
    "bare NaN": (b"NaN", "number"),
    "Infinity": (b"[1,Infinity]", "number"),
    "-Infinity": (b"[-Infinity]", "number"),
    "1e999": (b'{"a":1e999}', "number"),
    "-1e999": (b"-1e999", "number"),
    "duplicate key": (b'{"a":1,"a":1}', "duplicate key"),
    "duplicate key, inner": (b'{"a":[{"b":1,"c":2,"b":3}]}', "duplicate key"),
    "duplicate key, escaped": (b'{"a":1,"\\u0061":2}', "duplicate key"),
    "duplicate key behind an escaped colon": (b'{"a":"x\\u003a","a":1}', "duplicate key"),
    "duplicate key before an escaped colon": (b'{"a":1,"a":"x\\u003a"}', "duplicate key"),
    "duplicate key behind a colon in text": (b'{"a":":","a":""}', "duplicate key"),
    "duplicate empty key": (b'{"":1,"":2}', "duplicate key"),
    "duplicate key, blanks before colons": (b'{"a" :1, "b": 2, "a": 3}', "duplicate key"),
    "lone high surrogate": (b'"\\ud800"', "surrogate"),
    "lone high surrogate, then text": (b'["\\ud800 and more text"]', "surrogate"),
    "lone low surrogate": (b'{"a":"\\udc00"}', "surrogate"),
    "two high surrogates": (b'"\\ud800\\ud800"', "surrogate"),
    "surrogate as a key": (b'{"\\ud800":1}', "surrogate"),
    "surrogate encoded as UTF-8": (b'"\xed\xa0\x80"', "utf-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "bom"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "utf-8"),
    "invalid UTF-8 in a value": (b'{"a":"\xff"}', "utf-8"),
    "invalid UTF-8 in a key": (b'{"\xc3(":1}', "utf-8"),
    "overlong UTF-8": (b'"\xc0\xaf"', "utf-8"),
    "empty": (b"", "not JSON"),
    "cut off": (b'{"a":1', "not JSON"),
    "trailing comma": (b"[1,]", "not JSON"),
    "two values": (b"{}{}", "not JSON"),
    "control character": (b'"\x01"', "not JSON"),
    "leading zero": (b"[01]", "not JSON"),
    "ok": (b"ok", "not JSON"),
    "XML": (b"<c/>", "not JSON"),
    "half an escape": (b'"\\u12"', "not JSON"),
}

ACCEPTED = (
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    b"9223372036854775807",
    b"-9223372036854775808",
    b'{"a":"12345678901234567890","b":0.12345678901234567890123}',
    b'{"a":"\\ud83d\\ude00 \\u003a"}',
    '{"ä:":"::"}'.encode(),
    b' {"a" : [ 1 , 2.5e-3 ] }\n',
    b'{"a":{"x":1},"b":{"x":1}}',
    b'{"a":"[[[[{{{{"}',
    b"[" + b"[1]," * 200 + b"[]]",
    b"null",
    b'"\\\\ud800"',
)


@pytest.mark.parametrize("name", REFUSED)
def test_fault_58_refused_json_is_named(name):
    payload, reason = REFUSED[name]
    with pytest.raises(DecodeError) as refused:
        parse_json(payload)
    assert refused.value.reason == reason
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("payload", ACCEPTED)
def test_good_json_passes_and_is_returned_whole(payload):
    assert parse_json(payload) == json.loads(payload)


class Loose(msgspec.Struct):
    a: int | None = None


LOOSE = msgspec.json.Decoder(Loose)


@pytest.mark.parametrize("name", REFUSED)
def test_fault_58_unknown_fields_are_looked_into(name):
    payload, _ = REFUSED[name]
    with pytest.raises(DecodeError) as refused:
        decode_json(b'{"unknown":' + payload + b"}", LOOSE)
    assert refused.value.reason in REASONS


def test_what_msgspec_lets_through_is_why_the_guard_exists():
    for payload in (
        b'{"u":1e999}',
        b'{"u":"\xff"}',
        b'{"u":' + b"9" * 5000 + b"}",
        b'{"u":' + b"[" * 70 + b"]" * 70 + b"}",
    ):
        assert LOOSE.decode(payload) == Loose()
        with pytest.raises(DecodeError):
            decode_json(payload, LOOSE)


def test_a_wrong_form_is_the_schema_s_fault():
    with pytest.raises(DecodeError) as refused:
        decode_json(b'{"a":"x"}', LOOSE)
    assert refused.value.reason == "schema"
    assert decode_json(b'{"a":7,"more":[1]}', LOOSE) == Loose(7)


def test_a_flood_of_items_is_refused_before_it_takes_memory():
    with pytest.raises(FrameTooLarge):
        parse_json(b"[" + b"[]," * (json_guard.MAX_ITEMS + 1) + b"[]]")


def _acceptable(value, depth=1):
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth <= MAX_DEPTH and all(_acceptable(item, depth + 1) for item in inner)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=40,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_json_that_python_writes_is_accepted_exactly_when_its_integers_fit(value, ascii_only, indent):
    payload = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    if _acceptable(value):
        assert _same(parse_json(payload), value)
    else:
        with pytest.raises(DecodeError):
            parse_json(payload)


def _same(ours, theirs):
    if isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-15, abs_tol=5e-324)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in theirs)
    return ours == theirs


KEYS = st.text('ab:\\"é', max_size=2)


def _written(pairs, ascii_only):
    members = (f"{json.dumps(key, ensure_ascii=ascii_only)}:{json.dumps(value)}" for key, value in pairs)
    return ("{" + ",".join(members) + "}").encode()


@given(st.lists(st.tuples(KEYS, st.text(':"a', max_size=3) | st.integers(0, 9)), max_size=6), st.booleans())
def test_duplicate_keys_are_found_however_they_are_written(pairs, ascii_only):
    payload = b"[" + _written(pairs, ascii_only) + b"]"
    if len({key for key, _ in pairs}) == len(pairs):
        assert parse_json(payload) == [dict(pairs)]
    else:
        with pytest.raises(DecodeError) as refused:
            parse_json(payload)
        assert refused.value.reason == "duplicate key"


@given(st.binary(max_size=64) | st.text('{}[]":,\\ud8eE+-.0129NaInfity ', max_size=40).map(str.encode))
def test_any_bytes_give_a_value_or_a_named_refusal(payload):
    try:
        parse_json(payload)
    except DecodeError as refused:
        assert refused.reason in REASONS
