"""Several gauges at one time, and what is no gauge."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def live():
    with tes.start(ports=(0, 0)) as session:
        yield session


TOGETHER = {"loss": 0.5, "val/loss": math.inf, "speed": (120, "rows/s"), "acc": math.nan}


def test_gauges_set_together_share_one_time_and_one_message(live, tmp_path):
    with live.record(tmp_path / "together.tes"):
        live.gauges(TOGETHER, lr=0.001)
        live.gauges(lr=0.002)
        eventually(lambda: len(live.kernel.frame("gauges")) == 6)
        seen = live.kernel.frame("gauges")
    with tes.open(tmp_path / "together.tes") as recorded:
        again = recorded.kernel.frame("gauges")
    for frame in (seen, again):
        first = frame.iloc[:5]
        assert first["name"].tolist() == [*TOGETHER, "lr"]
        np.testing.assert_array_equal(first["value"], [0.5, math.inf, 120, math.nan, 0.001])
        assert first["unit"].tolist() == ["", "", "rows/s", "", ""]
        assert first.index.nunique() == first["seq"].nunique() == first["sent_at"].nunique() == 1


BAD = {
    "empty": (lambda s: s.gauge("", 1), "needs a name of 1 to 200 characters, not ''"),
    "blank": (lambda s: s.gauge(" \n", 1), "needs a name"),
    "endless": (lambda s: s.gauge("x" * 1_000_000, 1), "not one of 1000000 characters"),
    "none": (lambda s: s.gauge("loss", None), "'loss' needs a number, not None"),
    "text": (lambda s: s.gauges(loss="low"), "'loss' needs a number, not 'low'"),
    "nothing": (lambda s: s.gauges(), "takes numbers by their names"),
    "one of two": (lambda s: s.gauges({"": 1}, loss=1), "needs a name"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_gauge_is_one_sentence(live, name):
    act, sentence = BAD[name]
    with pytest.raises(ArgumentError, match=sentence):
        act(live)
