"""Dask schedulers that are observed: what is seen of real ones, and what bad ones do."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest

from tes_nb.collector.workers.dask_identity import SchedulerAddress, scheduler_address
from tes_nb.collector.workers.dask_reader import SchedulerReader
from tes_nb.errors import ArgumentError, ConnectionFailed
from tes_nb.model import Opcode
from tes_nb.model.control import ObserveScheduler, UnobserveScheduler
from tes_nb.wire.events import Gap, decode_event
from tes_nb.wire.record import unpack
from tests.support.aio import run_async
from tests.support.collectors import collecting
from tests.support.dask_user import dask_user
from tests.support.processes import tells_codes
from tests.support.waiting import busy, eventually, eventually_async

WORKERS = (
    "{str(one.name): [one.address, len(one.processing), one.nthreads] for one in scheduler.workers.values()}"
)


@pytest.fixture(scope="module")
def log_path(tmp_path_factory):
    return tmp_path_factory.mktemp("dask") / "user.log"


@pytest.fixture(scope="module")
def user(log_path):
    with dask_user(log_path) as running:
        yield running


def observed(collector, role="dask worker"):
    return {worker.name: worker for worker in collector.observer.workers.facts() if worker.role == role}


async def observe(collector, address, **fields):
    source = next(one for one in collector.observer.workers.sources if one.name == "dask")
    return await source.observe(ObserveScheduler(address=address, **fields))


async def unobserve(collector, seen):
    source = next(one for one in collector.observer.workers.sources if one.name == "dask")
    await source.unobserve(UnobserveScheduler(id=seen.id))


@pytest.mark.parametrize("way", ["http", "page", "tcp"])
@run_async
async def test_what_is_seen_is_what_the_scheduler_has_also_while_tasks_run(user, log_path, way):
    address = {"http": user.http, "page": f"{user.http}/status", "tcp": user.address}[way]
    await asyncio.to_thread(user.ask, "work(0.3, 12)")
    await asyncio.to_thread(
        eventually, lambda: user.ask("len(scheduler.tasks)") >= 12
    )  # tasks are counted at once
    reader = SchedulerReader(scheduler_address(address))
    try:
        seen = [await reader.read()]
        while await asyncio.to_thread(user.ask, "any(not one.done() for one in futures)"):
            seen.append(await reader.read())
            await asyncio.sleep(0.1)
        truth = await asyncio.to_thread(user.ask, WORKERS)
        last = await reader.read()
    finally:
        await reader.close()
    assert {str(one.name): address for address, one in last.workers.items()} == {
        name: where for name, (where, _, _) in truth.items()
    }
    assert last.address == user.address
    assert max(one.metrics.task_counts.executing for each in seen for one in each.workers.values()) == 1
    assert all(one.nanny.startswith("tcp://") for one in last.workers.values())
    assert all(0 < one.metrics.memory < 2**30 for one in last.workers.values())
    assert max(reader.tally.values()) >= 1
    assert "Traceback" not in log_path.read_text()  # nothing is left behind in the user's own output


@run_async
async def test_workers_in_the_registry_have_their_process_and_work(user):
    async with collecting() as collector:
        await observe(collector, user.http)
        await asyncio.to_thread(user.ask, "work(0.5, 8)")
        pids = await asyncio.to_thread(
            user.ask,
            "{str(v['name']): client.run(os.getpid)[k] for k, v in "
            "client.scheduler_info()['workers'].items()}",
        )
        await eventually_async(lambda: {one.status for one in observed(collector).values()} == {"working"})
        workers = observed(collector)
        assert {name: worker.pid for name, worker in workers.items()} == pids
        for worker in workers.values():
            truth = psutil.Process(worker.pid)
            assert abs(worker.rss - truth.memory_info().rss) < 64 * 2**20
            assert worker.executing == 1
            assert abs(worker.descriptors - truth.num_fds()) <= 10
            assert worker.kind == "dask"
            assert worker.net_read_rate is not None
        (scheduler,) = observed(collector, "dask scheduler").values()
        assert (scheduler.pid, scheduler.status) == (user.process.pid, "working")
        await eventually_async(lambda: {one.status for one in observed(collector).values()} == {"idle"}, 10)


@run_async
async def test_two_observers_leave_nothing_behind_and_the_users_object_counts_right_afterwards(user):
    left = "[sorted(scheduler.plugins), sorted(scheduler.worker_plugins), len(scheduler.clients)]"
    before = user.ask(left)
    async with collecting() as first, collecting() as second:
        seen = await observe(first, user.http)
        await observe(second, user.address)
        await asyncio.sleep(1.2)
        assert len(connections_to(user.address)) == 2
        assert user.ask(left) == before
        assert user.ask("cluster.scale(3)") is None
        await eventually_async(lambda: len(observed(first)) == len(observed(second)) == 3, 25)
        assert await eventually_async(lambda: user.ask("len(cluster.scheduler_info['workers'])") == 3, 10)
        await unobserve(first, seen)
        assert observed(first) == {}
        assert len(connections_to(user.address)) == 1
    assert connections_to(user.address) == []
    user.ask("cluster.scale(2)")
    await eventually_async(lambda: user.ask("len(cluster.scheduler_info['workers'])") == 2, 20)
    assert user.ask(left) == before


def connections_to(address):
    """The ports from which this process is connected to a scheduler."""
    port = int(address.rpartition(":")[2])
    sockets = psutil.Process().net_connections("tcp")
    return [
        one.laddr.port
        for one in sockets
        if one.raddr and one.raddr.port == port and one.status == "ESTABLISHED"
    ]


@run_async
async def test_a_worker_that_is_killed_is_an_error_at_once_and_the_same_worker_when_it_is_back(user):
    async with collecting() as collector:
        await observe(collector, user.http)
        name, before = await eventually_async(
            lambda: next(((k, v) for k, v in observed(collector).items() if v.pid), None), 5
        )
        began = time.monotonic()
        os.kill(before.pid, signal.SIGKILL)
        gone = await eventually_async(
            lambda: (one := observed(collector)[name]).status in ("error", "terminated") and one, 5
        )
        assert time.monotonic() - began < busy(1.5)
        assert gone.id == before.id
        back = await eventually_async(
            lambda: (one := observed(collector)[name]).status == "idle" and one.pid and one, 20
        )
        assert back.id == before.id
        assert back.address != before.address
        assert back.pid != before.pid
        assert back.errors == before.errors + 1
        cause = f"killed by SIGKILL (process {before.pid})" if tells_codes() else "cause unknown"
        assert f"{cause}; restarted at {back.address}" in back.last_error


@run_async
async def test_a_scheduler_that_goes_and_comes_back_is_a_gap(tmp_path):
    async with collecting() as collector:
        with dask_user(tmp_path / "first.log", 1) as first:
            port, http = first.address.rpartition(":")[2], first.http.rpartition("//")[2]
            await observe(collector, first.http)
            assert len(observed(collector)) == 1
        (gone,) = observed(collector, "dask scheduler").values()
        await eventually_async(lambda: gaps(collector))
        (worker,) = observed(collector).values()
        assert (worker.status, worker.executing) in (("error", None), ("terminated", None))
        with dask_user(
            tmp_path / "second.log", 1, scheduler_port=int(port), dashboard_address=http
        ) as second:
            assert second.address == first.address

            def scheduler():
                (one,) = observed(collector, "dask scheduler").values()
                return one

            await eventually_async(lambda: scheduler().last_error is None, 15)
            assert scheduler().id == gone.id
            await eventually_async(
                lambda: [one.status for one in observed(collector).values()] == ["idle"], 10
            )
            # one that is closing may answer once more: then there are two times in which it did not
            *earlier, begun, ended = gaps(collector)
            assert (begun.lost_at_ns, begun.back_at_ns) == (ended.lost_at_ns, None)
            assert ended.back_at_ns is not None
            assert all(one.lost_at_ns < begun.lost_at_ns for one in earlier)


def gaps(collector):
    messages = [unpack("workers", one) for one in collector.hub.topics["workers"].log.after(0, 10**6)]
    events = [decode_event(one.payload) for one in messages if one.opcode == Opcode.EVENT]
    # a test that waits for processes on the collector's loop makes it stand still: that is a gap of its own
    return [one for one in events if isinstance(one, Gap) and "does not answer" in one.cause]


@run_async
async def test_with_tasks_a_worker_says_what_it_runs_and_what_it_ran_when_it_was_killed(tmp_path):
    with dask_user(tmp_path / "user.log", 1) as user:
        async with collecting() as collector:
            await observe(collector, user.address, tasks=True)
            key = user.ask("futures.append(client.submit(time.sleep, 20)) or futures[-1].key")
            worker = await eventually_async(
                lambda: next((one for one in observed(collector).values() if one.current_job), None), 5
            )
            assert (worker.current_job["id"], worker.current_job["type"]) == (key, "sleep")
            assert abs(worker.current_job["started_at"] / 1000 - time.time()) < 3
            assert 0 <= worker.job_s < 3
            stack = await collector.observer.workers.owner(worker.id).stack(worker)
            assert stack.splitlines()[0] == f"sleep ({key})"
            assert all(" in " in line and "\t" not in line for line in stack.splitlines()[1:])
            os.kill(worker.pid, signal.SIGKILL)
            gone = await eventually_async(
                lambda: next((one for one in observed(collector).values() if one.last_error), None), 5
            )
            assert f"while running sleep (job {key}), " in gone.last_error
        assert "Traceback" not in (tmp_path / "user.log").read_text()


# Bad addresses and bad peers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("http://host:8787", SchedulerAddress(http="http://host:8787")),
        ("http://host:8787/status", SchedulerAddress(http="http://host:8787")),
        ("https://hub/user/x/proxy/8787/status", SchedulerAddress(http="https://hub/user/x/proxy/8787")),
        (" 127.0.0.1:8787 ", SchedulerAddress(http="http://127.0.0.1:8787")),
        ("tcp://127.0.0.1:8786", SchedulerAddress(tcp="tcp://127.0.0.1:8786")),
        ("tcp://[::1]:8786", SchedulerAddress(tcp="tcp://[::1]:8786")),
    ],
)
def test_addresses(text, where):
    assert scheduler_address(text) == where


@pytest.mark.parametrize(
    "text",
    ["", "tls://host:8786", "ftp://host", "tcp://host", "http://", "http://a:b@host:8787", "host:99999",
     "inproc://x", "http://ho st:1", "<script>"],
)  # fmt: skip
def test_what_is_no_address_is_a_sentence(text):
    with pytest.raises(ArgumentError, match=r"^[A-Z'].*\.$"):
        scheduler_address(text)


HTML = b"<html><h1>It works!</h1></html>"
PEERS = {
    "HTML": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(HTML) + HTML,
        "not that of a Dask scheduler",
    ),
    "10 MB": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10000000\r\n\r\n" + b"[" * 10_000_000,
        "longer than 8 MiB",
    ),
    "nothing": (b"", "no answer within 2 s"),
    "500": (b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", r"tasks run \(HTTP 500"),
    "404": (b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "HTTP 404"),
    "garbage": (b"\x00\xff" * 500 + b"\r\n\r\n", "."),
    "deep": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
        "not that of a Dask",
    ),
}


@pytest.mark.parametrize("scheme", ["http", "tcp"])
@pytest.mark.parametrize("kind", PEERS)
@run_async
async def test_what_answers_otherwise_is_said_and_asked_on(kind, scheme):
    answer, trouble = PEERS[kind]
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.read(1000))
        writer.write(answer)
        try:
            await writer.drain()
            await reader.read() if not answer else None
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader = SchedulerReader(scheduler_address(f"{scheme}://127.0.0.1:{port}"))
    try:
        for _ in range(2 if answer else 1):
            with pytest.raises(ConnectionFailed, match=trouble if scheme == "http" else "."):
                await reader.read()
        assert asked
    finally:
        await reader.close()
        server.close()
        await server.wait_closed()


@run_async
async def test_a_scheduler_that_is_not_there_is_listed_with_the_reason(unused_tcp_port):
    async with collecting() as collector:
        seen = await observe(collector, f"http://127.0.0.1:{unused_tcp_port}")
        assert "refused" in seen.trouble
        (scheduler,) = observed(collector, "dask scheduler").values()
        assert (scheduler.status, scheduler.last_error) == ("error", f"does not answer: {seen.trouble}")
        assert gaps(collector) == []  # it was never there: nothing is missing


@pytest.fixture
def unused_tcp_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
