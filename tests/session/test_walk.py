"""`walk()`: one loop over a recording and over a running session."""

from __future__ import annotations

import asyncio
import collections
import re
import threading
import time

import msgspec
import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session import live_walk
from tes_nb.session import start as starts
from tes_nb.session.events import DataEvent, GapEvent, MarkEvent, WalkEvent
from tes_nb.store.session.schema import SourceInfo
from tests.support.nowgoal_sessions import at, gap, odds, recording, score
from tests.support.sessions import flipped, numbered, write_session
from tests.support.waiting import eventually

MS = 10**6


def steam(events):
    """A strategy of ten lines: back a price that has fallen by 2 % within 5 s, once for each such fall."""
    bets, seen = [], {}
    for event in events:
        for row in event.rows.get("odds", ()):
            key = row.match_id, row.company_id, row.market
            recent = [(t, price) for t, price in seen.get(key, ()) if event.at_ns - t <= 5e9]
            if recent and row.home <= 0.98 * max(price for _, price in recent):
                bets.append((event.at_ns, *key, row.home))
                recent = []
            seen[key] = [*recent, (event.at_ns, row.home)]
    return bets


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """A simulated match day, recorded, walked over while it was recorded; with the bets made live."""
    path = tmp_path_factory.mktemp("walk") / "day.tes"
    live = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "_sessions", {})  # not the one that other tests of this module share
        session = tes.start(ports=(0, 0))
    with session:
        ng = session.watch(tes.SIMULATED, ["scores", "odds"], speed=300, seed=3)
        with session.record(path):
            bets = []
            walk = (
                live.append(event) or event for event in ng.walk(live=True, end=time.time_ns() + 8 * 10**9)
            )
            loop = threading.Thread(target=lambda: bets.extend(steam(walk)))
            loop.start()
            eventually(lambda: len(live) > 50)
            session.mark("here")
            loop.join()
            eventually(lambda: ng.messages >= live[-1].message.seq - 5)
            session.metrics.wait(rows=2)
        account = ng.ledger()
    with tes.open(path) as recorded:
        yield recorded, live, bets, account


def test_a_strategy_decides_the_same_live_and_recorded(day):
    recorded, live, bets, account = day
    assert account.balanced
    data = [event for event in live if event.type == "data"]
    again = list(recorded.simulated.walk(start=data[0].at_ns, end=data[-1].at_ns))
    same = [event for event in again if event.type == "data"]
    assert [event.message for event in same] == [event.message for event in data]
    assert steam(same) == bets
    assert len(bets) > 10


def test_a_walk_has_every_row_of_the_frames_in_the_order_received(day):
    recorded, *_ = day
    walked = collections.defaultdict(list)
    before = 0
    for event in recorded.walk():
        if event.type == "data":
            assert event.message.t_mono_ns >= before
            before = event.message.t_mono_ns
            for table, rows in event.rows.items():
                walked[event.source, table] += rows
    for name, feed in recorded.feeds.items():
        for table in feed.tables:
            if table not in {"cells", "raw"}:
                assert len(walked[name, table]) == len(feed.frame(table)), (name, table)
    frame = recorded.simulated.odds.frame()
    rows = pd.DataFrame(walked["simulated", "odds"])
    assert rows["odds_id"].tolist() == frame["odds_id"].tolist()
    pd.testing.assert_series_equal(rows["home"], frame["home"], check_index=False)


def test_marks_come_once_at_their_place_and_states_come(day):
    recorded, live, *_ = day
    (mark,) = [event for event in recorded.walk() if isinstance(event, MarkEvent)]
    assert (mark.label, mark.source, str(mark.time.tz)) == ("here", "", "UTC")
    assert [event.label for event in live if isinstance(event, MarkEvent)] == ["here"]
    kinds = collections.Counter(event.type for event in recorded.walk(["simulated"], tables="scores"))
    assert kinds["state"] >= 1
    assert kinds["mark"] == 1
    assert {table for event in recorded.walk(["simulated"], tables="scores") for table in event.rows} == {
        "scores"
    }


def test_filters_choose_what_frames_say(day):
    recorded, *_ = day
    ng = recorded.simulated
    frame = ng.odds.frame()
    match = frame["match_id"].iloc[0]
    rows = [
        row
        for event in ng.walk(tables="odds", match_id=match, market=["1x2"])
        for row in event.rows.get("odds", ())
    ]
    expected = frame[(frame["match_id"] == match) & (frame["market"] == "1x2")]
    assert [row.odds_id for row in rows] == expected["odds_id"].tolist() != []

    state = ng.scores.frame()[["match_id", "state"]].reset_index().rename(columns={"time": "told"})
    rows = frame.reset_index()[["time", "seq", "match_id", "odds_id"]]
    joined = pd.merge_asof(rows, state, left_on="time", right_on="told", by="match_id")
    playing = joined["state"].between(1, 5).fillna(False)
    for wanted, chosen in ((True, playing), (False, ~playing & joined["state"].notna())):
        walked = [
            row.odds_id
            for event in ng.walk(tables="odds", inplay=wanted)
            for row in event.rows.get("odds", ())
        ]
        assert walked == joined[chosen]["odds_id"].tolist() != []


