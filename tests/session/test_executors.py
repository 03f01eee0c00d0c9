"""Real pools under observation: what the table says of queue, jobs, failures and deaths is what happened."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import joblib
import pytest
from loky import get_reusable_executor

import tes_nb as tes
from tes_nb.errors import ArgumentError, SessionError
from tes_nb.jobs.run import name_of
from tests.support.child import ROOT
from tests.support.processes import delay_s
from tests.support.waiting import busy, eventually

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]


def load_chunk(path, gate):
    """Wait until there is a file `gate`."""
    with path.open("a") as file:
        print(os.getpid(), file=file, flush=True)
    end = time.monotonic() + 50
    while not gate.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return os.getpid()


def fail(error):
    raise error


def eat_too_much():
    """Want a gigabyte where little more than what is in use may be had."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**26, in_use + 2**26))
    return len(bytearray(2**30))


class Quit(BaseException):
    """No Exception."""


@pytest.fixture(scope="module", autouse=True)
def no_worker_stays():
    """The pools that loky keeps for everybody are children of this process; no later test is to find them."""
    yield
    joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True)


@pytest.fixture(scope="module")
def session():
    with tes.start(ports=(0, 0)) as running:
        yield running


def newest(session):
    """The newest row of each worker that the last message lists."""
    rows = session.workers.frame(last="10s")
    rows = rows[rows["seq"] == rows["seq"].max()]
    return rows.set_index("id")


def pool_row(session, name):
    rows = newest(session)
    rows = rows[(rows["name"] == name) & rows["role"].isin(["process pool", "thread pool"])]
    return None if rows.empty else rows.iloc[-1]


def figures(session, name):
    """(waiting, executing, done, failed) as the table has them."""
    row = pool_row(session, name)
    return (
        None
        if row is None
        else tuple(int(row[one]) for one in ("queue_depth", "executing", "done", "failed"))
    )


def becomes(session, name, expected):
    eventually(lambda: figures(session, name) == expected, describe=lambda: figures(session, name))


def contexts():
    return ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", contexts())
def test_queue_jobs_and_failures_of_a_process_pool(session, method, tmp_path):
    name, gate = f"loads by {method}", tmp_path / "gate"
    with session.observe(ProcessPoolExecutor(2, multiprocessing.get_context(method)), name=name) as pool:
        futures = [pool.submit(load_chunk, tmp_path / f"{number}", gate) for number in range(5)]
        becomes(session, name, (3, 2, 0, 0))  # 4 futures say that they are running, 2 are
        row = pool_row(session, name)
        assert (row["kind"], row["status"], row["current_job_type"]) == ("executor", "working", "load_chunk")
        assert row["current_job_id"] in ("1", "2"), "whichever began first"
        at_work = {int((tmp_path / f"{number}").read_text()) for number in range(2)}
        rows = newest(session)
        rows = rows[rows["pid"].isin(list(at_work))]
        assert len(rows) == 2
        assert set(rows["role"]) == {"pool worker"}
        assert set(rows["current_job_type"]) == {"load_chunk"}
        assert set(rows["current_job_id"]) == {"1", "2"}
        assert set(rows["status"]) == {"working"}, "asleep, and yet at work"
        assert rows["pool"].str.startswith(name).all()
        assert (rows["rss_mb"] > 1).all()
        gate.touch()
        wait(futures)
        with pytest.raises(ValueError, match="sorry"):
            pool.submit(fail, ValueError("sorry")).result()
        becomes(session, name, (0, 0, 5, 1))
        row = pool_row(session, name)
        assert row["last_error"] == "ValueError in fail (job 6)", "the error's text may hold secrets"
        assert {future.result() for future in futures} == at_work
    eventually(lambda: pool_row(session, name)["status"] == "terminated")


