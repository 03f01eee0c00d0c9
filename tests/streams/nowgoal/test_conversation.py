"""Where a row comes from: the message, else what its connection asked for, else nobody knows."""

from __future__ import annotations

import json

import pytest

from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.streams.nowgoal.channels import address_channels, request_channels, subscription
from tes_nb.streams.nowgoal.conversation import MOST_REQUESTS, Requests
from tes_nb.streams.nowgoal.stream import STREAM, decode
from tes_nb.wire.events import StateChange, Subscription, encode_event
from tests.support.nowgoal_corpus import (
    GAME,
    GAME_ODDS,
    ODDS,
    RECEIVED,
    SCORE,
    SHORT_ODDS,
    message,
    odds_xml,
    rows,
    scores_xml,
)

CROWN, BET365, PINNACLE = "ch_goal3_xml", "ch_goal8_xml", "ch_goal47_xml"
BARE = odds_xml(SHORT_ODDS)


class Feed:
    """What a feed does with what comes: each thing a millisecond after the one before."""

    def __init__(self):
        self.decoder = STREAM.decoder()
        self.time_ns = 0

    def stamp(self, payload, *, conn=1, direction=Direction.IN, opcode=Opcode.TEXT, time_ns=None):
        self.time_ns += 1_000_000
        time_ns = self.time_ns if time_ns is None else time_ns
        return Message("nowgoal", direction, opcode, payload, RECEIVED + time_ns, time_ns, conn, 1)

    def ask(self, *channels, conn=1):
        text = json.dumps({"type": 0, "channels": channels}).encode()
        self.decoder.note(self.stamp(text, conn=conn, direction=Direction.OUT))

    def event(self, event, **stamp):
        self.decoder.note(self.stamp(encode_event(event), opcode=Opcode.EVENT, **stamp))

    def decode(self, text, **stamp):
        return self.decoder.decode(self.stamp(text.encode(), **stamp))

    def channels(self, text=BARE, table="odds", **stamp):
        """The channels and companies of a message's rows; each once."""
        found = rows(table, self.decode(text, **stamp))
        return list(dict.fromkeys((row.get("channel"), row.get("company")) for row in found))


def state(*channels, conn=1, since_ns=None):
    return StateChange("OPEN", "OPEN", conn, 0, channels=channels or None, channels_mono_ns=since_ns)


def test_what_the_connection_asked_for_is_the_channel():
    feed = Feed()
    feed.ask("change_xml", CROWN)
    assert feed.channels() == [(CROWN, "Crown")]
    assert feed.channels(scores_xml(SCORE), "scores") == [("change_xml", None)]


def test_a_change_on_the_open_connection_counts_from_then_on():
    feed = Feed()
    feed.ask(CROWN)
    assert feed.channels() == [(CROWN, "Crown")]
    feed.ask(PINNACLE)
    assert feed.channels() == [(PINNACLE, "Pinnacle")]
    feed.ask(CROWN, PINNACLE)
    assert feed.channels() == [(None, None)]


def test_the_reader_s_own_word_counts_for_each_of_its_connections():
    feed = Feed()
    feed.event(state(CROWN))
    assert feed.channels(conn=1) == feed.channels(conn=2) == [(CROWN, "Crown")]
    feed.event(state(PINNACLE, conn=2))
    assert feed.channels(conn=1) == feed.channels(conn=2) == [(PINNACLE, "Pinnacle")]
    feed.event(state())  # a state that says nothing of channels takes nothing back
    assert feed.channels() == [(PINNACLE, "Pinnacle")]


def test_what_the_message_names_is_never_contradicted():
    feed = Feed()
    feed.ask(CROWN)
    assert feed.channels(json.dumps({"channel": PINNACLE, "data": BARE})) == [(PINNACLE, "Pinnacle")]
    assert feed.channels(json.dumps({BET365: BARE})) == [(BET365, "Bet365")]
    assert feed.channels(json.dumps({"data": BARE})) == [(CROWN, "Crown")]


def test_one_of_several_is_nobody_s_knowledge_and_is_said_once_a_connection():
    feed = Feed()
    feed.ask(CROWN, PINNACLE)
    first = feed.decode(BARE)
    assert first.kind is Kind.DATA
    (note,) = first.notes
    assert CROWN in note
    assert PINNACLE in note
    (remark,) = rows("raw", first)
    assert (remark["reason"], remark["note"]) == ("unknown channel", note)
    assert not any("channel" in row or "company_id" in row for row in rows("odds", first))
    assert all(row["home"] for row in rows("odds", first))
    for _ in range(3):
        again = feed.decode(BARE)
        assert again.notes == ()
        assert set(again.rows) == {"odds"}
    assert len(feed.decode(BARE, conn=2).notes) == 0  # nothing is known of that one
    feed.ask(CROWN, PINNACLE, conn=2)
    assert len(feed.decode(BARE, conn=2).notes) == 1


def test_a_channel_that_was_not_asked_for_is_no_answer_either():
    feed = Feed()
    feed.ask("nba_change_xml", CROWN)
    decoded = feed.decode(scores_xml(SCORE))
    assert "channel" not in rows("scores", decoded)[0]
    assert "no channel of football scores" in decoded.notes[0]
    feed.ask("change_xml")
    assert feed.channels() == [(None, None)]


