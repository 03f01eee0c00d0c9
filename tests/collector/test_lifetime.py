"""When a collector ends: its parent's death, the end of its input, SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tes_nb.collector import lifetime
from tes_nb.collector.lifetime import first_of, is_same_process, own_identity, watch_parent, watch_signals
from tests.support.aio import run_async
from tests.support.processes import IDLE, running
from tests.support.readers import TableReader, times
from tests.support.waiting import busy


@run_async
async def test_the_parents_end_is_noticed_within_a_check(monkeypatch):
    monkeypatch.setattr(lifetime, "CHECK_S", 0.05)
    with running(IDLE) as parent:
        watching = asyncio.create_task(watch_parent(parent.pid, lifetime.create_time(parent.pid)))
        await asyncio.sleep(0.2)
        assert not watching.done()
        parent.kill()  # it stays a zombie: nobody waits for it yet
        began = time.monotonic()
        assert await asyncio.wait_for(watching, 5) == f"the parent process {parent.pid} has ended"
        assert time.monotonic() - began < busy(1)


def test_a_pid_that_somebody_else_has_now_is_not_the_parent():
    pid, created = own_identity()
    assert is_same_process(pid, created)
    assert is_same_process(pid, None)
    assert not is_same_process(pid, created + 1)


def test_what_cannot_be_read_says_nothing(monkeypatch):
    """No descriptors left must not look like the parent's death."""
    table = {1: times(born=7), 2: OSError(24, "Too many open files"), 3: times(born=7, zombie=True)}
    monkeypatch.setattr(lifetime, "default_reader", lambda: TableReader(table))
    assert is_same_process(1, 7)
    assert is_same_process(2, 7)
    assert not is_same_process(3, 7)
    assert not is_same_process(4, 7)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux only")
def test_fault_75_the_parents_identity_does_not_follow_the_wall_clock(monkeypatch):
    before = own_identity()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr("psutil.boot_time", lambda: 0.0)
    assert own_identity() == before
    ticks_since_boot = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    assert before[1] == int(ticks_since_boot)


@run_async
async def test_sigterm_is_a_reason_from_the_moment_it_is_watched():
    ended = watch_signals(signal.SIGTERM)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # twice is no error
        assert await asyncio.wait_for(ended, 2) == "SIGTERM"
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@run_async
async def test_the_first_reason_counts_and_the_rest_is_cancelled():
    cancelled = []

    async def never():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "never"

    async def soon():
        await asyncio.sleep(0.01)
        return "soon"

    assert await first_of(never(), soon(), never()) == "soon"
    assert cancelled == [True, True]