def test_threads_have_a_row_each(session, tmp_path):
    with session.observe(ThreadPoolExecutor(2), name="threads") as pool:
        futures = [pool.submit(load_chunk, tmp_path / "file", tmp_path / "gate") for _ in range(3)]
        becomes(session, "threads", (1, 2, 0, 0))
        rows = newest(session)
        rows = rows[(rows["role"] == "pool thread") & rows["pool"].astype(str).str.startswith("threads")]
        assert sorted(rows["current_job_id"]) == ["1", "2"]
        (tmp_path / "gate").touch()
        wait(futures)
        becomes(session, "threads", (0, 0, 3, 0))

    def ended():
        rows = newest(session)
        rows = rows[rows["pool"].astype(str).str.startswith("threads") & (rows["role"] == "pool thread")]
        return sorted(rows["status"]) == ["terminated"] * 2 and rows["done"].sum() == 3

    eventually(ended, describe=lambda: newest(session)[["role", "status", "done"]])


def test_a_killed_worker_says_which_job_it_ran(session, tmp_path):
    pool = session.observe(ProcessPoolExecutor(2), name="killed")
    assert pool.submit(abs, -1).result() == 1
    future = pool.submit(load_chunk, tmp_path / "pid", tmp_path / "gate")
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    time.sleep(0.6)
    os.kill(pid, signal.SIGKILL)
    began, waited = time.monotonic(), delay_s(session.collector_pid)
    rows = eventually(
        lambda: (rows := newest(session))[(rows["pid"] == pid) & (rows["status"] == "error")].to_dict(
            "records"
        )
    )
    assert time.monotonic() - began - (delay_s(session.collector_pid) - waited) < 1.0
    assert rows[0]["last_error"].startswith("killed by SIGKILL while running load_chunk (job 2), ")
    seconds = float(rows[0]["last_error"].split()[-2])
    assert 0.5 < seconds < 3
    with pytest.raises(BrokenProcessPool):
        future.result()
    eventually(
        lambda: "SIGKILL while running load_chunk (job 2)" in str(pool_row(session, "killed")["last_error"])
    )
    assert pool_row(session, "killed")["status"] == "error"
    with pytest.raises(BrokenProcessPool):
        pool.submit(abs, 1)
    assert "broken" in repr(pool)
    pool.shutdown()


def test_what_a_pool_does_with_bad_jobs_is_what_it_does_without_us(session):
    with session.observe(ProcessPoolExecutor(1), name="bad jobs") as pool:
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pool.submit(lambda: 1).result()
        with pytest.raises(Quit):
            pool.submit(fail, Quit()).result()
        with pytest.raises(SystemExit):
            pool.submit(sys.exit, 3).result()
        with pytest.raises(TypeError):
            pool.submit(abs).result()
        with pytest.raises(MemoryError):
            pool.submit(eat_too_much).result()
        becomes(session, "bad jobs", (0, 0, 0, 5))
        assert pool_row(session, "bad jobs")["last_error"] == "MemoryError in eat_too_much (job 5)"
        assert pool.submit(abs, -2).result() == 2
        becomes(session, "bad jobs", (0, 0, 1, 5))


def test_a_pool_that_is_shut_down_under_us(session):
    inner = ThreadPoolExecutor(1)
    pool = session.observe(inner, name="under us")
    pool.submit(abs, 1).result()
    inner.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)
    becomes(session, "under us", (0, 0, 1, 0))
    eventually(lambda: pool_row(session, "under us")["status"] == "terminated")


def test_cancelled_jobs_wait_no_longer(session, tmp_path):
    with session.observe(ThreadPoolExecutor(1), name="cancelled") as pool:
        first, *rest = [pool.submit(load_chunk, tmp_path / "file", tmp_path / "gate") for _ in range(6)]
        try:
            becomes(session, "cancelled", (5, 1, 0, 0))
            assert all(future.cancel() for future in rest)
        finally:
            (tmp_path / "gate").touch()
        first.result()
        becomes(session, "cancelled", (0, 0, 1, 0))
        with pytest.raises(CancelledError):
            rest[0].result()


