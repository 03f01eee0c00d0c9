"""What is made of a scheduler's answers, hostile ones too: who came, restarted, left, and under which id."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tes_nb.collector.samplers.worker_life import check_id
from tes_nb.collector.workers.dask_identity import MOST_WORKERS, decode_identity
from tes_nb.collector.workers.dask_jobs import DaskJobs, function_of
from tes_nb.collector.workers.dask_life import KEEP_ENDED_S, SILENT_AFTER_S, DaskLives
from tes_nb.errors import DecodeError

FIRST, SECOND = "tcp://10.0.0.1:4001", "tcp://10.0.0.1:4002"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def identity(workers: dict, **fields):
    said = {"type": "Scheduler", "id": "s", "address": "tcp://10.0.0.1:8786", "workers": workers, **fields}
    return decode_identity(json.dumps(said).encode(), packed=False)


def worker(name=0, *, seen=1.0, status="running", executing=0, ready=0, **fields):
    metrics = {"task_counts": {"executing": executing, "ready": ready}, "cpu": 3.0, "memory": 1000}
    return {
        "name": name,
        "last_seen": seen,
        "status": status,
        "nanny": "tcp://10.0.0.1:5001",
        **fields,
        "metrics": metrics,
    }


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lives(clock):
    return DaskLives("cafe0001", "mine", clock=clock, wall_ms=lambda: 1_767_225_600_000)


def only(lives):
    (facts,) = lives.facts()
    return facts


def test_working_idle_and_what_waits(lives):
    assert lives.take(identity({FIRST: worker(executing=2, ready=3)}), {})
    facts = only(lives)
    assert (facts.status, facts.executing, facts.queue_depth, facts.pid) == ("working", 2, 3, None)
    assert lives.take(identity({FIRST: worker(seen=2.0)}), {})
    assert only(lives).status == "idle"
    assert not lives.take(identity({FIRST: worker(seen=3.0)}), {})


def test_a_restart_that_nobody_saw_is_an_error_for_one_answer(lives):
    lives.take(identity({FIRST: worker()}), {FIRST: 11})
    before = only(lives)
    assert lives.take(identity({SECOND: worker()}), {SECOND: 12})
    assert (only(lives).id, only(lives).status, only(lives).errors) == (before.id, "error", 1)
    assert lives.take(identity({SECOND: worker()}), {SECOND: 12})
    after = only(lives)
    assert (after.id, after.status, after.address, after.pid) == (before.id, "idle", SECOND, 12)
    assert after.last_error == f"process 11 left the scheduler, cause unknown; restarted at {SECOND}"


@pytest.mark.parametrize("reported_first", [True, False])
def test_a_reported_signal_is_the_cause_whenever_it_is_reported(lives, reported_first):
    lives.take(identity({FIRST: worker()}), {FIRST: 11})
    if reported_first:
        lives.report_exit(11, -9)
    lives.take(identity({}), {})
    if not reported_first:
        lives.report_exit(11, -9)
    gone = only(lives)
    assert (gone.status, gone.exit_code, gone.errors) == ("error", -9, 1)
    assert gone.last_error == "killed by SIGKILL (process 11)"
    assert (gone.rss, gone.cpu_percent, gone.executing) == (None, None, None)


def test_who_was_asked_to_end_has_no_error_and_is_forgotten_after_a_minute(lives, clock):
    lives.exits_are_reported = True
    lives.take(identity({FIRST: worker()}), {FIRST: 11})
    lives.take(identity({}), {})
    assert (only(lives).status, only(lives).last_error, only(lives).errors) == ("terminated", None, 0)
    lives.take(identity({SECOND: worker()}), {})  # and is wanted again
    lives.take(identity({SECOND: worker()}), {})
    assert (only(lives).status, only(lives).last_error, only(lives).errors) == ("idle", None, 0)
    lives.take(identity({}), {})
    clock.now += KEEP_ENDED_S
    lives.take(identity({}), {})
    assert lives.facts() == ()


def test_silent_and_paused_workers_are_in_error(lives, clock):
    lives.take(identity({FIRST: worker()}), {})
    clock.now += SILENT_AFTER_S
    assert lives.take(identity({FIRST: worker()}), {})
    assert only(lives).last_error == "no heartbeat for 15 s"
    lives.take(identity({FIRST: worker(seen=2.0, status="paused", memory_limit=1100)}), {})
    assert only(lives).last_error == "paused: its memory is full, 91% of its limit"
    lives.take(identity({FIRST: worker(seen=3.0)}), {})
    assert (only(lives).status, only(lives).last_error) == ("idle", None)


def test_a_scheduler_that_is_lost_says_so_of_each_worker(lives):
    lives.take(identity({FIRST: worker(executing=1)}), {})
    lives.lose("mine does not answer: connection refused")
    assert (only(lives).status, only(lives).executing) == ("error", None)
    assert "connection refused" in only(lives).last_error


def test_names_that_look_alike_are_different_workers(lives):
    lives.take(
        identity(
            {FIRST: worker(0), SECOND: worker("0"), "tcp://c:1": worker("a/b"), "tcp://d:1": worker("a b")}
        ),
        {},
    )
    assert len({facts.id for facts in lives.facts()}) == 4


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("load_chunk-f34bb2ff-ac87-4349-8e18-2856e05a8f76-1", "load_chunk"),
        ("inc-0123456789abcdef0123456789abcdef", "inc"),
        (("read-csv-0123456789abcdef0123456789abcdef", 7, 0), "read-csv"),
        ("plain", "plain"),
        ("-1", "-1"),
        (b"bytes-1", "b'bytes-1'"),
        ("", ""),
    ],
)
def test_a_keys_function(key, function):
    assert function_of(key) == function


def test_tasks_that_run_keep_the_time_at_which_they_were_first_seen():
    now = [1000]
    jobs = DaskJobs(lambda: now[0])
    frame = '  File "/lib/threadpoolexecutor.py", line 58, in _worker\n\ttask.run()\n'
    own = '  File "<cell>", line 2, in load\n\tsecret = "abc"\n'
    jobs.take(msgspec.msgpack.encode({FIRST: {"load-1": [frame, own], ("a-2", 1): ["nonsense"]}}))
    now[0] = 2000
    jobs.take(msgspec.msgpack.encode({FIRST: {"load-1": [frame, own], "new-1": []}, SECOND: {}}))
    (job,) = jobs.current().values()
    assert (job.key, job.function, job.started_ms) == ("load-1", "load", 1000)
    assert job.frames == ("<cell>:2 in load",)  # no source, no values
    for answer in (b"", b"\xc1", msgspec.msgpack.encode({"status": "uncaught-error"})):
        with pytest.raises(DecodeError):
            jobs.take(answer)


def test_the_job_of_a_worker_shows_while_it_runs_and_in_its_end(lives):
    jobs = DaskJobs(lambda: 1_767_225_597_000)
    jobs.take(msgspec.msgpack.encode({FIRST: {"load-1": []}}))
    lives.take(identity({FIRST: worker(executing=1)}), {FIRST: 11}, jobs.current())
    assert only(lives).current_job == {"id": "load-1", "type": "load", "started_at": 1_767_225_597_000}
    assert only(lives).job_s == 3.0
    lives.take(identity({}), {}, {})
    assert (
        only(lives).last_error
        == "process 11 left the scheduler, cause unknown while running load (job load-1), 3.0 s"
    )
    lives.take(identity({SECOND: worker(seen=2.0)}), {SECOND: 12}, {})
    assert (only(lives).current_job, only(lives).job_s) == (None, None)


HOSTILE = ["../../etc", "\x00", "<script>", "a" * 10_000, "\u202egnp", "..", "", "/", "é" * 300]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda one: repr(one)[:12])
def test_hostile_names_make_ids_and_one_line(lives, name):
    lives.take(identity({FIRST: worker(name), f"tcp://{name}:1": worker(None)}), {})
    for facts in lives.facts():
        assert check_id(facts.id) == facts.id
        assert facts.name.isprintable()
        assert len(facts.name) <= 100
        assert facts.address is None or facts.address.isprintable()


def test_a_worker_that_makes_no_sense_costs_itself_alone():
    wrong = worker(1) | {"metrics": {"memory": "much"}}
    seen = identity({FIRST: worker(), SECOND: wrong, "tcp://c:1": 7})
    assert list(seen.workers) == [FIRST]
    assert seen.unreadable == 2
    many = identity({f"tcp://h:{number}": worker(number) for number in range(MOST_WORKERS + 5)})
    assert (len(many.workers), many.unreadable) == (MOST_WORKERS, 5)


def test_heartbeats_whose_keys_are_no_json_are_read_from_message_pack():
    one = worker() | {}
    one["metrics"] = {
        **one["metrics"],
        "digests_total_since_heartbeat": {("execute", "f", "s"): 1.0, "latency": 2.0},
    }
    said = {
        "type": "Scheduler",
        "address": "tcp://h:1",
        "workers": {FIRST: one},
        "services": {"dashboard": 8787},
    }
    seen = decode_identity(msgspec.msgpack.encode(said), packed=True)
    assert seen.workers[FIRST].metrics.memory == 1000
    assert seen.http_port == 8787


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "name": json_values, "last_seen": json_values, "status": st.text(max_size=9), "nanny": json_values,
        "metrics": st.dictionaries(st.sampled_from(["memory", "task_counts", "cpu", "num_fds"]), json_values),
    },
)  # fmt: skip


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=30), fields | json_values, max_size=4))
def test_any_answer_gives_workers_or_a_sentence(answer):
    lives = DaskLives("cafe0001", "mine")
    for packed in (False, True):
        encode = msgspec.msgpack.encode if packed else msgspec.json.encode
        try:
            body = answer if isinstance(answer, bytes) else encode({"type": "Scheduler", "workers": answer})
        except OverflowError:
            return
        try:
            lives.take(decode_identity(body, packed=packed), {})
        except DecodeError as error:
            assert "Dask scheduler" in str(error)
    ids = [facts.id for facts in lives.facts()]
    assert len(set(ids)) == len(ids)
    assert [check_id(one) for one in ids] == ids
