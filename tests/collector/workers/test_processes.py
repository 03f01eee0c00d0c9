"""The registry over real children of a real parent; a table of readings where a system cannot be made to obey."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tes_nb.collector.samplers.worker_life import BUSY_SHARE, Activity, check_id, exit_sentence, safe_name
from tes_nb.collector.workers.processes import KEEP_ENDED_S, ProcessWorkers
from tes_nb.model import WorkerFacts
from tests.support.aio import run_async
from tests.support.processes import BUSY, IDLE, running, tells_codes
from tests.support.readers import TableReader, times
from tests.support.waiting import eventually_async

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's lists of children")

ENDS = [
    ("exit 7", "error", "exit code 7"),
    ("kill -9 $$", "error", "killed by SIGKILL"),
    ("exit 0", "terminated", None),
]

PARENT = """
import json, subprocess, sys
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
codes = json.loads(sys.stdin.readline())
children = [subprocess.Popen([sys.executable, '-I', '-S', '-c', code], **quiet) for code in codes]
print(*(child.pid for child in children), flush=True)
for line in sys.stdin:
    children[int(line)].wait()
    print('reaped', flush=True)
"""


class Kernel:
    """A process that stands for the kernel: starts children, and reaps the one whose number it is told."""

    def __init__(self, process: subprocess.Popen[bytes], codes: tuple[str, ...]) -> None:
        self.pid = process.pid
        self._process = process
        self.children = [int(pid) for pid in self._say(json.dumps(codes)).split()]

    def _say(self, line: str) -> bytes:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline()

    def reap(self, number: int) -> None:
        assert self._say(str(number)) == b"reaped\n"


@contextmanager
def kernel_with(*codes: str) -> Iterator[Kernel]:
    with running(PARENT, ready=False) as process:
        try:
            yield Kernel(process, codes)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


async def listed(registry: ProcessWorkers, pid: int) -> WorkerFacts:
    """The newest worker of that pid, after a refresh."""
    await registry.refresh()
    return [worker for worker in registry.facts() if worker.pid == pid][-1]


async def becomes(registry: ProcessWorkers, pid: int, status: str) -> WorkerFacts:
    """Refresh twice a second, as the collector does, until the worker has that status."""

    async def worker() -> WorkerFacts | None:
        newest = await listed(registry, pid)
        return newest if newest.status == status else None

    return await eventually_async(worker, 15, registry.facts)


@linux
@run_async
async def test_idle_and_working_children_with_their_memory() -> None:
    with kernel_with(BUSY, IDLE) as kernel:
        registry = ProcessWorkers(kernel.pid)
        busy, idle = kernel.children
        hot = await becomes(registry, busy, "working")
        cold = await becomes(registry, idle, "idle")
        assert hot.cpu_percent > 100 * BUSY_SHARE
        for worker in (hot, cold):
            check_id(worker.id)
            assert worker.kind == "process"
            assert worker.name.startswith("python")
            assert worker.rss > 1_000_000
            assert worker.heap_used <= worker.rss
            assert worker.threads == 1
            assert abs(worker.created_at_ms / 1000 - time.time()) < 60
        assert {worker.pid for worker in registry.facts()} == {busy, idle}


@linux
@run_async
async def test_ids_are_stable_while_a_worker_lives() -> None:
    with kernel_with(IDLE) as kernel:
        registry, other = ProcessWorkers(kernel.pid), ProcessWorkers(kernel.pid)
        first = await listed(registry, kernel.children[0])
        assert (await listed(registry, kernel.children[0])).id == first.id
        assert (await listed(other, kernel.children[0])).id == first.id
        found = registry.find(first.id)
        assert found is not None
        assert (found.id, found.pid) == (first.id, first.pid)
        assert registry.find("4711-0") is None


@linux
@run_async
async def test_exit_code_three_of_a_child_that_its_parent_has_not_reaped() -> None:
    with kernel_with("import sys, time; time.sleep(0.5); sys.exit(3)") as kernel:
        pid = kernel.children[0]
        registry = ProcessWorkers(kernel.pid)
        first = await listed(registry, pid)
        worker = await becomes(registry, pid, "error")  # a held kernel reaps nobody, and reports nothing
        assert (worker.exit_code, worker.errors, worker.last_error) == (3, 1, "exit code 3")
        assert worker.id == first.id
        assert abs(worker.ended_at_ms / 1000 - time.time()) < 60
        assert not registry.report_exit(pid, 3), "it is known"


@linux
@run_async
async def test_killed_by_a_signal_reported_before_anyone_looked() -> None:
    with kernel_with(IDLE) as kernel:
        pid = kernel.children[0]
        registry = ProcessWorkers(kernel.pid)
        before = await listed(registry, pid)
        os.kill(pid, signal.SIGKILL)
        kernel.reap(0)
        assert registry.report_exit(pid, -signal.SIGKILL)
        worker = registry.find(before.id)
        assert worker is not None
        assert (worker.status, worker.exit_code) == ("error", -9)
        assert worker.last_error == "killed by SIGKILL"
        assert (worker.rss, worker.uss, worker.cpu_percent, worker.threads) == (None,) * 4, "it uses nothing"
        assert not registry.report_exit(pid, -signal.SIGKILL), "told once"


@linux
@run_async
async def test_a_child_that_vanishes_without_a_report_is_terminated_with_unknown_code(monkeypatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")  # as on systems that have none
    with kernel_with(IDLE, IDLE) as kernel:
        registry = ProcessWorkers(kernel.pid)
        await registry.refresh()
        os.kill(kernel.children[0], signal.SIGKILL)
        kernel.reap(0)
        worker = await becomes(registry, kernel.children[0], "terminated")
        assert (worker.exit_code, worker.last_error, worker.cpu_percent) == (None, None, None)
        await becomes(registry, kernel.children[1], "idle")  # the other goes on

        async def reason() -> str | None:
            await registry.refresh()
            return registry.find(worker.id).last_error

        assert await eventually_async(reason) == "ended, cause unknown", "not like a normal end"
        assert (registry.find(worker.id).status, registry.find(worker.id).errors) == ("terminated", 0)
        assert registry.report_exit(kernel.children[0], -signal.SIGKILL), "better late than never"
        worker = registry.find(worker.id)
        assert (worker.status, worker.last_error) == ("error", "killed by SIGKILL")


@linux
@run_async
@pytest.mark.parametrize(("end", "status", "words"), ENDS)
async def test_a_child_that_is_reaped_at_once_tells_how_it_ended(end, status, words) -> None:
    """Its parent waits for it from the first moment, as `subprocess.run` does, and reports nothing."""
    code = f"import subprocess; subprocess.run(['sh', '-c', 'sleep 0.7; {end}'])"
    with running(code, ready=False) as parent:
        if not tells_codes():
            pytest.skip("the system tells exit codes to parents alone (Linux before 6.15)")
        said: list[int] = []
        registry = ProcessWorkers(parent.pid, on_change=lambda: said.append(registry.version))
        shell = await eventually_async(lambda: (registry.notice_new(), registry.main_children())[1])
        worker = next(one for one in registry.facts() if one.pid == shell[0])
        before = len(said)
        assert await eventually_async(lambda: registry.find(worker.id).ended_at_ms)
        worker = registry.find(worker.id)
        assert (worker.status, worker.last_error) == (status, words)
        assert len(said) > before, "pushed at once, without a refresh"
        await registry.close()


@linux
@run_async
async def test_code_zero_is_terminated_and_no_error() -> None:
    with kernel_with(IDLE) as kernel:
        pid = kernel.children[0]
        registry = ProcessWorkers(kernel.pid)
        await registry.refresh()
        os.kill(pid, signal.SIGKILL)
        kernel.reap(0)
        registry.report_exit(pid, 0)
        worker = await listed(registry, pid)
        assert (worker.status, worker.exit_code, worker.errors) == ("terminated", 0, 0)


@linux
def test_forked_and_grandchildren_count_too_and_outlive_their_parent() -> None:
    code = "import os, signal; os.fork() or os.fork(); signal.pause()"

    async def scene() -> None:
        with kernel_with(code) as kernel:
            registry = ProcessWorkers(kernel.pid)

            async def three() -> bool:
                await registry.refresh()
                return len(registry.facts()) == 3

            await eventually_async(three, 15)
            os.kill(kernel.children[0], signal.SIGKILL)
            kernel.reap(0)
            first = registry.by_pid()[kernel.children[0]].id
            await eventually_async(lambda: registry.find(first).ended_at_ms)
            alive = [worker for worker in registry.facts() if worker.ended_at_ms is None]
            assert len(alive) == 2
            for orphan in alive:
                os.kill(orphan.pid, signal.SIGKILL)

    asyncio.run(scene())


@linux
def test_a_new_child_is_noticed_between_two_refreshes_and_reported() -> None:
    said: list[int] = []
    registry = ProcessWorkers(os.getpid(), on_change=lambda: said.append(registry.version))
    with running(IDLE) as child:
        registry.notice_new()
        assert [worker.pid for worker in registry.facts() if worker.pid == child.pid] == [child.pid]
        assert said == [1]
        registry.notice_new()
        assert said == [1]


@linux
@run_async
async def test_names_carry_no_arguments_and_follow_a_new_program() -> None:
    secret = "--password=hunter2"
    code = f"import os, sys; sys.stdin.read(1); os.execv('/bin/sleep', ['sleep', '60'])  # {secret}"
    with running(code, ready=False) as child:
        registry = ProcessWorkers(os.getpid())
        assert (await listed(registry, child.pid)).name.startswith("python")
        version = registry.version
        child.stdin.write(b"x")
        child.stdin.flush()
        await eventually_async(lambda: registry._reader.times(child.pid).name == "sleep")
        assert (await listed(registry, child.pid)).name == "sleep"
        assert registry.version > version
        assert secret not in repr(registry.facts())


@linux
def test_excluded_processes_and_what_is_below_them_are_no_workers() -> None:
    code = "import os, signal; os.fork(); print('ready', flush=True); signal.pause()"

    async def scene() -> None:
        with running(code) as child, running(IDLE) as other:
            registry = ProcessWorkers(os.getpid(), exclude=lambda: {child.pid})
            registry.notice_new()
            await registry.refresh()
            assert {worker.pid for worker in registry.facts()} == {other.pid}
            assert not registry.report_exit(child.pid, 1)
            os.killpg(child.pid, signal.SIGKILL)

    asyncio.run(scene())


@run_async
async def test_given_pids_need_not_be_children() -> None:
    with kernel_with("pass") as stranger, running(IDLE) as child:
        registry = ProcessWorkers(stranger.pid)
        worker_id = registry.add(child.pid, name="trainer")
        assert registry.add(child.pid) == worker_id, "once"
        await registry.refresh()
        assert registry.find(worker_id).name == "trainer"
        child.kill()
        await becomes(registry, child.pid, "error")


@pytest.mark.parametrize("pid", [2**22 + 1, 0, -1, -5])
def test_a_given_pid_that_does_not_run_is_refused_with_a_sentence(pid: int) -> None:
    with pytest.raises(ValueError, match="no running process"):
        ProcessWorkers().add(pid)


@run_async
async def test_a_dead_kernel_has_no_new_workers_even_if_its_pid_is_used_again() -> None:
    with running(IDLE) as child:
        reader = TableReader({os.getpid(): times(born=1), child.pid: times(born=5)})
        registry = ProcessWorkers(os.getpid(), reader=reader)
        reader.table[os.getpid()] = times(born=2)
        registry.notice_new()
        await registry.refresh()
        assert registry.facts() == ()


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def table_registry(**options: object) -> tuple[ProcessWorkers, TableReader, Clock]:
    """A registry over a table; its root, pid 1 in the table, has no children."""
    reader, clock = TableReader({}), Clock()
    return ProcessWorkers(2**22 + 1, reader=reader, clock=clock, **options), reader, clock


def test_a_pid_used_again_is_another_worker() -> None:
    registry, reader, clock = table_registry()
    reader.table[7] = times(born=1)
    first = registry.add(7)
    reader.table[7] = times(born=2)
    asyncio.run(registry.refresh())
    assert registry.find(first).status == "terminated"
    second = registry.add(7)
    assert second != first
    clock.now += 1
    registry.report_exit(7, 1)
    assert registry.find(first).status == "error", "the report is about the one that ended"
    assert registry.find(second).status == "idle"


def test_the_ended_leave_after_their_time() -> None:
    registry, reader, clock = table_registry()
    reader.table[7] = times()
    worker = registry.add(7)
    del reader.table[7]
    asyncio.run(registry.refresh())
    clock.now += KEEP_ENDED_S - 1
    asyncio.run(registry.refresh())
    assert registry.find(worker) is not None
    version = registry.version
    clock.now += 1
    asyncio.run(registry.refresh())
    assert registry.facts() == ()
    assert registry.version == version + 1


def test_a_reported_end_of_a_process_nobody_saw_is_listed() -> None:
    registry, _, _ = table_registry()
    assert registry.report_exit(99, 3, name="flash")
    (worker,) = registry.facts()
    assert (worker.pid, worker.name, worker.status, worker.exit_code) == (99, "flash", "error", 3)
    check_id(worker.id)
    assert not registry.report_exit(99, 3)


def test_an_end_that_was_asked_for_is_no_error() -> None:
    registry, reader, _ = table_registry()
    reader.table[7] = times()
    registry.add(7)
    del reader.table[7]
    registry.report_exit(7, -15, expected=True)
    (worker,) = registry.facts()
    assert (worker.status, worker.exit_code, worker.errors) == ("terminated", -15, 0)


def test_fault_71_a_worker_that_cannot_be_read_now_is_not_ended() -> None:
    registry, reader, _ = table_registry()
    reader.table[7] = times()
    worker = registry.add(7)
    reader.table[7] = OSError(24, "Too many open files")
    asyncio.run(registry.refresh())
    assert registry.find(worker).status == "idle"


def test_the_number_of_workers_is_bounded() -> None:
    registry, reader, _ = table_registry(cap=3)
    reader.table = {pid: times(born=pid) for pid in range(10, 20)}
    for pid in (10, 11, 12):
        registry.add(pid)
    with pytest.raises(ValueError, match="at most 3"):
        registry.add(13)
    for pid in range(20, 30):
        registry.report_exit(pid, 1)
    asyncio.run(registry.refresh())
    assert len(registry.facts()) == 6, "three alive, three ended"
    assert {worker.pid for worker in registry.facts() if worker.status == "error"} == {27, 28, 29}


@linux
@run_async
async def test_children_beyond_the_bound_are_counted() -> None:
    with kernel_with(IDLE, IDLE, IDLE) as kernel:
        registry = ProcessWorkers(kernel.pid, cap=2)
        await registry.refresh()
        assert (len(registry.facts()), registry.overflow) == (2, 1)


def test_the_rule_of_idle_and_working() -> None:
    activity = Activity()
    assert activity.status == "idle"
    statuses = []
    for share in (0.0, 0.049, 0.05, 0.0, 0.0, 0.9, 0.01, 0.9, 0.0, 0.0):
        activity.add(share)
        statuses.append(activity.status)
    w, i = "working", "idle"
    assert statuses == [i, i, w, w, i, w, w, w, w, i]


def test_exit_sentences() -> None:
    assert exit_sentence(3) == "exit code 3"
    assert exit_sentence(-9) == "killed by SIGKILL"
    assert exit_sentence(-1000) == "killed by signal 1000"


def test_safe_names() -> None:
    assert safe_name("python3.12") == "python3.12"
    assert safe_name("a\nb\ud800") == "a�b�"


def test_a_refresh_of_many_lets_others_run_in_between() -> None:
    registry, reader, _ = table_registry()
    reader.table = {pid: times(born=pid) for pid in range(1, 501)}
    for pid in reader.table:
        registry.add(pid)
    for pid in reader.table:
        reader.table[pid] = times(born=pid, cpu_s=1.0)

    async def scene() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count())
        await registry.refresh()
        task.cancel()
        return turns

    assert asyncio.run(scene()) >= 5
