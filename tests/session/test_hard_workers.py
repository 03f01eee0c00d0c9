"""Workers with a hard life: out of memory, under a used pid, of another user, by the hundred, misnamed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ArgumentError
from tests.support.child import ROOT
from tests.support.hostile import HOSTILE
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's processes"),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]
LIMIT = 256 * 2**20
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
NOBODY = 65534


@pytest.fixture(scope="module")
def session():
    with tes.start(ports=(0, 0)) as running:
        yield running


def newest(session):
    """The newest row of each worker that the last message lists."""
    rows = session.workers.frame(last="10s")
    return rows[rows["seq"] == rows["seq"].max()].set_index("id")


def forked(count: int = 1) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, multiprocessing.get_context("fork"))


@contextlib.contextmanager
def memory_group() -> Iterator[Path]:
    """A cgroup in which there is little memory; skips where this system lets nobody make one."""
    for base, name in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = base / f"tes-nb-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / name).write_text(str(LIMIT))
                with contextlib.suppress(OSError):
                    (group / "memory.swappiness").write_text("0")
            except OSError:
                group.rmdir()
                continue
            try:
                yield group
                return
            finally:
                eventually(lambda at=group: not (at / "cgroup.procs").read_text().strip())
                group.rmdir()
    pytest.skip("this system lets nobody make a cgroup with a memory limit")


def enter(group: Path) -> int:
    (group / "cgroup.procs").write_text(str(os.getpid()))
    return os.getpid()


def eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(b"\1" * 2**22)


def test_a_worker_that_runs_out_of_memory_says_its_job(session):
    with memory_group() as group, session.observe(forked(), name="hungry") as pool:
        pid = pool.submit(enter, group).result()
        with pytest.raises(BrokenProcessPool):
            pool.submit(eat_memory).result()
        ended = eventually(
            lambda: (rows := newest(session))[(rows["pid"] == pid) & (rows["status"] == "error")].to_dict(
                "records"
            )
        )
        assert ended[0]["last_error"].startswith("killed by SIGKILL while running eat_memory (job 2), ")


def load_chunk(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_a_pid_that_was_a_workers_is_another_process_without_its_job(session):
    with session.observe(forked(), name="before") as pool:
        pid = pool.submit(load_chunk, 0).result()
        job = pool.submit(load_chunk, 60)
        eventually(lambda: "2" in set(newest(session)["current_job_id"]))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            job.result()
        eventually(lambda: ((rows := newest(session))["pid"].eq(pid) & rows["status"].eq("error")).any())
        with same_pid(pid) as again:
            rows = eventually(
                lambda: (rows := newest(session))[(rows["pid"] == pid) & (rows["status"] == "idle")]
            )
            assert len(rows) == 1
            assert rows["current_job_id"].isna().all(), "that was the other one's"
            assert rows["pool"].isna().all()
            ended = newest(session)
            ended = ended[(ended["pid"] == pid) & (ended["status"] == "error")]
            assert len(ended) == 1
            assert "SIGKILL while running load_chunk (job 2)" in ended["last_error"].iloc[0]
            assert ended.index[0] != rows.index[0]
            again.kill()


@contextlib.contextmanager
def same_pid(pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process under a pid that is free now; skips where the system lets nobody choose."""
    try:
        LAST_PID.write_text(str(pid - 1))
    except OSError:
        pytest.skip("this system lets nobody choose a pid (/proc/sys/kernel/ns_last_pid)")
    for _ in range(50):  # somebody else may have been quicker
        with contextlib.suppress(OSError):
            LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "60"])
        try:
            if process.pid == pid:
                yield process
                return
        finally:
            process.kill()
            process.wait()
    pytest.skip(f"the pid {pid} is never given again here")


