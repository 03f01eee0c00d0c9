"""Everything together, over this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tes_nb.collector import observer as module
from tes_nb.collector.observer import Observer
from tes_nb.model import Observation
from tests.support.aio import run_async
from tests.support.processes import BUSY, IDLE, burn, running
from tests.support.waiting import eventually_async

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's lists of children")


def observed(observer: Observer) -> Observation:
    return observer.observe(1)


@linux
def test_a_kernel_with_a_busy_and_an_idle_child() -> None:
    changes: list[float] = []

    async def scene() -> None:
        with running(BUSY) as busy, running(IDLE) as idle:
            observer = Observer(os.getpid(), on_change=lambda: changes.append(time.monotonic()))
            await observer.start()
            try:

                def statuses() -> dict[int, str]:
                    return {worker.pid: worker.status for worker in observed(observer).workers}

                await eventually_async(lambda: statuses().get(busy.pid) == "working")
                assert statuses()[idle.pid] == "idle"
                seen = observed(observer)
                assert seen.wall_ms == 1
                assert (seen.process.pid, seen.process.alive) == (os.getpid(), True)
                assert seen.host.memory_limit > 0
                assert seen.tmux.state in ("absent", "no server", "running")
                assert seen.http.total == 0
                count = len(changes)
                idle.kill()
                await eventually_async(lambda: statuses()[idle.pid] == "error")
                assert len(changes) > count
                assert not observer.processes.report_exit(idle.pid, -9), "a zombie's code is known"
            finally:
                await observer.close()

    asyncio.run(scene())


@linux
def test_a_new_child_is_seen_within_a_few_tenths_of_a_second() -> None:
    async def scene() -> float:
        observer = Observer(os.getpid())
        await observer.start()
        with running(IDLE) as child:
            began = time.monotonic()
            await eventually_async(
                lambda: any(worker.pid == child.pid for worker in observed(observer).workers)
            )
            took = time.monotonic() - began
            await observer.close()
        return took

    assert asyncio.run(scene()) < 2


@linux
def test_the_collector_and_its_own_children_are_no_workers_of_the_kernel() -> None:
    """The kernel here is a process whose child observes it, and which has another child."""
    code = """
import asyncio, os, subprocess, sys
from tes_nb.collector.observer import Observer
async def main():
    mine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    observer = Observer(os.getppid())
    await observer.start()
    await asyncio.sleep(0.7)
    print(*(w.pid for w in observer.observe(1).workers), flush=True)
    await observer.close()
    mine.communicate()
asyncio.run(main())
"""
    kernel = f"""
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(other.pid, flush=True)
subprocess.run([sys.executable, "-c", {code!r}], check=True)
other.communicate()
"""
    done = subprocess.run([sys.executable, "-c", kernel], capture_output=True, check=False, timeout=30)
    other, workers = done.stdout.decode().splitlines()
    assert workers.split() == [other], done.stderr.decode()


@linux
def test_standing_alone_its_tmux_commands_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TMUX_PERIOD_S", 0.05)

    async def scene() -> None:
        observer = Observer()
        await observer.start()
        await asyncio.sleep(1.0)
        names = [worker.name for worker in observed(observer).workers]
        await observer.close()
        assert "tmux: client" not in names
        assert "tmux" not in names

    asyncio.run(scene())


def test_all_cpu_time_is_in_exactly_one_tick() -> None:
    observer = Observer()
    observer.tick()
    before = observed(observer).process.cpu_total_s
    said_ms = 0.0
    for _ in range(3):
        burn(0.06)
        for _ in range(5):
            observed(observer)  # pushes and requests between two ticks
        observer.tick()
        facts = observed(observer).process
        said_ms += facts.cpu_user_ms + facts.cpu_system_ms
    assert said_ms == pytest.approx((facts.cpu_total_s - before) * 1000, abs=1)
    assert said_ms > 150


def test_without_ticks_an_observation_samples_by_itself_once_a_period() -> None:
    observer = Observer(period_s=60.0)
    first = observed(observer).process
    assert first.alive
    burn(0.05)
    assert observed(observer).process is first
    observer._sampled -= 60.0  # a period has passed
    second = observed(observer).process
    assert second.cpu_total_s > first.cpu_total_s
    assert observed(observer).process is second


def test_a_kernel_that_is_gone() -> None:
    with running(IDLE) as child:
        observer = Observer(child.pid)
        observer.tick()
        rss = observed(observer).process.rss
        child.kill()
        child.wait()
        observer.tick()
        seen = observed(observer).process
    assert (seen.alive, seen.rss) == (False, rss)
    assert observer.cost().peak == pytest.approx(rss, rel=0.05), "what the tick saw"


@linux
def test_kernel_and_children_together() -> None:
    code = """
