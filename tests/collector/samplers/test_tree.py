"""CPU time of descendants against what the system itself says of them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tes_nb.collector.samplers.children import ChildFinder, LoopPace
from tes_nb.collector.samplers.tree import ProcessTree, runs_tes_nb
from tests.support.processes import python, running
from tests.support.readers import TableReader, times

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the system's sums over children")
TICK_S = 0.01

BURN = """
import resource
def used(): return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
end = used() + 0.4
while used() < end: pass
"""


def reaped_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    finder = ChildFinder()

    async def look() -> None:
        await finder.look(pid, (), lambda child: found.append(child) is None, LoopPace())

    step = look().__await__()
    try:
        while True:
            next(step)
    except StopIteration:
        return found


class Watch:
    """Looks at this process ten times a second while something happens, and once after it."""

    def __init__(self) -> None:
        self.tree = ProcessTree(os.getpid())
        self.tree.look(descendants(os.getpid()))
        self.before = reaped_s()
        self.readings = [self.tree.cpu_s]

    def look(self) -> None:
        self.tree.look(descendants(os.getpid()))
        self.readings.append(self.tree.cpu_s)

    def during(self, done: Callable[[], object]) -> None:
        while not done():
            self.look()
            time.sleep(0.1)
        self.look()

    @property
    def true_s(self) -> float:
        return reaped_s() - self.before

    def agrees(self, true_s: float, children: int) -> bool:
        assert self.readings == sorted(self.readings), "it never falls"
        return abs(self.tree.cpu_s - true_s) <= 0.03 * true_s + TICK_S * children


def all_ended(children: list[subprocess.Popen[bytes]]) -> bool:
    return None not in [child.poll() for child in children]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@linux
def test_children_beside_each_other(watch: Watch) -> None:
    children = [subprocess.Popen(python(BURN)) for _ in range(6)]
    watch.during(lambda: all_ended(children))
    assert watch.true_s > 2.4
    assert watch.agrees(watch.true_s, 6)
    first = watch.tree.cpu_s
    for child in [subprocess.Popen(python(BURN)) for _ in range(2)]:  # later ones count as well
        watch.during(lambda child=child: child.poll() is not None)
    assert watch.agrees(watch.true_s, 8)
    assert watch.tree.cpu_s - first > 0.8


@linux
def test_children_that_nobody_saw(watch: Watch) -> None:
    for _ in range(3):
        subprocess.run(python(BURN), check=True)
    watch.look()
    assert watch.agrees(watch.true_s, 3)


@linux
def test_a_dead_child_counts_when_it_died_not_when_it_is_waited_for(watch: Watch) -> None:
    child = subprocess.Popen(python(BURN))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    watch.look()
    zombie = watch.tree.cpu_s
    assert zombie > 0.39
    child.wait()
    watch.look()
    assert watch.tree.cpu_s == pytest.approx(zombie, abs=2 * TICK_S)
    assert watch.agrees(watch.true_s, 1)


@linux
def test_grandchildren(watch: Watch) -> None:
    nested = (
        f"import subprocess, sys\nfor _ in range(2): subprocess.run([sys.executable, '-I', '-c', {BURN!r}])"
    )
    child = subprocess.Popen(python(nested))
    watch.during(lambda: child.poll() is not None)
    assert watch.true_s > 0.8
    assert watch.agrees(watch.true_s, 3)


@linux
def test_an_orphan_that_init_reaps_is_kept(watch: Watch) -> None:
    double = f"""
import os, time
if os.fork() == 0:
    time.sleep(0.4)  # by then it is an orphan
    {BURN.replace(chr(10), chr(10) + "    ")}
    print(used(), flush=True)
    time.sleep(0.5)  # time to be seen
    os._exit(0)
