"""A choice of rows: the same ones in a live chart, a live table and a frame; what is none is one sentence."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from tes_nb.errors import ArgumentError
from tes_nb.model import Message
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.tables import StreamStore
from tes_nb.streams import get
from tes_nb.views.chart import ChartOptions, chart_parts
from tes_nb.views.table import table_parts
from tes_nb.views.where import Where
from tests.support.observations import WORKER, observation
from tests.support.ticking import TABLES, Ticking

PARTS = TABLES[1]
CHOICES = {
    "one": ({"id": "b"}, ["b"]),
    "some": ({"id": ["a", "c"]}, ["a", "c"]),
    "a number": ({"size": 2}, ["b"]),
    "an id as a number": ({"id": 7}, ["7"]),
    "absent": ({"id": None}, [None]),
    "both": ({"id": ["a", "b"], "size": [2, 3]}, ["b"]),
    "nobody": ({"id": "z"}, []),
}


@pytest.fixture
def source():
    one = Ticking()
    one.put(
        *((name, place, 0.0, 0) for place, name in enumerate(("a", "b", "c", "7", None), 1)), table="parts"
    )
    return one


@pytest.mark.parametrize("name", CHOICES)
def test_chart_table_and_frame_show_the_same_rows(source, name):
    choice, expected = CHOICES[name]
    where = Where(PARTS, choice)
    spec, content = chart_parts(source, "parts", ChartOptions(columns=["size"], where=where))
    (sent,) = content.everything()
    (length,) = struct.unpack_from("<I", sent.buffers[0], 12)
    series = json.loads(sent.buffers[0][16 : 16 + length])["series"]
    words = ["(none)" if one is None else one for one in expected]
    assert [one["label"] for one in series] == words
    assert spec["filter"] == where.text
    spec, rows = table_parts(source, "parts", url="", upstream=None, lookup=None, where=where)
    assert [row[0] for _, row in rows.everything()[0].content["rows"]] == expected
    assert spec["title"].endswith(where.text)
    chosen = where.rows(frame(source.store.tables["parts"]))["id"].tolist()
    np.testing.assert_array_equal([None if one != one else one for one in chosen], expected)  # noqa: PLR0124 - NaN


def test_it_says_what_it_chose():
    assert Where(PARTS, {"id": ["a", "b"], "size": None}).text == "id = a, b · size = absent"
    assert len(Where(PARTS, {"id": "x" * 1_000_000}).text) < 100


BAD = {
    "a column that is none": ({"nope": 1}, "no column 'nope' to choose rows by; there are id, size"),
    "nothing": ({}, "takes columns and the values"),
    "a text": ("id", "takes columns and the values"),
    "no value": ({"id": []}, "takes a text, a number, None, or a list of these"),
    "a function": ({"id": len}, "takes a text, a number, None, or a list of these"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_choice_is_one_sentence(name):
    choice, sentence = BAD[name]
    with pytest.raises(ArgumentError, match=sentence):
        Where(PARTS, choice)


class Workers:
    """A source of the workers stream with one worker and one helper."""

    name = "workers"
    stream = get("workers")

    def __init__(self) -> None:
        self.store = StreamStore(self.stream)
        helper = replace(WORKER, id="1-1", pid=1, role="resource tracker")
        built = self.stream.producer.build(observation(workers=(WORKER, helper)))
        self.store.receive(Message("workers", 0, 1, json.dumps(built).encode(), 10**18, 1, 0, 1))


@pytest.mark.parametrize(
    ("choice", "drawn"), [(None, [str(WORKER.id)]), ({"role": "resource tracker"}, ["1-1"])]
)
def test_helpers_stand_in_tables_and_charts_leave_them_out_unless_they_are_chosen(choice, drawn):
    source = Workers()
    where = None if choice is None else Where(source.stream.table("workers"), choice)
    spec, content = chart_parts(source, None, ChartOptions(columns=["rss_mb"], where=where))
    (sent,) = content.everything()
    (length,) = struct.unpack_from("<I", sent.buffers[0], 12)
    assert [one["label"] for one in json.loads(sent.buffers[0][16 : 16 + length])["series"]] == drawn
    assert spec["filter"] == ("" if where is None else where.text)
    _, rows = table_parts(source, "workers", url="", upstream=None, lookup=None, where=None)
    assert len(rows.everything()[0].content["rows"]) == 2
