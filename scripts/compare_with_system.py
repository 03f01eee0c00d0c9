"""Ten workloads, each as a cell of a notebook: what tes_nb says they cost beside what the system says, in the same run.

python -m scripts.compare_with_system

The system's figures: `getrusage` for CPU, VmHWM for the kernel's peak, and a process beside it that adds up the PSS of
the kernel and what is below it (smaps_rollup), fifty times a second; where the total is less than the kernel's own
peak, that counts. A peak that is over between two of its looks is missed, as that of a child of a few milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from IPython.core.interactiveshell import InteractiveShell

MIB = 2**20
PREFIX = "@ "
QUANTITIES = ("cpu_s", "children_cpu_s", "rss_peak", "children_peak", "total_peak")
SET_UP = """
import concurrent.futures, multiprocessing, os, subprocess, sys, time
import numpy as np
import tes_nb as tes
BURN = "import resource\\nwhile sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) < {s}: pass"
def burn(s=0.5):
    end = time.process_time() + s
    while time.process_time() < end: sum(range(1000))
def child(s): return [sys.executable, "-I", "-S", "-c", BURN.format(s=s)]
def hold(mib, s):
    code = f"import time; a = bytearray({mib} * 2**20); a[::4096] = b'x' * len(a[::4096]); time.sleep({s})"
    return [sys.executable, "-I", "-S", "-c", code]
s = tes.start()
time.sleep(2)
"""
WORKLOADS = {
    "nothing": "time.sleep(2)",
    "one thread computes": "burn(2)",
    "a short peak of 300 MiB": "a = np.ones(300 * 2**17); del a; time.sleep(0.5)",
    "six children beside each other": "for c in [subprocess.Popen(child(0.7)) for _ in range(6)]: c.wait()",
    "five children one after another": "for _ in range(5): subprocess.run(child(0.4), check=True)",
    "a fork pool": """
with multiprocessing.get_context("fork").Pool(4) as pool:
    pool.map(burn, [0.6] * 8)
    pool.close()
    pool.join()""",
    "nested children": """
nested = f"import subprocess\\nfor _ in range(3): subprocess.run({child(0.4)!r})"
done = subprocess.run([sys.executable, "-I", "-c", nested], check=True)""",
    "children of 100 MiB": "for c in [subprocess.Popen(hold(100, 2)) for _ in range(3)]: c.wait()",
    "forks that share 300 MiB": """
a = np.ones(300 * 2**17)
forks = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(3,)) for _ in range(4)]
for fork in forks: fork.start()
for fork in forks: fork.join()
del a""",
    "kernel and children compute": """
both = [subprocess.Popen(child(1.5)) for _ in range(2)]
burn(1.0)
for one in both: one.wait()""",
}


def used_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def high_water() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def kernel() -> None:
    """Be the notebook: run the cells, and say what both think of each, a line of JSON a cell."""
    shell = InteractiveShell.instance()
    shell.run_cell(SET_UP, store_history=True).raise_error()
    session: Any = shell.user_ns["s"]
    say(session.collector_pid)
    for name, code in WORKLOADS.items():
        say(name)
        sys.stdin.readline()  # the watch is set
        before = used_s(resource.RUSAGE_SELF), used_s(resource.RUSAGE_CHILDREN)
        shell.run_cell(code, store_history=True).raise_error()
        own = used_s(resource.RUSAGE_SELF) - before[0]
        children = used_s(resource.RUSAGE_CHILDREN) - before[1]
        peak = high_water()
        time.sleep(0.3)
        cell = session.cells().iloc[-1]
        ours = {name: float(cell[name]) for name in QUANTITIES}
        say({"ours": ours, "own": own, "children": children, "peak": peak})
        time.sleep(0.5)
    session.stop()


def say(what: object) -> None:
    """Tell the process that runs us; other lines are what the cells print."""
    print(PREFIX + json.dumps(what), flush=True)


def hear(notebook: subprocess.Popen[str]) -> Any:
    """Return the next thing that the notebook says; `None` = it has ended."""
    assert notebook.stdout is not None
    said = (line for line in notebook.stdout if line.startswith(PREFIX))
    return json.loads(next(said, PREFIX + "null").removeprefix(PREFIX))


class MemoryWatch(threading.Thread):
    """Adds up, again and again, the PSS of a process and what is below it; keeps the greatest sums."""

    def __init__(self, pid: int, collector: int) -> None:
        super().__init__(daemon=True)
        self._kernel, self._collector = psutil.Process(pid), collector
        self.children = self.total = 0

    def run(self) -> None:
        """Look until the process has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._look()

    def _look(self) -> None:
        while self._kernel.is_running():
            first, again = self._parts(), self._parts()
            # What forks share moves to the others when one ends: a sum is of one moment only if it stands still.
            if first.keys() == again.keys() and all(abs(first[pid] - again[pid]) < MIB for pid in first):
                together = sum(again.values())
                self.children = max(self.children, together - again[self._kernel.pid])
                self.total = max(self.total, together)
            time.sleep(0.02)

    def _parts(self) -> dict[int, int]:
        return {pid: pss(pid) for pid in [self._kernel.pid, *self._below()]}

    def _below(self) -> list[int]:
        return [one.pid for one in self._kernel.children(recursive=True) if one.pid != self._collector]


def pss(pid: int) -> int:
    """Return the PSS of a process in bytes; 0 = it has ended."""
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open() as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def rows() -> Iterator[tuple[str, str, float, float, str]]:
    """Yield workload, quantity, ours, the system's, unit."""
    command = [sys.executable, "-m", "scripts.compare_with_system", "kernel"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdin is not None
        watch = MemoryWatch(notebook.pid, hear(notebook))
        watch.start()
        while name := hear(notebook):
            watch.children = watch.total = 0
            notebook.stdin.write("\n")
            notebook.stdin.flush()
            both = hear(notebook)
            ours, peak = both["ours"], both["peak"]
            yield name, "kernel CPU", ours["cpu_s"], both["own"], "s"
            yield name, "children CPU", ours["children_cpu_s"], both["children"], "s"
            yield name, "kernel peak", ours["rss_peak"] / MIB, peak / MIB, "MiB"
            yield name, "children peak", ours["children_peak"] / MIB, watch.children / MIB, "MiB"
            yield name, "total peak", ours["total_peak"] / MIB, max(watch.total, peak) / MIB, "MiB"


def main() -> None:
    """Print the table."""
    if sys.argv[1:] == ["kernel"]:
        kernel()
        return
    print(f"{'cell':34}{'quantity':16}{'tes_nb':>10}{'system':>10}")
    for workload, quantity, ours, system, unit in rows():
        print(f"{workload:34}{quantity:16}{ours:10.2f}{system:10.2f} {unit}", flush=True)


if __name__ == "__main__":
    main()
