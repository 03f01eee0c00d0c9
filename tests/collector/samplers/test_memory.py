"""What real processes take: a big child, forked children that share, children too short to be seen."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import psutil
import pytest

from tes_nb.collector.samplers.memory import MemoryTrack
from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.collector.samplers.shares import Member, ShareSampler
from tes_nb.model import HostFacts
from tests.support.processes import burn, python, running, wait_until
from tests.support.readers import TableReader, times

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs PSS and the system's sums over children")
MIB = 2**20
HOST = HostFacts(memory_limit=1000 * MIB, cores_limit=2.0, primary_region="x")

BIG = f"block = bytearray({64 * MIB}); print('ready', flush=True); input()"
SHORT_WORK = """
import time
end = time.process_time() + 0.3
while time.process_time() < end: pass
"""
FORKS = f"""
import os, signal
block = bytearray(os.urandom(1024)) * {48 * 1024}
pids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0: signal.pause()
    pids.append(pid)
print(*pids, flush=True)
signal.pause()
"""


def track_of(pid: int) -> tuple[MemoryTrack, ShareSampler]:
    shares = ShareSampler(default_reader())
    return MemoryTrack(pid, shares), shares


def members(*pids: int) -> list[Member]:
    reader = default_reader()
    found = ((pid, reader.times(pid)) for pid in pids)
    return [Member(pid, seen.born, seen.rss) for pid, seen in found if seen is not None]


def test_own_memory_and_cpu() -> None:
    track, shares = track_of(os.getpid())
    began = time.monotonic_ns()
    track.sample([])
    block = bytearray(40 * MIB)
    track.sample([])
    del block
    burn(0.2)
    track.sample([])
    span = track.between(began, time.monotonic_ns())
    shares.close()
    assert span is not None
    assert span.samples == 3
    assert span.rss_peak - span.rss_mean > 10 * MIB
    assert span.cpu_s >= 0.15
    cost = track.cost(HOST)
    assert cost.peak == span.rss_peak
    assert cost.cpu_s == pytest.approx(span.cpu_s, abs=0.05)
    assert cost.gb_h == pytest.approx(span.rss_mean / 1e9 * cost.wall_s / 3600, rel=0.5)
    assert cost.total_peak == cost.peak, "no PSS was read yet"
    assert cost.peak_share == pytest.approx(cost.peak / (1000 * MIB))
    assert cost.cpu_share == pytest.approx(cost.cpu_s / (2 * cost.wall_s))
    assert (cost.children_cpu_s, cost.children_gb_h, cost.children_peak) == (0, 0, 0)


@linux
def test_a_big_child_counts_by_its_pss_once_that_is_known() -> None:
    with running(BIG) as child:
        track, shares = track_of(os.getpid())
        track.sample([child.pid])
        assert track.cost(HOST).children_peak == 0, "not known yet"
        asyncio.run(shares.refresh(members(child.pid), time.monotonic()))
        track.sample([child.pid])
        assert track.cost(HOST).children_peak == pytest.approx(
            psutil.Process(child.pid).memory_full_info().pss, rel=0.1
        )
        shares.close()
        span = track.between(0, time.monotonic_ns())
        assert span is not None
        assert span.children_rss_peak > 64 * MIB


@linux
def test_forked_children_do_not_count_shared_pages_again() -> None:
    with running(FORKS, ready=False) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            track, shares = track_of(parent.pid)
            asyncio.run(shares.refresh(members(parent.pid, *children), time.monotonic()))
            track.sample(children)
            shares.close()
            span = track.between(0, time.monotonic_ns())
            assert span is not None
            assert span.children_rss_peak > 4 * 40 * MIB, "each shows the block as its own"
            assert track.cost(HOST).total_peak < 1.6 * 48 * MIB, "there is only one block"
        finally:
            os.killpg(parent.pid, 9)


@linux
def test_the_cpu_time_of_children_counts_seen_or_not() -> None:
    track, shares = track_of(os.getpid())
    track.sample([])
    for _ in range(2):
        subprocess.run(python(SHORT_WORK), check=True)  # ended and waited for before any sample
    track.sample([])
    unseen = track.cost(HOST).children_cpu_s
    assert 0.55 <= unseen < 3
    with running(f"{SHORT_WORK}\nprint('ready', flush=True)\ninput()") as child:
        track.sample([child.pid])
        seen = track.cost(HOST).children_cpu_s
        assert 0.25 <= seen - unseen < 2
    track.sample([])
    shares.close()
    assert seen <= track.cost(HOST).children_cpu_s < seen + 0.3, "the same child is not counted twice"


@linux
def test_what_children_used_before_does_not_count() -> None:
    with running(f"{SHORT_WORK}\nprint('ready', flush=True)\ninput()") as child:
        track, shares = track_of(os.getpid())
        track.sample([child.pid])
        track.sample([child.pid])
        assert track.cost(HOST).children_cpu_s < 0.1
        child.communicate(b"\n")
        track.sample([])
        shares.close()
        assert track.cost(HOST).children_cpu_s < 0.2


def test_after_the_kernel_is_gone_everything_stays() -> None:
    reader = TableReader({1: times(rss=100, cpu_s=1.0)})
    clock = iter(range(0, 10**12, 10**9))
    track = MemoryTrack(1, ShareSampler(reader), reader=reader, clock_ns=lambda: next(clock))
    reader.table[1] = times(rss=500, cpu_s=3.0)
    track.sample([])
    before = track.cost(HOST)
    reader.table[1] = times(born=2, rss=9000, cpu_s=0.0)
    track.sample([])
    del reader.table[1]
    track.sample([])
    assert track.cost(HOST) == before
    assert (before.cpu_s, before.peak) == (2.0, 500)


def test_many_children_are_read_in_turns() -> None:
    reader = TableReader({1: times()} | {pid: times(born=pid, rss=10) for pid in range(100, 180)})
    track = MemoryTrack(1, ShareSampler(reader), reader=reader)
    children = list(range(100, 180))
    for _ in range(4):
        track.sample(children)
    for pid in children:
        reader.table[pid] = times(born=pid, rss=1000)
    sums = []
    for _ in range(4):
        track.sample(children)
        span = track.between(time.monotonic_ns(), time.monotonic_ns())
        assert span is not None
        sums.append(span.children_rss_peak)
    assert sums[0] < sums[1] < sums[2] < sums[3] == 80_000


def test_a_child_whose_pss_cannot_be_read_counts_by_its_rss() -> None:
    class Refusing(TableReader):
        def share(self, pid: int) -> None:
            raise PermissionError(pid)

    reader = Refusing({1: times(rss=100), 7: times(born=3, rss=4000)})
    shares = ShareSampler(reader)
    track = MemoryTrack(1, shares, reader=reader)
    asyncio.run(shares.refresh([Member(7, 3, 4000)], 0.0))
    track.sample([7])
    shares.close()
    assert track.cost(HOST).children_peak == 4000
    assert shares.uss(7, 3) is None


def test_shares_are_renewed_no_more_often_than_needed() -> None:
    reader = TableReader({7: times(born=3, rss=4000)})
    shares = ShareSampler(reader)
    seven = [Member(7, 3, 4000)]

    async def scene() -> list[int]:
        return [await shares.refresh(seven, now) for now in (0.0, 1.0, 4.9, 5.1, 5.2, 10.2)]

    assert asyncio.run(scene()) == [1, 0, 0, 1, 0, 1]
    assert shares.pss(7, 3, 8000) == 2000, "the share of its RSS"
    assert shares.uss(7, 3) == 500
    assert shares.pss(7, 4, 8000) is None, "another process of that pid"
    asyncio.run(shares.refresh([], 20.0))
    assert shares.pss(7, 3, 8000) is None, "forgotten"
    shares.close()


def test_one_slow_reading_makes_the_next_wait() -> None:
    class Slow(TableReader):
        def share(self, pid: int):
            time.sleep(0.2)
            return super().share(pid)

    reader = Slow({pid: times(born=pid, rss=4000) for pid in (7, 8)})
    shares = ShareSampler(reader)

    async def scene() -> list[int]:
        first = await shares.refresh([Member(7, 7, 4000)], 0.0)
        return [first] + [await shares.refresh([Member(8, 8, 4000)], now) for now in (1.0, 4.0, 60.0)]

    assert asyncio.run(scene()) == [1, 0, 0, 1]
    shares.close()


def test_closing_in_the_middle_of_a_reading_does_not_hang() -> None:
    reader = default_reader()
    shares = ShareSampler(reader)

    async def scene() -> None:
        task = asyncio.create_task(shares.refresh(members(os.getpid()), 0.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        shares.close()

    asyncio.run(scene())
    wait_until(lambda: not any(thread.is_alive() for thread in shares._thread._threads))
