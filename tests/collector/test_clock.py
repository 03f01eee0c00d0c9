"""Fault 75: the wall clock of a running collector jumps, the monotonic one does not (libfaketime)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from pathlib import Path

import pytest

from tes_nb.model import Opcode
from tes_nb.wire.events import ClockJump, decode_event
from tes_nb.wire.record import unpack
from tests.support.collectors import TOKEN, ask, child, next_record, receive, socket

HOUR_NS = 3600 * 10**9
JUMPS = (("+1h", HOUR_NS), ("+0", -HOUR_NS), ("-1d", -24 * HOUR_NS))
"""(what libfaketime is told, by how much the wall clock moves)."""
PERIOD_S = 0.1


def libfaketime():
    places = (
        *Path("/usr/lib").glob("*/faketime"),
        Path("/usr/lib/faketime"),
        Path("/usr/local/lib/faketime"),
    )
    found = [place / "libfaketimeMT.so.1" for place in places if (place / "libfaketimeMT.so.1").exists()]
    return str(found[0]) if found else None


@pytest.fixture
def wall_clock(tmp_path, monkeypatch):
    """Write an offset into this file, and the children's wall clock follows."""
    library = libfaketime()
    if library is None:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    for name, value in {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return offset


def test_fault_75_jumps_of_the_wall_clock_disturb_nothing_and_are_reported_once(wall_clock):
    with child(observed_pid=os.getpid(), period_s=PERIOD_S) as collector:
        os.environ.pop("LD_PRELOAD")  # this process keeps its own clock
        records = asyncio.run(asyncio.wait_for(record_jumps(collector, wall_clock), 30))
        assert collector.alive  # its parent's create time did not seem to move
    messages = [unpack("metrics", record) for record in records]
    jumps = [decode_event(one.payload) for one in messages if one.opcode == Opcode.EVENT]
    assert all(isinstance(one, ClockJump) for one in jumps)
    assert [round(one.by_ns / HOUR_NS, 3) for one in jumps] == [by / HOUR_NS for _, by in JUMPS]
    assert [one.seq for one in messages] == list(range(1, len(messages) + 1))
    ticks = [one.t_mono_ns / 1e9 for one in messages if one.opcode != Opcode.EVENT]
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert min(steps) > 0.0  # ordered by the monotonic clock
    assert max(steps) < 10  # and no timer waited for an hour
    shown = [json.loads(one.payload)["timestamp"] / 1000 for one in messages if one.opcode != Opcode.EVENT]
    assert max(shown) - min(shown) > 24 * 3600  # the wall clock did jump


async def record_jumps(collector, wall_clock):
    """Jump, and go on for a few ticks each time; return what the relay gave meanwhile."""
    async with (
        socket(collector.ports[0], "/ws/relay/metrics?after=0") as relay,
        socket(collector.ports[0], "/api/dev/status/live") as status,
    ):
        records = []
        for offset, _ in (("+0", 0), *JUMPS):
            wall_clock.write_text(f"{offset}\n")
            records += await read_for(relay, 0.5)
            assert await limited(collector)
            await receive(status)
        return records


async def read_for(relay, seconds):
    records = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            records.append(await next_record(relay, left))
        except TimeoutError:
            break
    return records


async def limited(collector):
    """Whether the guess limiter still counts: ten wrong tokens were enough an hour ago, and a moment ago."""
    for _ in range(11):
        answer = await ask(collector.ports[1], "/api/workers/registry", token="wrong")
    assert (await ask(collector.ports[1], "/api/workers/registry", token=TOKEN)).status == 200
    return answer.status == 429
