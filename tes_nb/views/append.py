"""The binary append: new points of a chart, one message a tick.

The form is described at the top of `static/chart_codec.js`, which reads it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

VERSION = 1
MAX_BLOCKS = 2**16 - 1
_KEYFRAME = 1
_HEADER = struct.Struct("<4sBBHII")
_BLOCK = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Block:
    """A run of rows whose series were seen at the same times."""

    series: Sequence[int]
    """Places in the list of series, m of them."""
    times: npt.NDArray[np.float64]
    """Unix seconds, n of them."""
    values: npt.NDArray[np.float64]
    """m rows of n values; NaN breaks the line."""


def pack(
    sequence: int,
    blocks: Sequence[Block],
    *,
    keyframe: bool = False,
    series: Sequence[Mapping[str, Any]] | None = None,
) -> bytes:
    """Return one append.

    sequence: counted up by one a message. keyframe: the browser forgets what it has, this is all there is.
    series: the new list of all series as {key, label, column, unit, kind}; `None` = as before. Raises ValueError
    for more than 65,535 blocks or a block whose values do not fit its series and times.
    """
    if len(blocks) > MAX_BLOCKS:
        raise ValueError(f"An append holds at most {MAX_BLOCKS} blocks, not {len(blocks)}.")
    told = b"" if series is None else json.dumps({"series": list(series)}, ensure_ascii=True).encode()
    told += b" " * (-len(told) % 8)
    flags = _KEYFRAME if keyframe else 0
    head = _HEADER.pack(b"TNBA", VERSION, flags, len(blocks), sequence & 0xFFFFFFFF, len(told))
    return b"".join([head, told, *(_packed(block) for block in blocks)])


def _packed(block: Block) -> bytes:
    rows, width = len(block.times), len(block.series)
    if block.values.shape != (width, rows):
        raise ValueError(
            f"{width} series of {rows} times need values of that shape, not {block.values.shape}."
        )
    places = np.asarray(block.series, "<u4").tobytes()
    return b"".join(
        [
            _BLOCK.pack(rows, width),
            places,
            bytes(-len(places) % 8),
            block.times.astype("<f8").tobytes(),
            block.values.astype("<f8").tobytes(),
        ]
    )
