"""Our own events, which travel in the relay and in recordings as messages of opcode 0 (JSON payload)."""

from __future__ import annotations

from typing import Literal

import msgspec

from tes_nb.errors import DecodeError


class Gap(msgspec.Struct, frozen=True, tag="gap", tag_field="event"):
    """A hole in what was received, as distinct from a calm time. Times are Unix nanoseconds, UTC.

    It comes when it begins and again, with the same `conn` and `lost_at_ns`, when it ends (decisions/0017).
    """

    conn: int
    """The connection that was lost."""
    last_seen_ns: int | None
    """When its last message came; `None` = it never had one."""
    lost_at_ns: int
    """When the loss was noticed."""
    back_at_ns: int | None
    """When data came again; `None` = the gap is still open."""
    cause: str
    """A sentence, for example "connection reset" or "closed 1000 Idle timeout"."""
    missing: int | None = None
    """How many messages are missing, where that is known."""

    @property
    def began_ns(self) -> int:
        """Since when messages may be missing."""
        return self.lost_at_ns if self.last_seen_ns is None else self.last_seen_ns


class StateChange(msgspec.Struct, frozen=True, tag="state", tag_field="event"):
    """The upstream reader's visible state changed."""

    state: Literal["IDLE", "CONNECTING", "OPEN", "POLLING", "WAITING", "FAILED", "CLOSED"]
    text: str
    """What a user reads, for example "WAITING 4.2 s: connection refused"."""
    conn: int
    at_ns: int
    attempts: int = 0
    reconnects: int = 0
    close_code: int | None = None
    retry_at_ns: int | None = None
    token_until_ns: int | None = None
    """Until when the open connection's token is good; `None` = it has none, or does not say."""
    channels: tuple[str, ...] | None = None
    """What the reader asks for on each of its connections; `None` = it leaves that to the peer, or does not say."""
    channels_mono_ns: int | None = None
    """Since when, on the collector's monotonic clock."""


class Subscription(msgspec.Struct, frozen=True, tag="subscription", tag_field="event"):
    """What a connection of an imported file asks for by its address. It comes before the connection's messages."""

    conn: int
    channels: tuple[str, ...]


class Mark(msgspec.Struct, frozen=True, tag="mark", tag_field="event"):
    """Something the user wants to find again on the time line."""

    label: str
    at_ns: int


class ClockJump(msgspec.Struct, frozen=True, tag="clock_jump", tag_field="event"):
    """The wall clock moved against the monotonic clock; order by `t_mono_ns` across it."""

    at_ns: int
    by_ns: int
    """Positive: the wall clock went forward."""


class Playback(msgspec.Struct, frozen=True, tag="playback", tag_field="event"):
    """How the replay of a recording goes on. Sent beside the recorded messages, with the number 0."""

    word: Literal["PLAYING", "PAUSED", "ENDED"]
    speed: float
    """Recorded seconds a second; 0 = as fast as it goes."""
    round: int
    """Counted up when it goes back: everything received before counts no longer."""
    at_ns: int
    """The recording's own time there, Unix ns."""


Event = Gap | StateChange | Subscription | Mark | ClockJump | Playback

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return the payload of an opcode-0 message."""
    return msgspec.json.encode(event)


def decode_event(payload: bytes) -> Event:
    """Return the event in an opcode-0 payload. Raises `DecodeError` for anything else."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DecodeError(f"Not an event of ours: {error}.", reason="event") from error


class GapBook:
    """At most one gap is open at a time. All times are Unix nanoseconds, UTC, handed in."""

    def __init__(self) -> None:
        self._last_seen_ns: int | None = None
        self._open: Gap | None = None
        self._explained = False

    @property
    def open(self) -> Gap | None:
        """The gap that is open; `None` = none is."""
        return self._open

    def note_message(self, at_ns: int) -> None:
        """A message came."""
        self._last_seen_ns = at_ns

    def begin(self, conn: int, cause: str, at_ns: int, *, by_silence: bool = False) -> Gap | None:
        """Messages may be missing from now on: return the gap, or `None` while one is open: its first cause counts.

        by_silence: the cause says only that nothing comes. A loss that follows is the cause then, of the same gap.
        """
        if self._open is None:
            self._open = Gap(
                conn=conn, last_seen_ns=self._last_seen_ns, lost_at_ns=at_ns, back_at_ns=None, cause=cause
            )
        elif self._explained or by_silence:
            return None
        else:
            self._open = msgspec.structs.replace(self._open, cause=cause)
        self._explained = not by_silence
        return self._open

    def end(self, at_ns: int) -> Gap | None:
        """Data comes again: return the gap that was open, closed; `None` = none was."""
        gap, self._open = self._open, None
        return None if gap is None else msgspec.structs.replace(gap, back_at_ns=at_ns)
