"""Events and commands between a supervisor and the shell that does the I/O: events go in, commands come out.

An *attempt* is one try to connect, numbered from 1; every event and command that belongs to a connection
carries the attempt's number, so that a late event of an old connection is never taken for one of the present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from tes_nb.model import Kind
from tes_nb.model.stream import STALE_PERIODS

Word = Literal["IDLE", "CONNECTING", "OPEN", "POLLING", "WAITING", "FAILED", "CLOSED"]


@dataclass(frozen=True, slots=True)
class ReaderState:
    """A snapshot; `str()` of it is the line a user reads."""

    word: Word
    reason: str = ""
    """Why it is not simply open, without a full stop; "" = there is nothing to say."""
    status: int | None = None
    """The HTTP status of a FAILED one."""
    retry_in_s: float | None = None
    """Seconds until the next try; `None` = none is planned."""
    stale: bool = False
    """Open, but without data for three of the stream's periods."""
    conn: int = 0
    """The newest connection's number; 0 = there was none yet."""
    attempts: int = 0
    """Tries to connect since the start."""
    reconnects: int = 0
    """Connections after the first one."""
    close_code: int | None = None
    """The close code of the last connection that ended; 1006 = without a close frame."""

    def __str__(self) -> str:
        """Return for example "OPEN · 2 reconnects" or "WAITING 4.2 s: connection refused"."""
        parts = [self._first_part()]
        if self.stale:
            parts.append(f"stale: no data for {STALE_PERIODS} periods")
        if self.reconnects and self.word in ("OPEN", "POLLING"):
            parts.append(f"{self.reconnects} reconnect" + ("s" if self.reconnects > 1 else ""))
        return " · ".join(parts)

    def _first_part(self) -> str:
        head: str = self.word
        if self.word == "FAILED" and self.status is not None:
            head += f" {self.status}"
        if self.word == "WAITING" and self.retry_in_s is not None:
            head += f" {self.retry_in_s:.1f} s"
        text = f"{head}: {self.reason}" if self.reason else head
        if self.word == "FAILED" and self.retry_in_s is not None:
            text += f"; next try in {self.retry_in_s:.0f} s"
        return text


FailureKind = Literal[
    "refused", "network", "dns", "timeout", "tls", "status", "redirect", "protocol", "auth", "poll"
]
"""`network` and below `dns` never reached a peer that speaks; the others did, or the time ran out."""


class Failure(msgspec.Struct, frozen=True):
    """Why a try to connect, or a poll, brought nothing."""

    kind: FailureKind
    sentence: str
    """For people, without a full stop, for example "connection refused"."""
    status: int | None = None
    """The HTTP status, where the peer answered one."""
    retry_after_s: float | None = None
    """How long the peer asks us to stay away, in seconds; `None` = it does not say."""
    advice: str = ""
    """What to look at where what answered is no server of WebSockets; "" = nothing."""


# Events -----------------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True):
    """Begin."""


class Stop(msgspec.Struct, frozen=True):
    """End for good."""


class Tick(msgspec.Struct, frozen=True):
    """Time went on: sent at `deadline()`, and at least every `tick_s`."""


class Authorized(msgspec.Struct, frozen=True):
    """The shell has what the attempt needs: headers, a query."""

    attempt: int


class NotAuthorized(msgspec.Struct, frozen=True):
    """It could not be had."""

    attempt: int
    sentence: str
    retry_after_s: float | None = None
    """How long whoever gives it asks to be left alone; `None` = it does not say."""


class Opened(msgspec.Struct, frozen=True):
    """The handshake succeeded."""

    attempt: int


class NotOpened(msgspec.Struct, frozen=True):
    """The attempt ended before it was a connection."""

    attempt: int
    failure: Failure


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message came."""

    attempt: int
    kind: Kind


class Lost(msgspec.Struct, frozen=True):
    """The connection is gone, whoever ended it. Exactly one follows each `Opened`."""

    attempt: int
    code: int
    """The close code; 1006 = there was no close frame."""
    sentence: str
    """For example "closed 1000 Idle timeout" or "connection reset"."""


class Polled(msgspec.Struct, frozen=True):
    """A poll ended; `failure` is `None` when it brought data."""

    failure: Failure | None = None


Event = Start | Stop | Tick | Authorized | NotAuthorized | Opened | NotOpened | Received | Lost | Polled


# Commands ---------------------------------------------------------------------------------------------------


class Authorize(msgspec.Struct, frozen=True):
    """Get what the next connection needs; answer with `Authorized` or `NotAuthorized`."""

    attempt: int


class Connect(msgspec.Struct, frozen=True):
    """Connect once; answer with `Opened` and later `Lost`, or with `NotOpened`."""

    attempt: int
    path: int
    """Which of the target's candidate URLs, counted from 0."""


class Abandon(msgspec.Struct, frozen=True):
    """Give the attempt up, wherever it is. Answer with `NotOpened`, unless it was open: then with `Lost`."""

    attempt: int


class Close(msgspec.Struct, frozen=True):
    """Close the connection, bounded in time; `Lost` follows."""

    attempt: int
    reason: str


class Subscribe(msgspec.Struct, frozen=True):
    """Send the current subscription, if there is one: once after each `Opened`."""

    attempt: int


class Heartbeat(msgspec.Struct, frozen=True):
    """Send the stream's heartbeat."""

    attempt: int


class Poll(msgspec.Struct, frozen=True):
    """Fetch the polling URL once; answer with `Polled`."""

    conn: int
    """The number for the messages of this run of polling."""


class GapBegins(msgspec.Struct, frozen=True):
    """From now on messages may be missing."""

    conn: int
    cause: str
    by_silence: bool = False
    """Whether nothing is known but that nothing comes; a loss that follows explains the gap better."""


class GapEnds(msgspec.Struct, frozen=True):
    """Data comes again."""


Command = Authorize | Connect | Abandon | Close | Subscribe | Heartbeat | Poll | GapBegins | GapEnds
