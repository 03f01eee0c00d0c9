"""The keepalive in virtual time: links that die, crawl, lag, or lose one direction."""

import random

import pytest

from tes_nb.wire.liveness import Keepalive
from tes_nb.wire.profile import PROFILE


class Line:
    """A connection: `round_trip()` seconds to a pong, `None` = it never comes."""

    def __init__(self, round_trip=lambda: 0.01, messages_every=None, handshake_s=0.01):
        self.now = 0.0
        self.keepalive = Keepalive(PROFILE, 0.0, handshake_s)
        self.round_trip = round_trip
        self.messages_every = messages_every
        self.next_message = messages_every
        self.pong_at = None
        self.dead_at = None
        self.pings = []
        self.bytes_until = 0.0  # a big frame trickles in until then

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end and self.dead_at is None:
            due = [self.keepalive.due_at(), self.pong_at, self.next_message, end]
            if self.bytes_until > self.now:
                due.append(self.now + 0.1)
            self.now = max(self.now, min(at for at in due if at is not None))  # what stood still is late
            self._peer()
            self._look()
        return self

    def _peer(self):
        if self.now < self.bytes_until:
            self.keepalive.bytes_arrived(self.now)
        if self.next_message is not None and self.now >= self.next_message:
            self.next_message = self.now + self.messages_every
            self.keepalive.bytes_arrived(self.now)
            self.keepalive.message_arrived()
        if self.pong_at is not None and self.now >= self.pong_at:
            self.pong_at = None
            self.keepalive.bytes_arrived(self.now)
            self.keepalive.ponged(self.now)

    def _look(self):
        match self.keepalive.look(self.now):
            case "ping":
                self.pings.append(self.now)
                delay = self.round_trip()
                self.pong_at = None if delay is None else self.now + delay
            case "dead":
                self.dead_at = self.now


@pytest.mark.parametrize("messages_every", [None, 0.5, 1.0])
def test_a_live_line_is_pinged_every_ten_seconds_and_never_given_up(messages_every):
    line = Line(messages_every=messages_every).run(600)
    assert line.dead_at is None
    assert 58 <= len(line.pings) <= 60


@pytest.mark.parametrize("when", [0.0, 3.0, 9.99, 10.02, 17.3])
def test_fault_01_a_dead_line_is_given_up_within_16_seconds(when):
    line = Line(messages_every=0.5).run(30 + when)
    line.round_trip, line.next_message, line.pong_at = (lambda: None), None, None
    died = line.now
    line.run(60)
    assert line.dead_at is not None
    assert line.dead_at - died <= 16


@pytest.mark.parametrize("messages_every", [0.5, 1.0, 4.9])
def test_fault_05_a_half_open_line_is_given_up_although_messages_arrive(messages_every):
    line = Line(messages_every=messages_every).run(33)
    line.round_trip = lambda: None
    broke = line.now
    line.run(60)
    assert line.dead_at is not None
    assert line.dead_at - broke <= 16


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("messages_every", [None, 0.5])
def test_fault_07_two_seconds_of_latency_with_jitter_each_way_disconnect_nobody(seed, messages_every):
    dice = random.Random(seed)

    def round_trip():
        return dice.uniform(1, 3) + dice.uniform(1, 3)

    line = Line(round_trip, messages_every, handshake_s=round_trip()).run(600)
    assert line.dead_at is None


@pytest.mark.parametrize("when", range(10))
def test_a_dead_line_of_long_round_trips_is_given_up_within_16_seconds_too(when):
    line = Line(lambda: 4.0, 0.5, handshake_s=4.0).run(30 + when)
    line.round_trip, line.next_message, line.pong_at = (lambda: None), None, None
    died = line.now
    line.run(60)
    assert line.dead_at is not None
    assert line.dead_at - died <= 16


def test_fault_08_nobody_is_given_up_while_a_big_frame_trickles_in_before_the_pong():
    line = Line().run(9)
    line.bytes_until = 9 + 131.0  # 1 MiB at 8 kB/s
    line.round_trip = lambda: max(line.bytes_until - line.now, 0) + 0.2
    line.run(130.95)
    line.keepalive.message_arrived()
    line.run(60)
    assert line.dead_at is None


def test_a_frame_that_stops_trickling_is_given_up():
    line = Line(lambda: None).run(9)
    line.bytes_until = 40.0
    line.run(100)
    assert line.dead_at is not None
    assert 40 < line.dead_at <= 46


@pytest.mark.parametrize("still_s", [8.0, 25.0, 7200.0])
def test_fault_76_a_suspended_process_asks_before_it_gives_up(still_s):
    line = Line().run(13)
    line.now += still_s  # nothing looked at the clock meanwhile
    before = len(line.pings)
    line.run(30)
    assert line.dead_at is None
    assert len(line.pings) > before


def test_fault_76_who_stood_still_is_as_patient_as_the_line_is_slow():
    line = Line(lambda: 5.5, handshake_s=5.5).run(13)
    for _ in range(5):
        line.now += 8  # a busy machine: nothing looked at the clock meanwhile
        line.run(20)
    assert line.dead_at is None


def test_fault_76_a_line_that_died_in_its_sleep_is_given_up_within_4_seconds_of_waking():
    line = Line().run(13)
    line.round_trip, line.pong_at = (lambda: None), None
    line.now += 7200
    woke = line.now
    line.run(30)
    assert line.dead_at is not None
    assert 0 < line.dead_at - woke <= 4


def test_without_an_interval_nobody_is_pinged_or_given_up():
    profile = PROFILE.scaled(1)
    keepalive = Keepalive(type(profile)(ping_interval_s=None), 0.0, 0.01)
    assert {keepalive.look(float(second)) for second in range(600)} == {"wait"}
