"""Binary frames → text: tell zlib, gzip, raw deflate and uncompressed apart, and inflate with a cap.

    first bytes    taken for
    1f 8b          gzip (RFC 1952), one or more members
    78 xx          zlib (RFC 1950), when the two bytes divide by 31 as the RFC wants
    else           uncompressed if it is UTF-8 text, raw deflate (RFC 1951) if it inflates wholly into such

Where two readings hold at once the frame is refused as ambiguous: guessing would corrupt data. One layer is inflated,
never two. Nothing is ever inflated beyond the limits: a bomb costs their size, not its own.

Every refusal is a `DecodeError` whose `reason` is one of `REASONS`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Literal

from tes_nb.errors import DecodeError, FrameTooLarge

Form = Literal["gzip", "zlib", "raw", "plain"]
"""How a frame was compressed; "plain" = not at all."""

REASONS: Final = (
    "too large",  # on the wire, inflated, by its ratio or in gzip members (FrameTooLarge)
    "truncated",  # the compressed data stop before their end
    "corrupt",  # broken in the middle, or a wrong checksum
    "trailing bytes",  # something follows the compressed data
    "preset dictionary",  # needs a dictionary that is not sent
    "twice compressed",  # what comes out is compressed again
    "ambiguous",  # two readings hold
    "not text",  # neither compressed nor text
)

MAX_MEMBERS: Final = 1000
"""gzip members in one frame; their sizes count together."""

_GZIP: Final = b"\x1f\x8b"
_ZLIB: Final[Form] = "zlib"
_FORMS: Final[dict[bytes, Form]] = {
    _GZIP: "gzip",
    **{bytes((0x78, flags)): _ZLIB for flags in range(256) if (0x78 << 8 | flags) % 31 == 0},
}
"""First two bytes → the form they open."""
_WBITS: Final[dict[Form, int]] = {"gzip": 31, "zlib": 15, "raw": -15}
_SLICE: Final = 64 * 1024
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\r"))


@dataclass(frozen=True, slots=True)
class InflateLimits:
    """How large a frame may be, in bytes."""

    wire: int = 1 << 20
    """As received."""
    inflated: int = 8 << 20
    """After inflating."""
    ratio: int = 200
    """Inflated to received, for what inflates to more than `ratio_from`."""
    ratio_from: int = 1 << 20

    def room(self, size: int) -> int:
        """Return how many bytes a frame of `size` bytes may inflate to."""
        most = self.ratio * size
        return self.ratio_from if most <= self.ratio_from else min(self.inflated, most)


LIMITS: Final = InflateLimits()


def inflate(payload: bytes, limits: InflateLimits = LIMITS) -> bytes:
    """Return the text in a binary frame. Raises `DecodeError`; the payload stays the caller's to keep."""
    form = form_of(payload)
    if len(payload) > limits.wire:
        raise FrameTooLarge(
            f"A frame of {len(payload)} bytes is over the limit of {limits.wire}. The raw message is kept."
        )
    if form is None:
        return _without_header(payload, limits)
    text = _expand(payload, form, limits)
    # Read as raw deflate, 0x78 opens a stored block: a length, then the same inverted. Rare by chance.
    if payload[1] ^ payload[3] == 0xFF and form == "zlib" and _inflates_raw(payload, limits):
        raise _refusal("ambiguous", "it is good zlib and good raw deflate at once")
    return _single_layer(text)


def form_of(payload: bytes) -> Form | None:
    """Return the form that the first two bytes claim; `None` = none, so raw deflate or uncompressed."""
    return _FORMS.get(payload[:2])


def peek(payload: bytes, count: int = 16) -> bytes:
    """Return at most `count` bytes of what the frame seems to hold, cheaply, or b"". Never raises."""
    head = payload[:count]
    form = form_of(head)
    if form is None and head.isascii() and _is_text(head):
        return head
    text, rest = b"", payload if form != "gzip" else payload[: 64 * count]
    try:
        while rest and len(text) < count:
            inflater = zlib.decompressobj(_WBITS[form or "raw"])
            text += inflater.decompress(rest, count - len(text))
            rest = (
                inflater.unused_data if form == "gzip" else b""
            )  # which may have a byte or two in each member
    except zlib.error:
        pass
    return text


