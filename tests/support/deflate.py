"""The forms in which a binary frame can travel."""

from __future__ import annotations

import gzip
import random
import struct
import zlib


def raw_deflate(text, level=6):
    """Deflate without a header (RFC 1951)."""
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(text) + packer.flush()


FORMS = {"zlib": zlib.compress, "gzip": gzip.compress, "raw": raw_deflate, "plain": bytes}
"""Name → what makes a binary frame of text."""

WBITS = {"zlib": 15, "gzip": 31, "raw": -15}


def bomb(form, size):
    """Return a small frame that inflates to `size` bytes of blanks (a multiple of 8 MiB, or less than that).

    A flushed block stands for itself, so large ones repeat it; only their checksum is then not right.
    """
    packer = zlib.compressobj(9, wbits=WBITS[form])
    block = min(size, 8 << 20)
    head = packer.compress(b" " * block)
    if block == size:
        return head + packer.flush()
    first = head + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b" " * block) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (size // block - 1) + packer.flush()


def zlib_and_raw_at_once():
    """Return a frame that is wholly good zlib and wholly good raw deflate, both to text, but to different text.

    78 9c 3a 63 c5: for zlib a header, then a Huffman block; for raw deflate a stored block of 0x3a9c bytes. The
    Huffman block turns, after two letters, into a last stored block, inside which the raw reading finds its
    own last block. Only the checksum is left to chance: it has to be text for the raw reading.
    """
    head = b"\x3a\x63\xc5\tH" + b"<@\xc3\xbf"  # "<@" is the length 0x403c, and the rest is the same inverted
    size, raw_block_at = 0x403C, 5 + 0x3A9C
    body = bytearray(b"x" * size)
    rest = 2 + len(head) + size + 4 - (raw_block_at + 5)
    at = raw_block_at - 2 - len(head)
    body[at : at + 5] = b"A" + struct.pack("<HH", rest, rest ^ 0xFFFF)
    for seed in range(1800, 20_000):
        body[10:210] = bytes(
            random.Random(seed).choices(b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ0123456789!", k=200)
        )
        text = zlib.decompressobj(-15).decompress(head + bytes(body))
        checksum = struct.pack(">I", zlib.adler32(text))
        if all(0x20 <= byte < 0x7F or byte in b"\t\n" for byte in checksum):
            return b"\x78\x9c" + head + bytes(body) + checksum
    raise AssertionError("no seed gives a checksum of letters")


TEXT_AND_RAW_AT_ONCE = (b"{1iI-@", b"sz4ab  ", b"{3kSNq  ", b"K81E\t ", b"{2yGE\n ")
"""Uncompressed text that happens to be good raw deflate of other text."""
