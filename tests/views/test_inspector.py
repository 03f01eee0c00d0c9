"""The inspector without a browser: what is kept, what is said of a message, what is saved."""

from __future__ import annotations

import json
import zlib

import pytest

from tes_nb.errors import ExportError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.streams import get
from tes_nb.views.clock import RepaintClock
from tes_nb.views.inspector import FIRST, INLINE_BYTES, Inspector, InspectorContent
from tes_nb.wire.events import StateChange, encode_event
from tests.support.hostile import HOSTILE
from tests.support.observations import observation

STREAM = get("metrics")
GOOD = json.dumps(STREAM.producer.build(observation())).encode()


def message(payload=GOOD, *, opcode=Opcode.TEXT, direction=Direction.IN, at=1.0, seq=1):
    return Message("metrics", direction, opcode, payload, int(at * 1e9), 1, 0, seq)


def state(word, at):
    change = StateChange(word, f"{word} because", 1, int(at * 1e9), attempts=2, reconnects=1, close_code=1006)
    return message(encode_event(change), opcode=Opcode.EVENT, at=at)


def recent(*messages, **given):
    one = RecentMessages("metrics", STREAM, **given)
    for each in messages:
        one.append(each)
    return one


def items(sent):
    ((update, buffers),) = sent
    assert len(update["items"]) == len(buffers)
    json.dumps(update, allow_nan=False)
    return update["items"], buffers


def test_recent_messages_keep_the_newest_by_number_and_by_size():
    one = recent(*(message(b"x" * n) for n in range(1, 11)), limit=4)
    assert [len(each.message.payload) for each in one.since(0)] == [7, 8, 9, 10]
    assert [each.number for each in one.since(8)] == [9, 10]
    assert one.since(10) == []
    assert one.find(9).payload == b"x" * 9
    assert one.find(1) is None
    big = recent(message(b"a" * 60), message(b"b" * 60), message(b"c" * 500), limit_bytes=100)
    assert [each.message.payload[:1] for each in big.since(0)] == [b"c"]


def test_a_message_is_reported_with_size_time_and_outcome():
    listed, (payload,) = items(InspectorContent([recent(message())]).everything())
    (one,) = listed
    assert (one["id"], one["direction"], one["kind"], one["undecoded"]) == ("metrics 1", "in", "data", False)
    assert (one["size"], one["inflated"], payload) == (len(GOOD), len(GOOD), GOOD)
    assert one["decode_ms"] > 0
    assert "1 metrics" in one["outcome"]
    assert one["preview"] == GOOD.decode()[:300]


def test_what_cannot_be_decoded_says_why_and_sent_ones_are_not_tried():
    content = InspectorContent(
        [recent(message(b"\xff\x00 nothing"), message(b"{}"), message(b"ping", direction=Direction.OUT))]
    )
    first, second, third = items(content.everything())[0]
    assert first["undecoded"]
    assert second["undecoded"]
    assert second["outcome"].startswith("metrics: schema: ")
    assert (third["kind"], third["direction"], third["decode_ms"]) == ("sent", "out", None)


def test_what_a_connection_asked_for_is_known_to_its_inspector():
    nowgoal = RecentMessages("nowgoal", get("nowgoal"))
    asked = b'{"type":0,"channels":["ch_goal3_xml","ch_goal47_xml"]}'
    nowgoal.append(message(asked, direction=Direction.OUT))
    nowgoal.append(message(b"<c><match><m>3003850,17348417,-0.5,0.91,0.89</m></match></c>", seq=2))
    outcome = items(InspectorContent([nowgoal]).everything())[0][1]["outcome"]
    assert outcome.startswith("nowgoal: 1 odds, ")
    assert "2 channels of football odds were asked for (ch_goal3_xml, ch_goal47_xml)" in outcome


