"""One feed's memory: rows where they belong, everything else counted and kept."""

import pytest

from tes_nb.errors import DecodeError
from tes_nb.model import Column, Decoded, Direction, Endpoint, Kind, Message, Opcode, Stream, Table
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.store.memory import tables as tables_module
from tes_nb.store.memory.tables import StreamStore
from tes_nb.wire.events import ClockJump, Gap, Mark, StateChange, encode_event
from tests.support.messages import WALL, message

READINGS = Table("readings", "", (Column("value", "float64", "", "gauge", ""),))
JUMPS = Table("jumps", "", (Column("by", "float64", "", "gauge", ""),))


def decode(received: Message) -> Decoded:
    """A list of numbers is data; other JSON tells what to do."""
    said = received.json() if received.payload[:1] in b'[{"' else None
    if isinstance(said, list):
        notes = ("an odd value",) if None in said else ()
        return Decoded(Kind.DATA, {"readings": [(value,) for value in said]}, sent_at_ns=7, notes=notes)
    if said == "hello":
        return Decoded(Kind.GREETING)
    if said == "elsewhere":
        return Decoded(Kind.DATA, {"readings": [(1.0,)], "nowhere": [(1.0,)]})
    if said == "undecoded":
        return Decoded(Kind.UNDECODED)
    if said == "bug":
        raise ZeroDivisionError("oops")
    raise DecodeError("Not a list of numbers.", reason="no list")


def fold(memory, received, decoded):
    """A row where the first value differs from that of the message before."""
    values = [value for (value,) in decoded.rows.get("readings", ()) if value is not None]
    before = memory.get("before")
    if not values:
        return {}
    memory["before"] = values[0]
    return {"jumps": [(values[0] - before,)]} if before is not None and before != values[0] else {}


def store(**options) -> StreamStore:
    stream = Stream(
        name="test",
        doc="",
        endpoint=Endpoint("none", "/"),
        tables=(READINGS, JUMPS),
        main="readings",
        period_s=1.0,
        decode=decode,
        classify=lambda _: Kind.DATA,
        fold=fold,
    )
    return StreamStore(stream, **options)


def event(reported) -> Message:
    return message(encode_event(reported), opcode=Opcode.EVENT)


def test_rows_go_to_their_tables_with_the_times_of_the_message():
    held = store()
    assert held.receive(message([1.0, 2.0], seq=1)).kind == Kind.DATA
    held.receive(message([4.0], seq=2))
    readings = held.main.snapshot()
    assert readings.cells["value"].numpy().tolist() == [1.0, 2.0, 4.0]
    assert readings.time.tolist() == [WALL + 1, WALL + 1, WALL + 2]
    assert readings.cells["sent_at"].values.tolist() == [7, 7, 7]
    assert readings.cells["source"].numpy().tolist() == ["test"] * 3
    assert held.tables["jumps"].snapshot().cells["by"].numpy().tolist() == [3.0]
    assert held.latest.seq == 2
    assert held.newest_ns == WALL + 2
    assert {name: table.total for name, table in held.tables.items()} == {"readings": 3, "jumps": 1}


def test_counters_add_up():
    held = store(cap=3)
    for payload in (
        [1.0, None],
        "hello",
        "what",
        "undecoded",
        b"\xff\xfe",
        [2.0],
        [3.0, 4.0],
        "bug",
        "elsewhere",
    ):
        held.receive(message(payload))
    counts = held.counts()
    assert counts.messages == sum(counts.kinds.values()) == 9
    assert counts.kinds == {"data": 3, "greeting": 1, "undecoded": 5}
    assert counts.decode_errors == {
        "no list": 2,
        "undecoded": 1,
        "bug: ZeroDivisionError": 1,
        "bug: KeyError": 1,
    }
    assert (held.main.total, held.main.dropped, counts.notes) == (5, 2, 1)
    assert [kept.message.payload for kept in held.undecoded][2] == b"\xff\xfe"
    assert "'test' failed: ZeroDivisionError('oops')" in held.undecoded[3].sentence


def test_fault_62_what_does_not_decode_is_kept_raw_and_counted_exactly():
    held, injected = store(), 0
    for number in range(500):
        broken = number % 3 == 0
        injected += broken
        held.receive(message(b"{broken" if broken else [float(number)], seq=number + 1))
    assert sum(held.counts().decode_errors.values()) == injected == len(held.undecoded)
    assert {kept.message.payload for kept in held.undecoded} == {b"{broken"}
    assert len(held.main) == 500 - injected


def test_rows_of_a_table_that_is_not_there_store_nothing_of_the_message():
    held = store()
    held.receive(message("elsewhere"))
    assert len(held.main) == 0


def test_a_row_that_its_columns_refuse_is_counted():
    held = store()
    held.receive(message(["text", 1.0]))
    assert (held.main.unfit, held.main.refused) == (1, 0)
    assert len(held.main) == 2


def test_sent_messages_and_duplicates_are_no_rows():
    held = store()
    first = message([1.0])
    held.receive(first)
    held.receive(Message(first.source, Direction.OUT, first.opcode, first.payload, WALL, 1, 1, 2))
    held.receive(
        Message(first.source, Direction.IN, first.opcode, first.payload, WALL, 1, 2, 3, FLAG_DUPLICATE)
    )
    assert len(held.main) == 1
    assert (held.counts().messages, held.counts().duplicates) == (1, 1)


def test_events_are_kept_and_a_gap_that_closes_replaces_its_open_form():
    held = store()
    opened = Gap(1, last_seen_ns=5, lost_at_ns=9, back_at_ns=None, cause="reset")
    other = Gap(2, last_seen_ns=6, lost_at_ns=9, back_at_ns=None, cause="silence")
    closed = Gap(1, last_seen_ns=5, lost_at_ns=9, back_at_ns=20, cause="reset")
    later = Gap(1, last_seen_ns=30, lost_at_ns=31, back_at_ns=32, cause="reset")
    state = StateChange("OPEN", "OPEN", conn=1, at_ns=20)
    for reported in (opened, other, closed, later, state, Mark("deploy", 21), ClockJump(22, -5)):
        held.receive(event(reported))
    assert held.gaps == [closed, other, later]
    assert held.state == state
    assert held.marks == [Mark("deploy", 21)]
    assert held.counts().messages == 0
    held.receive(message(b"no event", opcode=Opcode.EVENT))
    assert held.counts().decode_errors == {"event": 1}


def test_undecoded_messages_are_bounded_in_number_and_bytes(monkeypatch):
    monkeypatch.setattr(tables_module, "MAX_UNDECODED", 50)
    held = store()
    for number in range(120):
        held.receive(message(b"x" * 10, seq=number))
    assert [kept.message.seq for kept in held.undecoded] == list(range(70, 120))
    for number in range(20):
        held.receive(message(b"x" * 2**20, seq=number))
    assert sum(len(kept.message.payload) for kept in held.undecoded) <= tables_module.MAX_UNDECODED_BYTES
    assert held.undecoded[-1].message.seq == 19
    assert held.counts().decode_errors == {"no list": 140}


def test_every_kind_of_news_is_reported():
    held, seen = store(), [0]
    for reported in (message([1.0]), message("hello"), message("what"), event(Mark("x", 1))):
        held.receive(reported)
        assert held.version > seen[-1]
        seen.append(held.version)


def test_undecoded_as_a_kind_is_an_error_where_add_is_called_directly():
    with pytest.raises(DecodeError):
        store().add(message("x"), Decoded(Kind.UNDECODED))
