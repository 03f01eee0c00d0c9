"""What real processes take: a big child, forked children that share, children too short to be seen."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path

import psutil
import pytest

from tes_nb.collector.samplers.memory import MemoryTrack
from tes_nb.collector.samplers.process_reader import default_reader
from tes_nb.collector.samplers.shares import Member, ShareSampler
from tes_nb.model import HostFacts
from tests.support.processes import burn, running
from tests.support.readers import TableReader, times
from tests.support.waiting import eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs PSS and the system's sums over children")
MIB = 2**20
HOST = HostFacts(memory_limit=1000 * MIB, cores_limit=2.0, primary_region="x")

BIG = f"block = bytearray({64 * MIB}); print('ready', flush=True); input()"
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
def test_a_big_child_counts_by_its_own_pages_until_its_pss_is_read() -> None:
    with running(BIG) as child:
        track, shares = track_of(os.getpid())
        track.sample([child.pid])
        rss = psutil.Process(child.pid).memory_info().rss
        own = psutil.Process(child.pid).memory_full_info().uss
        assert track.cost(HOST).children_peak == pytest.approx(own, rel=0.05), (
            "what it shares are pages of files"
        )
        asyncio.run(shares.refresh(members(child.pid), time.monotonic()))
        began = time.monotonic_ns()
        track.sample([child.pid])
        shares.close()
        span = track.between(began, time.monotonic_ns())
        assert span is not None
        assert span.children_peak == pytest.approx(psutil.Process(child.pid).memory_full_info().pss, rel=0.05)
        assert span.children_rss_peak == pytest.approx(rss, rel=0.05)


@linux
@pytest.mark.parametrize("was_read", [False, True])
def test_forked_children_do_not_count_shared_pages_again(was_read: bool) -> None:
    with running(FORKS, ready=False) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            track, shares = track_of(parent.pid)
            if was_read:
                asyncio.run(shares.refresh(members(parent.pid, *children), time.monotonic()))
            track.sample(children)
            shares.close()
            span = track.between(0, time.monotonic_ns())
            assert span is not None
            processes = [psutil.Process(pid) for pid in (parent.pid, *children)]
            pss = sum(process.memory_full_info().pss for process in processes)
            kernel, *rss = (process.memory_info().rss for process in processes)
            assert span.children_rss_peak == pytest.approx(sum(rss), rel=0.02), (
                "each shows the block as its own"
            )
            total = max(pss, kernel) if was_read else kernel
            assert span.total_peak == pytest.approx(total, rel=0.05), "there is only one block"
            assert track.cost(HOST).total_peak == span.total_peak
        finally:
            os.killpg(parent.pid, 9)


@linux
def test_who_has_ended_has_no_memory() -> None:
    track, shares = track_of(os.getpid())
    with running(BIG) as child:
        track.sample([child.pid])
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        began = time.monotonic_ns()
        track.sample([child.pid])  # a zombie
        zombie = track.between(began, time.monotonic_ns())
    began = time.monotonic_ns()
    track.sample([child.pid])
    gone = track.between(began, time.monotonic_ns())
    shares.close()
    for span in (zombie, gone):
        assert span is not None
        assert (span.children_peak, span.children_rss_peak) == (0, 0)


@linux
def test_a_short_peak_of_the_kernel_counts_although_no_sample_saw_it() -> None:
    track, shares = track_of(os.getpid())
    track.sample([])
    block = bytearray(200 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    true = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del block
    track.sample([])
    shares.close()
    cost = track.cost(HOST)
    assert cost.peak == pytest.approx(true, rel=0.02)
    assert cost.total_peak >= cost.peak


@linux
def test_a_short_peak_of_a_child_counts_although_no_sample_saw_it() -> None:
    code = f"""
print("ready", flush=True); input()
block = bytearray({200 * MIB}); block[::4096] = b"x" * len(block[::4096]); del block
print("done", flush=True); input()"""
    with running(code) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        track, shares = track_of(os.getpid())
        track.sample([child.pid])
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        track.sample([child.pid])
        lines = (line.split() for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
        kib = {words[0]: int(words[1]) for words in lines if words[-1] == "kB"}
        true = (kib["VmHWM:"] - kib["RssFile:"] - kib["RssShmem:"]) * 1024  # files are shared with others
        shares.close()
        assert psutil.Process(child.pid).memory_info().rss < 100 * MIB
        assert track.cost(HOST).children_peak == pytest.approx(true, rel=0.02)


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


def test_many_children_are_read_seldom_but_all_at_one_moment() -> None:
    reader = TableReader({1: times()} | {pid: times(born=pid, rss=10) for pid in range(100, 280)})
    track = MemoryTrack(1, ShareSampler(reader), reader=reader)
    children = list(range(100, 280))
    track.sample(children, all_of_them=True)
    for pid in children:
        reader.table[pid] = times(born=pid, rss=1000)
    sums = []
    for _ in range(8):
        track.sample(children)
        span = track.between(time.monotonic_ns(), time.monotonic_ns())
        assert span is not None
        sums.append(span.children_rss_peak)
    assert set(sums) == {1800, 180_000}, "before or after, nothing between"
    assert sorted(sums) == sums
    assert sums.count(1800) == 2, "every fourth look"


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
    assert shares.reading(7, 3).share.pss == 1000
    assert shares.uss(7, 3) == 500
    assert shares.reading(7, 4) is None, "another process of that pid"
    asyncio.run(shares.refresh([], 20.0))
    assert shares.reading(7, 3) is None, "forgotten"
    shares.close()


@linux
def test_what_a_child_has_grown_by_since_the_reading_is_its_own() -> None:
    code = f"""
print("ready", flush=True); input()
b = bytearray({64 * MIB}); b[::4096] = b"x" * len(b[::4096]); print("big", flush=True); input()"""
    with running(code) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        track, shares = track_of(os.getpid())
        asyncio.run(shares.refresh(members(child.pid), time.monotonic()))
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        began = time.monotonic_ns()
        track.sample([child.pid])
        shares.close()
        span = track.between(began, time.monotonic_ns())
        assert span is not None
        assert span.children_peak == pytest.approx(psutil.Process(child.pid).memory_full_info().pss, rel=0.03)


def test_shares_are_renewed_sooner_when_somebody_has_changed() -> None:
    reader = TableReader({pid: times(born=pid, rss=4 * MIB) for pid in (7, 8)})
    shares = ShareSampler(reader)
    same, grown = ([Member(7, 7, 4 * MIB), Member(8, 8, rss)] for rss in (4 * MIB, 6 * MIB))
    busy = [Member(7, 7, 4 * MIB), Member(8, 8, 4 * MIB, faults=1000)]

    async def scene() -> list[int]:
        steps = ((same, 0.0), (same, 1.5), (grown, 1.6), (grown, 2.5), (busy, 3.0), (same[:1], 3.5))
        return [await shares.refresh(members, now) for members, now in steps]

    assert asyncio.run(scene()) == [2, 0, 2, 0, 2, 0], "and always all of them, since they share"
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
    eventually(lambda: not any(thread.is_alive() for thread in shares._thread._threads))