def test_compressed_payloads_are_shown_inflated_and_large_ones_on_request():
    text = b"<c>" + b"x" * 2 * INLINE_BYTES + b"</c>"
    small, large = zlib.compress(b"<c/>"), zlib.compress(text)
    one = recent(message(small, opcode=Opcode.BINARY), message(large, opcode=Opcode.BINARY, at=2.0))
    listed, payloads = items(InspectorContent([one]).everything())
    assert [bytes(payload) for payload in payloads] == [b"<c/>", b""]
    assert [(each["size"], each["inflated"]) for each in listed] == [(len(small), 4), (len(large), len(text))]


def test_new_messages_of_several_sources_come_in_the_order_of_time():
    first, second = recent(message(at=1.0), message(at=3.0)), recent(message(at=2.0))
    second.name = "other"
    content = InspectorContent([first, second])
    assert [one["id"] for one in items(content.everything())[0]] == ["metrics 1", "other 1", "metrics 2"]
    assert content.news() == []
    second.append(message(at=9.0))
    assert [one["id"] for one in items(content.news())[0]] == ["other 2"]
    assert content.find("other 2").t_wall_ns == 9 * 10**9
    for nonsense in ("other 99", "nobody 1", "other", "other -1", "other " + "9" * 400, ""):
        assert content.find(nonsense) is None


def test_a_flood_costs_a_bounded_number_of_decodes():
    one = recent(*(message(at=float(n)) for n in range(2_000)))
    content = InspectorContent([one])
    assert len(items(content.everything())[0]) == FIRST
    for n in range(1_000):
        one.append(message(at=3_000.0 + n))
    assert len(items(content.news())[0]) == 200
    assert content.news() == []


def test_connections_with_their_history_when_they_change():
    one = recent(state("CONNECTING", 1.0), state("OPEN", 2.0))
    content = InspectorContent([one])
    (connection,) = content.state()["connections"]
    assert (connection["state"], connection["attempts"], connection["close_code"]) == ("OPEN", 2, 1006)
    assert [each["t"] for each in connection["history"]] == [1.0, 2.0]
    assert content.state() == {}
    one.append(state("WAITING", 3.0))
    assert content.state()["connections"][0]["text"] == "WAITING because"


@pytest.mark.parametrize("text", HOSTILE[::17])
def test_fault_51_hostile_payloads_stay_as_they_are(text):
    listed, (payload,) = items(InspectorContent([recent(message(text.encode()))]).everything())
    assert payload.decode() == text
    assert listed[0]["preview"] == text[:300]
    assert listed[0]["undecoded"]


def test_the_widget_answers_for_payloads_and_saves_what_is_shown():
    saved = []

    def save(messages):
        if len(saved) == 1:
            raise ExportError("The disk is full; free some space.")
        saved.append([each.t_wall_ns for each in messages])
        return "Saved 2 messages."

    one = Inspector([recent(message(at=1.0), message(at=2.0))], save=save, repaint=RepaintClock(fps=0.1))
    sent = []
    one.send = lambda content, buffers: sent.append((content, buffers))
    one._receive(one, {"type": "payload", "client": "a", "id": "metrics 2"}, [])
    assert sent == [({"type": "payload", "id": "metrics 2"}, [GOOD])]
    one._receive(one, {"type": "payload", "id": "metrics 7"}, [])
    assert "no longer kept" in one._requests.content.state()["sentence"]
    one._receive(one, {"type": "save", "ids": ["metrics 2", "metrics 1", "nobody 3"]}, [])
    assert saved == [[1 * 10**9, 2 * 10**9]]
    assert one._requests.content.state() == {"sentence": "Saved 2 messages."}
    one._receive(one, {"type": "save", "ids": ["metrics 1"]}, [])
    assert one._requests.content.state() == {"sentence": "The disk is full; free some space."}
    one._receive(one, {"type": "save", "ids": []}, [])
    assert one._requests.content.state() == {"sentence": "There is nothing to save."}
    assert one.spec["can_save"] is True
    one.close()
