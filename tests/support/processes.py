"""Real processes for tests: started here, ended here, waited for with a bound."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

from tes_nb.collector.samplers.children import exit_code_of
from tests.support.waiting import eventually

IDLE = "import time; print('ready', flush=True); time.sleep(60)"
BUSY = "print('ready', flush=True)\nwhile True: pass"


def python(code: str) -> list[str]:
    """The command of a small Python that runs `code`."""
    return [sys.executable, "-I", "-S", "-c", code]


@contextmanager
def running(code: str, *, ready: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that runs `code`, which prints a line when it is ready; killed and reaped at the end."""
    process = subprocess.Popen(
        python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        if ready:
            assert process.stdout is not None
            assert process.stdout.readline(), "the process ended before it was ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def halt(pid: int) -> None:
    """Stop a process (SIGSTOP), and wait until none of its threads runs any more: the signal alone says "soon"."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    eventually(
        lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in tasks.glob("*/stat"))
    )


def burn(seconds: float) -> None:
    """Use that much CPU time in this process."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def delay_s(pid: int) -> float:
    """How long a process, and this one, were ready to run so far, and had no processor (Linux).

    On a machine with too much to do that is no time in which they were slow.
    """
    return sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[1]) for one in (pid, "self")) / 1e9


TRACKERS = (
    "multiprocessing.resource_tracker",
    "loky.backend.resource_tracker",
    "joblib.externals.loky.backend.resource_tracker",
)


def end_helpers() -> None:
    """End what multiprocessing and loky have started for all pools of this process, and would keep until its end."""
    server = sys.modules.get("multiprocessing.forkserver")
    if server is not None and server._forkserver._forkserver_pid is not None:
        server._forkserver._stop()
    _forget_folders()
    for name in TRACKERS:
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        if (
            tracker is not None and tracker._pid is not None
        ):  # its own `_stop` waits for whoever else has its pipe
            os.kill(tracker._pid, signal.SIGKILL)
            os.waitpid(tracker._pid, 0)
            os.close(tracker._fd)
            tracker._pid = tracker._fd = None


def _forget_folders() -> None:
    """Remove joblib's folders while its tracker knows them: a new one, at exit, would print a KeyError."""
    if "joblib._memmapping_reducer" in sys.modules:
        name = "TemporaryResourcesManager.register_folder_finalizer.<locals>._cleanup"
        for one in gc.get_objects():
            if (
                type(one) is FunctionType and one.__qualname__ == name
            ):  # isinstance() asks weak references, too
                one()
                atexit.unregister(one)


def tells_codes() -> bool:
    """Whether a pidfd tells the code of a process that was waited for."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        handle = os.pidfd_open(child.pid)
    try:
        return exit_code_of(handle) == 0
    finally:
        os.close(handle)
