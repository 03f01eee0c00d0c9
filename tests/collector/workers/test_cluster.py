"""A Dask cluster of one's own beside a real collector: started, scaled, ended, and left by whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil
import pytest

from tes_nb.collector.http import workers
from tes_nb.collector.workers.dask import KernelScaler
from tes_nb.collector.workers.source import ScaleRefused
from tes_nb.errors import CollectorError
from tes_nb.model.control import AnswerScale, ScaleResult, StartCluster
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, ask, child, collecting
from tests.support.waiting import eventually, eventually_async


async def scale(port: int, count: int):
    body = b'{"count":%d}' % count
    return await ask(port, "/api/workers/scale", method="POST", body=body, token=TOKEN)


async def registry(port: int) -> dict:
    workers = (await ask(port, "/api/workers/registry", token=TOKEN)).json()
    return {key: one for key, one in workers.items() if one["role"] == "dask worker"}


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    left = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends between the two questions
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                left.append(one)
    return left


def listens_outside(processes: list[psutil.Process]) -> list[tuple]:
    sockets = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker that was sent away ends meanwhile
            sockets += one.net_connections("inet")
    return [
        one.laddr for one in sockets if one.status == "LISTEN" and one.laddr.ip not in ("127.0.0.1", "::1")
    ]


@pytest.mark.timeout(90)
def test_up_and_down_by_the_wire_and_gone_with_the_collector():
    with child(cluster=2, observed_pid=os.getpid()) as process:
        port = process.ports[1]

        async def up_and_down():
            assert set(await registry(port)) == set(first := await registry(port))
            assert len(first) == 2
            assert {one["kind"] for one in first.values()} == {"dask"}
            said = (await scale(port, 3)).json()
            assert said == {"created": 1, "terminated": 0}
            grown = await eventually_async(lambda: of_size(port, 3), 30)
            assert set(first) < set(grown)  # ids stay
            assert (await scale(port, 17)).status == 422
            assert (await scale(port, 1)).json() == {"created": 0, "terminated": 2}
            await eventually_async(lambda: of_size(port, 1), 30)
            ended = [one for one in (await registry(port)).values() if one["status"] == "terminated"]
            assert [one.get("last_error") for one in ended] == [None, None]  # they were told to

        async def of_size(port, count):
            workers = await registry(port)
            live = {key: one for key, one in workers.items() if one["status"] in ("idle", "working")}
            return live if len(live) == count else None

        asyncio.run(up_and_down())
        everybody = below(process.pid)
        assert listens_outside(everybody) == []
        assert len(everybody) >= 2
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not alive(everybody), 6, lambda: alive(everybody))


KERNEL = """
import sys, time
sys.path.insert(0, {root!r})
from tests.support.collectors import options
from tes_nb.collector import process
from tes_nb.collector.lifetime import own_identity
process.START_TIMEOUT_S = 60.0
pid, created = own_identity()
running = process.start_process(options(cluster=1, parent_pid=pid, parent_created=created))
print(running.pid, flush=True)
time.sleep(60)
"""


def test_a_kernel_that_is_killed_leaves_no_worker(tmp_path):
    import subprocess
    import sys
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[3])
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL.format(root=root)], stdout=subprocess.PIPE, cwd=root
    )
    try:
        collector = int(kernel.stdout.readline())
        everybody = [psutil.Process(collector), *below(collector)]
        assert len(everybody) >= 3  # collector, cluster, worker
    finally:
        kernel.kill()
        kernel.wait()
        kernel.stdout.close()
    eventually(lambda: not alive(everybody), 6, lambda: alive(everybody))


@run_async
async def test_a_cluster_process_that_dies_is_said_and_another_can_be_started():
    async with collecting(cluster=1) as collector:
        dask = collector.observer.workers.sources[-1]
        first = dask._own[0].pid
        os.killpg(first, signal.SIGKILL)
        await eventually_async(
            lambda: any(
                one.status == "error" and "does not answer" in (one.last_error or "") for one in dask.facts()
            ),
            5,
        )
        answer = await scale(collector.ports[1], 1)
        assert answer.status == 503
        assert "has ended" in answer.json()["error"]
        await collector.observer.workers.operations()[StartCluster](StartCluster(count=1))
        assert (await scale(collector.ports[1], 1)).json() == {"created": 0, "terminated": 0}
        assert dask._own[0].pid != first


@run_async
async def test_a_kernel_scales_by_the_newest_of_its_connections():
    kernel = KernelScaler()
    lost = asyncio.ensure_future(kernel.next())
    await asyncio.sleep(0)
    newest = asyncio.ensure_future(kernel.next())
    await asyncio.sleep(0)
    scaling_up = asyncio.ensure_future(kernel.scale(3))
    assert await asyncio.wait_for(newest, 2) == 3
    assert await asyncio.wait_for(lost, 2) is None
    kernel.answer(AnswerScale(id="x", created=1))
    assert await scaling_up == ScaleResult(1, 0)
    refused = asyncio.ensure_future(kernel.scale(4))
    assert await kernel.next() == 4
    kernel.answer(AnswerScale(id="x", refusal="It adapts."))
    with pytest.raises(ScaleRefused, match="It adapts"):
        await refused


@run_async
async def test_a_kernel_that_is_held_is_said_and_scales_nothing_later(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.workers.dask.ANSWER_S", 0.1)
    monkeypatch.setattr("tes_nb.collector.workers.dask.AWAIT_S", 0.1)
    kernel = KernelScaler()
    with pytest.raises(CollectorError, match="has not answered"):
        await kernel.scale(3)
    assert await kernel.next() is None


@run_async
async def test_a_late_answer_is_not_taken_for_that_of_the_next_count(monkeypatch):
    monkeypatch.setattr("tes_nb.collector.workers.dask.ANSWER_S", 0.5)
    kernel = KernelScaler()
    slow = asyncio.ensure_future(kernel.scale(5))
    assert await kernel.next() == 5
    with pytest.raises(CollectorError, match="has not answered"):
        await slow
    scaling = asyncio.ensure_future(kernel.scale(2))
    await asyncio.sleep(0)
    kernel.answer(AnswerScale(id="x", created=5))
    assert await kernel.next() == 2
    kernel.answer(AnswerScale(id="x", terminated=3))
    assert await scaling == ScaleResult(0, 3)


@run_async
async def test_without_the_extra_it_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "find_spec", lambda _name: None)
    async with collecting() as collector:
        answer = await scale(collector.ports[1], 1)
        assert answer.status == 501
        assert "pip install 'tes-nb[cluster]'" in answer.json()["error"]
    (tmp_path / "distributed.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with collecting() as collector:
        with pytest.raises(Exception, match=r"pip install 'tes-nb\[cluster\]'"):
            await collector.observer.workers.operations()[StartCluster](StartCluster(count=1))


@run_async
async def test_where_nothing_can_be_scaled_it_says_what_to_do():
    async with collecting() as collector:
        answer = await scale(collector.ports[1], 1)
        assert answer.status == 409
        assert "s.cluster(4)" in answer.json()["error"]
