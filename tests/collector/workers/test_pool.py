"""Managed workers: real processes, started, ended, killed, and orphaned."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.workers.pool import CAP, DEFAULT_COMMAND, WorkerPool, parse_count
from tes_nb.collector.workers.worker import compute
from tes_nb.errors import CollectorError
from tests.support.aio import run_async
from tests.support.processes import python
from tests.support.waiting import eventually, eventually_async

SLEEPER = python("import time; time.sleep(60)")
STUBBORN = python("import signal, sys, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)


def exists(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("value", [0, 3, "2", "0", str(CAP), CAP])
def test_counts_that_are_valid(value: int | str) -> None:
    assert parse_count({"count": value}) == int(value)


@pytest.mark.parametrize(
    "body",
    [
        {"count": -1}, {"count": 10**9}, {"count": 1e9}, {"count": 1.5}, {"count": 2.0}, {"count": True},
        {"count": float("nan")}, {"count": float("inf")}, {"count": "two"}, {"count": "-1"}, {"count": "+2"},
        {"count": " 2"}, {"count": "2.0"}, {"count": "1e1"}, {"count": "٣"}, {"count": "²"}, {"count": ""},
        {"count": "9" * 5000}, {"count": 10**5000}, {"count": None}, {"count": [2]}, {"count": {}}, {}, [], None, 3,
        "3", {"count": 2, "force": True}, {"Count": 2}, {"count": CAP + 1}, {1: 2},
    ],
)  # fmt: skip
def test_fault_41_everything_else_is_a_sentence(body: object) -> None:
    with pytest.raises(ValueError, match=r"^[\"T].*\.$") as caught:
        parse_count(body)
    assert len(str(caught.value)) < 200


@given(json_values)
def test_fault_41_any_value_gives_a_count_in_range_or_a_sentence(value: object) -> None:
    try:
        count = parse_count({"count": value}, cap=5)
    except ValueError as error:
        assert str(error).endswith(".")
    else:
        assert type(count) is int
        assert 0 <= count <= 5
        assert str(value).lstrip("0") in (str(count), "")


@given(st.dictionaries(st.text(), json_values, max_size=3).filter(lambda body: set(body) != {"count"}))
def test_fault_41_other_keys_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="count"):
        parse_count(body)


def test_up_and_down_with_the_worker_that_ships() -> None:
    started: list[int] = []
    ended: list[tuple[int, int, bool]] = []

    async def scene() -> None:
        pool = WorkerPool(on_start=started.append, on_exit=lambda *what: ended.append(what))
        assert await pool.scale(3) == (3, 0)
        assert await pool.scale(3) == (0, 0)
        first, *others = pool.pids
        assert started == [first, *others]
        assert all(exists(pid) for pid in pool.pids)
        assert await pool.scale(1) == (0, 2)
        assert pool.pids == (first,), "the newest end first"
        assert not any(exists(pid) for pid in others)
        assert await pool.scale(0) == (0, 1)
        await pool.close()

    asyncio.run(scene())
    assert {pid for pid, _, _ in ended} == set(started)
    assert all(asked for _, _, asked in ended)


def test_a_worker_that_ends_at_once_when_told_has_code_zero() -> None:
    ended: list[tuple[int, int, bool]] = []

    async def scene() -> None:
        pool = WorkerPool(on_exit=lambda *what: ended.append(what))
        await pool.scale(1)
        (pid,) = pool.pids
        await eventually_async(
            lambda: psutil.Process(pid).num_threads() == 2
        )  # its handlers are set before its thread
        await asyncio.sleep(0.1)
        await pool.scale(0)
        await pool.close()

    asyncio.run(scene())
    assert [code for _, code, _ in ended] == [0]


def test_a_worker_that_dies_is_noticed_with_its_code_and_not_replaced() -> None:
    ended: list[tuple[int, int, bool]] = []

    async def scene() -> None:
        pool = WorkerPool(SLEEPER, on_exit=lambda *what: ended.append(what))
        await pool.scale(2)
        victim, other = pool.pids
        os.kill(victim, signal.SIGKILL)
        await eventually_async(lambda: ended)
        assert ended == [(victim, -9, False)]
        assert pool.pids == (other,)
        assert await pool.scale(2) == (1, 0)
        await pool.close()

    asyncio.run(scene())


def test_a_command_that_ends_by_itself_is_reported() -> None:
    ended: list[tuple[int, int, bool]] = []

    def gone_already(pid: int) -> None:
        raise ValueError(pid)

    async def scene() -> None:
        pool = WorkerPool(
            python("raise SystemExit(3)"), on_start=gone_already, on_exit=lambda *what: ended.append(what)
        )
        assert await pool.scale(2) == (2, 0)
        await eventually_async(lambda: len(ended) == 2)
        assert pool.pids == ()
        await pool.close()

    asyncio.run(scene())
    assert [(code, asked) for _, code, asked in ended] == [(3, False), (3, False)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals a process ignores")
def test_a_stubborn_worker_is_killed_after_the_grace_time() -> None:
    async def scene() -> float:
        pool = WorkerPool(STUBBORN, grace_s=0.3)
        await pool.scale(2)
        pids = pool.pids
        await eventually_async(lambda: all(ignores_sigterm(pid) for pid in pids))
        began = time.monotonic()
        await pool.close()
        assert not any(exists(pid) for pid in pids)
        return time.monotonic() - began

    assert 0.25 < asyncio.run(scene()) < 10


def ignores_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGTERM - 1))


@run_async
async def test_calls_at_once_take_turns() -> None:
    pool = WorkerPool(SLEEPER)
    answers = await asyncio.gather(*(pool.scale(count) for count in (4, 1, 3)))
    assert answers == [(4, 0), (0, 3), (2, 0)]
    assert len(pool.pids) == 3
    await pool.close()


@run_async
async def test_a_count_beyond_the_bound_changes_nothing() -> None:
    pool = WorkerPool(SLEEPER, cap=2)
    await pool.scale(1)
    before = pool.pids
    for count in (3, -1):
        with pytest.raises(ValueError, match="from 0 to 2, not"):
            await pool.scale(count)
    assert pool.pids == before
    await pool.close()


@run_async
async def test_a_command_that_cannot_be_run_is_an_error_that_says_so() -> None:
    pool = WorkerPool(["/no/such/program"])
    with pytest.raises(CollectorError, match="could not be started"):
        await pool.scale(2)
    assert pool.pids == ()
    await pool.close()


@run_async
async def test_after_the_end_nothing_is_started() -> None:
    pool = WorkerPool(SLEEPER)
    await pool.close()
    await pool.close()
    with pytest.raises(CollectorError, match="ending"):
        await pool.scale(1)


def test_an_interrupt_does_not_end_a_worker_and_no_secret_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TES_DEV_TOKEN", "correct-horse")

    async def scene() -> None:
        pool = WorkerPool()
        await pool.scale(1)
        (pid,) = pool.pids
        worker = psutil.Process(pid)
        await eventually_async(lambda: worker.num_threads() == 2)
        os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.2)
        assert exists(pid)
        assert os.getsid(pid) == pid
        assert "correct-horse" not in str(worker.environ())
        await pool.close()

    asyncio.run(scene())


OWNER = """
import asyncio, json, sys
from tes_nb.collector.workers.pool import WorkerPool
async def main():
    pool = WorkerPool()
    await pool.scale(3)
    print(json.dumps(pool.pids), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_workers_end_when_their_owner_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE)
    try:
        assert owner.stdout is not None
        pids = json.loads(owner.stdout.readline())
        assert len(pids) == 3
        owner.kill()
        owner.wait()
        eventually(lambda: not any(exists(pid) for pid in pids))
    finally:
        owner.kill()
        owner.communicate()


def test_the_worker_runs_by_itself_and_ends_with_its_input() -> None:
    worker = subprocess.Popen(DEFAULT_COMMAND, stdin=subprocess.PIPE, cwd="/")
    try:
        eventually(lambda: psutil.Process(worker.pid).num_threads() == 2)
        assert worker.poll() is None
        worker.communicate(timeout=10)
        assert worker.returncode == 0
    finally:
        worker.kill()


def test_the_worker_really_computes() -> None:
    before = time.process_time()
    assert compute(0.05) > 0
    assert time.process_time() - before >= 0.05