time.sleep(0.3)  # time to be seen
"""
    child = subprocess.Popen(python(double), stdout=subprocess.PIPE)
    assert child.stdout is not None
    watch.during(lambda: child.poll() is not None)
    orphan = next(pid for pid in watch.tree.below if pid != child.pid)
    watch.during(lambda: not Path(f"/proc/{orphan}").exists())
    true = watch.true_s + float(child.stdout.read())
    child.stdout.close()
    assert true > 0.4
    assert watch.agrees(true, 2)


@linux
def test_children_of_a_process_that_does_not_wait_for_them() -> None:
    ignoring = f"""
import signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps, and adds to nobody's account
print("ready", flush=True); input()
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {BURN + "print(used(), flush=True); input()"!r}])
print("ended", child.wait(), flush=True); input()
"""
    with running(ignoring) as kernel:
        assert kernel.stdin is not None
        assert kernel.stdout is not None
        tree = ProcessTree(kernel.pid)
        kernel.stdin.write(b"\n")
        kernel.stdin.flush()
        true = float(kernel.stdout.readline())
        tree.look(descendants(kernel.pid))
        kernel.stdin.write(b"\n")
        kernel.stdin.flush()
        assert kernel.stdout.readline().startswith(b"ended")
        tree.look([])
        # What nobody reaped is known from two counters of whole ticks, each rounded down: user and system.
        assert tree.cpu_s == pytest.approx(true, rel=0.03, abs=2 * TICK_S)


@linux
def test_what_was_used_before_does_not_count() -> None:
    with running(f"{BURN}\nprint('ready', flush=True)\ninput()") as child:
        watch = Watch()
        watch.look()
        assert watch.tree.cpu_s < 0.05
        child.communicate(b"\n")
        watch.look()
        assert watch.tree.cpu_s < 0.1


@linux
def test_helpers_of_ours_are_nobodys_cost(watch: Watch) -> None:
    code = f"import runpy, sys\nsys.argv[0] = 'x'\n{BURN}"
    child = subprocess.Popen([sys.executable, "-I", "-c", code, "-m", "tes_nb.simulate"])
    while child.poll() is None:
        watch.look()
        time.sleep(0.02)
        assert watch.tree.helpers() <= {child.pid}
    watch.look()
    assert watch.true_s > 0.4
    assert watch.tree.cpu_s < 0.15


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["python", "-P", "-m", "tes_nb.simulate"], True),
        (["python", "-m", "tes_nb.collector"], True),
        (["python", "-m", "tes_nb_of_mine"], False),
        (["python", "-m", "timeit", "tes_nb.collector"], False),
        (["python", "-m"], False),
        ([], False),
    ],
)
def test_ours_is_recognised_by_the_module(arguments: list[str], ours: bool) -> None:
    assert runs_tes_nb(arguments) is ours


def test_another_process_of_that_pid_is_not_the_child() -> None:
    reader = TableReader({1: times(), 7: times(born=3, cpu_s=5.0)})
    tree = ProcessTree(1, reader)
    tree.look([7])
    reader.table[7] = times(born=4, cpu_s=100.0)
    tree.look([])
    assert tree.cpu_s == 0.0, "what it had used before"
    assert not tree.below


def test_a_process_that_cannot_be_read_just_now_is_not_gone() -> None:
    reader = TableReader({1: times(), 7: times(born=300, cpu_s=5.0)})
    tree = ProcessTree(1, reader)
    tree.look([7])
    reader.table[7] = OSError(24, "no descriptors")
    assert tree.look([])
    assert (tree.cpu_s, set(tree.below)) == (5.0, {7})


def test_nothing_changes_when_the_process_is_gone() -> None:
    reader = TableReader({1: times(), 7: times(born=300, cpu_s=5.0)})
    tree = ProcessTree(1, reader)
    tree.look([7])
    del reader.table[1]
    assert tree.look([7]) is None
    assert tree.cpu_s == 5.0


@linux
def test_a_killed_child_counts(watch: Watch) -> None:
    with running("print('ready', flush=True)\nwhile True: pass") as child:
        watch.look()
        time.sleep(0.5)
        watch.look()
        child.send_signal(signal.SIGKILL)
        child.wait()
        watch.look()
    assert watch.agrees(watch.true_s, 1)