def test_a_pid_that_was_given_is_listed_from_the_start():
    code = (
        "import os, tes_nb as tes\n"
        "with tes.start(ports=(0, 0), pids=[os.getppid()]) as s:\n"
        "    s.workers.wait(rows=1, timeout=20)\n"
        "    print(os.getppid() in set(s.workers.frame()['pid']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr


STRANGER = """
import os, sys, time
import tes_nb as tes
with tes.start(ports=(0, 0), pids=[int(sys.argv[1])]) as s:
    s.workers.wait(rows=2, timeout=20)
    rows = s.workers.frame()
    row = rows[rows["pid"] == int(sys.argv[1])].iloc[-1]
    print(row["status"], row["rss_mb"] > 1, row["threads"] >= 1, row["name"])
    try:
        s.workers.stack(row["id"])
        print("a stack")
    except tes.TesError as error:
        print(error)
    seen = s.workers.snapshot(row["id"])
    print(seen["partial"], sorted(seen["unread"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a process as another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_process_of_another_user_shows_what_may_be_seen_and_says_what_may_not(tmp_path):
    own = tmp_path.parent / f"{tmp_path.name}-nobody"
    for place in (own, own / "run", own / "home"):
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
    who = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    # it may read this working copy, wherever that is, and look into no process
    may = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    environment = {**os.environ, "HOME": str(own / "home"), "XDG_RUNTIME_DIR": str(own / "run")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TES_SESSION_DIR": str(own / "home"),
    }
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            done = subprocess.run(
                ["setpriv", *who, *may, sys.executable, "-c", STRANGER, str(stranger.pid)],
                env=environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            stranger.kill()
    assert done.returncode == 0, done.stderr
    row, stack, snapshot = done.stdout.strip().splitlines()
    assert row.startswith("idle True True python")
    assert "another user's" in stack or "look" in stack, stack
    assert snapshot.startswith("True [")
    assert "stack" in snapshot
    assert "Traceback" not in done.stderr


def test_five_hundred_workers_come_and_go(session):
    began = pd.Timestamp.now("UTC") - pd.Timedelta(seconds=1)
    everybody: set[int] = set()
    for wave in range(5):
        crowd = [subprocess.Popen(["sleep", "60"]) for _ in range(100)]
        pids = {one.pid for one in crowd}
        everybody |= pids
        try:
            eventually(lambda: pids <= set(newest(session).query("status in ('idle', 'working')")["pid"]))  # noqa: B023
            assert newest(session).index.is_unique
        finally:
            for one in crowd:
                one.kill()
            for one in crowd:
                one.wait()
        eventually(
            lambda: not (pids & set(newest(session).query("status in ('idle', 'working')")["pid"])),  # noqa: B023
            describe=lambda: (wave, len(newest(session))),  # noqa: B023
        )

    def theirs():
        rows = newest(session)
        return rows[
            rows["pid"].isin(everybody) & (rows["created_at"] > began)
        ]  # a pid may have been another's

    # the parent of each has waited for it, and says how it ended a moment later
    eventually(
        lambda: set(theirs()["last_error"]) == {"killed by SIGKILL"},
        describe=lambda: theirs()["last_error"].value_counts(dropna=False),
    )
    rows = theirs()
    assert set(rows["status"]) == {"error"}
    assert len(rows) >= 400, "who ended stays for a minute, five hundred of them at most"
    assert len(session.workers.gaps) == 0
    summary = session.workers.frame("summary").iloc[-1]
    assert summary["error"] >= len(rows)


def test_a_process_pool_that_is_shut_down_under_us_ends_with_its_jobs(session):
    inner = forked()
    pool = session.observe(inner, name="processes under us")
    jobs = [pool.submit(load_chunk, 0.2) for _ in range(3)]
    inner.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)

    rows = eventually(
        lambda: (rows := newest(session))[
            (rows["name"] == "processes under us") & (rows["status"] == "terminated")
        ]
    )
    assert rows["done"].iloc[0] + sum(job.cancelled() for job in jobs) == 3
    assert rows["queue_depth"].iloc[0] == 0


@pytest.mark.parametrize(
    "name", [*HOSTILE[::25], "a\x00b\x1b[31m\r\n", "\ud800", "x" * 2**20], ids=lambda one: ascii(one[:20])
)
def test_hostile_names_of_pools_and_jobs_are_one_line_of_text(session, name):
    def job() -> None:
        """Do nothing."""

    job.__qualname__ = name
    try:
        pool = session.observe(ThreadPoolExecutor(1), name=name)
    except ArgumentError as error:
        assert len(str(error)) < 500
        pool = session.observe(ThreadPoolExecutor(1), name="named well")
    with pool:
        pool.submit(job).result()
        rows = eventually(
            lambda: (rows := newest(session))[(rows["role"] == "thread pool") & (rows["done"] == 1)]
        )
        assert all(len(text) <= 200 and text.isprintable() for text in rows["name"])
