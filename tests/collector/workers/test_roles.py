"""Roles of real processes: pools of each start method, loky, and programs."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tes_nb.collector.workers.processes import ProcessWorkers
from tes_nb.collector.workers.roles import role_of
from tests.support.aio import run_async
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's command lines")

POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1]))
    list(pool.map(abs, range(8)))
    [pool.submit(int) for _ in range(8)]
    print("ready", flush=True)
    sys.stdin.read()
    pool.shutdown()
"""
LOKY = """
import sys
from loky import get_reusable_executor
if __name__ == "__main__":
    pool = get_reusable_executor(2)
    list(pool.map(abs, range(8)))
    print("ready", flush=True)
    sys.stdin.read()
    pool.shutdown()
"""


async def roles_below(program: str, tmp_path, *arguments: str, expected: dict[str, int]) -> None:
    script = tmp_path / "script.py"
    script.write_text(program)
    command = [sys.executable, str(script), *arguments, "--password", "hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        try:
            assert parent.stdout.readline() == b"ready\n"
            source = ProcessWorkers(parent.pid)

            async def roles() -> bool:
                await source.refresh()
                return Counter(worker.role for worker in source.facts()) == expected

            await eventually_async(roles, 10, source.facts)
            for worker in source.facts():
                assert worker.descriptors > 0
                assert worker.disk_read >= 0
                assert "hunter2" not in repr(worker)
                assert worker.is_counted is (worker.role in ("pool worker", "loky worker"))
        finally:
            parent.stdin.close()
            parent.wait(10)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("fork", {"pool worker": 2}),
        ("spawn", {"pool worker": 2, "resource tracker": 1}),
        ("forkserver", {"pool worker": 2, "resource tracker": 1, "forkserver": 1}),
    ],
)
@run_async
async def test_the_processes_of_a_pool(method: str, expected: dict[str, int], tmp_path) -> None:
    await roles_below(POOL, tmp_path, method, expected=expected)


@run_async
async def test_the_processes_of_loky(tmp_path) -> None:
    await roles_below(LOKY, tmp_path, expected={"loky worker": 2, "resource tracker": 2})


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("python -W ignore -X dev -m ipykernel_launcher -f /run/kernel-1.json", "jupyter kernel"),
        ("/usr/bin/python3 /venv/lib/ipykernel_launcher.py -f x", "jupyter kernel"),
        ("python -m ipyparallel.engine --secret=abc", "ipengine"),
        ("/venv/bin/python /venv/bin/dask worker tcp://127.0.0.1:8786", "dask worker"),
        ("/venv/bin/python /venv/bin/dask-scheduler", "dask scheduler"),
        ("python -m distributed.cli.dask_scheduler --port 0", "dask scheduler"),
        ("python train.py -m ipykernel_launcher", "python3.11"),
        ("python -c print(1) -m ipykernel", "python3.11"),
        ("", "python3.11"),
    ],
)
def test_roles_of_command_lines(command: str, role: str) -> None:
    assert role_of(command.split(), "python3.11") == role


def test_a_title_that_a_program_gives_itself() -> None:
    assert role_of(["dask nanny [tcp://127.0.0.1:1]"], "dask") == "dask nanny"


def test_a_hostile_program_name_is_harmless() -> None:
    assert role_of(["\x1b[31m"], "\x1b[31m\n" + "x" * 500).isprintable()
