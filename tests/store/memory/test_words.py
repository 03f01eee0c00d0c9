"""Text is kept once; words that no row uses any more are forgotten."""

from enum import Enum, StrEnum

import numpy as np

from tes_nb.store.memory.buffers import Buffer, Words


def test_each_word_is_kept_once_and_none_is_absent():
    words = Words()
    assert words.encode(["a", None, "b", "a"]).values.tolist() == [0, -1, 1, 0]
    assert list(words.texts) == ["a", "b"]


def test_what_is_no_text_is_absent_and_reported():
    encoded = Words().encode(["a", 7, ["list"], float("nan"), True])
    assert encoded.values.tolist() == [0, -1, -1, -1, -1]
    assert encoded.unfit == (1, 2, 3, 4)


def test_members_of_an_enum_are_their_value():
    class Colour(StrEnum):
        RED = "red"

    class Old(str, Enum):  # noqa: UP042 - the kind whose str() is not its value
        RED = "red"

    words = Words()
    assert words.encode([Colour.RED, Old.RED, "red", Old.RED]).values.tolist() == [0, 0, 0, 0]
    assert type(words.texts[0]) is str


def test_text_that_cannot_be_encoded_gets_a_replacement_character():
    words = Words()
    words.encode(["a\ud800b", "\U0001f600"])
    assert list(words.texts) == ["a\ufffdb", "\U0001f600"]


def test_words_of_dropped_rows_are_forgotten_and_the_others_keep_their_text():
    words = Words()
    places = words.encode([f"w{number}" for number in range(5000)]).values
    clean, moved = words.cleaned(places[-100:])
    assert [clean.texts[place] for place in moved] == [f"w{number}" for number in range(4900, 5000)]
    assert len(clean) == 100
    assert len(words) == 5000  # frames that were given out still read it
    assert clean.encode(["w4900", None]).values.tolist() == [int(moved[0]), -1]


def test_absent_cells_stay_absent_when_words_are_forgotten():
    words = Words()
    places = words.encode([*(f"w{number}" for number in range(3000)), None, "last"]).values
    clean, moved = words.cleaned(places[-2:])
    assert moved.tolist() == [-1, 0]
    assert list(clean.texts) == ["last"]


def test_places_widen_and_pieces_given_out_stay_as_they_were():
    buffer = Buffer("category").moved(0, 0, 100_000)
    buffer.write(0, buffer.encode(["first"], 1))
    given_out = buffer.cells(0, 1)
    assert given_out.values.dtype == np.int8
    many = [f"w{number}" for number in range(40_000)]
    buffer.write(1, buffer.encode(many, len(many)))
    assert buffer.cells(0, 40_001).values.dtype == np.int32
    assert buffer.cells(0, 40_001).numpy().tolist() == ["first", *many]
    assert given_out.numpy().tolist() == ["first"]
