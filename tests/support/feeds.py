"""The stand-in read as the collector reads it, with both sides of the loss ledger kept."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Kind, Opcode
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.net.auth import TokenAuthorizer
from tes_nb.net.endpoints import Target
from tes_nb.net.outlet import Outlet
from tes_nb.net.renewing import RenewingReader
from tes_nb.simulate import Options, number_in, reconcile, serve
from tes_nb.streams.nowgoal.stream import STREAM
from tes_nb.wire.events import Gap, StateChange
from tes_nb.wire.inflate import inflate
from tes_nb.wire.profile import PROFILE
from tests.support.waiting import eventually_async

ALL = ["change_xml", "ch_goal8_xml", "nba_change_xml", "ch_nbaGoal8_xml", "tes_ticks_xml"]
SUBSCRIBER = "tests"
FAST = dataclasses.replace(PROFILE.scaled(0.1), ping_interval_s=2.0, pong_timeout_s=2.0, open_timeout_s=3.0)
"""A tenth of the times, but for those that a busy machine would break."""


class Sink:
    """Keeps what a reader hands on: numbers of messages with their times, gaps, states, texts we sent."""

    def __init__(self):
        self.received_at = []  # (number, Unix ns)
        self.duplicates = 0
        self.kinds = []
        self.conns = []
        self.sent = []
        self.gaps = []
        self.records = 0  # of gaps: one when it begins, one when it ends
        self.states = []

    def outlet(self, source="nowgoal"):
        """What a reader gets to put its messages and events into this."""
        on_message = lambda message: self.received(message)  # noqa: E731, PLW0108 - a test puts another there
        return Outlet(source, on_message, self.event)

    def received(self, message):
        direction, opcode, payload = message.direction, message.opcode, message.payload
        if direction is Direction.OUT:
            self.sent.append((message.conn, payload))
            return
        if message.flags & FLAG_DUPLICATE:
            self.duplicates += 1
            return
        if not self.conns or self.conns[-1] != message.conn:
            self.conns.append(message.conn)
        self.kinds.append(STREAM.classify(message))
        try:
            text = payload if opcode is Opcode.TEXT else inflate(payload)
        except DecodeError:
            return
        number = number_in(text)
        if number is not None:
            self.received_at.append((number, time.time_ns()))

    def event(self, event):
        if isinstance(event, Gap):
            self.records += 1
            if event.back_at_ns is not None:
                assert self.gaps[-1] == msgspec.structs.replace(
                    event, back_at_ns=None
                )  # it came when it began
            if self.gaps and self.gaps[-1].lost_at_ns == event.lost_at_ns:
                self.gaps.pop()
            self.gaps.append(event)
        elif isinstance(event, StateChange):
            self.states.append(event)

    @property
    def last(self):
        return self.received_at[-1][0] if self.received_at else 0

    @property
    def data(self):
        return self.kinds.count(Kind.DATA)

    def ledger(self, server, subscriber=SUBSCRIBER):
        return reconcile(server.sent_at(subscriber), self.received_at, self.gaps, until=self.last)

    async def until(self, true, seconds=20.0):
        await eventually_async(lambda: true(self), seconds)

    async def more(self, count, seconds=20.0):
        """Wait for so many more data messages."""
        goal = len(self.received_at) + count
        await self.until(lambda _: len(self.received_at) >= goal, seconds)


def token_source(server, auth="header"):
    assert STREAM.endpoint.token is not None
    return dataclasses.replace(STREAM.endpoint.token, url=server.token_url, auth=auth)


class Feed:
    """A renewing reader of a stand-in and its sink."""

    def __init__(self, server, *, auth="header", channels=ALL, profile=FAST, renew_after_s=None, **options):
        url = server.url if auth == "header" else server.stream_url
        self.sink = Sink()
        self.authorizer = TokenAuthorizer(
            token_source(server, auth),
            channels=lambda: self.reader.channels,
            ahead_s=profile.renew_ahead_s,
            deadline_s=1.0,
        )
        self.renew_after_s = renew_after_s
        self.reader = RenewingReader(
            # the longest normal silence at a tenth as well
            dataclasses.replace(STREAM, period_s=STREAM.period_s / 10),
            Target((f"{url}?subscriber={SUBSCRIBER}",)),
            source="nowgoal",
            outlet=self.sink.outlet(),
            authorize=self._authorize,
            profile=profile,
            channels=channels,
            **options,
        )

    async def _authorize(self):
        credentials = await self.authorizer()
        if self.renew_after_s is None:
            return credentials
        return dataclasses.replace(credentials, renew_at_s=self.authorizer._clock() + self.renew_after_s)


@contextlib.asynccontextmanager
async def feeding(*, auth="header", channels=ALL, profile=FAST, renew_after_s=None, **options):
    """A stand-in, a reader of it and the reader's sink; all ended at the end."""
    server = await serve(Options(**({"speed": 100.0} | options)))
    feed = Feed(server, auth=auth, channels=channels, profile=profile, renew_after_s=renew_after_s)
    feed.reader.start()
    try:
        yield server, feed.reader, feed.sink
    finally:
        await feed.reader.stop()
        await server.stop()
