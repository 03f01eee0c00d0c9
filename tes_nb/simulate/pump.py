"""Drives the match day by the clock and publishes what happens, at a bounded rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial

from tes_nb.simulate.composer import Composer, MessageLoop, Template
from tes_nb.simulate.connections import Connections
from tes_nb.simulate.encoding import Frame, Instant
from tes_nb.simulate.faults import ActiveFaults
from tes_nb.simulate.matchday import MatchDay
from tes_nb.simulate.options import Options
from tes_nb.simulate.world import (
    BASKETBALL_ODDS,
    BASKETBALL_SCORES,
    FOOTBALL_ODDS,
    FOOTBALL_SCORES,
    Body,
    Change,
)

STEP_S = 0.02
"""Changes within so many seconds of the wall clock travel in one message per channel."""
FULL_SPEED_STEP_S = 1.0
"""The step in simulated seconds at full speed."""
LONGEST_SLEEP_S = 0.25
PATIENCE_S = 2.0
"""How long the feed waits for a client that does not keep up before it cuts it off."""
CHECK_EVERY = 64
"""Messages between two looks at the clients' buffers."""


class Pump:
    """The one task that sends data."""

    def __init__(self, options: Options, connections: Connections, faults: ActiveFaults) -> None:
        self.day = MatchDay(options)
        self._options = options
        self._connections = connections
        self._faults = faults
        self._composer = Composer(options)
        self._simulated_s = 0.0
        self._step_s = FULL_SPEED_STEP_S if options.speed is None else options.speed * STEP_S
        self._throttle = Throttle(options.rate)
        self._message_loop = MessageLoop(options.reel if options.speed is None else 0)

    async def run(self) -> None:
        """Send until cancelled. At full speed the day begins with the first subscriber."""
        loop = asyncio.get_running_loop()
        if self._options.speed is None:
            await self._connections.first_request.wait()
        before = loop.time()
        while (next_at := self.day.next_at) is not None and not self._message_loop.full:
            await asyncio.sleep(self._pause(next_at))
            now = loop.time()
            elapsed, before = now - before, now
            if self._faults.peek("only_ok", now):
                continue
            if self._options.speed is None:
                self._simulated_s = next_at + self._step_s
            else:
                self._simulated_s += self._options.speed * elapsed
            await self._publish_steps(self.day.until(self._simulated_s))
        if self._message_loop.full:
            await self._repeat_messages()

    def refresh(self) -> None:
        """Send how everything stands, marked with a `refresh` other than 0."""
        odds = [FOOTBALL_ODDS.format(company=company) for company in self._options.companies]
        for channel in (FOOTBALL_SCORES, *odds, BASKETBALL_SCORES, BASKETBALL_ODDS):
            if bodies := self.day.standing(channel):
                self._publish_standing(channel, bodies)

    def _publish_standing(self, channel: str, bodies: Sequence[Body]) -> None:
        def build(number: int) -> Frame:
            text = self._composer.standing(channel, bodies, number, self._instant(), refresh=1)
            return self._composer.encode(text)

        self._connections.publish(channel, build)

    def _pause(self, next_at: float) -> float:
        """Seconds until the next step is over; bounded, so that a fault is noticed soon."""
        if self._options.speed is None:
            return LONGEST_SLEEP_S if self._faults.peek("only_ok", asyncio.get_running_loop().time()) else 0.0
        due = (next_at + self._step_s - self._simulated_s) / self._options.speed
        return min(max(due, 0.0), LONGEST_SLEEP_S)

    async def _publish_steps(self, changes: Sequence[Change]) -> None:
        for step in steps(changes, self._step_s):
            for channel, step_changes in step.items():
                self._publish(channel, step_changes)
                await self._wait_turn()

    async def _repeat_messages(self) -> None:
        loop = asyncio.get_running_loop()
        for template in self._message_loop.repeat():
            while self._faults.peek("only_ok", loop.time()):  # noqa: ASYNC110 - faults end by the clock
                await asyncio.sleep(LONGEST_SLEEP_S)
            self._connections.publish(template.channel, partial(self._encode_template, template))
            await self._wait_turn()

    def _encode_template(self, template: Template, number: int) -> Frame:
        return self._composer.encode(template.text(number))

    async def _wait_turn(self) -> None:
        await self._throttle.wait()
        if self._throttle.total % CHECK_EVERY == 0:
            await self._wait_for_clients()

    def _publish(self, channel: str, changes: Sequence[Change]) -> None:
        now = asyncio.get_running_loop().time()

        def build(number: int) -> Frame:
            sister = channel == FOOTBALL_SCORES and self._faults.use("sister_form", now) is not None
            text = self._composer.changes(channel, changes, number, self._instant(), sister=sister)
            self._message_loop.append(channel, text, number)
            return self._composer.encode(text, in_members=self._faults.use("gzip_members", now) is not None)

        self._connections.publish(channel, build)

    async def _wait_for_clients(self) -> None:
        """Let slow clients catch up, and cut off those that do not."""
        loop = asyncio.get_running_loop()
        gives_up = loop.time() + PATIENCE_S
        while behind := self._connections.behind(self._options.send_buffer):
            if loop.time() > gives_up:
                for connection in behind:
                    connection.ended = "too slow"
                    connection.reset()
            await asyncio.sleep(0.005)

    def _instant(self) -> Instant:
        return Instant(time.time() + self._options.clock_skew_s, self._simulated_s)


class Throttle:
    """Keeps a rate of messages; a calm moment is no credit for a burst later."""

    def __init__(self, rate: float) -> None:
        self.total = 0
        self._rate = rate
        self._paid = 0
        self._since = 0.0

    async def wait(self) -> None:
        """Count one message; sleep when the rate is exceeded, and let other tasks run now and then."""
        self.total += 1
        self._paid += 1
        now = asyncio.get_running_loop().time()
        ahead = self._paid / self._rate - (now - self._since)
        if ahead > 0.002:
            await asyncio.sleep(ahead)
        elif self.total % CHECK_EVERY == 0:
            await asyncio.sleep(0)
        if ahead < -STEP_S:
            self._paid, self._since = 0, now


def steps(changes: Sequence[Change], step_s: float) -> Iterator[dict[str, list[Change]]]:
    """Yield the changes of each step of `step_s` simulated seconds, by channel, in the order of time."""
    step: dict[str, list[Change]] = {}
    began = None
    for change in changes:
        if began is None or change.at >= began + step_s:
            if step:
                yield step
            step, began = {}, change.at
        step.setdefault(change.channel, []).append(change)
    if step:
        yield step
