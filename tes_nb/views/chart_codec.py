"""From the new rows of a table to the series of a chart, and to the binary append that carries them.

One message a tick (docs/decisions/0010); its form is described at the top of `static/chart_codec.js`, which reads it.
There is a line per column, and per label where there is one.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tes_nb.streams.browser_json import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from tes_nb.model import Column

    Floats = npt.NDArray[np.float64]

VERSION = 1
MAX_BLOCKS = 2**16 - 1
MAX_SERIES = 500
MAX_LABEL = 200
"""Characters of a label that travel; a longer one ends in an ellipsis and its length."""
LABEL_BETWEEN = " · "
NO_LABEL = "(none)"
_KEYFRAME = 1
_HEADER = struct.Struct("<4sBBHII")
_BLOCK = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Block:
    """A run of rows whose series have the same times."""

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
    info = b"" if series is None else json.dumps({"series": list(series)}, ensure_ascii=True).encode()
    info += b" " * (
        -len(info) % 8
    )  # each block begins at a multiple of 8: JavaScript's Float64Array asks for it
    flags = _KEYFRAME if keyframe else 0
    head = _HEADER.pack(b"TNBA", VERSION, flags, len(blocks), sequence & 0xFFFFFFFF, len(info))
    return b"".join([head, info, *map(_pack_block, blocks)])


def _pack_block(block: Block) -> bytes:
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


def label_words(label: Iterable[Any]) -> tuple[str, ...]:
    """Return a label's values as text."""
    return tuple(NO_LABEL if word is None or word != word else str(word) for word in label)  # noqa: PLR0124 - NaN


class ChartSeries:
    """Gives each line its place in the list of series, and turns rows into blocks of an append."""

    def __init__(self, columns: Sequence[Column], by: Sequence[str], *, most: int = MAX_SERIES) -> None:
        """columns: those with a line. by: the label columns that split them, () = none. most: series, at most."""
        self.columns = tuple(columns)
        self.by = tuple(by)
        self.most = most
        self._labels: dict[tuple[str, ...], int] = {}
        self.ignored: set[tuple[str, ...]] = set()
        """Labels for which there was no room."""
        if not self.by:
            self._labels[()] = 0

    @property
    def names(self) -> list[str]:
        """The columns to read from a table."""
        return list(dict.fromkeys([*(column.name for column in self.columns), *self.by]))

    @property
    def info(self) -> list[dict[str, Any]]:
        """The list of series as it travels; it grows at its end only."""
        return [
            {
                "key": f"{place}:{column.name}",
                "label": LABEL_BETWEEN.join(json_text(word, MAX_LABEL) for word in label),
                "column": column.name,
                "unit": column.unit,
                "kind": column.kind,
            }
            for label, place in self._labels.items()
            for column in self.columns
        ]

    def __len__(self) -> int:
        """Return how many series there are."""
        return len(self._labels) * len(self.columns)

    def forget(self) -> None:
        """Begin a new list, for a keyframe: labels that are no longer in the rows make room."""
        if self.by:
            self._labels.clear()
            self.ignored.clear()

    def blocks(
        self,
        time_ns: npt.NDArray[np.int64],
        columns: Mapping[str, npt.NDArray[Any]],
        breaks: Sequence[float] = (),
    ) -> list[Block]:
        """Return the rows as blocks. breaks: Unix seconds at which every line is broken."""
        if not len(time_ns) and not breaks:
            return []
        times = time_ns / 1e9
        values = np.array([columns[column.name] for column in self.columns], np.float64)
        if not self.by:
            return [_block(range(len(self)), times, values, breaks)]
        return self._split(times, values, [columns[name] for name in self.by], breaks)

    def _split(
        self, times: Floats, values: Floats, labels: Sequence[npt.NDArray[Any]], breaks: Sequence[float]
    ) -> list[Block]:
        """Put labels that have the same times into one block: most often all, as of one message."""
        places = np.array([self._place(label) for label in zip(*labels, strict=True)], np.int64)
        order = np.argsort(places, kind="stable")
        edges = np.flatnonzero(np.diff(places[order], prepend=-2))
        together: dict[bytes, list[tuple[int, npt.NDArray[np.int64]]]] = {}
        for rows in np.split(order, edges)[1:]:
            place = int(places[rows[0]])
            if place >= 0:
                together.setdefault(times[rows].tobytes(), []).append((place, rows))
        if not together and len(self) and breaks:
            return [_block(range(len(self)), np.empty(0), np.empty((len(self), 0)), breaks)]
        width, blocks = len(self.columns), []
        for group in together.values():
            series = [place * width + column for place, _ in group for column in range(width)]
            stacked = np.concatenate([values[:, rows] for _, rows in group])
            blocks.append(_block(series, times[group[0][1]], stacked, breaks))
        return blocks

    def _place(self, label: tuple[Any, ...]) -> int:
        """The label's place, -1 when there is no room for it."""
        words = label_words(label)
        place = self._labels.get(words)
        if place is None:
            if (len(self._labels) + 1) * len(self.columns) > self.most:
                self.ignored.add(words)
                return -1
            place = self._labels[words] = len(self._labels)
        return place


def _block(series: Sequence[int], times: Floats, values: Floats, breaks: Sequence[float]) -> Block:
    if breaks:
        at = np.searchsorted(times, breaks)
        times = np.insert(times, at, breaks)
        values = np.insert(values, at, np.nan, axis=1)
    return Block(series, times, values)
