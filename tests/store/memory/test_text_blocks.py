"""Text made once for many frames is the text that is there, however frames are cut and tables grow."""

import pandas as pd
import pytest

from tes_nb.model import Column, Table
from tes_nb.store.memory import frames as module
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tests.support.rows import NOON

TEXT = Table("text", "", (Column("word", "str", "", "text", ""), Column("kind", "category", "", "label", "")))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "_MAX_BLOCK_BYTES", 32 * 16)


def word_of(number):
    return None if number % 7 == 0 else f"w{number * 31 % 97}"


def kind_of(number):
    return "zyxwv"[number * number // 50 % 5]


def test_frames_of_a_table_that_grows_and_drops_hold_its_text():
    columns, kept = Columns(TEXT, cap=3000), []
    for first in range(0, 9000, 113):
        batch = [(word_of(n), kind_of(n)) for n in range(first, first + 113)]
        columns.append(batch, time_ns=NOON + first, seq=first)
        low = max(first + 113 - 3000, 0)
        wanted = [word_of(n) for n in range(low, first + 113)]
        for copy in (True, False):
            found = frame(columns, copy=copy)
            assert found["word"].dtype == "str"
            assert [None if pd.isna(word) else word for word in found["word"]] == wanted
            kept.append((found, wanted, [kind_of(n) for n in range(low, first + 113)]))
        snapshot = columns.snapshot()
        cut = frame(snapshot.slice(len(snapshot) // 3, len(snapshot) - 5))["word"]
        expected = wanted[len(snapshot) // 3 : len(snapshot) - 5]
        assert [None if pd.isna(word) else word for word in cut] == expected
    for found, wanted, kinds in kept[::9]:  # what was given out never changes
        assert [None if pd.isna(word) else word for word in found["word"]] == wanted
        assert found["kind"].tolist() == kinds
        assert found["kind"].cat.categories.tolist() == sorted(set(kinds))


def test_long_texts_are_not_kept():
    columns = Columns(TEXT)
    columns.append([("x" * 100 + str(n), "a") for n in range(64)], time_ns=NOON)
    assert frame(columns)["word"].tolist() == ["x" * 100 + str(n) for n in range(64)]
    assert columns.snapshot().cells["word"].blocks == {}


@pytest.mark.skipif(pd.StringDtype(na_value=float("nan")).storage != "pyarrow", reason="needs pyarrow")
def test_a_block_is_made_once():
    columns = Columns(TEXT)
    columns.append([(word_of(n), "a") for n in range(70)], time_ns=NOON)
    frame(columns)
    made = dict(columns.snapshot().cells["word"].blocks)
    assert sorted(made) == [0, 1, 2, 3]
    columns.append([(word_of(n), "a") for n in range(70, 90)], time_ns=NOON)
    frame(columns)
    again = columns.snapshot().cells["word"].blocks
    assert sorted(again) == [0, 1, 2, 3, 4]
    assert all(again[number] is array for number, array in made.items())


def test_a_frame_of_copied_blocks_can_be_written_to_and_another_one_cannot():
    columns = Columns(TEXT)
    columns.append([(word_of(n), "a") for n in range(70)], time_ns=NOON)
    mine = frame(columns)
    mine.iloc[0, mine.columns.get_loc("word")] = "changed"
    assert frame(columns)["word"].iloc[1] == word_of(1)
    assert pd.isna(frame(columns)["word"].iloc[0])
    with pytest.raises(ValueError, match="read-only"):
        frame(columns, copy=False)["word"].array[0] = "x"
