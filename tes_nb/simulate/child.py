"""The stand-in in a process of its own, from a notebook: started, asked and ended by its parent.

The parent writes the options as one line of JSON and keeps the pipe open; the child answers with one line,
`{"http": …}` or `{"error": …}`, and ends when the pipe does, or when its parent is another process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import msgspec

from tes_nb.errors import TesError
from tes_nb.simulate.client import Client
from tes_nb.simulate.options import Options

START_S = 15.0
STOP_S = 3.0


class ChildServer(Client):
    """A stand-in in a child process; `start_child` makes it, `stop()` or the end of the parent ends it."""

    def __init__(self, http: str, process: subprocess.Popen[bytes]) -> None:
        super().__init__(http)
        self._process = process
        self._owner = os.getpid()
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the child, in at most 3 s. Does nothing when it has ended, or in a forked process."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        _end(self._process)


def start_child(options: Options | None = None) -> ChildServer:
    """Start a stand-in in a child process and return it when it listens; `None` = the default options.

    Raises `TesError` when it cannot listen, or says nothing for 15 s.
    """
    process = subprocess.Popen(
        # -P: no module in the notebook's folder may stand in for one of the standard library
        [sys.executable, "-P", "-m", "tes_nb.simulate"],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C in the terminal and "Interrupt kernel" are for the parent.
        start_new_session=True,
    )
    try:
        return ChildServer(_hear(process, options or Options()), process)
    except BaseException:
        _end(process)
        raise


def _environment() -> dict[str, str]:
    """The child finds the same tes_nb as its parent, wherever that was imported from."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _hear(process: subprocess.Popen[bytes], options: Options) -> str:
    """Tell the child its options and return its address."""
    assert process.stdin is not None
    assert process.stdout is not None
    patience = Timer(START_S, process.kill)
    patience.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(options) + b"\n")
            process.stdin.flush()
        answer = msgspec.json.decode(process.stdout.readline() or b"{}", type=dict[str, str])
    except msgspec.MsgspecError:
        answer = {}
    finally:
        patience.cancel()
    if "http" not in answer:
        said = answer.get("error", f"it ended without a word, exit code {process.poll()}")
        raise TesError(f"The simulated NowGoal did not start: {said}")
    return answer["http"]


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
