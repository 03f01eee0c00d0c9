"""Hostile and broken messages, each from its name. They carry no number: the ledger knows nothing of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from random import Random

from tes_nb.simulate.faults import Fault
from tes_nb.simulate.frames import Frame, deflate, document

SAMPLE = document("change_xml", ["9000000^-10^0^0^^^0^0^0^0^2020-01-09 06:15:00"], None)
"""A match that the match day does not have, cancelled: whoever decodes it by mistake does not mix it up."""
DEFAULT_BOMB = 64 << 20
MEMBERS = 1000
DEPTH = 100_000
ENTITIES = 6


def junk(fault: Fault, rng: Random) -> Frame:
    """Return the message that a fault of the place "message" injects."""
    return BUILDERS[fault.fault](fault, rng)


def bomb(size: int, form: str) -> bytes:
    """Return `size` bytes of spaces deflated, without ever holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, {"zlib": 15, "gzip": 31, "raw": -15}[form])
    block = b" " * (1 << 20)
    parts = [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(block[: size & 0xFFFFF]), packer.flush()])


def members(data: bytes) -> bytes:
    """Return `data` as up to 1,000 gzip members, one after the other."""
    step = max(1, -(-len(data) // MEMBERS))
    parts = [gzip.compress(data[at : at + step], mtime=0) for at in range(0, len(data), step)]
    parts += [gzip.compress(b"", mtime=0)] * (MEMBERS - len(parts))
    return b"".join(parts)


def _bytes(payload: bytes) -> Frame:
    return Frame(text=False, payload=payload)


def _half(fault: Fault, rng: Random) -> Frame:
    whole = deflate(SAMPLE.encode(), fault.form)
    return _bytes(whole[: rng.randrange(4, len(whole) - 9)])


def _bomb(fault: Fault, _: Random) -> Frame:
    return _bytes(bomb(fault.size or DEFAULT_BOMB, fault.form))


def _twice(fault: Fault, _: Random) -> Frame:
    return _bytes(deflate(deflate(SAMPLE.encode(), fault.form), fault.form))


def _trailing(fault: Fault, rng: Random) -> Frame:
    return _bytes(deflate(SAMPLE.encode(), fault.form) + rng.randbytes(7))


def _bad_crc(_: Fault, __: Random) -> Frame:
    packed = bytearray(deflate(SAMPLE.encode(), "gzip"))
    packed[-5] ^= 0xFF
    return _bytes(bytes(packed))


def _dictionary(_: Fault, __: Random) -> Frame:
    packer = zlib.compressobj(zdict=b"simulated")
    return _bytes(packer.compress(SAMPLE.encode()) + packer.flush())


def _entity(_: Fault, __: Random) -> Frame:
    first = '<!ENTITY e0 "simulated">'
    nested = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(ENTITIES))
    xml = f'<?xml version="1.0"?><!DOCTYPE c [{first}{nested}]><c refresh="0"><h>&e{ENTITIES};</h></c>'
    return _bytes(deflate(xml.encode(), "zlib"))


def _deep(_: Fault, __: Random) -> Frame:
    return Frame(text=True, payload=b"[" * DEPTH + b"]" * DEPTH)


def _not_utf8(fault: Fault, _: Random) -> Frame:
    return _bytes(deflate(b'<c refresh="0"><h>\xff\xfe</h></c>', fault.form))


def _random(fault: Fault, rng: Random) -> Frame:
    # 0xff begins neither a deflated nor a readable message: what is drawn never decodes by chance.
    return _bytes(b"\xff" + rng.randbytes((fault.size or 200) - 1))


BUILDERS: dict[str, Callable[[Fault, Random], Frame]] = {
    "half_frame": _half,
    "bomb": _bomb,
    "twice_deflated": _twice,
    "trailing_junk": _trailing,
    "bad_crc": _bad_crc,
    "preset_dictionary": _dictionary,
    "xml_entity": _entity,
    "json_deep": _deep,
    "not_utf8": _not_utf8,
    "random_bytes": _random,
}
