"""Run as a program by the test of a hanging disk: `python -m tests.support.hanging FOLDER`, a disk that can be frozen.

A frozen file system lets every write wait, in the kernel, until it is thawed. Prints what happened meanwhile, as JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tes_nb as tes
from tes_nb.errors import CollectorError
from tes_nb.store.session.check import check
from tests.support.waiting import eventually


@contextlib.contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Let the disk hang inside the block, at most so long that no process of a failed test stays in the kernel."""
    subprocess.run(["fsfreeze", "-f", str(folder)], check=True)
    thaw = threading.Timer(40, subprocess.run, (["fsfreeze", "-u", str(folder)],))
    thaw.daemon = True
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        subprocess.run(["fsfreeze", "-u", str(folder)], check=False, capture_output=True)


def hang(folder: Path) -> dict[str, object]:
    """Begin a recording on a hanging disk, and end one, while everything else goes on."""
    said: dict[str, object] = {}
    with tes.start(ports=(0, 0)) as session:
        session.metrics.wait(rows=2, timeout=20)
        other = session.record(folder.parent / "other.tes")
        times: list[float] = []
        off = session.metrics.on_message(lambda _message: times.append(time.monotonic()))
        with frozen(folder):
            began = time.monotonic()
            said["begin"] = _refused(lambda: session.record(folder / "a.tes"))
            said["begin took"] = time.monotonic() - began
            said["running meanwhile"] = [one.path.name for one in tes.recordings()]
            beside = session.record(folder.parent / "beside.tes")  # on a disk that answers
            beside.stop()
        begun: list[Any] = []
        # what was given up is made and removed again as soon as the disk answers, and holds the name until then
        eventually(
            lambda: begun or not _refused(lambda: begun.append(session.record(folder / "a.tes"))) or None
        )
        again = begun[0]
        session.metrics.wait(rows=2, timeout=20)
        with frozen(folder):
            began = time.monotonic()
            said["end"] = _refused(again.stop)
            said["end took"] = time.monotonic() - began
            said["found again"] = sorted(one.path.name for one in tes.recordings())
        said["ended"] = again.stop()
        said["check"] = check(folder / "a.tes").exit_code
        off()
        said["longest silence"] = max(later - earlier for earlier, later in itertools.pairwise(times))
        other.stop()
        said["other"] = check(folder.parent / "other.tes").exit_code
    return said


def _refused(call: Callable[[], object]) -> str:
    try:
        call()
    except CollectorError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    print(json.dumps(hang(Path(sys.argv[1]))))  # noqa: T201
