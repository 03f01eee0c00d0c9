"""The grid: no drift, no burst after a stall, no end because of one failure. In virtual time: each tick is exact."""

from __future__ import annotations

import asyncio

import pytest

from tes_nb.collector.observer import run_grid
from tests.support.aio import VirtualTime


def ticks(period_s, seconds, act=lambda count, loop: None):
    """Run a grid for so long; return how many periods after its start each tick came."""
    loop = VirtualTime()
    at, began = [], loop.time()

    def tick():
        at.append((loop.time() - began) / period_s)
        act(len(at), loop)

    async def scene():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_grid("ticks", period_s, tick), seconds)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(scene())
    return at


def test_lateness_does_not_add_up():
    # each tick takes half a period: a sleep from the end of the last would drift to 30 periods for 20 ticks
    at = ticks(0.05, 0.99, lambda _, loop: loop.work(0.025))
    assert at == pytest.approx(range(20))


def test_after_a_stall_the_missed_points_are_left_out():
    at = ticks(0.05, 0.99, lambda count, loop: loop.work(0.42) if count == 3 else None)
    # 2 + 8.4 periods of standing still; at once for the last missed point, then on the old grid: no burst
    assert at == pytest.approx([0, 1, 2, 10.4, *range(11, 20)])


def test_a_failing_tick_is_logged_and_the_next_comes(caplog):
    def fail(count, _):
        if count < 4:
            raise ValueError("no figures")

    assert len(ticks(0.03, 0.29, fail)) == 10
    assert caplog.text.count("it goes on with the next sample") == 1  # once a minute at most
