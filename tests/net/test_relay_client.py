"""The relay reader: every record once and in order, whatever happens to the connection."""

import asyncio
import contextlib
import dataclasses
import time

import pytest
from websockets.asyncio.server import serve

from tes_nb.errors import SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.net.collector_connection import LOCAL
from tes_nb.net.relay_client import RelayReader
from tes_nb.wire.events import Gap, StateChange, encode_event
from tes_nb.wire.record import pack
from tests.support.aio import problems, run_async
from tests.support.collectors import TOKEN, collecting
from tests.support.waiting import busy, eventually_async

SOURCE = "numbers"


def record(seq, payload=None, opcode=Opcode.TEXT):
    payload = b"%d" % seq if payload is None else payload
    return pack(Message(SOURCE, Direction.IN, opcode, payload, seq * 10, seq, 1, seq))


class Relay:
    """A relay whose log is a dict, so that a test decides what it says."""

    def __init__(self, log=range(1, 1), token="right"):
        self.log = {seq: record(seq) for seq in log}
        self.token = token
        self.asked = []
        self.first = {}  # records to send before anything else, once
        self.sockets = set()
        self.port = None

    async def __aenter__(self):
        self.server = await serve(self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        self.server.close()
        await self.server.wait_closed()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/ws/relay/{SOURCE}"

    def _admit(self, connection, request):
        self.asked.append(request.path)
        if request.headers.get("X-TES-Dev-Token") != self.token:
            return connection.respond(401, "no\n")
        return None

    async def _serve(self, connection):
        self.sockets.add(connection)
        after = int(self.asked[-1].rpartition("=")[2])
        for raw in self.first.pop(len(self.asked), ()):
            await connection.send(raw)
        for seq in sorted(seq for seq in self.log if seq > after):
            await connection.send(self.log[seq])
        with contextlib.suppress(Exception):
            await connection.wait_closed()
        self.sockets.discard(connection)

    async def append(self, *seqs):
        for seq in seqs:
            self.log[seq] = record(seq)
            for one in tuple(self.sockets):
                await one.send(self.log[seq])

    def drop(self):
        for one in tuple(self.sockets):
            one.transport.abort()


class Reading:
    """A started relay reader and what it got."""

    def __init__(self, relay, **options):
        self.got = []
        self.states = []
        url = relay if isinstance(relay, str) else relay.url
        defaults = {"token": "right", "on_message": self.got.append, "on_state": self.states.append}
        self.reader = RelayReader(url, SOURCE, **(defaults | options))

    async def __aenter__(self):
        await self.reader.start()
        return self

    async def __aexit__(self, *_error):
        await self.reader.stop()

    @property
    def seqs(self):
        return [message.seq for message in self.got]

    async def until(self, condition, seconds=10.0):
        await eventually_async(lambda: condition(self), seconds)


@run_async
async def test_records_come_as_the_collector_stamped_them():
    async with Relay(range(1, 4)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 3)
        assert reading.got[1] == Message(SOURCE, Direction.IN, Opcode.TEXT, b"2", 20, 2, 1, 2)
        assert relay.asked == [f"/ws/relay/{SOURCE}?after=0"]
        assert reading.reader.connected
        assert str(reading.reader.state) == "OPEN"


@run_async
async def test_it_begins_where_it_is_asked_to():
    async with Relay(range(1, 9)) as relay, Reading(relay, after=5) as reading:
        await reading.until(lambda it: len(it.got) == 3)
        assert reading.seqs == [6, 7, 8]


@run_async
async def test_a_lost_connection_is_back_at_once_and_nothing_is_lost_or_doubled():
    quick = dataclasses.replace(LOCAL, backoff_first_s=0.01, backoff_cap_s=0.02)
    async with Relay() as relay, Reading(relay, profile=quick) as reading:
        await reading.until(lambda it: it.reader.connected)
        for start in range(1, 200, 10):
            await relay.append(*range(start, start + 5))
            relay.drop()
            relay.log |= {seq: record(seq) for seq in range(start + 5, start + 10)}
            await reading.until(lambda it, seq=start + 9: it.reader.last_seq == seq)
        assert reading.seqs == list(range(1, 201))
        assert reading.reader.lost == 0
        assert len(relay.asked) == 21


@pytest.mark.alone
@run_async
async def test_it_is_back_within_a_tenth_of_a_second():
    async with Relay() as relay, Reading(relay) as reading:
        await reading.until(lambda it: it.reader.connected)
        await asyncio.sleep(1.1)  # long enough for the backoff to start anew
        begun = time.monotonic()
        relay.drop()
        await reading.until(lambda _it: len(relay.asked) == 2)
        assert time.monotonic() - begun < busy(0.3)


@run_async
async def test_records_that_were_received_before_are_not_taken_twice():
    async with Relay(range(1, 6)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 5)
        relay.first[2] = [record(6), record(4), record(5), record(6)]
        relay.drop()
        await reading.until(lambda it: len(it.got) == 6)
        await relay.append(7)
        await reading.until(lambda it: len(it.got) == 7)
        assert reading.seqs == list(range(1, 8))


def overflow(seq, missing):
    gap = Gap(1, None, seq * 10, seq * 10, "relay overflow", missing)
    return record(seq, encode_event(gap), Opcode.EVENT)


def state(seq):
    return record(seq, encode_event(StateChange("OPEN", "OPEN", 1, seq)), Opcode.EVENT)


@run_async
async def test_what_the_collector_dropped_is_counted_and_shown_as_a_gap():
    async with Relay(range(1, 4)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 3)
        relay.log = {seq: record(seq) for seq in range(100, 103)}
        relay.first[2] = [overflow(99, 96)]
        relay.drop()
        await reading.until(lambda it: it.reader.last_seq == 102)
        assert reading.seqs == [1, 2, 3, 99, 100, 101, 102]
        assert reading.reader.lost == 96


@run_async
async def test_the_state_that_follows_an_overflow_is_taken_once_wherever_it_stood():
    async with Relay() as relay, Reading(relay) as reading:
        relay.log = {100: record(100), 101: state(101), 102: record(102)}
        relay.first[1] = [state(101), overflow(99, 99)]  # still in the log, so it comes again in its place
        await reading.until(lambda it: it.reader.last_seq == 102)
        assert reading.seqs == [101, 99, 100, 102]
        relay.drop()
        relay.log = {200: record(200)}
        relay.first[2] = [state(150), overflow(199, 97)]  # long gone from the log
        await reading.until(lambda it: it.reader.last_seq == 200)
        assert reading.seqs == [101, 99, 100, 102, 150, 199, 200]
        assert reading.reader.lost == 99 + 97
        assert reading.reader._ahead == set()


@run_async
async def test_a_collector_that_began_anew_is_followed():
    async with Relay(range(1, 6)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 5)
        relay.log = {}
        relay.first[2] = [record(1), record(2)]
        relay.drop()
        await reading.until(lambda it: len(it.got) == 7)
        assert reading.seqs == [1, 2, 3, 4, 5, 1, 2]


@run_async
async def test_records_of_another_version_are_counted_and_do_no_harm():
    async with Relay() as relay:
        relay.first[1] = [b"\x09" + record(1)[1:], b"", b"short", record(1)]
        async with Reading(relay) as reading:
            await reading.until(lambda it: it.seqs == [1])
            assert reading.reader.undecoded == 3


@run_async
async def test_a_wrong_token_is_a_visible_failure_that_does_not_hammer():
    async with Relay() as relay, Reading(relay, token="wrong") as reading:
        await reading.until(lambda it: it.reader.state.word == "FAILED")
        assert "HTTP 401" in str(reading.reader.state)
        assert "wrong" not in str(reading.reader.state) + repr(reading.states)
        await asyncio.sleep(0.5)
        assert len(relay.asked) == 1


@run_async
async def test_a_collector_that_is_gone_is_waited_for_quickly():
    async with Relay() as relay:
        url = relay.url
    async with Reading(url) as reading:
        await reading.until(lambda it: it.reader.state.attempts >= 4, 5)
        assert "connection refused" in str(reading.reader.state) or reading.reader.state.word == "CONNECTING"
        assert not reading.reader.connected


@run_async
async def test_stop_ends_it_and_it_cannot_start_again():
    async with Relay(range(1, 3)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 2)
        begun = time.monotonic()
        await reading.reader.stop()
        await reading.reader.stop()
        assert time.monotonic() - begun < busy(1.5)
        assert str(reading.reader.state) == "CLOSED"
        assert [state.word for state in reading.states] == ["CONNECTING", "OPEN", "CLOSED"]
        with pytest.raises(SessionError):
            await reading.reader.start()


@problems(1)
async def _a_broken_feed():
    got = []

    def take(message):
        got.append(message)
        if message.seq == 2:
            raise ZeroDivisionError

    async with Relay(range(1, 5)) as relay, Reading(relay, on_message=take) as reading:
        await reading.until(lambda it: it.reader.last_seq == 4)
        assert len(got) == 4
        assert len(relay.asked) == 1


test_a_feed_that_raises_is_reported_and_the_relay_goes_on = run_async(_a_broken_feed)


@run_async
async def test_fault_73_a_loop_that_is_held_for_long_loses_neither_records_nor_the_connection():
    async with Relay(range(1, 3)) as relay, Reading(relay) as reading:
        await reading.until(lambda it: len(it.got) == 2)
        held = asyncio.create_task(relay.append(*range(3, 200)))
        await asyncio.sleep(0)
        time.sleep(1.5)  # a cell that holds the interpreter
        await held
        await reading.until(lambda it: it.reader.last_seq == 199)
        assert reading.seqs == list(range(1, 200))
        assert len(relay.asked) == 1


@run_async
async def test_a_real_collectors_records_are_one_unbroken_row_across_a_lost_connection():
    async with collecting() as collector:
        url = f"ws://127.0.0.1:{collector.ports[0]}/ws/relay/metrics"
        async with Reading(url, token=TOKEN) as reading:
            await reading.until(lambda it: len(it.got) >= 2)
            reading.reader._connection._link.abort()
            await reading.until(lambda it: len(it.got) >= 4)
            assert reading.seqs == list(range(1, len(reading.seqs) + 1))
            assert reading.reader.state.reconnects == 1