def test_where_nothing_is_known_it_is_the_usual_channel():
    assert Feed().channels() == [(BET365, "Bet365")]
    assert Feed().decode(BARE) == decode(message(BARE))


def test_each_connection_of_a_file_has_what_it_asked_for_itself():
    feed = Feed()
    feed.event(Subscription(1, (CROWN,)))
    feed.event(Subscription(2, (PINNACLE,)), conn=2)
    assert feed.channels(conn=1) == [(CROWN, "Crown")]
    assert feed.channels(conn=2) == [(PINNACLE, "Pinnacle")]
    assert feed.channels(conn=3) == [(BET365, "Bet365")]
    feed.ask(BET365, conn=1)
    assert feed.channels(conn=1) == [(BET365, "Bet365")]
    assert feed.channels(conn=2) == [(PINNACLE, "Pinnacle")]


def test_a_state_that_comes_before_older_messages_says_since_when():
    feed = Feed()
    feed.event(state(CROWN, since_ns=10))
    feed.event(state(PINNACLE, since_ns=5_000_000), time_ns=9_000_000)
    assert feed.channels(time_ns=4_999_999) == [(CROWN, "Crown")]
    assert feed.channels(time_ns=5_000_000) == [(PINNACLE, "Pinnacle")]
    assert feed.channels(time_ns=20) == [(CROWN, "Crown")]
    assert feed.channels(time_ns=8_000_000) == [(PINNACLE, "Pinnacle")]


def test_the_sport_of_an_ambiguous_record_is_the_one_asked_for():
    record = "1,5,0.9,0.9,5,0.9,0.9,,,,,,"  # an id or a line in field 1
    feed = Feed()
    feed.ask("ch_nbaGoal8_xml")
    assert feed.channels(odds_xml(record)) == [("ch_nbaGoal8_xml", "Bet365")]
    assert feed.channels(odds_xml(GAME_ODDS)) == [("ch_nbaGoal8_xml", "Bet365")]
    assert feed.channels(odds_xml(ODDS)) == [(None, None)]  # football, which was not asked for
    assert feed.channels(scores_xml(GAME), "games") == [(None, None)]


def test_both_sports_in_one_message_have_their_own_channels():
    feed = Feed()
    feed.ask(CROWN, "ch_nbaGoal47_xml")
    found = rows("odds", feed.decode(odds_xml(ODDS, GAME_ODDS, SHORT_ODDS)))
    assert [(row["match_id"], row["company"]) for row in found] == [
        *[("3018359", "Crown")] * 3,
        ("555", "Pinnacle"),
        *[("3003850", "Crown")] * 2,
    ]


def test_extra_elements_are_said_once_a_connection():
    feed = Feed()
    text = f"<c><match><m>{ODDS}</m></match><ids>1,2</ids><jcIds></jcIds><isMaintain>0</isMaintain></c>"
    first = feed.decode(text)
    assert [row["reason"] for row in rows("raw", first)] == ["extra element"] * 3
    assert len(first.notes) == 3
    assert len(first.rows["odds"]) == 3
    for _ in range(3):
        assert feed.decode(text).notes == ()
    nothing_changed = feed.decode("<c><match></match><ids>7</ids></c>", conn=2)
    assert nothing_changed.kind is Kind.DATA
    assert nothing_changed.reason is None
    assert len(nothing_changed.notes) == 1
    assert feed.decode("<c><match></match><ids>7</ids></c>", conn=2).rows == {}


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b'{"event":"nobody"}', b'{"type":0,"channels":7}'])
def test_what_is_no_request_is_passed_over(payload):
    feed = Feed()
    feed.ask(CROWN)
    feed.decoder.note(feed.stamp(payload, direction=Direction.OUT))
    feed.decoder.note(feed.stamp(payload, opcode=Opcode.EVENT))
    assert feed.channels() == [(CROWN, "Crown")]


def test_requests_are_read_from_texts_and_addresses():
    assert request_channels(subscription(["scores", CROWN])) == ("change_xml", CROWN)
    assert request_channels(b'{"channels":[],"type":0}') == ()
    assert request_channels(b'{"channels":["a_xml"],"type":1}') is None
    assert request_channels(b"ok") is None
    address = "wss://www.nowgoal26.com:9800/stream"
    assert address_channels(f"{address}?channels={CROWN},change_xml&&token=x") == (CROWN, "change_xml")
    assert address_channels(f"{address}?channels={CROWN}%2Cchange_xml") == (CROWN, "change_xml")
    assert address_channels(f"{address}?token=x") is None
    assert address_channels("wss://[") is None


def test_what_is_remembered_is_bounded():
    requests = Requests()
    for number in range(3 * MOST_REQUESTS):
        requests.add(number, (f"{number}_xml",))
    assert requests.at(10**9) == (3 * MOST_REQUESTS - 1, (f"{3 * MOST_REQUESTS - 1}_xml",))
    assert requests.at(5) is None
    feed = Feed()
    for conn in range(3000):
        feed.ask(CROWN, conn=conn)
        feed.decode(BARE, conn=conn)
    assert feed.channels(conn=2999) == [(CROWN, "Crown")]
    assert len(feed.decoder._requests) <= 1000
    assert len(feed.decoder._remarks) <= 1000
