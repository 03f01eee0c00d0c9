"""The observed process: real ones where they can be had, a table where a pid must be used again."""

from __future__ import annotations

import os
import time

import pytest

from tes_nb.collector.samplers.process import ProcessSampler
from tests.support.processes import BUSY, IDLE, burn, running
from tests.support.readers import TableReader, times
from tests.support.waiting import eventually

TWO_BUSY_THREADS = """
import hashlib, threading
block = bytes(2**22)
def work():
    while True: hashlib.sha256(block)
for _ in range(2): threading.Thread(target=work).start()
print('ready', flush=True)
"""


def test_the_first_sample_uses_no_cpu() -> None:
    burn(0.05)
    facts = ProcessSampler(os.getpid()).sample(time.monotonic())
    assert facts.alive
    assert (facts.cpu_percent, facts.cpu_cores, facts.cpu_user_ms, facts.cpu_system_ms) == (0, 0, 0, 0)
    assert facts.rss > 5_000_000
    assert facts.uptime_s > 0
    assert facts.cpu_total_s > 0


def test_cpu_counts_from_sample_to_sample() -> None:
    sampler = ProcessSampler(os.getpid())
    before = sampler.sample(time.monotonic())
    burn(0.3)
    facts = sampler.sample(time.monotonic())
    assert 0 < facts.cpu_percent <= 100
    assert facts.cpu_user_ms + facts.cpu_system_ms == pytest.approx(
        (facts.cpu_total_s - before.cpu_total_s) * 1000, abs=0.1
    )
    assert facts.cpu_user_ms + facts.cpu_system_ms >= 280


def test_percent_is_capped_and_cores_are_not() -> None:
    reader = TableReader({7: times()})
    sampler = ProcessSampler(7, reader=reader)
    sampler.sample(10.0)
    reader.table[7] = times(cpu_s=1.75)
    facts = sampler.sample(10.5)
    assert (facts.cpu_percent, facts.cpu_cores, facts.cpu_user_ms) == (100.0, 3.5, 1750.0)


def test_a_busy_and_an_idle_child() -> None:
    with running(BUSY) as busy, running(IDLE) as idle:
        samplers = [ProcessSampler(busy.pid), ProcessSampler(idle.pid)]
        for sampler in samplers:
            sampler.sample(time.monotonic())
        time.sleep(0.4)
        hot, cold = (sampler.sample(time.monotonic()) for sampler in samplers)
    assert hot.cpu_percent > 10  # a busy machine gives it less than a core
    assert cold.cpu_percent < 5
    assert cold.heap_used < cold.rss


def test_all_threads_of_a_process_count() -> None:
    with running(TWO_BUSY_THREADS) as child:
        sampler = ProcessSampler(child.pid)
        began = time.monotonic()
        first = sampler.sample(began)
        time.sleep(0.5)
        ended = time.monotonic()
        last = sampler.sample(ended)
    used_s = last.cpu_total_s - first.cpu_total_s
    assert last.cpu_cores * (ended - began) == pytest.approx(used_s, abs=0.1)
    assert used_s > 0.05


def test_what_is_gone_keeps_its_last_values() -> None:
    with running(IDLE) as child:
        sampler = ProcessSampler(child.pid)
        last = sampler.sample(time.monotonic())
        child.kill()
        eventually(lambda: not sampler.sample(time.monotonic()).alive)  # a zombie already counts as gone
        child.wait()
        facts = sampler.sample(time.monotonic())
    assert not facts.alive
    assert (facts.pid, facts.rss, facts.heap_total) == (last.pid, last.rss, last.heap_total)
    assert facts.uptime_s >= last.uptime_s
    assert facts.cpu_cores == 0


def test_who_has_given_its_memory_back_and_is_no_zombie_yet_keeps_its_last_values() -> None:
    reader = TableReader({7: times(born=1, rss=1000)})
    sampler = ProcessSampler(7, reader=reader)
    before = sampler.sample(1.0)
    reader.memory = lambda pid: None  # type: ignore[method-assign]
    assert sampler.sample(2.0) == before
    reader.table.clear()
    facts = sampler.sample(3.0)
    assert (facts.alive, facts.rss, facts.heap_total) == (False, before.rss, before.heap_total)


def test_a_system_that_tells_no_words_of_memory_has_the_resident_one() -> None:
    reader = TableReader({7: times(born=1, rss=1000)})
    reader.memory = lambda pid: None  # type: ignore[method-assign]
    sampler = ProcessSampler(7, reader=reader)
    sampler.sample(1.0)
    reader.table[7] = times(born=1, rss=2000)
    assert (sampler.sample(2.0).rss, sampler.latest.heap_total) == (2000, None)


def test_a_pid_used_again_is_somebody_else() -> None:
    reader = TableReader({7: times(born=1, rss=1000)})
    sampler = ProcessSampler(7, reader=reader)
    sampler.sample(1.0)
    reader.table[7] = times(born=2, rss=9999)
    assert not sampler.sample(2.0).alive
    reader.table[7] = times(born=1, rss=1000)
    assert not sampler.sample(3.0).alive, "gone is gone"
    assert sampler.latest.rss == 1000


def test_a_pid_used_again_before_the_first_sample() -> None:
    reader = TableReader({7: times(born=1)})
    sampler = ProcessSampler(7, reader=reader)
    reader.table[7] = times(born=2)
    assert not sampler.sample(1.0).alive


def test_a_process_that_never_was() -> None:
    facts = ProcessSampler(7, reader=TableReader({})).sample(1.0)
    assert (facts.alive, facts.pid, facts.rss) == (False, 7, 0)


def test_fault_71_what_cannot_be_read_now_is_not_dead() -> None:
    reader = TableReader({7: times(rss=1000)})
    sampler = ProcessSampler(7, reader=reader)
    last = sampler.sample(1.0)
    reader.table[7] = OSError(24, "Too many open files")
    assert sampler.sample(2.0) == last
    reader.table[7] = times(rss=2000, cpu_s=1.0)
    facts = sampler.sample(3.0)
    assert (facts.alive, facts.rss, facts.cpu_cores) == (True, 2000, 0.5)


def test_a_process_unreadable_at_first_is_learned_later() -> None:
    reader = TableReader({7: OSError(24, "Too many open files")})
    sampler = ProcessSampler(7, reader=reader)
    assert not sampler.sample(1.0).alive
    reader.table[7] = times()
    assert sampler.sample(2.0).alive
