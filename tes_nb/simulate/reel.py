"""Messages that were composed once and are sent over and over, each time with a number of its own: for load.

Simulating a match day and composing its messages takes several times as long as a reader needs for them, so
that a feed "as fast as possible" measures the stand-in. A reel leaves the numbering, the compression and the
framing; what its messages tell repeats itself, their times included.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from tes_nb.simulate.frames import NUMBER

_PLACE = "\0"
"""Stands where the number was, for a moment: no message has it in its text."""


class Cut(NamedTuple):
    """A message without its number."""

    channel: str
    pieces: tuple[str, ...]
    """The text around each place where the number stands: an envelope has it twice."""

    def text(self, number: int) -> str:
        """Return the message with that number."""
        return str(number).join(self.pieces)


class Reel:
    """Takes the first messages as they are composed; then turns."""

    def __init__(self, size: int) -> None:
        """`size` is in messages; 0 = it takes none and never turns."""
        self._size = size
        self._cuts: list[Cut] = []

    @property
    def full(self) -> bool:
        """Whether it can turn."""
        return len(self._cuts) == self._size > 0

    def take(self, channel: str, text: str, number: int) -> None:
        """Keep a composed message, if there is room."""
        if len(self._cuts) < self._size:
            marked = re.sub(rf"({NUMBER}\W{{1,6}}){number}\b", rf"\g<1>{_PLACE}", text)
            self._cuts.append(Cut(channel, tuple(marked.split(_PLACE))))

    def turn(self) -> Iterator[Cut]:
        """Yield its messages, again and again."""
        return itertools.cycle(self._cuts)