def _inflates_raw(payload: bytes, limits: InflateLimits) -> bool:
    try:
        return _is_text(_expand(payload, "raw", limits))
    except DecodeError:
        return False


def _without_header(payload: bytes, limits: InflateLimits) -> bytes:
    if _is_text(payload):
        if _inflates_raw(payload, limits):
            raise _refusal("ambiguous", "it is uncompressed text and good raw deflate at once")
        return payload
    text = _single_layer(_expand(payload, "raw", limits))
    if not _is_text(text):
        raise _refusal("not text", "it is neither text nor compressed text")
    return text


def _expand(payload: bytes, form: Form, limits: InflateLimits) -> bytes:
    """Inflate one layer. The fast way for what fits into one slice, which is nearly everything."""
    size = len(payload)
    room = limits.room(size)
    if size > _SLICE:
        return _expand_sliced(memoryview(payload), form, room)
    inflater = zlib.decompressobj(_WBITS[form])
    try:
        text = inflater.decompress(payload, room + 1)
    except zlib.error as error:
        raise _broken(error) from None
    if len(text) > room:
        raise _too_large(size, room)
    if not inflater.eof:
        raise _refusal("truncated", f"its {form} data stop before their end")
    if not inflater.unused_data:
        return text
    if form == "gzip" and inflater.unused_data.startswith(_GZIP):
        return _expand_sliced(memoryview(payload), form, room)
    raise _refusal("trailing bytes", f"{len(inflater.unused_data)} bytes follow its {form} data")


def _expand_sliced(payload: memoryview, form: Form, room: int) -> bytes:
    """Inflate slice by slice, so that no member of a gzip frame copies the whole rest; sizes add up."""
    parts: list[bytes] = []
    size = start = 0
    for _ in range(MAX_MEMBERS):
        inflater = zlib.decompressobj(_WBITS[form])
        while not inflater.eof:
            if start >= len(payload):
                raise _refusal("truncated", f"its {form} data stop before their end")
            piece = payload[start : start + _SLICE]
            try:
                parts.append(inflater.decompress(piece, room - size + 1))
            except zlib.error as error:
                raise _broken(error) from None
            size += len(parts[-1])
            if size > room:
                raise _too_large(len(payload), room)
            start += len(piece) - len(inflater.unused_data)
        if start == len(payload):
            return b"".join(parts)
        if form != "gzip" or bytes(payload[start : start + 2]) != _GZIP:
            raise _refusal("trailing bytes", f"{len(payload) - start} bytes follow its {form} data")
    raise FrameTooLarge(
        f"A gzip frame of more than {MAX_MEMBERS} members was refused. The raw message is kept."
    )


def _broken(error: zlib.error) -> DecodeError:
    if str(error).startswith("Error 2 "):  # Z_NEED_DICT
        return _refusal("preset dictionary", "it needs a preset dictionary")
    return _refusal("corrupt", f"it does not inflate ({error})")


def _single_layer(text: bytes) -> bytes:
    if text[:2] in _FORMS:
        raise _refusal("twice compressed", "what it holds is compressed again")
    return text


def _is_text(data: bytes) -> bool:
    """Whether `data` is UTF-8 without control characters, as JSON and XML are."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return len(data.translate(None, _CONTROLS)) == len(data)


def _refusal(reason: str, why: str) -> DecodeError:
    return DecodeError(f"The binary frame was refused: {why}. The raw message is kept.", reason=reason)


def _too_large(size: int, room: int) -> FrameTooLarge:
    return FrameTooLarge(
        f"A frame of {size} bytes inflates to more than the {room} that are allowed. The raw message is kept."
    )
