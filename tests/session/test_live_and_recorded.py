"""A recording gives the frames of the live feeds it came from, for every table, and offers what they offer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Kind
from tes_nb.session.feed import Feed
from tes_nb.session.origin import RecordedOrigin
from tes_nb.session.state import FeedState
from tes_nb.streams import NAMES, get
from tests.support.processes import IDLE, python
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)  # the first of them waits for a session with rows in every table

CHANNELS = ["scores", "odds", "basketball_scores", "basketball_odds", "tes_ticks_xml"]
SOURCES = ("status", "workers", "metrics", "kernel", "simulated")
TABLES = [
    (source, table.name)
    for source in SOURCES
    for table in get("nowgoal" if source == "simulated" else source).tables
]
NEVER = {("simulated", "raw"), ("kernel", "cells"), ("kernel", "activity")}
"""Tables that may well stay empty here; cells are executed by IPython alone."""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A session whose every table has rows, a hole and marks, and its recording; nothing comes any more."""
    path = tmp_path_factory.mktemp("both") / "both.tes"
    with tes.start(ports=(0, 0)) as live:
        with live.record(path):
            feed = live.watch(
                tes.SIMULATED, channels=CHANNELS, speed=300, seed=5, token_life_s=8, faults=["random:every=2"]
            )
            children = [subprocess.Popen(python(IDLE), stdout=subprocess.DEVNULL) for _ in range(2)]
            live.mark("first")
            live.gauge("loss", 0.25)
            _hold_the_interpreter()
            children[0].kill()
            live.mark("second")
            eventually(
                lambda: feed.gaps.size and live.kernel.frame("held").size and _full(live), 60, lambda: live
            )
            feed.stand_in.clear_faults()
            eventually(lambda: feed.state == "OPEN", 60)
            feed.stand_in.post("only_ok")  # so that nothing comes between the two ends
            live._reporter.flush()
            time.sleep(0.5)
        live.stop()
        for child in children:
            child.kill()
            child.wait()
        with tes.open(path) as opened:
            yield live, opened


