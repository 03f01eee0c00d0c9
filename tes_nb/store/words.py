"""Text columns hold each different word once, and for each row its place in the list of words."""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tes_nb.store.cells import Array, Encoded, renumbered

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEW = 128
_SPARE = 1024
"""So many words may lie unused before the list is cleaned."""


class Words:
    """The words of one column. They only grow; cleaning makes a new list, so places given out stay true."""

    def __init__(self) -> None:
        self._list: list[str] = []
        self._places: dict[str | None, int] = {None: -1}

    def __len__(self) -> int:
        return len(self._list)

    @property
    def known(self) -> Sequence[str]:
        """The words in order of their places; it goes on growing."""
        return self._list

    def encode(self, values: Sequence[Any]) -> Encoded:
        """Return the places of a batch of words as int32; what is no text becomes absent and is reported."""
        if len(values) > 1 and values[0] == values[-1] and values.count(values[0]) == len(values):
            return self.encode(values[:1]).repeated(len(values))
        try:
            places = itemgetter(*values, None)(self._places)  # with None there are always several
        except (KeyError, TypeError):
            return self._encode_new(values)
        return Encoded(np.frombuffer(struct.pack(f"={len(places)}i", *places), np.int32)[:-1], None)

    def _encode_new(self, values: Sequence[Any]) -> Encoded:
        places, unfit = [], []
        for row, value in enumerate(values):
            if value is None or isinstance(value, str):
                places.append(self._place(value))
            else:
                places.append(-1)
                unfit.append(row)
        return Encoded(np.array(places, np.int32), None, tuple(unfit))

    def _place(self, text: str | None) -> int:
        place = self._places.get(text)
        if place is None:
            assert text is not None, "None has had its place from the start"
            word = _plain(text)
            place = self._places.get(word, len(self._list))
            if place == len(self._list):
                self._list.append(word)  # first, so that an interrupt leaves no place without a word
                self._places[word] = place
        return place

    def cleaned(self, places: Array) -> tuple[Words, Array]:
        """Return the words that `places` uses and their new places; these ones while few lie unused.

        A few words are sorted: frames want the categories so, and need not renumber each row then.
        """
        if len(self._list) <= 2 * len(places) + _SPARE:
            if len(self._list) >= _FEW or self._list == sorted(self._list):
                return self, places
            used = np.array(sorted(range(len(self._list)), key=self._list.__getitem__))
        else:
            used = np.unique(places[places >= 0])
        clean = Words()
        clean._list = [self._list[place] for place in used]
        clean._places.update((word, place) for place, word in enumerate(clean._list))
        moved = np.full(len(self._list), -1, places.dtype)
        moved[used] = np.arange(len(used), dtype=places.dtype)
        return clean, renumbered(places, moved)


def _plain(text: str) -> str:
    """Return a plain str that can be encoded: a StrEnum's value; lone surrogates become U+FFFD."""
    text = str.__str__(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def width_for(words: int) -> type[np.signedinteger[Any]]:
    """Return the narrowest integer type that holds the places of so many words."""
    if words < 2**7:
        return np.int8
    return np.int16 if words < 2**15 else np.int32
