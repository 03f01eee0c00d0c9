"""Real runs of one notebook: runs of the same work show no difference, a planted leak is found, and that alone."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from itertools import combinations

import nbformat
import pytest
from nbclient import NotebookClient

import tes_nb as tes
from tes_nb.analysis.differences import NONE, TOO_LITTLE

START = """
import time
import numpy as np
import psutil
import tes_nb as tes

s = tes.start(ports=(0, 0))
recording = s.record(PATH)
"""
LOAD = """
held = [np.ones(25_000_000)]  # 200 MB of work
if LEAK:
    held.append(np.ones(int(LEAK * psutil.Process().memory_info().rss) // 8))
"""
WORK = """
for step in range(56):
    s.gauge("rows", 100 + step % 7, "rows/s")
    time.sleep(0.25)
"""
END = """
recording.stop()
s.stop()
"""
MEMORY = {
    "memory_rss",
    "memory_heap_used",
    "memory_heap_total",
    "memory_external",
    "memory_array_buffers",
} | {
    "total_memory"  # of kernel and children together
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of nbclient
]


async def run_all(runs):
    """Run the notebook once for each (path, leak), side by side, so that all have the same machine."""
    clients = []
    for path, leak in runs:
        sources = [START.replace("PATH", repr(str(path))), LOAD.replace("LEAK", str(leak)), WORK, END]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])
        clients.append(NotebookClient(notebook, timeout=90, kernel_name="python3"))
    await asyncio.gather(*(client.async_execute() for client in clients))


def different(found):
    rows = found.frame[~found.frame["word"].isin([NONE, TOO_LITTLE])]
    return set(rows["column"])


@pytest.mark.timeout(150)
def test_a_leak_is_found_and_that_alone_and_the_build_fails(tmp_path):
    same = [tmp_path / f"same-{number}.tes" for number in range(3)]
    leak = tmp_path / "leak.tes"
    asyncio.run(run_all([*((path, 0) for path in same), (leak, 0.2)]))
    judged = [tes.compare(a, b, on="cell 3") for a, b in combinations(same, 2)]
    assert [different(found) for found in judged] == [set()] * 3
    assert all((found.frame["word"] == NONE).any() for found in judged)
    found = tes.compare(same[0], leak, on="cell 3")
    assert "memory_rss" in different(found) <= MEMORY
    rows = found.frame[(found.frame["column"] == "memory_rss")].set_index("statistic")
    assert rows["word"].to_dict() == dict.fromkeys(["median", "p95", "peak", "area"], "more")
    assert rows.loc["median", "percent"] == pytest.approx(20, abs=4)
    by_cell = found.by_cell[(found.by_cell["number"] == 3) & (found.by_cell["word"] == "more")]
    assert "memory_rss" in set(by_cell["column"]) <= MEMORY
    command = [
        sys.executable,
        "-m",
        "tes_nb",
        "compare",
        "--on",
        "cell 3",
        "--fail-over",
        "memory_rss peak 10%",
    ]
    ends = {
        name: subprocess.run([*command, same[0], path], capture_output=True, text=True, timeout=60)
        for name, path in (("leak", leak), ("same", same[1]))
    }
    assert ends["leak"].returncode == 4, ends["leak"].stdout + ends["leak"].stderr
    said = re.search(r"memory_rss peak \(without stray values\) is ([\d.]+) % more", ends["leak"].stdout)
    assert said is not None
    assert float(said[1]) == pytest.approx(20, abs=4)
    assert "the limit is 10 %" in ends["leak"].stdout
    assert ends["same"].returncode == 0, ends["same"].stdout + ends["same"].stderr
