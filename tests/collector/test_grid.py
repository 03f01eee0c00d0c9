"""The grid: no drift, no burst after a stall, no end because of one failure."""

from __future__ import annotations

import asyncio
import itertools
import time

from tes_nb.collector.observer import run_grid
from tests.support.aio import run_async


class Ticks:
    """Runs a grid; keeps how many periods after its start each tick came."""

    def __init__(self, period_s, act=lambda count: None):
        self.period_s = period_s
        self.at = []
        self._act = act
        self._began = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(run_grid("ticks", period_s, self._tick))

    def _tick(self):
        self.at.append((asyncio.get_running_loop().time() - self._began) / self.period_s)
        self._act(len(self.at))

    async def run(self, seconds):
        await asyncio.sleep(seconds)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return self.at


@run_async
async def test_lateness_does_not_add_up():
    # each tick takes half a period: a sleep from the end of the last would drift to 30 periods for 20 ticks
    at = await Ticks(0.05, lambda count: time.sleep(0.025)).run(1.0)
    assert 15 <= len(at) <= 21
    assert all(abs(one - round(one)) < 0.6 for one in at)
    assert at[-1] < 20.6


@run_async
async def test_after_a_stall_the_missed_points_are_left_out():
    at = await Ticks(0.05, lambda count: time.sleep(0.42) if count == 3 else None).run(1.0)
    assert len(at) <= 15
    after = at[3:]
    assert after[0] > 10  # 2 + 8.4 periods of standing still
    # at once for the last missed point, then on the old grid: no burst
    gaps = [later - earlier for earlier, later in itertools.pairwise(after[1:])]
    assert min(gaps) > 0.4


@run_async
async def test_a_failing_tick_is_logged_and_the_next_comes(caplog):
    def fail(count):
        if count < 4:
            raise ValueError("no figures")

    at = await Ticks(0.03, fail).run(0.3)
    assert len(at) >= 5
    assert caplog.text.count("it goes on with the next sample") == 1  # once a minute at most
