"""Look ahead in a HAR file for the address of a connection whose messages come first, as Chrome writes them."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import msgspec

_REQUEST = b'"request"'
_URL = re.compile(rb'"request"\s*+:\s*+\{[^{}]*?"url"\s*+:\s*+("(?:[^"\\]|\\.)*+")', re.DOTALL)
_BLOCK = 2**20
_LONGEST = 2**16
"""Bytes of a request up to the end of its address."""


def address_ahead(file: BinaryIO) -> str | None:
    """Return the address of the next request after what was read of the file; `None` = there is none.

    Only a key can be spelled `"request"` with bare quotes: inside a string they would be escaped. Does not move
    the file's position.
    """
    position = file.tell()
    while block := os.pread(file.fileno(), _BLOCK, position):
        found = block.find(_REQUEST)
        while found >= 0:
            match = _URL.match(os.pread(file.fileno(), _LONGEST, position + found))
            if match:
                return str(msgspec.json.decode(match[1], type=str))
            found = block.find(_REQUEST, found + 1)
        position += max(1, len(block) - len(_REQUEST) + 1)
    return None
