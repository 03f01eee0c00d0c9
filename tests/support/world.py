"""A world in virtual time for the supervisor: peers as plain functions, no socket, no clock, no sleep."""

from __future__ import annotations

import heapq
import itertools
import random

from tes_nb.model import Kind
from tes_nb.wire.lifecycle import (
    Abandon,
    Authorize,
    Authorized,
    Close,
    Connect,
    Failure,
    Lost,
    NotOpened,
    Opened,
    Poll,
    Polled,
    Received,
    Start,
    Stop,
    Tick,
)
from tes_nb.wire.supervisor import Supervisor


class World:
    """Drives one supervisor; keeps what it asked for and when."""

    def __init__(self, peer, *, seed=0, poll=None, period_s=1.0, profile=None, token=None, **options):
        """`peer(world, connect)` plans what follows a `Connect`; `poll(world)` gives a Failure, None, or `...`."""
        dice = random.Random(seed)
        if profile is not None:
            options["profile"] = profile
        if token is not None:
            options["authorizes"] = True
        self.supervisor = Supervisor(
            period_s=period_s, random=dice.random, can_poll=poll is not None, **options
        )
        self.now = 1000.0
        self.started = self.now
        self.peer, self.poll, self.token = peer, poll, token
        self.commands: list[tuple[float, object]] = []
        self.states: list[tuple[float, str]] = []
        self.alive: set[int] = set()  # attempts that were begun and not answered for good
        self.most_alive = 0
        self._revision = -1
        self._plan: list[tuple[float, int, object]] = []
        self._order = itertools.count()

    # For peers

    def after(self, delay, event):
        """Plan an event."""
        heapq.heappush(self._plan, (self.now + delay, next(self._order), event))

    def opens(self, attempt, delay=0.001):
        self.after(delay, Opened(attempt))

    def loses(self, attempt, delay, code=1006, sentence="connection reset"):
        self.after(delay, Lost(attempt, code, sentence))

    def fails(self, attempt, delay=0.001, **failure):
        failure.setdefault("kind", "status" if "status" in failure else "refused")
        failure.setdefault("sentence", "connection refused")
        self.after(delay, NotOpened(attempt, Failure(**failure)))

    def says(self, attempt, delay, kind=Kind.DATA):
        self.after(delay, Received(attempt, kind))

    def stream(self, attempt, every=1.0, until=3600.0, kind=Kind.DATA):
        """Plan a message every so often."""
        for index in range(1, int(until / every)):
            self.says(attempt, index * every, kind)

    # Running

    def start(self):
        self.feed(Start())
        return self

    def stop(self):
        self.feed(Stop())

    def run(self, seconds):
        """Let time pass, event by event."""
        end = self.now + seconds
        while True:
            due = min(self.supervisor.deadline(), self._plan[0][0] if self._plan else float("inf"))
            if due > end:
                self.now = end
                return self
            self.now = max(self.now, due)
            if self._plan and self._plan[0][0] <= self.now:
                self.feed(heapq.heappop(self._plan)[2])
            else:
                self.feed(Tick())

    def stand_still(self, seconds):
        """The process is suspended: what the peer sends meanwhile is there afterwards, at once."""
        self.now += seconds

    def feed(self, event):
        if isinstance(event, (Lost, NotOpened)):
            self.alive.discard(event.attempt)
        for command in self.supervisor.handle(event, self.now):
            self.commands.append((self.now, command))
            self._carry_out(command)
        if self.supervisor.revision != self._revision:
            self._revision = self.supervisor.revision
            self.states.append((self.now, str(self.view())))

    def _carry_out(self, command):
        if isinstance(command, Connect):
            self.alive.add(command.attempt)
            self.most_alive = max(self.most_alive, len(self.alive))
            self.peer(self, command)
        elif isinstance(command, Authorize):
            answer = self.token(self, command.attempt)
            self.after(0.001, answer or Authorized(command.attempt))
        elif isinstance(command, Close):
            self._forget(command.attempt)
            self.after(0.001, Lost(command.attempt, 1000, "closed by us"))
        elif isinstance(command, Abandon):
            self.alive.discard(command.attempt)
        elif isinstance(command, Poll):
            answer = self.poll(self)
            if answer is not ...:
                self.after(0.001, Polled(answer))

    def _forget(self, attempt):
        self._plan = [entry for entry in self._plan if getattr(entry[2], "attempt", None) != attempt]
        heapq.heapify(self._plan)

    # Looking

    def view(self):
        return self.supervisor.view(self.now)

    def times(self, kind):
        """Seconds since the start at which a command of that kind was given."""
        return [at - self.started for at, command in self.commands if isinstance(command, kind)]

    def given(self, kind):
        return [command for _at, command in self.commands if isinstance(command, kind)]
