"""`s.watch` for real: a session, its collector, and a stand-in, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import psutil
import pytest
import websockets.sync.server

import tes_nb as tes
from tes_nb.errors import ArgumentError, BackgroundError, CollectorError, SessionError
from tes_nb.session.nowgoal.feed import NowGoalFeed
from tes_nb.simulate import Fault, Options, start_child
from tests.support.waiting import busy, eventually


@pytest.fixture(scope="module")
def ng(session):
    """A simulated feed that the tests of this module share; it goes on running."""
    feed = session.watch(tes.SIMULATED, speed=200, seed=3)
    feed.wait(rows=50, timeout=30)
    return feed


@pytest.fixture
def own_names(ng):
    """Names that a test sets are gone after it."""
    before = copy.copy(ng._names)
    yield
    ng._names = before


@pytest.fixture
def stand_in():
    """A stand-in in a process that no session started, as `tes-nb simulate` in another shell."""
    server = start_child(Options(speed=100))
    yield server
    server.stop()


def real(stand_in, **more):
    return tes.NOWGOAL.with_endpoint(url=stand_in.url, token_url=stand_in.token_url, **more)


# A simulated feed ------------------------------------------------------------------------------------------------


def test_it_is_called_simulated_wherever_it_shows(session, ng):
    assert isinstance(ng, NowGoalFeed)
    assert session.simulated is ng
    assert "simulated data" in str(ng.state)
    assert "simulated" in repr(ng)
    assert "simulated data" in repr(session)
    assert "simulated data" in session._repr_mimebundle_()["text/html"]
    assert set(ng.frame()["source"]) == {"simulated"}
    names = ng.matches()["home_team"].dropna()  # a match that had ended before anybody asked has none
    assert len(names)
    assert names.str.startswith("Simulated").all()
    assert "simulated" in ng.figure(["home_goals"]).layout.title.text


def test_the_state_tells_of_token_and_undecoded_messages(ng):
    eventually(lambda: ng.state == "OPEN")
    text = str(ng.state)
    assert " · token " in text
    assert re.search(r"\d+ undecoded$", text)
    assert 0 < ng.state.token_s <= 60


def test_matches_are_the_newest_rows_with_names(ng):
    scores = ng.scores.frame()  # before the matches: the feed goes on, and may bring a match meanwhile
    matches = ng.matches()
    assert matches.index.name == "match_id"
    assert matches.index.is_unique
    assert set(matches.index) >= set(scores["match_id"])
    one = scores["match_id"].iloc[0]
    frozen = scores[scores["match_id"] == one].iloc[-1]
    assert matches.loc[one, "time"] >= frozen.name
    assert list(matches.columns[:4]) == ["time", "home_team", "away_team", "league"]


@pytest.mark.usefixtures("own_names")
def test_a_live_table_shows_names_and_follows_them(ng):
    eventually(lambda: ng.matches()["home_team"].notna().any())  # the stand-in has answered who plays
    table = ng.table("scores")
    try:
        names = [column["name"] for column in table.spec["columns"]]
        at = names.index("match_id")
        assert names[at + 1 : at + 4] == ["home_team", "away_team", "league"]
        content = table._push.content
        (first,) = content.everything()
        shown = dict(first.content["rows"])
        assert set(ng.scores.frame()["match_id"]) >= set(shown)
        named = [row[at + 1] for row in shown.values() if row[at + 1]]
        assert named
        assert all(name.startswith("Simulated") for name in named)
        one = next(iter(shown))
        ng.set_names(pd.DataFrame({"match_id": [one], "home_team": ["Ours"], "away_team": ["Theirs"]}))
        (again,) = content.news()
        assert again.content["replace"]
        assert dict(again.content["rows"])[one][at + 1 : at + 4] == ["Ours", "Theirs", None]
        assert "Ours" in table._repr_mimebundle_()[0]["text/html"]
    finally:
        table.close()
    odds = ng.table("odds")
    assert "home_team" in [column["name"] for column in odds.spec["columns"]]
    odds.close()
    games = ng.table("games")
    assert "home_team" not in [column["name"] for column in games.spec["columns"]]
    games.close()


@pytest.mark.usefixtures("own_names")
def test_names_of_ones_own_win(ng):
    match_id = ng.matches().index[0]
    ng.set_names(pd.DataFrame({"match_id": [match_id], "home_team": ["A"], "away_team": ["B"]}))
    row = ng.matches().loc[match_id]
    assert (row["home_team"], row["away_team"]) == ("A", "B")
    assert pd.isna(row["league"])
    others = ng.matches()["home_team"].dropna().drop(match_id)
    assert others.str.startswith("Simulated").all()  # the others keep theirs
    assert len(others)
    with pytest.raises(ArgumentError, match="lacks home_team"):
        ng.set_names(pd.DataFrame({"match_id": ["1"], "away_team": ["B"]}))


def test_tables_are_attributes_of_every_feed(session, ng, tmp_path):
    held = len(ng.odds)
    assert len(ng.odds.frame()) >= held
    assert ng.odds.frame(last="10min").attrs["table"] == "odds"
    frame = ng.odds.frame()
    assert ng.odds.rows >= len(frame)  # counted after the frame was taken: the feed goes on
    assert "price_format" in set(ng.odds.columns["name"])
    path = ng.odds.to_csv(tmp_path / "odds.csv")
    assert path.read_text().startswith("time,sent_at,seq,conn,source,channel,match_id")
    assert ng.ticks.frame().attrs["table"] == "ticks"
    assert "simulated.odds" in repr(ng.odds)
    html = ng.odds._repr_mimebundle_()["text/html"]
    assert "<table" in html
    assert "match_id" in html
    assert session.workers.health.frame().attrs["table"] == "health"
    assert "odds" in dir(ng)
    with pytest.raises(AttributeError, match="no attribute or table 'nonsense'"):
        _ = ng.nonsense


def _subscriptions(ng):
    """What the open connection was asked for, one after the other."""
    (connection,) = [one for one in ng.stand_in.ledger()["connections"] if one["open"]]
    return connection["subscriptions"]


def test_channels_are_changed_on_the_open_connection(session, ng):
    ng.channels = ["scores", "odds"]
    assert ng.channels == ("change_xml", "ch_goal8_xml")
    before = len(_subscriptions(ng))
    ng.channels = ["scores", "odds", "basketball_scores", "tes_ticks_xml"]
    eventually(lambda: len(ng.games) and len(ng.ticks))
    asyncio.run(ng.subscribe(["scores", "odds"]))
    assert ng.channels == ("change_xml", "ch_goal8_xml")
    assert [len(one["channels"]) for one in _subscriptions(ng)[before:]] == [4, 2]
    with pytest.raises(ArgumentError, match="no channel of NowGoal"):
        ng.channels = ["nonsense"]


def test_the_same_again_is_the_same_feed(session, ng):
    again = session.watch(tes.SIMULATED, channels=["basketball_scores"])
    assert again is ng
    assert "nba_change_xml" in ng.channels
    assert "change_xml" in ng.channels
    with pytest.raises(SessionError, match="other options"):
        session.watch(tes.SIMULATED, speed=7)


def test_steam_is_over_what_is_held_and_as_it_comes(ng):
    seen = []
    off = ng.on_steam(seen.append)
    eventually(lambda: seen, 40)
    off()
    steam = ng.steam(all=True)
    assert {"velocity", "steam_index", "rule", "steam", "market", "side"} <= set(steam.columns)
    assert steam["steam"].any()
    assert len(ng.steam(last="1s", all=True)) <= len(steam)
    moves = ng.steam()
    assert moves["steam"].all()
    assert len(moves) >= steam["steam"].sum()
    assert seen[0]["steam"].all()
    assert seen[0]["home_team"].dropna().str.startswith("Simulated").all()


def tick(game, new):
    return json.dumps(
        {
            "gameId": game,
            "oddsType": "moneyline",
            "oldValue": 1.5,
            "newValue": new,
            "timestamp": time.time_ns() // 10**6,
        }
    )


@contextlib.contextmanager
def silent_peer():
    """A peer that waits, sends two ticks in a burst, and is silent: its URL, the event to begin, when it sent."""
    begin, sockets = threading.Event(), []

    def serve(socket):
        begin.wait(30)
        socket.send(tick("quiet", 1.51))
        time.sleep(0.08)
        socket.send(tick("steamy", 1.80))
        sockets.append(time.monotonic())
        for _ in socket:  # until the reader leaves
            pass

    with websockets.sync.server.serve(serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws", begin, sockets
        finally:
            server.shutdown()
            thread.join()


def test_steam_at_the_end_of_a_burst_comes_at_once_though_silence_follows(session):
    with silent_peer() as (url, begin, sent):
        feed = session.watch(tes.NOWGOAL.with_endpoint(url=url, token="a.b.c", name="silent"))
        calls, ended = [], []

        def fail(frame):
            calls.append((time.monotonic(), list(frame["game_id"])))
            raise RuntimeError("the user's own")

        feed.on_steam(fail)
        feed.on_steam(ended.append)()
        begin.set()
        eventually(lambda: calls)
        at, games = calls[0]
        assert games == ["steamy"]
        assert at - sent[0] < busy(0.5)
        with pytest.raises(BackgroundError, match="the user's own"):
            eventually(lambda: feed.frame("ticks").empty)
        assert ended == []
        session.unwatch(feed)


def test_faults_are_survived_and_accounted_for(session):
    ng = session.watch(tes.SIMULATED.with_endpoint(name="faulty"), speed=200, seed=5)
    ng.wait(rows=50, timeout=30)
    for fault in ("half_frame", "bad_crc", "reset", "twice_deflated"):
        ng.stand_in.post(fault)
        time.sleep(0.3)
    eventually(lambda: len(ng.gaps) >= 1)
    ng.wait(rows=20, timeout=20)
    ledger = ng.ledger()
    assert ledger.balanced, ledger
    assert ledger.causes["connection reset"] >= 1
    assert ledger.sent == ledger.received + ledger.in_gaps
    assert 1 <= len(ng.errors) == ng.state.undecoded
    assert ng.raw.rows >= 1
    assert "balanced" in repr(ledger)
    assert "connection reset" in ledger._repr_mimebundle_()["text/html"]
    session.unwatch(ng)


def test_everything_goes_into_the_session_s_files(session, ng, tmp_path):
    session.to_csv(tmp_path / "all", progress=False)
    restored = tes.read_csv(tmp_path / "all")["simulated_odds"]
    assert str(restored["home"].dtype) == "float64"
    assert restored["match_id"].str.len().gt(0).all()
    assert len(session.frame(["simulated", "metrics"])) > 0
    assert session.report(tmp_path / "report.html").stat().st_size > 10_000
    assert isinstance(ng.latest, str)
    assert "simulatedNumber" in ng.latest


def test_a_recording_has_the_same_methods(session, ng, tmp_path):
    with session.record(tmp_path / "ng.tes", sources=["simulated"]):
        ng.wait(rows=30, timeout=30)
    with tes.open(tmp_path / "ng.tes") as old:
        feed = old.simulated
        assert isinstance(feed, NowGoalFeed)
        assert len(feed.matches())
        assert feed.steam().columns.isin(["velocity", "steam"]).sum() == 2
        held = ng.odds.frame()
        recorded = feed.odds.frame()
        assert len(recorded)
        same = held[held["seq"].isin(recorded["seq"])]
        pd.testing.assert_frame_equal(
            recorded[recorded["seq"].isin(same["seq"])], same, check_categorical=False, check_dtype=False
        )


def test_unwatching_ends_the_stand_in_and_keeps_the_frames(session):
    feed = session.watch(tes.SIMULATED.with_endpoint(name="second"), speed=50)
    feed.wait(rows=5, timeout=30)
    pid = feed.stand_in.pid
    session.unwatch(feed)
    eventually(lambda: not psutil.pid_exists(pid))
    assert feed.state == "CLOSED"
    assert len(feed.frame()) >= 5
    assert "second" not in session.feeds
    with pytest.raises(SessionError, match="not watched"):
        session.unwatch(feed)
    with pytest.raises(SessionError, match="not watched"):
        session.unwatch(session.metrics)
    again = session.watch(tes.SIMULATED.with_endpoint(name="second"), speed=50)
    assert again is not feed
    again.wait(rows=5, timeout=30)
    assert again.source == "second"
    assert again.ledger().balanced
    session.unwatch(again)


# A real endpoint -------------------------------------------------------------------------------------------------


def test_an_endpoint_of_ones_own_by_argument_or_environment(session, stand_in, monkeypatch):
    feed = session.watch(real(stand_in, name="mine"), channels=["odds"])
    eventually(lambda: len(feed.odds))
    assert feed.simulated  # the messages say so themselves
    assert "simulated data" in str(feed.state)
    assert feed.ledger().balanced
    session.unwatch(feed)
    monkeypatch.setenv("TES_NOWGOAL_URL", stand_in.stream_url)
    monkeypatch.setenv("TES_NOWGOAL_TOKEN_URL", stand_in.token_url)
    feed = session.watch()
    assert feed.source == "nowgoal"
    eventually(lambda: len(feed.odds))
    assert feed.channels == ("change_xml", "ch_goal8_xml")
    connection = stand_in.ledger()["connections"][-1]
    assert len(connection["subscriptions"]) == 1  # by the query alone
    session.unwatch(feed)


def test_fault_17_a_failing_token_says_how_to_use_simulated_data(session, stand_in, capsys):
    stand_in.post(Fault("token_dashes", seconds=60))
    feed = session.watch(real(stand_in, name="failing"))
    said = capsys.readouterr().out
    assert "no token (dashes)" in said
    assert "s.watch(tes.SIMULATED, speed=50)" in said
    assert feed.state.word == "WAITING"
    assert "no token (dashes)" in str(feed.state)
    assert "s.watch(tes.SIMULATED, speed=50)" in repr(feed)
    stand_in.clear_faults()
    eventually(lambda: feed.state == "OPEN")
    assert "tes.SIMULATED" not in repr(feed)
    session.unwatch(feed)


@pytest.mark.parametrize(
    ("what", "options", "sentence"),
    [
        ("status", {}, "cannot be watched"),
        ("nonsense", {}, "cannot be watched"),
        (tes.NOWGOAL, {"speed": 3}, "does not know speed"),
        (tes.SIMULATED, {"sped": 3}, "does not know sped"),
        (tes.SIMULATED.with_endpoint(name="x"), {"speed": "fast"}, "option of the simulated feed"),
        (tes.NOWGOAL, {"channels": ["nonsense"]}, "no channel of NowGoal"),
        (tes.NOWGOAL, {"url": "http://a.test"}, "not the address of a WebSocket"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(session, what, options, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        session.watch(what, **options)


@pytest.mark.usefixtures("own_registry")
def test_a_stopped_session_watches_nothing():
    with tes.start(ports=(0, 0)) as other:
        pass
    with pytest.raises((SessionError, CollectorError), match="stopped"):
        other.watch(tes.NOWGOAL)


# Ends ------------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time, tes_nb as tes
s = tes.start(ports=(0, 0))
ng = s.watch(tes.SIMULATED, speed=50)
print(ng.stand_in.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["s.stop()", "sys.exit()", "time.sleep(60)"])
def test_the_stand_in_ends_with_the_session_however_it_ends(end):
    kernel = subprocess.Popen([sys.executable, "-c", SCRIPT.format(end=end)], stdout=subprocess.PIPE)
    assert kernel.stdout is not None
    pid = int(kernel.stdout.readline())
    if "sleep" in end:
        os.kill(kernel.pid, signal.SIGKILL)
    kernel.wait(20)
    kernel.stdout.close()
    eventually(lambda: not psutil.pid_exists(pid), 10)


# Everything at once ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("own_registry")
def test_random_faults_leave_nothing_unexplained():
    """Until dozens of messages, several gaps and many kinds of faults have come, however long that takes."""
    with tes.start(ports=(0, 0)) as session:
        feed = session.watch(tes.SIMULATED, speed=50, faults=["random:every=0.5"], token_life_s=8, seed=11)
        eventually(
            lambda: (
                feed.messages > 100 and len(feed.gaps) >= 2 and len(feed.stand_in.ledger()["strikes"]) > 8
            ),
            120,
        )
        feed.stand_in.clear_faults()
        eventually(lambda: feed.state == "OPEN", 60)
        feed.wait(rows=10, timeout=60)
        ledger = feed.ledger()
        assert (ledger.unexplained_missing, ledger.doubled) == (0, 0), ledger
        assert ledger.balanced, ledger
        assert ledger.received > 50
        assert ledger.in_gaps > 0
