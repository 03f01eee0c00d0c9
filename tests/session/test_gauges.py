"""Numbers of the user's own arrive as they are: live, recorded, exported and read back."""

from __future__ import annotations

import json
import math
import os
import signal

import numpy as np
import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.session.recordings import CollectorEnded
from tests.support.waiting import eventually

VALUES = [
    0.1 + 0.2,
    math.inf,
    -math.inf,
    math.nan,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    np.float32("inf"),
    7,
    True,
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A session with a gauge of every kind of number, and its recording."""
    path = tmp_path_factory.mktemp("gauges") / "gauges.tes"
    with tes.start(ports=(0, 0)) as live:
        with live.record(path):
            for value in VALUES:
                live.gauge("loss", value)
            eventually(lambda: len(live.kernel.frame("gauges")) == len(VALUES))
        with tes.open(path) as recorded:
            yield live, recorded


@pytest.fixture(params=[0, 1], ids=["live", "recorded"])
def session(both, request):
    return both[request.param]


def check(values) -> None:
    np.testing.assert_array_equal(np.asarray(values, float), np.array(VALUES, float), strict=True)


def test_every_number_arrives_as_it_is(session):
    check(session.kernel.frame("gauges")["value"])


@pytest.mark.parametrize("formulas", ["neutralise", "keep"])
def test_every_number_comes_back_from_csv(session, tmp_path, formulas):
    session.to_csv(tmp_path, formulas=formulas, progress=False)
    check(tes.read_csv(tmp_path)["kernel"]["value"])
    check(pd.read_csv(tmp_path / "kernel.csv")["value"])  # without tes_nb, too


def test_every_number_comes_back_from_parquet(session, tmp_path):
    session.to_parquet(tmp_path, progress=False)
    check(pd.read_parquet(tmp_path / "stream=kernel" / "table=gauges")["value"])


def test_the_wire_is_valid_json(both):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    texts = [message.payload for message in both[1]._file.messages("kernel")]
    values = [
        row["value"] for row in (json.loads(text, parse_constant=refuse) for text in texts) if "value" in row
    ]
    assert values == [0.1 + 0.2, "Infinity", "-Infinity", None, 0.0, *VALUES[5:7], "Infinity", 7.0, 1.0]


def test_infinite_numbers_can_be_looked_at(session, tmp_path):
    (line,) = session.kernel.figure().data
    check(line.y)
    assert session.report(tmp_path / "report.html").stat().st_size > 1000


def test_a_number_beyond_every_float_is_a_sentence(both):
    with pytest.raises(ArgumentError, match=r"'big' needs a number below 1.8e308"):
        both[0].gauge("big", 10**5000)


@pytest.mark.usefixtures("own_registry")  # else it would end the session of the others
def test_a_gauge_that_nobody_can_take_is_an_error_as_a_mark_is():
    with tes.start(ports=(0, 0)) as session:
        acts = (
            lambda: session.mark("x"),
            lambda: session.gauge("x", 1),
            lambda: session.gauges(x=1),
        )
        os.kill(session.collector_pid, signal.SIGKILL)
        eventually(lambda: not session.running)
        for act in acts:
            with pytest.raises(CollectorEnded, match="The collector has ended"):
                act()
        session.stop()
        for act in acts:
            with pytest.raises(SessionError, match=r"The session is stopped; start another"):
                act()
