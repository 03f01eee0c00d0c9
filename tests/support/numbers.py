"""A tiny stream of numbered messages, a sink that keeps everything, and the ledger that compares both ends."""

from __future__ import annotations

import msgspec

from tes_nb.model import Column, Decoded, Direction, Endpoint, Kind, Message, Opcode, Stream, Table
from tes_nb.net.outlet import Outlet
from tes_nb.wire.events import Gap, StateChange
from tests.support.waiting import eventually_async

TABLES = (Table("numbers", "One row a number.", (Column("n", "int64", "", "counter", "the number"),)),)
_KINDS = {
    "connected": Kind.GREETING,
    "pong": Kind.REPLY,
    "heartbeat-ack": Kind.REPLY,
    "subscribed": Kind.REPLY,
}


def number(n, padding=0):
    """The text of message `n`, as a peer sends it."""
    return msgspec.json.encode({"n": n, "padding": "x" * padding} if padding else {"n": n})


def classify(message: Message) -> Kind:
    if message.payload == b"ok":
        return Kind.KEEPALIVE
    try:
        content = msgspec.json.decode(message.payload)
    except msgspec.DecodeError:
        return Kind.UNDECODED
    if not isinstance(content, dict):
        return Kind.UNDECODED
    return Kind.DATA if "n" in content else _KINDS.get(content.get("type"), Kind.UNDECODED)


def decode(message: Message) -> Decoded:
    raise AssertionError("net never decodes")


def subscription(names):
    return msgspec.json.encode({"type": "subscribe", "names": list(names)})


def stream(**changes) -> Stream:
    """A stream at /numbers, every 0.1 s; `changes` replace any of its fields."""
    fields = {
        "name": "numbers",
        "doc": "Numbers.",
        "endpoint": Endpoint("status", "/numbers", aliases=("/api/numbers",), poll="/api/numbers/now"),
        "tables": TABLES,
        "main": "numbers",
        "period_s": 0.1,
        "decode": decode,
        "classify": classify,
        "subscription": subscription,
    }
    return Stream(**(fields | changes))


class Collected:
    """A sink: every message and event, with the order and the time of arrival."""

    def __init__(self):
        self.messages = []  # (direction, opcode, payload, conn, flags)
        self.events = []
        self.order = []  # both, as they came

    def outlet(self, source="numbers"):
        """What a reader gets to put its messages and events into this."""
        return Outlet(source, self.received, self.event)

    def received(self, message):
        entry = (message.direction, message.opcode, message.payload, message.conn, message.flags)
        self.messages.append(entry)
        self.order.append(entry)

    def event(self, event):
        self.events.append(event)
        self.order.append(event)

    async def until(self, condition, seconds=15.0):
        """Wait for `condition(self)`."""
        await eventually_async(lambda: condition(self), seconds)

    async def count(self, n, seconds=15.0):
        await self.until(lambda sink: len(sink.numbers) >= n, seconds)

    async def word(self, word, seconds=15.0):
        """Wait until the newest state is that word."""
        await self.until(lambda sink: sink.states and sink.states[-1].state == word, seconds)

    @property
    def numbers(self):
        """The numbers received, in order, as (number, connection, flags)."""
        numbers = []
        for direction, opcode, payload, conn, flags in self.messages:
            if direction is Direction.IN and opcode is Opcode.TEXT and b'"n"' in payload:
                numbers.append((msgspec.json.decode(payload)["n"], conn, flags))
        return numbers

    @property
    def sent(self):
        return [payload for direction, _, payload, _, _ in self.messages if direction is Direction.OUT]

    @property
    def gaps(self):
        """The gaps that are over; `open_gap` is the one that is not."""
        return [event for event in self.events if isinstance(event, Gap) and event.back_at_ns is not None]

    @property
    def open_gap(self):
        gaps = [event for event in self.events if isinstance(event, Gap)]
        return gaps[-1] if gaps and gaps[-1].back_at_ns is None else None

    @property
    def states(self):
        return [event for event in self.events if isinstance(event, StateChange)]


def settle(peer_sent, sink):
    """The loss ledger: received = sent - holes, and each hole lies inside exactly one gap. Returns the holes.

    A gap record comes right before the data that end the gap, so each hole must have one, and only one, between
    the messages around it. Numbers before the first received one do not count, nor do polled ones.
    """
    last, gaps_since, missing = None, [], []
    for entry in sink.order:
        if isinstance(entry, Gap):
            gaps_since += [entry] if entry.back_at_ns is not None else []
        elif not isinstance(entry, StateChange) and entry[0] is Direction.IN and not entry[4]:
            n = msgspec.json.decode(entry[2])["n"]
            assert n in peer_sent, f"number {n} was never sent"
            if last is not None:
                assert n > last, f"number {n} after {last}: doubled or reordered"
                hole = range(last + 1, n)
                assert not hole or len(gaps_since) == 1, f"{hole} is missing, with {len(gaps_since)} gaps"
                missing += hole
            last, gaps_since = n, []
    return missing
