"""Instants, lengths of time and zones as users write them."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from tes_nb.errors import ArgumentError
from tes_nb.store.memory.timespec import instant_ns, span_ns, zone
from tests.support.rows import NOON, SECOND

HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01 12:00",
        "2026-01-01T12:00:00Z",
        "2026-01-01T13:00:00+01:00",
        dt.datetime(2026, 1, 1, 12),  # noqa: DTZ001 - naive times are UTC
        dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC),
        pd.Timestamp("2026-01-01 13:00", tz="Europe/Berlin"),
        np.datetime64("2026-01-01T12:00"),
        NOON,
    ],
)
def test_instants(value):
    assert instant_ns(value, name="start") == NOON


def test_an_instant_without_offset_is_in_the_zone():
    assert instant_ns("2026-01-01 13:00", name="start", tz="Europe/Berlin") == NOON
    assert instant_ns("2026-01-01T12:00Z", name="start", tz="Europe/Berlin") == NOON
    assert instant_ns(dt.date(2026, 1, 1), name="start") == NOON - 12 * HOUR


def test_now_is_now_in_every_zone():
    now = pd.Timestamp.now("UTC").value
    for word, tz in [("now", None), ("today", "Asia/Tokyo"), (" NOW ", "America/New_York")]:
        assert abs(instant_ns(word, name="start", tz=tz) - now) < 60 * SECOND


@pytest.mark.parametrize(
    "value",
    ["yesterdayish", "", None, pd.NaT, True, object(), "1500-01-01", "9999-12-31", b"2026", [1], "NaT"],
)
def test_what_is_no_instant_gets_a_sentence(value):
    with pytest.raises(ArgumentError, match=r"^end=.* is no time that can be used .*: give a time such as"):
        instant_ns(value, name="end")


@pytest.mark.parametrize("value", ["2026-10-25 02:30", "2026-03-29 02:30"])
def test_a_time_that_a_zone_has_twice_or_never_gets_a_sentence(value):
    with pytest.raises(ArgumentError, match="is no time that can be used"):
        instant_ns(value, name="start", tz="Europe/Berlin")


@pytest.mark.parametrize(
    "value",
    [
        "10min",
        "10 minutes",
        "600s",
        "0h 10min",
        600,
        600.0,
        np.int64(600),
        dt.timedelta(minutes=10),
        pd.Timedelta("10min"),
        np.timedelta64(10, "m"),
        pd.offsets.Minute(10),
    ],
)
def test_spans(value):
    assert span_ns(value, name="last") == 600 * SECOND


def test_a_unit_alone_is_one_of_it():
    assert span_ns("min", name="every") == 60 * SECOND
    assert span_ns("s", name="every") == SECOND
    assert span_ns("PT10M", name="every") == 600 * SECOND


@pytest.mark.parametrize(
    "value",
    [
        "10",
        "1.5",
        "1M",
        "soon",
        "",
        None,
        "NaT",
        pd.NaT,
        True,
        float("nan"),
        float("inf"),
        1e300,
        pd.offsets.MonthEnd(),
    ],
)
def test_what_is_no_span_gets_a_sentence(value):
    with pytest.raises(ArgumentError, match=r"^last=.* is no length of time that can be used .*10min"):
        span_ns(value, name="last")


@pytest.mark.parametrize("value", [0, -1, "0s", "-5min", dt.timedelta(0)])
def test_a_span_must_be_more_than_nothing(value):
    with pytest.raises(ArgumentError, match="must be more than nothing"):
        span_ns(value, name="last")


def test_zones():
    assert zone(None) is dt.UTC
    assert zone("Europe/Berlin").utcoffset(dt.datetime(2026, 1, 1)) == dt.timedelta(hours=1)  # noqa: DTZ001
    tokyo = zoneinfo.ZoneInfo("Asia/Tokyo")
    assert zone(tokyo) is tokyo


@pytest.mark.parametrize("tz", ["Mars/Olympus", "", "../etc/passwd", 5, "\0"])
def test_an_unknown_zone_gets_a_sentence(tz):
    with pytest.raises(ArgumentError, match="is no time zone known here"):
        zone(tz)
