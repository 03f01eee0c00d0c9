"""The collector as a child process, seen from its parent (decisions/0001)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tes_nb.collector.discovery import remove_stale, runtime_dir
from tes_nb.collector.options import CollectorOptions
from tes_nb.errors import CollectorError
from tes_nb.net.child import close_pipe, end, handshake, how_it_failed, launch

START_TIMEOUT_S = 10.0
"""A start takes about one second; a machine under load gets ten before it counts as failed."""
STOP_TIMEOUT_S = 2.0
MODULE = "tes_nb.collector"
"""What the child runs."""


class Started(msgspec.Struct, frozen=True):
    """A collector's first line: where it listens, or why it could not start."""

    pid: int = 0
    ports: tuple[int, int] = (0, 0)
    busy_ports: tuple[int, ...] = ()
    error: str | None = None
    start_id: str = ""
    """By which its owner knows it again."""


class CollectorProcess:
    """A running child. Stopping it does nothing in a process other than the one that started it."""

    outlives = True
    """Recordings with `keep` go on in it when this process ends."""

    def __init__(self, child: subprocess.Popen[bytes], started: Started, log_path: Path) -> None:
        self._child = child
        self._owner = os.getpid()
        self.ports = started.ports
        self.busy_ports = started.busy_ports
        self.start_id = started.start_id
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
            close_pipe(self._child.stdin)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end and wait for that; kill it if it takes too long. May be called twice."""
        if os.getpid() != self._owner:
            return  # a forked child must not end its parent's collector
        self._child.terminate()  # the end of its input would do, did no forked pool hold the pipe open
        end(self._child, timeout)
        with contextlib.suppress(OSError):
            self.log_path.unlink(missing_ok=True)


def start_process(
    options: CollectorOptions, *, meanwhile: Callable[[], object] = lambda: None
) -> CollectorProcess:
    """Start a collector and wait until it listens. Raises `CollectorError` with its reason.

    meanwhile: what the caller does while the child's interpreter starts, on the other core.
    """
    try:
        log_path = _new_log()
        with log_path.open("ab") as log:
            child = launch(MODULE, log=log)
    except OSError as error:
        raise CollectorError(
            f"The collector's process could not be started ({error}); "
            'free some space or processes, or use tes.start(isolation="thread").'
        ) from error
    try:
        return CollectorProcess(child, _started(child, options, log_path, meanwhile), log_path)
    except BaseException:
        child.kill()
        end(child, STOP_TIMEOUT_S)
        log_path.unlink(missing_ok=True)
        raise


def _started(
    child: subprocess.Popen[bytes], options: CollectorOptions, log_path: Path, meanwhile: Callable[[], object]
) -> Started:
    started = handshake(child, options, Started, timeout_s=START_TIMEOUT_S, meanwhile=meanwhile)
    if started is None:
        raise CollectorError(
            f"The collector {how_it_failed(child, START_TIMEOUT_S)}. Its log says: {_tail(log_path)} "
            'Try again, or use tes.start(isolation="thread") where child processes are not allowed.'
        )
    if started.error is not None:
        raise CollectorError(started.error)
    return started


def _new_log() -> Path:
    """Make an empty log that nobody else can read; those of dead collectors go."""
    remove_stale()
    path = runtime_dir() / f"collector-{os.getpid()}-{time.monotonic_ns()}.log"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def _tail(path: Path) -> str:
    """Return the log's last line as a sentence part."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return repr(lines[-1][:300]) + "." if lines else "nothing."
