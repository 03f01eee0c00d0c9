"""Live tables and cards without a browser: what changed, who is gone, what JSON bears."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tes_nb.errors import SessionError
from tes_nb.model import Column, Decoded, Difference, Direction, Kind, Message, Opcode
from tes_nb.streams.browser_json import MAX_TEXT
from tes_nb.views.clock import RepaintClock
from tes_nb.views.source import plain_rows
from tes_nb.views.table import CardsContent, LiveCards, LiveTable, TableContent
from tests.support.ticking import TABLES, Ticking

PARTS = TABLES[1]


def part(name, size=1, load=1.0):
    return (name, size, load, 1)


def content(source: Ticking, *, complete: bool = False) -> TableContent:
    return TableContent(source.store, replace(PARTS, complete=complete))


def only(messages):
    ((update, buffers),) = messages
    assert not buffers
    json.dumps(update, allow_nan=False)
    return update


def test_first_all_rows_then_those_that_changed():
    source = Ticking()
    source.put(part("a"), part("b"), table="parts")
    source.put(part("a", 2), table="parts")
    one = content(source)
    first = only(one.everything())
    assert (first["replace"], dict(first["rows"])) == (True, {"a": ["a", 2, 1.0, 1], "b": ["b", 1, 1.0, 1]})
    assert one.news() == []
    source.put(part("a", 2), part("c"), table="parts")
    update = only(one.news())
    assert [key for key, _ in update["rows"]] == ["c"]
    source.put(part("a", 2), table="parts")
    assert only(one.news())["rows"] == []  # nothing changed, but data came: the view is not stale


def test_how_far_something_moved_is_counted_from_the_first_row_of_its_subject():
    move = Difference(Column("move", "float64", "", "gauge", ""), ("load", "size"))
    source = Ticking()
    source.put(part("a", 1, 2.0), part("b", 1, None), table="parts")
    source.put(part("a", 1, 1.75), part("b", 5, None), table="parts")
    one = TableContent(source.store, replace(PARTS, moves=(move,)))
    assert dict(only(one.everything())["rows"]) == {
        "a": ["a", 1, 1.75, 1, -0.25],
        "b": ["b", 5, None, 1, 4.0],
    }
    source.put(part("a", 1, 2.5), table="parts")
    assert only(one.news())["rows"] == [("a", ["a", 1, 2.5, 1, 0.5])]


def test_who_is_missing_where_everybody_is_listed_is_gone():
    source = Ticking()
    one = content(source, complete=True)
    source.put(part("a"), part("b"), table="parts", at=1.0)
    assert len(only(one.everything())["rows"]) == 2
    source.store.tables["parts"].append([part("b"), part("c")], time_ns=2 * 10**9, seq=2)
    update = only(one.news())
    assert ([key for key, _ in update["rows"]], update["gone"]) == (["c"], ["a"])
    empty = Message("x", Direction.IN, 1, b"{}", 3 * 10**9, 1, 0, 3)
    source.store.add(empty, Decoded(Kind.DATA))
    assert sorted(only(one.news())["gone"]) == ["b", "c"]
    assert one.news() == []


def test_elsewhere_nobody_goes_and_the_oldest_make_room(monkeypatch):
    monkeypatch.setattr("tes_nb.views.table.MOST_KEYS", 3)
    source = Ticking()
    one = content(source)
    source.put(part("a"), part("b"), table="parts")
    one.everything()
    source.put(part("c"), part("d"), table="parts")
    update = only(one.news())
    assert ([key for key, _ in update["rows"]], update["gone"]) == (["c", "d"], ["a"])


def test_upstream_is_reported_when_it_changes_and_after_everything():
    source, states = Ticking(), [("OPEN", "OPEN")]
    one = TableContent(source.store, PARTS, upstream=lambda: states[-1])
    assert one.state() == {"upstream": {"word": "OPEN", "text": "OPEN"}}
    assert one.state() == {}
    states.append(("LOST", "the collector has ended"))
    assert one.state()["upstream"]["word"] == "LOST"
    one.everything()
    assert one.state()["upstream"]["word"] == "LOST"


def test_messages_without_rows_are_reported_so_that_a_view_of_them_is_not_stale():
    source = Ticking()
    tables, cards = TableContent(source.store, PARTS), CardsContent(source.store, TABLES[0])
    for one in (tables, cards):
        assert one.state() == {}
    for expected in (1, 2):
        source.store.receive(
            Message("made-up", Direction.IN, Opcode.TEXT, b"{}", expected, expected, 1, expected)
        )
        for one in (tables, cards):
            assert one.state() == {"rowless": expected}
            assert one.state() == {}
    source.store.receive(Message("made-up", Direction.IN, Opcode.TEXT, b"{}", 3, 3, 1, 3))
    source.put(part("a"), table="parts")
    assert tables.state() == {}  # its row says it
    assert cards.state() == {"rowless": 3}


def test_cards_take_the_newest_rows_with_their_times():
    source = Ticking()
    for n in range(100):
        source.put((n, 1.0, n, "x"), at=float(n))
    one = CardsContent(source.store, TABLES[0])
    rows = only(one.everything())["rows"]
    assert [rows[0][0], rows[-1]] == [40.0, [99.0, [99, 1.0, 99, "x"]]]
    assert one.news() == []
    source.put((None, math.inf, None, None), at=100.0)
    assert only(one.news())["rows"] == [[100.0, [None, "∞", None, None]]]


def test_cells_become_what_json_bears():
    columns = {
        "f": np.array([1.5, np.nan, np.inf, -np.inf]),
        "i": np.array([1, 2, 3, 4]),
        "t": np.array([0, 1_500_000_000, "NaT", 10**18], "M8[ns]"),
        "s": np.array(["a", None, "x" * 10**6, "<b>"], object),
        "b": np.array([True, False, True, True]),
    }
    rows = plain_rows(columns, ["t", "f", "i", "b"])
    assert rows == [
        [0.0, 1.5, 1, True],
        [1.5, None, 2, False],
        [None, "∞", 3, True],
        [10**9, "-∞", 4, True],
    ]
    texts = [row[0] for row in plain_rows(columns, ["s"])]
    assert texts[:2] == ["a", None]
    assert len(texts[2]) < MAX_TEXT + 40
    json.dumps(rows, allow_nan=False)


def test_widgets_take_tables_that_fit_them():
    repaint = RepaintClock(fps=0.1)
    source = Ticking()
    table, cards = LiveTable(source, "parts", repaint=repaint), LiveCards(source, repaint=repaint)
    assert (table.kind, cards.kind) == ("table", "cards")
    assert [column["name"] for column in table.spec["columns"]] == ["id", "size", "load", "total"]
    assert len(json.dumps(table.get_state(), default=str)) < 80_000
    with pytest.raises(SessionError, match="tables with a key are parts"):
        LiveTable(source, repaint=repaint)
    with pytest.raises(SessionError, match=r"many subjects; show it with table\(\)"):
        LiveCards(source, "parts", repaint=repaint)
    for one in (table, cards):
        one.close()
        assert one._push.step() is False
