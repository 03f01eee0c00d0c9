"""tmux on this host, asked through its own command every two seconds; the answer is kept for all."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tes_nb.collector.logs import logger
from tes_nb.model import TmuxFacts

PERIOD_S = 2.0
"""How often the answer is renewed."""
TIMEOUT_S = 1.5
_FORMAT = "#{session_attached} #{session_activity} #{session_name}"
_NO_SERVER = ("no server running", "No such file", "Connection refused", "server exited", "lost server")
_NAME_MOST = 100


class TmuxSession(NamedTuple):
    """One session, ordered so that the greatest is the one its user looks at."""

    attached: bool
    activity: int
    name: str


class TmuxSampler:
    """Holds what tmux last said.

    The command runs in the given environment, so `TMUX_TMPDIR` and `TMUX` choose the server as they do in a
    shell. When tmux does not answer in time, or with something unknown, the state is "failed" and the number
    of sessions stays what it was.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        arguments: tuple[str, ...] = (),
        timeout_s: float = TIMEOUT_S,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        """`arguments` go before the command, for example ("-L", "name")."""
        self._environ = environ
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._on_change = on_change
        self._running: subprocess.Popen[bytes] | None = None
        self._sessions: tuple[TmuxSession, ...] = ()
        self._checked_ms: int | None = None
        self.facts = TmuxFacts(sessions=0, state="absent")
        self.reason: str | None = None
        """Why the state is "failed", a sentence."""

    @property
    def own_pids(self) -> frozenset[int]:
        """The running tmux command of ours, which is nobody's worker."""
        return frozenset() if self._running is None else frozenset((self._running.pid,))

    def status(self) -> dict[str, Any]:
        """Return the body of `GET /api/dev/tmux/status`; `session` is the one in use, "" without sessions."""
        return {
            "online": self.facts.state == "running",
            "session": max(self._sessions).name if self._sessions else "",
            "sessions": self.facts.sessions,
            "state": self.facts.state,
            "timestamp": self._checked_ms,
        }

    async def refresh(self) -> TmuxFacts:
        """Ask tmux and return the new facts. Never raises but on cancellation, which ends the command."""
        facts = await self._ask()
        self._checked_ms = time.time_ns() // 1_000_000
        changed = facts != self.facts
        self.facts = facts
        if facts.state != "failed":
            self.reason = None
        if changed and self._on_change is not None:
            self._on_change()
        return facts

    async def _ask(self) -> TmuxFacts:
        program = shutil.which("tmux", path=self._environ.get("PATH", os.defpath))
        if program is None:
            self._sessions = ()
            return TmuxFacts(sessions=0, state="absent")
        try:
            code, output, complaint = await self._run(program)
        except TimeoutError:
            return self._failed(f"tmux did not answer within {self._timeout_s} s.")
        except OSError as error:
            return self._failed(f"tmux could not be run: {error}.")
        return self._understand(code, output, complaint)

    async def _run(self, program: str) -> tuple[int, str, str]:
        """Return exit code, output and complaint. The pid is known before anything is awaited."""
        command = (program, *self._arguments, "list-sessions", "-F", _FORMAT)
        process = self._running = subprocess.Popen(  # noqa: ASYNC220 - tmux alone; it takes a millisecond
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self._environ),
        )
        answer = asyncio.ensure_future(asyncio.to_thread(process.communicate))
        try:
            # Not wait_for, which may swallow a cancellation that comes with the answer (Python 3.11): the grid would
            # go on for ever. Shielded: a thread that never began would leave the pipes open.
            async with asyncio.timeout(self._timeout_s):
                output, complaint = await asyncio.shield(answer)
        finally:
            if process.poll() is None:
                process.kill()
            await asyncio.wait([answer])
            self._running = None
        return process.returncode, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")

    def _understand(self, code: int, output: str, complaint: str) -> TmuxFacts:
        if code == 0:
            self._sessions = tuple(_session(line) for line in output.splitlines() if line.strip())
            return TmuxFacts(sessions=len(self._sessions), state="running")
        if any(words in complaint for words in _NO_SERVER):
            self._sessions = ()
            return TmuxFacts(sessions=0, state="no server")
        return self._failed(f"tmux ended with {code}: {complaint.strip()[:200]}")

    def _failed(self, reason: str) -> TmuxFacts:
        if reason != self.reason:
            logger.warning("%s The number of sessions is the last one known.", reason)
        self.reason = reason
        return TmuxFacts(sessions=self.facts.sessions, state="failed")


def _session(line: str) -> TmuxSession:
    attached, _, rest = line.partition(" ")
    activity, _, name = rest.partition(" ")
    return TmuxSession(
        attached=attached not in ("", "0"),
        activity=int(activity) if activity.isdecimal() else 0,
        name=name[:_NAME_MOST],
    )
