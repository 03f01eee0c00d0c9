"""What is seen right after `tes.start()` and `tes.attach()`, and what counts as a held kernel: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_look_at_a_new_session_shows_how_things_are():
    lines = run(
        """
        import tes_nb as tes
        with tes.start(ports=(0, 0)) as s:
            print(repr(s))
            with tes.attach(f"localhost:{s.ports[0]}", workers=f"localhost:{s.ports[1]}") as a:
                print(repr(a))
            with tes.attach("localhost:1") as a:
                print(repr(a))
        """
    ).splitlines()
    assert len(lines) == 15
    assert all(": OPEN · " in line for line in lines if line.startswith("  ") and "refused" not in line)
    assert sum("WAITING" in line and "connection refused" in line for line in lines) == 3
    assert not [line for line in lines if "LOST" in line or "STALE" in line]


def test_workers_without_children_are_open_though_no_row_comes():
    text = run(
        """
        import tes_nb as tes, time
        with tes.start(ports=(0, 0)) as s:
            until = time.monotonic() + 30
            while s.workers.messages < 6 and time.monotonic() < until:
                time.sleep(0.1)
                assert s.workers.state == "OPEN", s.workers.state
            print(s.workers.rows, s.workers.messages >= 6)
        """
    )
    assert text.split() == ["0", "True"]


STARVED = """
import os, re, sys, threading, time
import tes_nb as tes
s = tes.start(ports=(0, 0))
s.metrics.wait(rows=1, timeout=20)
starve = sys.argv[1] == "starved"
if starve:  # every thread of this process gets a processor only when nobody else wants it, and somebody does
    (core, *_) = os.sched_getaffinity(0)
    burners = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os.sched_setaffinity(0, {core})
            until = time.monotonic() + 8
            while time.monotonic() < until:
                pass
            os._exit(0)
        burners.append(pid)
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
        os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))
    longest = 0.0
    until = time.monotonic() + 8
    last = time.monotonic()
    while time.monotonic() < until:
        time.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    for pid in burners:
        os.waitpid(pid, 0)
else:
    longest, n = 0.0, 20
    while longest < 2:  # one call that never lets go of the interpreter, for so long on a processor
        n, since = n + 1, time.thread_time()
        re.match(r"(a+)+$", "a" * n + "b")
        longest = time.thread_time() - since
time.sleep(1.5)
print(round(longest, 2), len(s.kernel.frame("held")), flush=True)
os._exit(0)
"""


@pytest.mark.alone
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux measures who waits for a processor")
@pytest.mark.parametrize("how", ["held", "starved"])
def test_a_kernel_without_a_processor_is_not_held(how):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STARVED, how], capture_output=True, text=True, timeout=120
    )
    longest, held = done.stdout.split()[-2:]
    assert (int(held) > 0) is (how == "held"), (longest, done.stderr)