import time
print("ready", flush=True)
while input():
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print("done", flush=True)
"""
    observer = Observer()
    observer.tick()
    with running(code) as one, running(code) as two:
        observer.tick()
        began, own_s = time.monotonic(), time.process_time()
        for child in (one, two):
            child.stdin.write(b"x\n")
            child.stdin.flush()
        for child in (one, two):
            child.stdout.readline()
        used_s = 0.6 + time.process_time() - own_s
        observer.memory.sample([one.pid, two.pid], all_of_them=True)
        observer.tick()
        seen = observed(observer)
        assert seen.tree.cores == pytest.approx(used_s / (time.monotonic() - began), rel=0.15)
        assert seen.process.cpu_cores < seen.tree.cores
        assert seen.tree.memory >= seen.process.rss, "the total is never less than the kernel alone"
        most = seen.process.rss + sum(psutil.Process(child.pid).memory_info().rss for child in (one, two))
        assert seen.tree.memory <= 1.02 * most
        assert seen.tree.memory >= seen.process.rss + 4 * 2**20, "each child has some pages of its own"


def test_spans_and_cost() -> None:
    observer = Observer()
    before = observer.span(0, time.monotonic_ns() + 10**9)
    assert before is not None
    began = time.monotonic_ns()
    block = bytearray(30 * 2**20)
    burn(0.1)
    span = observer.span(began, time.monotonic_ns())
    assert span is not None
    assert span.samples == 0, "shorter than the sampling: the samples around it tell"
    assert span.rss_peak - before.rss_peak >= len(block) * 0.9
    assert span.cpu_s >= 0.08
    cost = observer.cost()
    assert cost.cpu_s >= 0.08
    assert cost.peak >= span.rss_peak
    assert cost.memory_limit == observer.host.facts.memory_limit


def test_given_pids_and_what_is_wrong_with_them() -> None:
    with running(IDLE) as child:
        observer = Observer(child.pid, worker_pids=(os.getpid(),))
        assert [worker.pid for worker in observed(observer).workers] == [os.getpid()]
    with pytest.raises(ValueError, match="no running process"):
        Observer(worker_pids=(2**22 + 1,))


@run_async
async def test_closing_leaves_no_task_process_or_descriptor() -> None:
    me = psutil.Process()
    for _ in range(2):
        observer = Observer()
        await observer.start()
        await asyncio.sleep(0.15)
        await observer.close()
        await observer.close()
    descriptors = me.num_fds()
    for _ in range(3):
        observer = Observer()
        await observer.start()
        await asyncio.sleep(0.15)
        await observer.close()
    assert me.num_fds() == descriptors
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await eventually_async(lambda: not [t for t in threading.enumerate() if t.name.startswith("tes_nb pss")])


def test_a_failing_sampler_is_logged_once_and_does_not_end_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Exception):
        pass

    async def scene() -> int:
        observer = Observer()
        calls = 0

        def broken() -> None:
            nonlocal calls
            calls += 1
            raise Broken

        observer.processes.notice_new = broken  # type: ignore[method-assign]
        await observer.start()
        await eventually_async(lambda: calls >= 3)
        assert len([task for task in observer._tasks if task.done()]) <= 1, "only tmux's first answer"
        await observer.close()
        return calls

    with caplog.at_level(logging.ERROR, logger="tes_nb.collector"):
        assert asyncio.run(scene()) >= 3
    assert len([record for record in caplog.records if "Sampling memory failed" in record.message]) == 1
