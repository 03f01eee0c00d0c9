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


class TesError(Exception):
    """The root: catch this to catch everything of ours."""


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
    """

    def __init__(self, sentence: str, *, reason: str = "refused") -> None:
        super().__init__(sentence)
        self.reason = reason


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