def test_before_kick_off_is_the_time_before_it(tmp_path):
    steps = [
        (1, score(7, 0)),
        (2, odds(7, 0.9)),
        (301, odds(7, 0.8)),
        (500, odds(8, 0.7)),
        (601, score(7, 1)),
        (602, odds(7, 0.6)),
    ]
    with recording(tmp_path / "k.tes", steps) as rec:
        near = [
            row.home
            for event in rec.walk(tables="odds", before_kick_off="5min")
            for row in event.rows.get("odds", ())
        ]
        assert near == [1.8]
        rest = list(rec.walk(tables="odds", before_kick_off="5min", start=at(400)))
        assert [event for event in rest if event.rows] == []
        playing = rec.walk(
            tables="odds", inplay=True, start=at(600)
        )  # what was told before it began counts, too
        assert [row.home for event in playing for row in event.rows.get("odds", ())] == [1.6]


def test_a_range_includes_both_ends_and_a_delay_moves_what_peers_sent(day):
    recorded, *_ = day
    data = [event for event in recorded.walk(["simulated"]) if event.type == "data"]
    low, high = data[10].at_ns, data[20].at_ns
    inside = [
        event.at_ns for event in recorded.walk(["simulated"], start=low, end=high) if event.type == "data"
    ]
    assert inside == [event.at_ns for event in data if low <= event.at_ns <= high]

    later = list(recorded.walk(["simulated"], delay="250ms"))
    assert [event.at_ns for event in later] == sorted(event.at_ns for event in later)
    moved = [event for event in later if event.type == "data"]
    assert [event.at_ns - event.message.t_wall_ns for event in moved] == [250 * MS] * len(data)
    mark = next(event for event in later if event.type == "mark")
    place = later.index(mark)
    unseen = [
        event for event in later[place:] if event.type == "data" and event.message.t_wall_ns < mark.at_ns
    ]
    assert unseen  # what came less than 250 ms before the mark was not seen yet
    clipped = recorded.walk(["simulated"], delay="250ms", start=low, end=high)
    seen = [event.at_ns for event in clipped if event.type == "data"]
    assert seen == [event.at_ns + 250 * MS for event in data if low <= event.at_ns + 250 * MS <= high]


def test_gaps_come_when_they_begin_and_end(tmp_path):
    lost, back = gap(3, 8), gap(3, 8)
    begun = type(lost)(lost.conn, lost.last_seen_ns, lost.lost_at_ns, None, lost.cause)
    with recording(tmp_path / "g.tes", [(1, odds(7, 0.9)), (3, begun), (8, back), (9, odds(7, 0.8))]) as rec:
        types = [(event.type, getattr(event, "gap", None)) for event in rec.walk()]
    assert types == [("data", None), ("gap", begun), ("gap", back), ("data", None)]


