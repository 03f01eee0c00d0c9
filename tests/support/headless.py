"""`tes-nb record` as a process of its own, and what its files hold together."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tes_nb as tes
from tes_nb.analysis.ledger import received_in
from tes_nb.simulate import ChildServer, Options, start_child
from tests.support.waiting import eventually

SUBSCRIBER = "recorder"
COMMAND = [sys.executable, "-W", "error", "-c", "from tes_nb.cli import main; main()", "record"]


@contextlib.contextmanager
def feed(rate: float = 8000, **options: Any) -> Iterator[ChildServer]:
    """A stand-in that sends so many messages a second, in a process of its own."""
    server = start_child(
        Options(**({"speed": None, "rate": rate, "reel": 2000, "token_life_s": 600.0} | options))
    )
    try:
        yield server
    finally:
        server.stop()


class RecorderProcess:
    """One start of the command. `lines` are its status lines so far."""

    def __init__(
        self, *words: str, server: ChildServer | None = None, cwd: Path, before: tuple[str, ...] = ()
    ) -> None:
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        if server is not None:
            environ["TES_NOWGOAL_URL"] = f"{server.url}?subscriber={SUBSCRIBER}"
            environ["TES_NOWGOAL_TOKEN_URL"] = server.token_url
        self.process = subprocess.Popen(
            [*before, *COMMAND, *words, "--json", "--every", "200ms"],
            cwd=cwd,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.said = ""
        self._threads = [threading.Thread(target=read) for read in (self._read_lines, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    @property
    def last(self) -> dict[str, Any]:
        """The newest status line."""
        return self.lines[-1]

    def wait_line(self, test: Any, within: float = 60.0) -> dict[str, Any]:
        """Return the first status line that passes. Fails when the process ends before."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            assert self.process.poll() is None or any(map(test, self.lines)), self.said
            found[:] = [line for line in self.lines if test(line)]
            return bool(found)

        eventually(look, within)
        return found[0]

    def wait_files(self, count: int, within: float = 90.0) -> None:
        """Wait until so many files were begun."""
        self.wait_line(lambda line: line["files"] >= count, within)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and return its exit code; all it said has been read then."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        code = self.process.wait(60)
        for thread in self._threads:
            thread.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@contextlib.contextmanager
def recorder(*words: str, **options: Any) -> Iterator[RecorderProcess]:
    """A recorder that is ended in any case."""
    process = RecorderProcess(*words, **options)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.end(signal.SIGKILL)


def files_of(folder: Path) -> list[Path]:
    """Every file, the lock of the series left out."""
    return sorted(folder.iterdir())


def read_series(folder: Path) -> tuple[list[tuple[int, int]], list[Any]]:
    """What is in all files together: (number, time) as for a ledger, and the gaps of the feed.

    Each start of the recorder counts from 1: within a start, positions must follow each other over all its files.
    """
    many = tes.open_many(folder)
    received: list[tuple[int, int]] = []
    gaps: list[Any] = []
    runs: dict[int, dict[str, list[int]]] = {}
    for session in many.sessions:
        with many[session] as rec:
            assert rec.damage == ()
            run = runs.setdefault(rec.info().facts["recorder"]["pid"], {})
            for source in rec.feeds:
                run.setdefault(source, []).extend(one.seq for one in rec.recorded_messages(source))
            if "nowgoal" in rec.feeds:
                received += received_in(rec.recorded_messages("nowgoal"))
                gaps += [gap for source, gap in rec._all_gaps() if source == "nowgoal"]
    for run in runs.values():
        for source, seqs in run.items():
            steps = {later - earlier for earlier, later in itertools.pairwise(seqs)}
            assert steps <= {1}, (source, steps)
            assert seqs[0] == 1, source
    return received, gaps
