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

from tes_nb.views.subjects import Subjects, colour_places, label_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tes_nb.model import Column

    Floats = npt.NDArray[np.float64]

VERSION = 1
MAX_BLOCKS = 2**16 - 1
MAX_SERIES = 500
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


class ChartSeries:
    """Gives each line its place in the list of series, and turns rows into blocks of an append."""

    def __init__(self, columns: Sequence[Column], subjects: Subjects, *, most: int = MAX_SERIES) -> None:
        """columns: those with a line. subjects: how they are split. most: series, at most."""
        self.columns = tuple(columns)
        self.subjects = subjects
        self.by = subjects.by
        self.most = most
        self._colours = colour_places(subjects.table)
        self._labels: dict[tuple[str, ...], int] = {}
        self._rows: list[dict[str, Any]] = []
        """A row of each label, in their order: what it is called follows from that."""
        self.ignored: set[tuple[str, ...]] = set()
        """Labels for which there was no room."""
        if not self.by:
            self._labels[()] = 0
            self._rows.append({})

    @property
    def names(self) -> list[str]:
        """The columns to read from a table."""
        return list(dict.fromkeys([*(column.name for column in self.columns), *self.subjects.names]))

    @property
    def info(self) -> list[dict[str, Any]]:
        """The list of series as it travels; it grows at its end only."""
        described = self.subjects.describe(self._rows)
        return [
            {
                "key": f"{place}:{column.name}",
                "column": column.name,
                "unit": column.unit,
                "kind": column.kind,
                "title": column.caption,
                "quantity": column.quantity,
                "doc": column.doc,
                "colour": self._colours.get(column.name, -1),
                **{name: word for name, word in one.items() if word is not None},
                **({} if one["unit"] is None else {"own_unit": True}),
            }
            for place, one in enumerate(described)
            for column in self.columns
        ]

    def __len__(self) -> int:
        """Return how many series there are."""
        return len(self._labels) * len(self.columns)

    def forget(self) -> None:
        """Begin a new list, for a keyframe: labels that are no longer in the rows make room."""
        if self.by:
            self._labels.clear()
            self._rows.clear()
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
        return self._split(times, values, columns, breaks)

    def _split(
        self, times: Floats, values: Floats, rows: Mapping[str, npt.NDArray[Any]], breaks: Sequence[float]
    ) -> list[Block]:
        """Put labels that have the same times into one block: most often all, as of one message."""
        labels = zip(*(rows[name].tolist() for name in self.by), strict=True)
        places = np.array([self._place(label, rows, at) for at, label in enumerate(labels)], np.int64)
        order = np.argsort(places, kind="stable")
        edges = np.flatnonzero(np.diff(places[order], prepend=-2))
        together: dict[bytes, list[tuple[int, npt.NDArray[np.int64]]]] = {}
        for some in np.split(order, edges)[1:]:
            place = int(places[some[0]])
            if place >= 0:
                together.setdefault(times[some].tobytes(), []).append((place, some))
        if not together and len(self) and breaks:
            return [_block(range(len(self)), np.empty(0), np.empty((len(self), 0)), breaks)]
        width, blocks = len(self.columns), []
        for group in together.values():
            series = [place * width + column for place, _ in group for column in range(width)]
            stacked = np.concatenate([values[:, some] for _, some in group])
            blocks.append(_block(series, times[group[0][1]], stacked, breaks))
        return blocks

    def _place(self, label: tuple[Any, ...], rows: Mapping[str, npt.NDArray[Any]], at: int) -> int:
        """The label's place, -1 when there is no room for it. at: where in the rows it stands."""
        words = label_words(label)
        place = self._labels.get(words)
        if place is None:
            if (len(self._labels) + 1) * len(self.columns) > self.most:
                self.ignored.add(words)
                return -1
            place = self._labels[words] = len(self._labels)
            self._rows.append({name: rows[name][at] for name in self.subjects.names})
        return place


def _block(series: Sequence[int], times: Floats, values: Floats, breaks: Sequence[float]) -> Block:
    if breaks:
        at = np.searchsorted(times, breaks)
        times = np.insert(times, at, breaks)
        values = np.insert(values, at, np.nan, axis=1)
    return Block(series, times, values)
