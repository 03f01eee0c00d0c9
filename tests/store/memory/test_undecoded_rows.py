"""A stream that tells of unreadable messages in a table of its own: nothing is lost, everything is counted."""

from __future__ import annotations

import json
import random

from tes_nb.store.memory.tables import StreamStore
from tes_nb.streams.nowgoal.stream import STREAM
from tests.support.nowgoal_corpus import CHANNELS, SCORE, TICK, message, scores_xml

UNREADABLE = {"junk": "unknown form", "<c>": "not XML", '{"a":': "not JSON", '{"a":1,"a":2}': "duplicate key"}
READABLE = [*CHANNELS.values(), json.dumps([TICK]), "ok"]
HALF_READABLE = scores_xml(SCORE.replace("^1^0^^^", "^x^0^^^", 1), SCORE)


def test_fault_62_the_store_counts_each_injected_fault_and_keeps_every_raw_message():
    rng = random.Random(62)
    store = StreamStore(STREAM)
    sent = rng.choices([*UNREADABLE, *READABLE, HALF_READABLE], k=500)
    for text in sent:
        decoded = store.receive(message(text))
        assert (decoded is None) is (text in UNREADABLE)
    counts = store.counts()
    unreadable = [text for text in sent if text in UNREADABLE]
    assert counts.messages == 500
    assert sum(counts.decode_errors.values()) == counts.kinds["undecoded"] == len(unreadable)
    for text, reason in UNREADABLE.items():
        assert counts.decode_errors[reason] == sent.count(text)
    assert counts.notes == sent.count(HALF_READABLE)
    assert store.tables["raw"].total == len(unreadable) + counts.notes
    assert [kept.message.payload.decode() for kept in store.undecoded] == unreadable
    assert not any(table.unfit or table.refused for table in store.tables.values())


def test_the_raw_table_tells_what_the_counter_tells():
    store = StreamStore(STREAM)
    store.receive(message("junk"))
    (kept,) = store.undecoded
    assert kept.reason == "unknown form"
    assert kept.sentence.startswith("The message is neither JSON nor XML")
    assert len(store.tables["raw"]) == 1