def _hold_the_interpreter() -> None:
    """For two seconds of processor time: waiting for a processor is no hold."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(30.0)
    end = time.thread_time() + 2.0
    while time.thread_time() < end:
        pass
    sys.setswitchinterval(interval)


def _full(live) -> bool:
    wanted = set(TABLES) - NEVER
    return all(live.feeds[source].store.tables[table].total for source, table in wanted)


def recorded_feed(stream, source, opened) -> Feed:
    """A feed of the recording that has read nothing yet."""
    return Feed(stream, RecordedOrigin(stream, source, opened._file))


def recorded_range(opened, source) -> tuple[pd.Timestamp, pd.Timestamp]:
    """From the first to the last recorded message of a source."""
    return tuple(pd.Timestamp(ns, tz="UTC") for ns in opened._file.span(source))


def as_live(live, opened, source, table, **options) -> pd.DataFrame:
    """The live frame of the recorded time."""
    start, end = recorded_range(opened, source)
    frame = live.feeds[source].frame(table, start=start, end=end, **options)
    if table in live.feeds[source].stream.folded:  # the first message of a recording has nothing before it
        first = next(opened._file.messages(source)).seq
        return frame[frame["seq"] > first]
    return frame


def as_recorded(opened, source, table, **options) -> pd.DataFrame:
    frame = opened.feeds[source].frame(table, **options)
    if table in opened.feeds[source].stream.folded:
        first = next(opened._file.messages(source)).seq
        return frame[frame["seq"] > first]
    return frame


# The same frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "table"), TABLES)
@pytest.mark.parametrize("gaps", [False, True])
def test_every_table_is_the_same_live_and_recorded(both, source, table, gaps):
    live, opened = both
    expected = as_live(live, opened, source, table, gaps=gaps)
    if not gaps and (source, table) not in NEVER:
        assert len(expected)
    found = as_recorded(opened, source, table, gaps=gaps)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert found.attrs == expected.attrs


@pytest.mark.parametrize(("source", "table"), TABLES)
def test_a_range_is_the_same_live_and_recorded(both, source, table):
    live, opened = both
    start, end = recorded_range(opened, source)
    third = (end - start) / 3
    for options in (
        {"start": start + third},
        {"end": end - third},
        {"start": start + third, "end": end - third},
    ):
        fresh = recorded_feed(opened.feeds[source].stream, source, opened)
        within = {"start": start, "end": end} | options
        for gaps in (False, True):
            found = fresh.frame(table, **options, gaps=gaps)
            expected = live.feeds[source].frame(table, **within, gaps=gaps)
            if table in fresh.stream.folded:  # rows of the first message, see above
                first = next(opened._file.messages(source)).seq
                found, expected = (one[one["seq"] > first] for one in (found, expected))
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert "store" not in fresh.origin.__dict__  # only the range was read


def test_gaps_marks_errors_and_counts_are_the_same(both):
    live, opened = both
    for source in SOURCES:
        here, there = live.feeds[source], opened.feeds[source]
        pd.testing.assert_frame_equal(there.marks, here.marks)
    pd.testing.assert_frame_equal(opened.simulated.gaps, live.simulated.gaps)
    assert len(opened.simulated.gaps) >= 1
    pd.testing.assert_frame_equal(opened.simulated.errors, live.simulated.errors)
    assert opened.simulated.messages == live.simulated.messages
    assert opened.simulated.latest == live.simulated.latest
    assert list(opened.marks["label"]) == ["first", "second"]
    undecoded = live.simulated.store.counts().kinds.get(Kind.UNDECODED, 0)
    assert opened.simulated.state == FeedState("RECORDED", "RECORDED", 0, undecoded, len(live.simulated.gaps))


def test_what_nowgoal_derives_is_the_same(both):
    live, opened = both
    names = ["home_team", "away_team", "league"]  # the stand-in is asked for them while it lives
    for method in ("steam", "matches"):
        found = getattr(opened.simulated, method)().drop(columns=names)
        expected = getattr(live.simulated, method)().drop(columns=names)
        assert len(found)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_figures_are_the_same(both):
    live, opened = both
    for table in ("scores", "odds"):
        for one, other in zip(
            opened.simulated.figure(table=table).data, live.simulated.figure(table=table).data, strict=True
        ):
            assert one.to_plotly_json().keys() == other.to_plotly_json().keys()
            pd.testing.assert_series_equal(pd.Series(one.y), pd.Series(other.y))


def test_last_counts_from_the_newest_message(both):
    _, opened = both
    _, end = (pd.Timestamp(ns, tz="UTC") for ns in opened._file.span())
    whole = opened.metrics.frame()
    pd.testing.assert_frame_equal(
        opened.metrics.frame(last="2s"), whole[whole.index >= end - pd.Timedelta("2s")]
    )
    with pytest.raises(ArgumentError, match="last= cannot go together"):
        opened.metrics.frame(last="2s", end=end)


# The same face ---------------------------------------------------------------------------------------------------


def test_a_recorded_feed_offers_what_a_live_one_offers(both):
    live, opened = both
    for source in SOURCES:
        here, there = live.feeds[source], opened.feeds[source]
        assert type(there) is type(here)
        assert there.tables == here.tables
        pd.testing.assert_frame_equal(there.columns, here.columns)
        for table in there.tables:
            view = getattr(there, table)
            pd.testing.assert_frame_equal(view.frame(), there.frame(table))
            assert len(view) == view.rows == len(there.frame(table))
            assert table in repr(view)
        assert set(there.tables) <= set(dir(there))


def test_charts_of_a_recording_show_all_of_it(both):
    _, opened = both
    chart = opened.metrics.plot()
    chart.close()
    assert opened.metrics.look().word == "CLOSED"
    assert "both.tes" in str(opened.metrics.look())


def test_what_waits_for_more_is_refused_with_a_sentence(both):
    _, opened = both
    feed = opened.metrics
    assert feed.closed
    for ask in (
        lambda: feed.wait(rows=1),
        lambda: asyncio.run(feed.wait_async(seconds=1)),
        lambda: feed.on_message(print),
        lambda: asyncio.run(feed.subscribe(["cpu"])),
    ):
        with pytest.raises(SessionError, match=r"is a recording \(both\.tes\).*tes\.replay"):
            ask()


def test_a_recorded_feed_shows_itself_without_reading_its_messages(both):
    _, opened = both
    fresh = recorded_feed(opened.metrics.stream, "metrics", opened)
    assert repr(fresh).startswith("<metrics: RECORDED · ")
    assert "recorded" in fresh._repr_mimebundle_()["text/html"]
    assert "store" not in fresh.origin.__dict__


def test_one_table_goes_to_csv_from_the_file(both, tmp_path):
    _, opened = both
    fresh = recorded_feed(opened.metrics.stream, "metrics", opened)
    written = fresh.to_csv(tmp_path / "metrics.csv")
    assert "store" not in fresh.origin.__dict__
    back = pd.read_csv(written, index_col="time", parse_dates=["time", "sent_at"])
    assert list(back["seq"]) == list(opened.metrics.frame()["seq"])


def test_folded_tables_are_named_by_their_stream():
    for name in NAMES:
        stream = get(name)
        assert (stream.fold is None and stream.feed_decoder is None) == (stream.folded == ())
        assert set(stream.folded) < {table.name for table in stream.tables}
