"""Whose a handle is. A fork copies sessions, feeds and recordings, but not the thread behind them, nor its sockets.

In a forked child a handle says so instead of showing what never grows again, and instead of waiting for locks that a
thread of the parent held in that instant. `gauge()` and `mark()` work there all the same, over a connection of the
child's own; ending a session does nothing there (the child's exit is no end of the parent's work).
"""

from __future__ import annotations

import os
from typing import NoReturn

from tes_nb.errors import SessionError
from tes_nb.model.operation import Operation, R
from tes_nb.net.control_client import ControlClient
from tes_nb.net.loop import background

CHILD_CALL_S = 0.95
"""Whoever calls from a child has an answer, or an error, within a second."""


class Owner:
    """The process in which a handle was made."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    @property
    def elsewhere(self) -> bool:
        """Whether this is another process, which has only a copy."""
        return os.getpid() != self.pid

    @property
    def sentence(self) -> str:
        """What is to be said in another process."""
        return (
            f"this is another process (pid {os.getpid()}) than the one that started the session (pid {self.pid}), "
            "with a copy in which nothing happens any more"
        )

    def check(self) -> None:
        """Raise `SessionError` in another process."""
        if self.elsewhere:
            raise SessionError(
                f"Not here: {self.sentence}. Do it there, or call tes.start() here for a session of this process; "
                "the session's gauge() and mark() work here, too."
            )


class ChildConnection:
    """How a forked child reaches the collector of its parent: over a control connection that it opens when it must."""

    def __init__(self, url: str, token: str, start_id: str) -> None:
        def new_client() -> ControlClient:
            return ControlClient(url, token, start_id=start_id)

        self._new_client = new_client  # keeps the token out of this object's own fields
        self._client: tuple[int, ControlClient] | None = None
        """The process that opened it, and the connection: a child's own child needs another."""

    def call(self, operation: Operation[R]) -> R:
        """Let the collector carry out an operation. Raises `CollectorError` when it did not within a second."""
        return background().run(self._call(operation))

    async def _call(self, operation: Operation[R]) -> R:
        if self._client is None or self._client[0] != os.getpid():
            self._client = (os.getpid(), self._new_client())
            await self._client[1].start()
        return await self._client[1].call(operation, timeout_s=CHILD_CALL_S)


class Owned:
    """What cannot be sent to another process: `spawn` and `forkserver` pickle what a child gets."""

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Say why, and what to do."""
        what = type(self).__name__
        raise SessionError(
            f"A {what} belongs to the process that made it (pid {os.getpid()}), and cannot be copied or sent to "
            "another one: send frames, numbers or the path of a recording, and let the other give its results back. "
            "A child that is forked may call gauge() and mark() of a session."
        )
