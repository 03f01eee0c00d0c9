"""JSON from untrusted peers: what msgspec accepts silently is refused here, in a few microseconds.

A typed msgspec decoder skips fields it does not know without looking inside them, takes integers of any
length, and keeps the last of two equal keys. `parse_json` looks at the whole payload. Good messages pay an
untyped decode, an encode and a few byte counts (about 6 µs for 600 bytes); the exact and slow checks run only
where a count cannot prove that all is well.

Every refusal is a `DecodeError` whose `reason` is one of `REASONS`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from tes_nb.errors import DecodeError, FrameTooLarge

T = TypeVar("T")

MAX_DEPTH: Final = 64
"""Objects and arrays inside one another, the outermost counted; numbers and text do not count."""

MAX_ITEMS: Final = 500_000
"""Commas in one message: an empty array takes three bytes here and sixty as an object."""

REASONS: Final = (
    "bom",  # a byte order mark in front; JSON has none
    "utf-8",  # bytes that are not UTF-8
    "surrogate",  # half of a UTF-16 pair, which is not text
    "not JSON",  # broken, cut off, or something else altogether
    "too deep",  # nested deeper than MAX_DEPTH
    "number",  # NaN, Infinity, or a number too large for a float
    "integer",  # an integer that does not fit into 64 bits, signed
    "duplicate key",  # two equal keys in one object: which one is meant cannot be known
    "too large",  # more than MAX_ITEMS (FrameTooLarge)
    "schema",  # good JSON, but not of the expected form
)

_INT64: Final = range(-(2**63), 2**63)
_SAFE_DIGITS: Final = 18
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_RUN: Final = b"0" * (_SAFE_DIGITS + 1)
_BOM: Final = b"\xef\xbb\xbf"
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_AT_BYTE: Final = re.compile(r"invalid character \(byte (\d+)\)")

_untyped: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


def decode_json(payload: bytes, decoder: msgspec.json.Decoder[T], *, check: bool = True) -> T:
    """Return what `decoder` makes of the checked payload. Raises `DecodeError` and nothing else.

    check: False = it is ours, written by the same library, and is parsed this once (decisions/0015).
    """
    if check:
        parse_json(payload)
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DecodeError(
            f"The JSON does not have the expected form: {error}. The raw message is kept.", reason="schema"
        ) from None


def parse_json(payload: bytes) -> Any:
    """Return the checked payload as plain dicts, lists, text and numbers. Raises `DecodeError`."""
    if len(payload) > MAX_ITEMS and payload.count(b",") > MAX_ITEMS:
        raise FrameTooLarge(f"JSON of more than {MAX_ITEMS} items was refused. The raw message is kept.")
    try:
        value = _untyped.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _refusal(payload, error) from None
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise _error("too deep", f"it is nested deeper than {MAX_DEPTH}")
    if _LONG_RUN in payload.translate(_DIGITS_TO_ZERO) and _has_long_integer(value):
        raise _error("integer", "it holds an integer that does not fit into 64 bits")
    if not _keys_surely_differ(payload, value):
        _pairs_decoder.decode(payload.decode())  # refuses two equal keys
    return value


def _error(reason: str, why: str) -> DecodeError:
    return DecodeError(f"The message was refused as JSON: {why}. The raw message is kept.", reason=reason)


def _keys_surely_differ(payload: bytes, value: Any) -> bool:
    # Without escapes text comes out of the encoder as it went in, so a key that was dropped leaves one colon
    # fewer (more, with a dropped value that had colons). With escapes "\u003a" could hide the difference.
    return b"\\" not in payload and payload.count(b":") == _encode(value).count(b":")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise _error("duplicate key", "one of its objects has the same key twice")
    return keys


_pairs_decoder: Final = json.JSONDecoder(object_pairs_hook=_unique)


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        if not level:
            return False
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, (dict, list))]
    return bool(level)


def _has_long_integer(value: Any) -> bool:
    level = [value]
    while level:
        if any(isinstance(item, int) and item not in _INT64 for item in level):
            return True
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _members(outer)]
    return False


def _members(container: dict[str, Any] | list[Any]) -> Any:
    return container.values() if isinstance(container, dict) else container


def _refusal(payload: bytes, error: Exception) -> DecodeError:
    """Name why msgspec refused `payload`."""
    text = str(error)
    if isinstance(error, RecursionError):
        return _error("too deep", f"it is nested deeper than {MAX_DEPTH}")
    if payload.startswith(_BOM):
        return _error("bom", "it begins with a byte order mark")
    if "out of range" in text:
        return _error("integer" if "Integer" in text else "number", "it holds a number too large to be one")
    return _malformed(payload, text)


def _malformed(payload: bytes, text: str) -> DecodeError:
    if not _is_utf8(payload):
        return _error("utf-8", "it is not UTF-8")
    if "surrogate" in text or ("truncated" in text and _ends_in_half_pair(payload)):
        return _error("surrogate", "it holds half of a UTF-16 pair, which is not text")
    if _is_not_a_number(payload, text):
        return _error("number", "NaN and Infinity are not JSON")
    return _error("not JSON", text.rstrip("."))


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ends_in_half_pair(payload: bytes) -> bool:
    # msgspec wants six more bytes for the second half and calls it "truncated" when there are fewer.
    return _HALF_PAIR.search(payload, max(len(payload) - 12, 0)) is not None


def _is_not_a_number(payload: bytes, text: str) -> bool:
    match = _AT_BYTE.search(text)
    if match is None:
        return payload.strip().lstrip(b"-") in {b"NaN", b"Infinity"}
    return payload.startswith((b"NaN", b"Infinity"), int(match[1]))
