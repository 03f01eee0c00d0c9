"""Every origin answers the same questions: live, recorded and replayed feeds differ in their answers only."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import time
from pathlib import Path

import pandas as pd
import pytest

import tes_nb
import tes_nb as tes
from tes_nb.errors import SessionError
from tes_nb.model import Opcode
from tes_nb.session.extras import extras_of
from tes_nb.session.feed import Feed
from tes_nb.session.nowgoal.feed import NowGoalFeed
from tes_nb.session.origin import LiveOrigin, RecordedOrigin, ReplayOrigin
from tes_nb.streams import all_streams, get
from tes_nb.views.clock import MIN_FPS, clock
from tes_nb.wire.events import StateChange, encode_event
from tests.support.messages import message
from tests.support.waiting import eventually

ORIGINS = {"live": LiveOrigin, "recorded": RecordedOrigin, "replay": ReplayOrigin}
OVER = r"The feed '{}' is a recording \(three\.tes\): nothing more comes\. .* plays it as if it were live\."
PACKAGE = Path(tes_nb.__file__).parent


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """The same seconds live, recorded and replayed to their end."""
    path = tmp_path_factory.mktemp("origin") / "three.tes"
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(tes.start(ports=(0, 0)))
        simulated = live.watch(tes.SIMULATED, speed=200, seed=3)
        with live.record(path):
            simulated.wait(rows=20, timeout=30)
            live.metrics.wait(rows=3, timeout=20)
            live.mark("here")
            live.metrics.wait(rows=1, timeout=20)
        recorded = stack.enter_context(tes.open(path))
        replay = stack.enter_context(tes.replay(path, speed="max"))
        replay.wait(timeout=30)
        yield {"live": live, "recorded": recorded, "replay": replay}


@pytest.fixture(params=ORIGINS)
def kind(request):
    return request.param


@pytest.fixture
def session(sessions, kind):
    return sessions[kind]


def refusal_of(ask):
    """What is said instead of doing it; `None` = it is done."""
    try:
        ask()
    except SessionError as error:
        return str(error)
    return None


def ended(off):
    """Take a callback off again."""
    off()


def test_one_class_of_feed_whatever_the_origin(session, kind):
    assert type(session.metrics) is Feed
    assert type(session.simulated) is NowGoalFeed
    for feed in session.feeds.values():
        assert type(feed.origin) is ORIGINS[kind]
        assert type(feed) is extras_of(feed.stream).feed
        assert (feed.source, feed.name) == (feed.origin.source, feed.origin.source)


def test_state(session, kind):
    states = {"live": "OPEN", "recorded": "RECORDED", "replay": "ENDED"}
    looks = states | {"recorded": "CLOSED"}
    assert session.metrics.state == states[kind]
    assert session.metrics.look().word == looks[kind]
    assert session.metrics.closed == (kind == "recorded")
    assert session.metrics.source in repr(session.metrics)
    assert session.metrics.source in session.metrics._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("source", ["metrics", "simulated"])
def test_frames_hold_the_same_rows(sessions, session, source):
    feed, recorded = session.feeds[source], sessions["recorded"].feeds[source]
    times = recorded.frame().index
    within = {"start": times[0], "end": times[-1]}
    for gaps in (False, True):
        rows = feed.frame(**within, gaps=gaps)
        assert list(rows["seq"].dropna()) == list(recorded.frame(**within, gaps=gaps)["seq"].dropna())
    assert list(rows.columns) == list(recorded.frame().columns)
    with pytest.raises(SessionError, match="has no table 'nope'"):
        feed.frame("nope")


def test_last_is_the_same_in_every_zone(session, kind):
    span = "1h" if kind == "live" else "1s"
    here, there = (session.metrics.frame(last=span, tz=tz) for tz in ("UTC", "Asia/Tokyo"))
    assert len(here)
    assert abs(len(here) - len(there)) <= (kind == "live")  # one may come between the two
    assert (there.index[: len(here)] == here.index[: len(there)]).all()
    if kind != "live":
        newest = max(feed.store.newest_ns or 0 for feed in session.feeds.values())
        assert here.index[0] >= pd.Timestamp(newest, tz="UTC") - pd.Timedelta(span)


def test_marks_and_messages(session):
    assert "here" in list(session.metrics.marks["label"])
    assert session.metrics.recent.since(0)
    assert session.metrics.latest is not None
    assert isinstance(session.simulated.latest, str)


def test_waiting_and_listening_are_done_or_refused_with_one_sentence(session, kind):
    feed = session.metrics
    asks = (
        lambda: feed.wait(seconds=0),
        lambda: asyncio.run(feed.wait_async(seconds=0)),
        lambda: ended(feed.on_message(print)),
    )
    said = {refusal_of(ask) for ask in asks}
    assert said == ({feed.origin.refusal} if kind == "recorded" else {None})
    if kind == "recorded":
        assert re.fullmatch(OVER.format("metrics"), feed.origin.refusal)
    assert refusal_of(lambda: aiter(feed)) is None  # a recording's messages are all there


def test_what_a_peer_is_asked_for(session, kind):
    sentence = refusal_of(lambda: asyncio.run(session.kernel.subscribe(["cpu"])))
    choice = "The feed 'kernel' has nothing to choose from: it always sends everything."
    assert sentence == (session.kernel.origin.refusal if kind == "recorded" else choice)


def test_views(session, kind):
    for feed in (session.metrics, session.status, session.simulated):
        feed.view().close()
        feed.inspector().close()
        assert feed.figure().layout.title.text == feed.source
    chart = session.metrics.plot()
    assert chart.spec["window_s"] == (None if kind == "recorded" else 300)
    chart.close()
    session.dashboard().close()


def test_files(session, tmp_path):
    path = session.metrics.to_csv(tmp_path / "metrics.csv")
    rows = pd.read_csv(path)
    assert len(rows) >= 3
    assert list(rows.columns[1:]) == list(session.metrics.frame().columns)
    assert session.metrics.to_parquet(tmp_path / "metrics.parquet").exists()


def test_what_nowgoal_adds_works_everywhere(session, kind):
    feed = session.simulated
    feed.set_names(pd.DataFrame({"match_id": ["x"], "home_team": ["Ours"], "away_team": ["Theirs"]}))
    assert {"home_team", "away_team", "league"} <= set(feed.matches().columns)
    assert {"velocity", "steam"} <= set(feed.steam().columns)
    assert feed.lookup("odds") is None or feed.lookup("odds").columns
    refusal = feed.origin.refusal or None
    assert refusal_of(lambda: ended(feed.on_steam(print))) == refusal
    if kind == "live":
        assert feed.ledger().received
        assert feed.channels
    else:
        assert refusal_of(feed.ledger) == refusal or "is not simulated" in refusal_of(feed.ledger)
        assert refusal_of(lambda: setattr(feed, "channels", ["odds"])) in (
            refusal,
            "The feed 'simulated' is not watched; call s.watch() first.",
        )


@pytest.mark.parametrize("what", ["watch()", "record()", "gauge()", "mark()"])
def test_what_a_replay_is_not_is_one_sentence(sessions, what):
    replay = sessions["replay"]
    asks = {"watch()": replay.watch, "record()": replay.record}
    asks |= {"gauge()": lambda: replay.gauge("x", 1), "mark()": lambda: replay.mark("x")}
    assert (
        refusal_of(asks[what]) == f"This is a replay of three.tes: {what} needs a live session, tes.start()."
    )


def test_a_message_goes_straight_to_the_origin(sessions):
    for source, reader in sessions["live"]._readers.items():
        assert reader._on_message == sessions["live"].feeds[source].origin.append


def test_a_closed_origin_ends_what_listens():
    origin = LiveOrigin(get("metrics"), "metrics")
    feed = Feed(get("metrics"), origin)
    heard = []
    feed.on_message(heard.append)
    origin.append(message({"type": "nothing"}))
    feed.close()
    assert len(heard) == 1
    assert feed.closed
    assert feed.state == "CLOSED"
    assert feed.origin.now_ns() is None


# Who names a stream, and who starts the stand-in ---------------------------------------------------------------


def test_no_file_of_a_session_names_a_stream_but_those_of_its_own():
    """What NowGoal adds is in its own folder; the rest of a session would serve any other stream as well."""
    others = [path for path in (PACKAGE / "session").rglob("*.py") if path.parent.name == "session"]
    assert len(others) > 10
    assert [path.name for path in others if "nowgoal" in path.read_text().lower()] == []


def test_extras_are_of_feeds_that_add_methods():
    for stream in all_streams():
        extras = extras_of(stream)
        assert issubclass(extras.feed, Feed)
        assert (extras.feed is Feed) == (not stream.extras)


def test_one_function_imports_the_simulator():
    places = []
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "simulate"):
            continue
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = getattr(node, "module", None) or ""
            if any(f"{module}.{name}".strip(".").startswith("tes_nb.simulate") for name in names):
                around = [one.name for one in functions if node in ast.walk(one)]
                places.append((path.name, *around))
    assert places == [("stand_in.py", "simulator")]


def test_views_say_a_new_state_at_once_not_with_the_next_repaint():
    class View:
        def __init__(self):
            self.steps = 0

        def step(self):
            self.steps += 1
            return True

    origin, view, fps = LiveOrigin(get("metrics"), "metrics"), View(), clock.fps
    clock.fps = MIN_FPS  # the next one is ten seconds away
    try:
        clock.add(view)
        eventually(lambda: view.steps >= 2)
        steps = view.steps
        origin.append(message(b"{}", source="metrics"))
        time.sleep(0.3)
        assert view.steps == steps
        payload = encode_event(StateChange("OPEN", "OPEN", 1, 1))
        origin.append(message(payload, source="metrics", opcode=Opcode.EVENT, seq=2))
        eventually(lambda: view.steps > steps, 3)
    finally:
        clock.fps = fps
        clock.remove(view)
