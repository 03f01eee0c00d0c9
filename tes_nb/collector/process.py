"""The collector as a child process, seen from its parent."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from tes_nb.collector.discovery import remove_stale, runtime_dir
from tes_nb.collector.options import Options
from tes_nb.errors import CollectorError

START_TIMEOUT_S = 10.0
"""A start takes about one second; a machine under load gets ten before it counts as failed."""
STOP_TIMEOUT_S = 2.0
MODULE = "tes_nb.collector"
"""What the child runs."""


class Started(msgspec.Struct, frozen=True):
    """A collector's first line: where it listens, or why it could not start."""

    pid: int = 0
    ports: tuple[int, int] = (0, 0)
    taken: tuple[int, ...] = ()
    error: str | None = None


class CollectorProcess:
    """A running child. Stopping it does nothing in a process other than the one that started it."""

    outlives = True
    """Recordings with `keep` go on in it when this process ends."""

    def __init__(self, child: subprocess.Popen[bytes], started: Started, log_path: Path) -> None:
        self._child = child
        self._owner = os.getpid()
        self.ports = started.ports
        self.taken = started.taken
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        if os.getpid() != self._owner:
            return False
        return self._child.poll() is None

    def leave(self) -> None:
        """Close its input and let it end by itself: at once, or when the last kept recording ends."""
        if os.getpid() == self._owner:
            _close(self._child.stdin)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """Tell it to end and wait for that; insist if it takes too long. May be called twice."""
        if os.getpid() != self._owner:
            return  # a forked child must not end its parent's collector
        _close(self._child.stdin)
        self._child.terminate()  # the end of its input would do, did no forked pool hold the pipe open
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        _remove(self.log_path)


def start_process(options: Options, *, meanwhile: Callable[[], object] = lambda: None) -> CollectorProcess:
    """Start a collector and wait until it listens. Raises `CollectorError` with its reason.

    meanwhile: what the caller does while the child's interpreter starts, on the other core.
    """
    try:
        log_path = _new_log()
        child = _launch(log_path)
    except OSError as error:
        raise CollectorError(
            f"The collector's process could not be started ({error}); "
            'free some space or processes, or use tes.start(isolation="thread").'
        ) from error
    try:
        _tell(child, options)
        meanwhile()
        return CollectorProcess(child, _handshake(child, log_path), log_path)
    except BaseException:
        child.kill()
        child.wait()
        _close(child.stdin)
        _remove(log_path)
        raise
    finally:
        _close(child.stdout)


def _new_log() -> Path:
    """Make an empty log that nobody else can read; those of dead collectors go."""
    remove_stale()
    path = runtime_dir() / f"collector-{os.getpid()}-{time.monotonic_ns()}.log"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def _launch(log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("ab") as log:
        return subprocess.Popen(
            # -P: no module in the notebook's folder may stand in for one of the standard library
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=_child_environment(),
        )


def _child_environment() -> dict[str, str]:
    """The child finds the same tes_nb as its parent, wherever that was imported from."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def _tell(child: subprocess.Popen[bytes], options: Options) -> None:
    if child.stdin is None:
        raise CollectorError("The collector has no pipes.")
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(msgspec.json.encode(options) + b"\n")
        child.stdin.flush()


def _handshake(child: subprocess.Popen[bytes], log_path: Path) -> Started:
    if child.stdout is None:
        raise CollectorError("The collector has no pipes.")
    line = _first_line(child.stdout, START_TIMEOUT_S)
    if not line:
        raise CollectorError(
            f"The collector {_how_it_failed(child)}. Its log says: {_tail(log_path)} "
            'Try again, or use tes.start(isolation="thread") where child processes are not allowed.'
        )
    started = msgspec.json.decode(line, type=Started)
    if started.error is not None:
        raise CollectorError(started.error)
    return started


def _how_it_failed(child: subprocess.Popen[bytes]) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f"ended while it started, with exit code {child.wait(0.2)}"
    return f"did not start within {START_TIMEOUT_S:.0f} s"


def _first_line(pipe: IO[bytes], timeout: float) -> bytes:
    """Read one line without waiting longer than `timeout` seconds; empty = none came."""
    deadline = time.monotonic() + timeout
    line = b""
    with selectors.DefaultSelector() as selector:  # select() itself refuses descriptors above 1023
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            wait = deadline - time.monotonic()
            if wait <= 0 or not selector.select(wait):
                return b""
            piece = os.read(pipe.fileno(), 65536)
            if not piece:
                return b""
            line += piece
    return line


def _tail(path: Path) -> str:
    """Return the log's last line as a sentence part."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return repr(lines[-1][:300]) + "." if lines else "nothing."


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
