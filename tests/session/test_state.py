from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tes_nb.model import Direction, Message, Opcode
from tes_nb.session.origin import LiveOrigin
from tes_nb.session.state import FeedState
from tes_nb.streams.nowgoal.stream import STREAM as NOWGOAL
from tes_nb.wire.events import StateChange


def state(**given) -> FeedState:
    fields = {
        "upstream": None,
        "relay": None,
        "closed": False,
        "silent_s": 0.1,
        "period_s": 0.5,
        "undecoded": 0,
        "gaps": 0,
    }
    return FeedState.of(**{**fields, **given})


def upstream(word: str, text: str, **more) -> StateChange:
    return StateChange(state=word, text=text, conn=1, at_ns=0, **more)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "OPEN"),
        ({"new": True}, "CONNECTING"),
        ({"new": True, "silent_s": 0.3}, "CONNECTING"),
        ({"new": True, "silent_s": 1.6}, "STALE: nothing for 2 s"),
        ({"new": True, "relay": "the collector has ended"}, "LOST: the collector has ended"),
        ({"new": True, "upstream": upstream("OPEN", "OPEN")}, "OPEN"),
        ({"closed": True, "relay": "gone"}, "CLOSED"),
        ({"relay": "the collector has ended"}, "LOST: the collector has ended"),
        ({"silent_s": 1.6}, "STALE: nothing for 2 s"),
        ({"silent_s": 1e9, "period_s": float("inf")}, "OPEN"),
        ({"upstream": upstream("FAILED", "FAILED 404")}, "FAILED 404"),
        ({"upstream": upstream("POLLING", "POLLING /x")}, "POLLING /x"),
        ({"upstream": upstream("OPEN", "OPEN", reconnects=2), "undecoded": 3, "gaps": 1}, None),
    ],
)
def test_what_is_shown(given, shown):
    said = state(**given)
    assert str(said) == (shown or "OPEN · 2 reconnects · 1 gap · 3 undecoded")


def test_a_feed_is_stale_by_its_messages_and_not_by_its_rows():
    origin = LiveOrigin(replace(NOWGOAL, period_s=0.1), "nowgoal")

    def receive():
        origin.append(Message("nowgoal", Direction.IN, Opcode.TEXT, b"ok", time.time_ns(), 0, 1, 1))

    assert origin.state() == "CONNECTING"
    for _ in range(6):
        receive()
        time.sleep(0.1)
        assert origin.state() == "OPEN"
    assert not len(origin.store.main)
    time.sleep(0.4)
    assert origin.state() == "STALE"


def test_a_wait_counts_down():
    waiting = upstream(
        "WAITING", "WAITING 4.2 s: connection refused", retry_at_ns=time.time_ns() + 2_000_000_000
    )
    said = str(state(upstream=waiting))
    assert said.startswith(("WAITING 2.0 s", "WAITING 1.9 s"))
    assert said.endswith(": connection refused")


def test_a_state_equals_its_word():
    assert state() == "OPEN"
    assert state() != "STALE"
    assert state() == state()
    assert state().__eq__(5) is NotImplemented
