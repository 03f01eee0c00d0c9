"""Every error that tes_nb raises on purpose.

TesError
├── DecodeError            one message could not be read; its bytes are kept
├── FrameTooLarge          a message broke a size limit (also a DecodeError)
├── ConnectionFailed       a peer could not be reached or did not speak the protocol
│   └── AuthenticationError    the peer, or a token source, refused us
├── CollectorError         the background server could not start, or stopped answering
├── SessionError           a session was used in a way its state does not allow
├── ArgumentError          an argument cannot be understood (also a ValueError)
├── ExportError            files could not be written; nothing half-written is left
└── BackgroundError        something failed on a background thread; raised by the next call

Each carries one sentence: what happened, why, and what to do.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from itertools import dropwhile
from pathlib import Path
from types import TracebackType

PACKAGE = str(Path(__file__).parent)
LIBRARY = str(Path(difflib.__file__).parent)


def no_posix(what: str) -> str:
    """Return the sentence about what this system cannot do."""
    return (
        f"{what} needs Linux or macOS (on Windows: WSL), which this system is not. tes.open(), frames, exports, HAR "
        "files and analysis work here, too."
    )


class TesError(Exception):
    """The root: catch this to catch everything of ours."""

    _is_rendered = False

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the user's own lines and the sentence. Asked once more, by `%tb`, it shows everything."""
        shell = sys.modules["IPython"].get_ipython()
        short, self._is_rendered = not self._is_rendered, True
        cause, context = self.__cause__, self.__context__
        if short:
            self.__cause__ = self.__context__ = None
        try:
            where = users_part(self.__traceback__) if short else self.__traceback__
            lines: list[str] = shell.InteractiveTB.structured_traceback(type(self), self, where, tb_offset=1)
        finally:
            self.__cause__, self.__context__ = cause, context
        return lines


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback down to the user's line that called us; `None` where none is theirs."""
    steps = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    result = None
    for step in dropwhile(_is_not_theirs, reversed(steps)):
        result = TracebackType(result, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return result


def _is_not_theirs(step: TracebackType) -> bool:
    """Whether a frame is of this package, of an installed one, or of Python's own."""
    file = step.tb_frame.f_code.co_filename
    return file.startswith((PACKAGE, LIBRARY, "<frozen")) or "site-packages" in file


def meant(name: object, names: Iterable[str]) -> str:
    """Return what follows a sentence about a name that is none; "" where no name is near.

    >>> meant("metrcs", ["metrics", "status"])
    " Did you mean 'metrics'?"
    """
    near = difflib.get_close_matches(str(name), list(names), 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def counted(count: int, word: str) -> str:
    """Return how many: "1 message", "2,451 messages"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


class DecodeError(TesError):
    """A message could not be decoded. `reason` is one of a few fixed words, for counting."""

    def __init__(self, sentence: str, *, reason: str = "malformed") -> None:
        super().__init__(sentence)
        self.reason = reason


class FrameTooLarge(DecodeError):
    """A message exceeds a limit, on the wire or inflated."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, reason="too large")


class ConnectionFailed(TesError):
    """A peer could not be reached, or answered something that is not the protocol."""


class AuthenticationError(ConnectionFailed):
    """The peer refused our token, or a token source gave something that is no token.

    `reason` is one of a few fixed words (`tes_nb.wire.jwt.REASONS`, or "refused"), for states and counting.
    `retry_after_s` is how long it asks to be left alone; `None` = it does not say.
    """

    def __init__(self, sentence: str, *, reason: str = "refused", retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.retry_after_s = retry_after_s


class CollectorError(TesError):
    """The collector could not start or no longer answers."""


class SessionError(TesError):
    """The session's state does not allow the call, for example after `stop()`."""


class ArgumentError(TesError, ValueError):
    """An argument cannot be understood, for example a time."""


class ExportError(TesError):
    """An export could not be written; no partial file is left under the final name."""


class BackgroundError(TesError):
    """An error that happened on a background thread, raised by the next call of the user."""
