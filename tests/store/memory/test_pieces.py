"""A table of a recording in pieces: every row once, and never many in memory."""

from __future__ import annotations

import tracemalloc

import pandas as pd
import pytest

from tes_nb.model import Column, Decoded, Endpoint, Kind, Stream, Table
from tes_nb.store.memory import tables as module
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.tables import StreamStore, pieces, pieces_together
from tests.support.sessions import numbered

COLUMNS = (Column("number", "int64", "", "counter", ""), Column("text", "str", "", "text", ""))


def decode(message):
    rows = {"often": [(message.seq * 5 + place, f"text {message.seq}") for place in range(5)]}
    return Decoded(Kind.DATA, rows | ({"rare": [(message.seq, "x")]} if message.seq % 50 == 0 else {}))


STREAM = Stream(
    name="made-up",
    doc="",
    endpoint=Endpoint("none", ""),
    tables=(Table("often", "", COLUMNS), Table("rare", "", COLUMNS)),
    main="often",
    period_s=1.0,
    decode=decode,
    classify=lambda _: Kind.DATA,
)


def ticks(count):
    return (numbered(number, source="made-up", size=20) for number in range(count))


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize("table", [table.name for table in STREAM.tables])
def test_pieces_are_the_whole(monkeypatch, size, table):
    monkeypatch.setattr(module, "PIECE_ROWS", size)
    store = StreamStore(STREAM)
    for message in ticks(300):
        store.receive(message)
    found = list(pieces(STREAM, table, ticks(300)))
    assert sum(map(len, found)) == store.tables[table].total > 0
    assert all(len(one) < size + 10 for one in found)
    joined = pd.concat([frame(one) for one in found if len(one)])
    pd.testing.assert_frame_equal(joined, frame(store.tables[table]), check_categorical=False)


def test_memory_is_flat_whichever_table_is_asked_for(monkeypatch):
    monkeypatch.setattr(module, "PIECE_ROWS", 50)

    def peak(table, count):
        tracemalloc.start()
        assert sum(len(one) for one in pieces(STREAM, table, ticks(count)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    for table in STREAM.tables:
        peak(table.name, 20_000)  # caches fill
        assert peak(table.name, 20_000) < 1.3 * peak(table.name, 5000)


def test_tables_are_read_together_once(monkeypatch):
    monkeypatch.setattr(module, "PIECE_ROWS", 100)
    read = []
    found = {"often": [], "rare": []}
    for table, piece in pieces_together(STREAM, (read.append(1) or one for one in ticks(1000))):
        found[table] += list(piece.chunks(10**6))
    assert len(read) == 1000
    for table, together in found.items():
        alone = [one for one in pieces(STREAM, table, ticks(1000)) if len(one)]
        pd.testing.assert_frame_equal(pd.concat(map(frame, together)), pd.concat(map(frame, alone)))