def test_cells_are_events_of_their_own(tmp_path):
    cell = {"type": "cell", "number": 3, "start": at(1), "wall_s": 2.0, "cpu_s": 1.5, "rss_peak": 10**8}
    gauge = {"type": "gauge", "name": "loss", "value": 0.5, "unit": "", "timestamp": at(4) // MS}
    messages = [
        Message(
            "kernel", Direction.IN, Opcode.TEXT, msgspec.json.encode(report), at(seconds), seconds, 0, seq
        )
        for seq, (seconds, report) in enumerate([(3, cell), (4, gauge)], 1)
    ]
    path = write_session(tmp_path / "c.tes", [SourceInfo("kernel", "kernel"), *messages])
    with tes.open(path) as rec:
        events = list(rec.walk(tables=["gauges"]))
        every = [table for event in rec.walk() for table in event.rows]
    assert [event.type for event in events] == ["cell", "data"]
    assert (events[0].cell.number, events[0].cell.wall_s, events[0].at_ns) == (3, 2.0, at(3))
    assert events[1].rows["gauges"][0].value == 0.5
    assert "cells" not in every
    assert "gauges" in every


def test_what_cannot_be_read_is_an_event(tmp_path):
    with recording(tmp_path / "f.tes", [(1, odds(7, 0.9)), (2, "neither"), (3, odds(7, 0.8))]) as rec:
        fault = list(rec.walk())[1]
        assert (fault.type, fault.reason, fault.message.payload) == ("fault", "unknown form", b"neither")


def test_a_damaged_file_says_what_is_missing_where_and_goes_on(tmp_path):
    path = write_session(tmp_path / "d.tes", [numbered(number, source="metrics") for number in range(600)])
    data = path.read_bytes()
    spot = data.index(numbered(200, source="metrics").payload)
    path.write_bytes(flipped(data, spot, spot + 1))
    with tes.open(path) as rec:
        events = list(rec.walk())
    (hole,) = [event for event in events if event.type == "damage"]
    assert hole.missing == 1
    assert "1 messages are missing here" in hole.sentence
    place = events.index(hole)
    assert events[place - 1].message.seq == 200
    assert events[place + 1].message.seq == 202
    assert events[-1].message.seq == 600


def test_a_file_whose_end_is_gone_says_so_at_the_end(tmp_path):
    path = write_session(tmp_path / "e.tes", [numbered(number, source="metrics") for number in range(600)])
    data = path.read_bytes()
    spot = data.index(numbered(599, source="metrics").payload)
    path.write_bytes(flipped(data, spot))
    with tes.open(path) as rec:
        *rest, last = rec.walk()
    assert (last.type, last.missing) == ("damage", 1)
    assert rest[-1].message.seq == 599


def test_recorded_messages_are_iterated_in_the_callers_loop(day):
    recorded, *_ = day

    async def gather():
        turns = 0

        async def tick():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(tick())
        got = [message async for message in recorded.simulated]
        beside.cancel()
        return got, turns

    got, turns = asyncio.run(gather())
    direct = [m for m in recorded.simulated.origin.file.messages("simulated") if m.opcode != Opcode.EVENT]
    assert got == direct
    assert turns > len(got) // 100  # other tasks went on meanwhile


def test_what_makes_no_sense_is_a_sentence(day):
    recorded, *_ = day
    for options, sentence in {
        ("tables", "nix"): "There is no table nix; there are .*odds.*",
        ("pitch", 1): r"walk\(\) cannot choose by pitch=.*match_id.*before_kick_off, inplay",
        ("inplay", "yes"): "inplay='yes' must be True or False",
        ("before_kick_off", "soon"): "before_kick_off='soon' is no length of time",
        ("start", "soon"): "start='soon' is no time",
        ("delay", "-3s"): "delay='-3s' must be more than nothing",
    }.items():
        with pytest.raises(ArgumentError, match=sentence):
            recorded.walk(**dict([options]))
    with pytest.raises(ArgumentError, match="swap them"):
        recorded.walk(start="2027-01-01", end="2026-01-01")
    with pytest.raises(ArgumentError, match="last= cannot go together"):
        recorded.walk(start="2026-01-01", last="1s")
    with pytest.raises(SessionError, match=r"nothing more comes.*without live=True"):
        recorded.walk(live=True)
    with pytest.raises(SessionError, match="There is no feed 'nix'"):
        recorded.walk(["nix"])


def test_a_running_session_says_how_it_is_walked(session):
    with pytest.raises(SessionError, match=r"walk\(live=True\) begins now"):
        session.walk()
    with pytest.raises(ArgumentError, match="begins now: leave start= and last= out"):
        session.walk(live=True, last="1min")


def test_live_a_delay_is_waited_for_and_an_end_ends(session):
    began = time.time_ns()
    seen = []
    for event in session.walk(["metrics"], live=True, delay="300ms", end=began + 2 * 10**9):
        assert event.type != "data" or time.time_ns() >= event.message.t_wall_ns + 300 * MS
        seen.append(event)
    assert [event.type for event in seen].count("data") >= 2
    assert all(event.at_ns <= began + 2 * 10**9 for event in seen)


def test_a_loop_that_is_too_slow_hears_what_it_missed(session, monkeypatch):
    monkeypatch.setattr(live_walk, "LAG", 2)
    walk = session.walk(["metrics"], live=True)
    first = next(event for event in walk if isinstance(event, DataEvent))
    eventually(
        lambda: session.metrics.latest is not None and session.metrics.messages >= first.message.seq + 6, 20
    )
    event = next(event for event in walk if event.type != "data")
    assert (event.type, event.missing >= 3) == ("damage", True)
    assert "behind" in event.sentence
    walk.close()
    assert session.metrics.origin.listeners._followers == []


def test_other_events_have_no_rows():
    assert dict(WalkEvent("", 0).rows) == {}
    assert not GapEvent("x", 0, gap(1, 2)).rows
    assert re.fullmatch("1970-01-01 00:00:00.*", str(WalkEvent("", 0).time))
    assert Direction.IN == 0
