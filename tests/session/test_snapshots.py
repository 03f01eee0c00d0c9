"""What a worker holds, against what it was made to hold; and workers that are busy, stuck in C, or dead."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from concurrent.futures import ProcessPoolExecutor

import pytest

import tes_nb as tes
from tes_nb.errors import CollectorError
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning"),
]


class Parcel:
    """Something to hold."""

    def __init__(self):
        self.inside = []


class SameAsAll(type):  # noqa: PLW1641 - that is the point
    """Its types are equal to everything, and have no hash."""

    def __eq__(cls, other):
        return True


class Odd(metaclass=SameAsAll):
    """Something to hold, of a type that is not like others."""

    def __init__(self):
        self.inside = []


held = []


def hold(count):
    """Hold so many parcels, and 5 MB from one line. Returns the process and that line."""
    tracemalloc.start()
    held.extend(Parcel() for _ in range(count))
    held.append(bytearray(5_000_000))
    return os.getpid(), hold.__code__.co_firstlineno + 4


def hold_odd(count):
    held.extend(Odd() for _ in range(count))
    return os.getpid()


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def stuck(letters):
    """One call into C that never lets go of the interpreter, and for 40 letters never ends."""
    re.match(r"(a+)+$", "a" * letters + "b")


@pytest.fixture(scope="module")
def session():
    with tes.start(ports=(0, 0)) as running:
        yield running


def id_of(session, pid):
    rows = session.workers.frame(last="5s")
    rows = rows[(rows["pid"] == pid) & rows["pool"].notna()]
    return None if rows.empty else rows["id"].iloc[-1]


@pytest.mark.alone
def test_objects_and_allocations_are_those_that_are_held(session):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid, line = pool.submit(hold, 12_345).result()
        worker = eventually(lambda: id_of(session, pid))
        address = f"http://127.0.0.1:{session.ports[1]}/api/workers/snapshot/{worker}"
        request = urllib.request.Request(address, headers={"X-TES-Dev-Token": str(session.token)})
        with urllib.request.urlopen(request, timeout=10) as answer:
            seen = json.loads(gzip.decompress(answer.read()))
    holds = seen["holds"]
    objects = holds["objects"]
    counts = {one["type"]: one["count"] for one in objects["types"]}
    if (
        objects["counted"] == objects["total"]
    ):  # else there was no time for all of them, which the end of the test reads
        assert counts[f"{__name__}.Parcel"] == 12_345
        assert objects["total"] > 2 * 12_345
    assert counts[f"{__name__}.Parcel"] <= 12_345
    assert objects["counted"] <= objects["total"]
    site = next(one for one in holds["allocations"] if (one["file"], one["line"]) == (__file__, line))
    assert 5_000_000 <= site["bytes"] < 5_100_000
    assert seen["unread"] is None
    all_of_it = holds["complete"] and holds["objects"]["counted"] == holds["objects"]["total"]
    assert seen["partial"] is not all_of_it, (
        "a machine with too much to do may not get through in time, and it says so"
    )
    assert seen["process"]["memory"]["rss"] > 5_000_000


def test_types_that_cannot_be_hashed_are_counted(session):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid = pool.submit(hold_odd, 4321).result()
        seen = session.workers.snapshot(eventually(lambda: id_of(session, pid)))
    counts = {one["type"]: one["count"] for one in seen["holds"]["objects"]["types"]}
    assert counts[f"{__name__}.Odd"] == 4321


def test_a_busy_worker_answers_too(session):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid = pool.submit(os.getpid).result()
        worker = eventually(lambda: id_of(session, pid))
        job = pool.submit(compute, 6)
        eventually(lambda: session.workers.frame(last="2s")["current_job_type"].eq("compute").any())
        seen = session.workers.snapshot(worker)
        assert not job.done()
        assert seen["stack"]["place"].startswith("compute")
        assert seen["holds"]["objects"]["counted"] > 1000
        assert seen["worker"]["current_job"]["type"] == "compute"
        assert "tracemalloc is off" in seen["unread"]["allocations"]


def test_a_worker_stuck_in_c_gives_what_can_be_had_within_the_time(session):
    with session.observe(ProcessPoolExecutor(1)) as pool:
        pid = pool.submit(os.getpid).result()
        worker = eventually(lambda: id_of(session, pid))
        job = pool.submit(stuck, 40)
        eventually(lambda: session.workers.frame(last="2s")["current_job_type"].eq("stuck").any())
        began = time.monotonic()
        seen = session.workers.snapshot(worker)
        assert time.monotonic() - began < 6
        assert not job.done()
        assert seen["partial"]
        assert seen["holds"] is None
        assert "C code does not let go" in seen["unread"]["holds"]
        assert " in stuck, " in seen["stack"]["place"]
        os.kill(pid, signal.SIGKILL)


def test_a_dead_worker_and_a_process_of_no_pool_say_why(session):
    pool = session.observe(ProcessPoolExecutor(1))
    pid = pool.submit(os.getpid).result()
    worker = eventually(lambda: id_of(session, pid))
    os.kill(pid, signal.SIGKILL)

    def status():
        rows = session.workers.frame(last="5s")
        return rows[rows["id"] == worker]["status"].iloc[-1]

    eventually(lambda: status() == "error")
    with pytest.raises(CollectorError, match="no live worker"):
        session.workers.snapshot(worker)
    pool.shutdown()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as child:
        listed = eventually(lambda: (rows := session.workers.frame())["pid"].eq(child.pid).any() and rows)
        seen = session.workers.snapshot(listed.loc[listed["pid"] == child.pid, "id"].iloc[-1])
        assert seen["holds"] is None
        assert "pool = s.observe(pool)" in seen["unread"]["holds"]
        child.stdin.close()