def test_map_gives_what_the_pool_gives(session):
    with session.observe(ProcessPoolExecutor(2), name="map") as pool:
        assert list(pool.map(pow, range(100), [2] * 100, chunksize=7)) == [n * n for n in range(100)]
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
        becomes(session, "map", (0, 0, 15 + 2, 0))
        with pytest.raises(ValueError):
            pool.map(abs, [1], chunksize=0)


def test_a_pool_that_was_used_before_says_what_it_cannot_count(session, capsys):
    with ThreadPoolExecutor(1) as inner:
        inner.submit(abs, 1).result()
        pool = session.observe(inner, name="used")
        assert "not counted" in capsys.readouterr().out
        assert "past this wrapper, or was before, is not counted" in repr(pool)
        becomes(session, "used", (0, 0, 0, 0))


def test_loky_and_joblib(session, tmp_path):
    pool = session.observe(get_reusable_executor(2), name="loky")
    assert list(pool.map(abs, range(-4, 0))) == [4, 3, 2, 1]
    becomes(session, "loky", (0, 0, 4, 0))
    rows = newest(session)
    rows = rows[rows["pool"].astype(str).str.startswith("loky") & rows["pid"].notna()]
    assert set(rows["role"]) == {"loky worker"}
    assert rows["done"].sum() == 4
    with session.observe(joblib, name="a grid search"):
        results = joblib.Parallel(n_jobs=2, batch_size=1)(
            joblib.delayed(load_chunk)(tmp_path / "file", tmp_path) for _ in range(4)
        )
        becomes(session, "a grid search", (0, 0, 4, 0))
    assert len(results) == 4
    pool.shutdown(kill_workers=True)


def test_what_joblib_keeps_for_itself_is_ended_without_a_word():
    """Between the modules of the suite. Before, joblib's tracker printed a KeyError when the tests were over."""
    code = """
        import joblib, psutil
        from tests.support.processes import end_helpers
        joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(number) for number in range(4))
        joblib.externals.loky.get_reusable_executor().shutdown(kill_workers=True)
        end_helpers()
        assert not psutil.Process().children()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_cannot_be_observed_is_a_sentence(session):
    with pytest.raises(ArgumentError, match="takes an executor"):
        session.observe(3)
    with session.observe(ThreadPoolExecutor(1)) as pool:
        with pytest.raises(ArgumentError, match="already"):
            session.observe(pool)
        with pytest.raises(SessionError, match="cannot be sent"):
            pickle.dumps(pool)


AFTER_THE_END = """
import tes_nb as tes, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
if __name__ == "__main__":
    s = tes.start(ports=(0, 0), isolation=sys.argv[1])
    pool = s.observe(ProcessPoolExecutor(1))
    assert pool.submit(abs, -1).result() == 1
    s.stop()
    assert pool.submit(abs, -3).result() == 3
    pool.shutdown()
    assert not Path(pool._folder).exists()
"""


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_jobs_go_on_when_the_session_has_ended(isolation, tmp_path):
    (tmp_path / "script.py").write_text(AFTER_THE_END)
    command = [sys.executable, str(tmp_path / "script.py"), isolation]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_name_of_a_job_is_its_function():
    def inner():
        """Has a place."""

    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError

    assert name_of(inner) == "inner"
    assert name_of(partial(load_chunk, 1)) == "load_chunk"
    assert name_of(Hostile()) == "?" or "Hostile" in name_of(Hostile())
    assert name_of("".join) == "str.join"


def test_what_workers_import_is_little():
    code = (
        "import sys, time, concurrent.futures.process, multiprocessing.spawn; before = set(sys.modules);"
        "began = time.process_time(); import tes_nb.jobs.run; took = time.process_time() - began;"
        "print(took, *{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    took = min(float(run.stdout.split()[0]) for run in runs)
    assert runs[0].stdout.split()[1:] == ["tes_nb"]
    assert took < busy(0.02)
