"""The tasks of a scheduler by function, from its own counts: real ones, and answers that are none."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tes_nb.collector.workers.dask_jobs import MOST_GROUPS, DaskGroups
from tes_nb.errors import DecodeError
from tests.collector.workers.test_dask import observe, observed
from tests.support.aio import run_async
from tests.support.collectors import collecting
from tests.support.dask_user import dask_user
from tests.support.waiting import eventually_async

FAIL = "futures.append(client.submit(int, 'no number', pure=False)) or str(futures[-1].exception())"


@run_async
async def test_each_function_has_a_row_while_its_tasks_are_there(tmp_path):
    with dask_user(tmp_path / "user.log", 1) as user:
        async with collecting() as collector:

            def groups():
                return {name: one.status for name, one in observed(collector, "dask task group").items()}

            await observe(collector, user.address, tasks=True)
            left = await asyncio.to_thread(user.ask, "sorted(scheduler.plugins)")
            await asyncio.to_thread(user.ask, FAIL)
            await asyncio.to_thread(user.ask, "futures.extend(client.map(time.sleep, [0.4] * 4, pure=False))")
            await eventually_async(lambda: groups() == {"int": "error", "sleep": "working"}, describe=groups)
            busy = observed(collector, "dask task group")
            assert (busy["int"].failed, busy["int"].last_error) == (1, "1 of its tasks failed")
            assert not any(one.is_counted or one.queue_depth for one in busy.values())
            truth = await asyncio.to_thread(
                user.ask, "{p.name: dict(p.states) for p in scheduler.task_prefixes.values()}"
            )
            assert set(truth) == {"int", "sleep"}
            await eventually_async(lambda: groups() == {"int": "error", "sleep": "idle"}, describe=groups)
            await asyncio.to_thread(user.ask, "futures.clear()")
            await eventually_async(lambda: set(groups().values()) == {"terminated"}, describe=groups)
            ids = {one.id for one in busy.values()}
            assert ids == {one.id for one in observed(collector, "dask task group").values()}
            assert await asyncio.to_thread(user.ask, "sorted(scheduler.plugins)") == left
        async with collecting() as other:
            await observe(other, user.address)
            await asyncio.to_thread(user.ask, "work(0.2, 2)")
            await asyncio.sleep(1.2)
            assert observed(other, "dask task group") == {}, "by wish alone"


def test_functions_without_tasks_leave_after_a_minute_and_there_are_not_too_many():
    now = 0.0
    groups = DaskGroups("place", "pool", clock=lambda: now)
    many = {f"f{number}": {"processing": 1} for number in range(MOST_GROUPS + 5)}
    assert groups.take(msgspec.msgpack.encode(many))
    assert len(groups.facts()) == MOST_GROUPS
    assert not groups.take(msgspec.msgpack.encode(many))
    groups.lose("it does not answer")
    assert {(one.status, one.executing) for one in groups.facts()} == {("error", None)}
    assert groups.take(msgspec.msgpack.encode({"f1": {"waiting": 2}}))
    assert [one.status for one in groups.facts()].count("terminated") == MOST_GROUPS - 1
    now = 61.0
    assert groups.take(msgspec.msgpack.encode({"f1": {"waiting": 2}}))
    assert [(one.name, one.status) for one in groups.facts()] == [("f1", "idle")]


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xc1", msgspec.msgpack.encode({"status": "error"}), msgspec.msgpack.encode([1]), b"\x91" * 9999],
)
def test_what_is_no_answer_is_refused(answer):
    with pytest.raises(DecodeError):
        DaskGroups("place", "pool").take(answer)


def test_hostile_names_make_ids_and_one_line():
    groups = DaskGroups("place", "pool")
    groups.take(msgspec.msgpack.encode({"<script>\n../..\x00": {"processing": 1}, "x" * 5000: {"erred": 2}}))
    for one in groups.facts():
        assert len(one.id) <= 100
        assert "/" not in one.id
        assert one.name.isprintable()
        assert len(one.name) <= 200
