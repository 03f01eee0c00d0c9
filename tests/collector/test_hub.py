"""Stamps, the bounded log, jumps of the wall clock. Injected clocks; no sockets."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector import hub as hub_module
from tes_nb.collector.hub import LEAST_BYTES, PROBE_BYTES, Hub, Log
from tes_nb.model import Direction, Opcode
from tes_nb.wire.events import ClockJump, Mark, StateChange, decode_event
from tes_nb.wire.record import unpack

HOUR = 3_600_000_000_000


class Clocks:
    def __init__(self):
        self.wall = 1_767_225_600_000_000_000
        self.mono = 5_000_000_000

    def wait(self, ns):
        self.wall += ns
        self.mono += ns


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def hub(clocks):
    return Hub(10_000, wall_ns=lambda: clocks.wall, mono_ns=lambda: clocks.mono)


def messages(hub, source):
    return [unpack(source, record) for record in hub.topics[source].log.after(0, 10**9)]


def test_each_message_is_stamped_once_and_numbered_without_holes(hub, clocks):
    heard = []
    hub.listeners.append(heard.append)
    for number in range(5):
        clocks.wait(1000)
        hub.add("a", b"%d" % number, opcode=Opcode.BINARY, direction=Direction.OUT, conn=3, flags=1)
    hub.add("b", b"other")
    stored = messages(hub, "a")
    assert stored == heard[:5]  # what the relay gives and what a recorder hears is the same record
    assert [one.seq for one in stored] == [1, 2, 3, 4, 5]
    assert [one.t_mono_ns for one in stored] == [5_000_001_000 + 1000 * n for n in range(5)]
    assert {(one.opcode, one.direction, one.conn, one.flags) for one in stored} == {(2, 1, 3, 1)}
    assert messages(hub, "b")[0].seq == 1
    assert {source: topic.log.last for source, topic in hub.topics.items()} == {"a": 5, "b": 1}


def test_the_newest_state_is_remembered_when_the_log_has_dropped_it(hub):
    state = StateChange(state="OPEN", text="OPEN", conn=1, at_ns=0)
    hub.event("a", state)
    for _ in range(100):
        hub.add("a", b"x" * 500)
    assert hub.topics["a"].log.first > 1
    assert decode_event(unpack("a", hub.topics["a"].state).payload) == state


def test_what_is_asked_for_can_be_said_once_more(hub, clocks):
    state = StateChange("OPEN", "OPEN", 1, 0, channels=("a_xml",), channels_mono_ns=7)
    hub.event("a", state, conn=1)
    clocks.wait(1000)
    hub.repeat_request("a")
    first, again = messages(hub, "a")
    assert decode_event(again.payload) == decode_event(first.payload) == state
    assert (again.seq, again.conn) == (2, 1)
    assert again.t_mono_ns > first.t_mono_ns
    hub.event("b", StateChange("OPEN", "OPEN", 1, 0))  # leaves the choice to its peer
    for source in ("b", "never heard of"):
        hub.repeat_request(source)
    assert len(messages(hub, "b")) == 1
    assert messages(hub, "never heard of") == []


def test_fault_75_a_jump_of_the_wall_clock_is_one_record_in_each_source(hub, clocks):
    hub.add("a", b"1")
    hub.add("b", b"1")
    for jump in (HOUR, -HOUR, -24 * HOUR):
        clocks.wait(1_000_000)
        clocks.wall += jump
        for _ in range(3):
            clocks.wait(1_000_000)
            hub.add("a", b"2")
    for source in ("a", "b"):
        jumps = [decode_event(one.payload) for one in messages(hub, source) if one.opcode == Opcode.EVENT]
        assert [jump.by_ns for jump in jumps] == [HOUR, -HOUR, -24 * HOUR]
        assert all(isinstance(jump, ClockJump) for jump in jumps)
    monotonic = [one.t_mono_ns for one in messages(hub, "a")]
    assert monotonic == sorted(monotonic)


def test_less_than_a_second_is_no_jump(hub, clocks):
    for _ in range(3):
        clocks.wall += 300_000_000
        hub.add("a", b"1")
    assert all(one.opcode != Opcode.EVENT for one in messages(hub, "a"))
    clocks.wall += 300_000_000  # but what adds up is told once
    hub.add("a", b"1")
    assert sum(one.opcode == Opcode.EVENT for one in messages(hub, "a")) == 1


def test_events_keep_their_connection(hub):
    hub.event("a", Mark(label="here", at_ns=1), conn=7)
    (message,) = messages(hub, "a")
    assert (message.opcode, message.conn) == (Opcode.EVENT, 7)
    assert decode_event(message.payload) == Mark(label="here", at_ns=1)


@given(sizes=st.lists(st.integers(0, 300), max_size=60), bound=st.integers(1, 2000), ask=st.integers(0, 70))
def test_the_log_keeps_the_newest_within_its_bound(sizes, bound, ask):
    log = Log(bound)
    for number, size in enumerate(sizes, 1):
        log.append(b"%03d" % number + b"x" * size)
    assert log.last == len(sizes)
    assert log.size == sum(map(len, log.after(0, 10**9)))
    assert log.size <= bound or len(log) == 1  # one record is always there, however large
    kept = [int(record[:3]) for record in log.after(0, 10**9)]
    assert [int(record[:3]) for record in log.newest_first()] == kept[::-1]
    assert kept == list(range(log.first, len(sizes) + 1))
    assert [int(record[:3]) for record in log.after(ask, most=10)] == [n for n in kept if n > ask][:10]


def test_a_reader_in_the_middle_of_a_long_log_pays_no_more_than_one_at_its_end():
    log = Log(300_000 * 100)
    for _ in range(450_000):  # a third has been dropped
        log.append(bytes(100))
    assert len(log) == 300_000

    def cost(place: int) -> float:
        best = []
        for _ in range(7):
            began = time.perf_counter()
            for turn in range(40):
                assert len(log.after(place + turn * 256)) == 256
            best.append(time.perf_counter() - began)
        return min(best)

    middle, end = cost(log.first + 150_000), cost(log.last - 41 * 256)
    assert middle < 10 * end  # sixty times as much where each record was walked to


def test_a_log_that_shrinks_keeps_the_newest_and_stays_small():
    log = Log(10 * LEAST_BYTES)
    for _ in range(30):
        log.append(bytes(LEAST_BYTES // 2))
    log.shrink()
    assert log.size <= log.max_bytes == 5 * LEAST_BYTES
    assert (log.first, log.last) == (21, 30)
    for _ in range(9):
        log.shrink()
    assert log.max_bytes == LEAST_BYTES
    assert log.last == 30


def test_fault_72_where_memory_is_short_the_logs_shrink_and_no_message_is_lost(monkeypatch):
    hub = Hub(64 * PROBE_BYTES)
    heard = []
    hub.listeners.append(lambda message: heard.append(message.seq))
    for _ in range(20):
        hub.add("big", bytes(PROBE_BYTES))
    short = [True, False]
    monkeypatch.setattr(hub_module, "memory_is_short", lambda: short.pop(0))
    hub.add("big", bytes(PROBE_BYTES))
    assert hub.topics["big"].log.size <= 11 * PROBE_BYTES
    errors = [MemoryError, MemoryError]

    def failing(message):
        if errors:
            raise errors.pop()
        return b"x" * 40

    monkeypatch.setattr(hub_module, "memory_is_short", lambda: False)
    monkeypatch.setattr(hub_module, "pack", failing)
    with pytest.raises(MemoryError):
        hub.add("big", b"twice is too often")
    errors[:] = [MemoryError]
    hub.add("big", b"once is not")
    assert heard[-1] == hub.topics["big"].log.last == 22
