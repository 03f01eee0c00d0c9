"""Which process a handle belongs to: a fork copies sessions, feeds and views, but no threads behind them, nor sockets.

In a forked child a handle says so instead of showing what never grows again, and instead of waiting for locks that a
thread of the parent held in that instant. `gauge()` and `mark()` of a session work there all the same, over a
connection of the child's own (`ChildConnection` in `tes_nb/session/backend.py`). Ending anything does nothing there:
the child's exit is no end of the parent's work.

What is started with `spawn` or `forkserver` gets its arguments pickled, and so gets no handle at all.
"""

from __future__ import annotations

import os
from typing import NoReturn

from tes_nb.errors import SessionError


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


class Owned:
    """What cannot be sent to another process.

    `spawn` and `forkserver` pickle what a child gets, and `copy` takes the same way. A copy would have locks,
    connections and threads of its own that nobody starts.
    """

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        """Say why, and what to do."""
        what = type(self).__name__
        raise SessionError(
            f"A {what} belongs to the process that made it (pid {os.getpid()}), and cannot be copied or sent to "
            "another one: send frames, numbers or the path of a recording, and let the other give its results back. "
            "A child that is forked may call gauge() and mark() of a session."
        )
