"""A replay that begins again at its end: times and numbers of each further round go on where the last one ended."""

from __future__ import annotations

import msgspec

from tes_nb.errors import DecodeError
from tes_nb.model import Message, Opcode
from tes_nb.wire.events import Event, decode_event, encode_event

LEAST_PAUSE_NS = 1_000_000
_TIMES = ("at_ns", "last_seen_ns", "lost_at_ns", "back_at_ns", "retry_at_ns", "token_until_ns")


class Rounds:
    """Shifts what is played. The first round is as recorded; payloads never change, except our own events' times."""

    def __init__(self, duration_ns: int, messages: int) -> None:
        """duration_ns: from the first to the last message. Between two rounds lies what lies between two messages."""
        self.number = 0
        """The round, from 0."""
        pause = max(duration_ns // max(messages - 1, 1), LEAST_PAUSE_NS)
        self._length_ns = duration_ns + pause
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def turn(self) -> bool:
        """Begin the next round; False = there is nothing to play."""
        self.number += 1
        return bool(self._first)

    def restart(self) -> None:
        """Begin with the first round again."""
        self.number = 0

    def shifted(self, message: Message) -> Message:
        """Return the message as it is in this round."""
        if self.number == 0:
            self._first.setdefault(message.source, message.seq)
            self._last[message.source] = message.seq
            return message
        by_ns = self.number * self._length_ns
        numbers = self._last[message.source] - self._first[message.source] + 1
        return msgspec.structs.replace(
            message,
            payload=_event_shifted(message.payload, by_ns)
            if message.opcode == Opcode.EVENT
            else message.payload,
            t_wall_ns=message.t_wall_ns + by_ns,
            t_mono_ns=message.t_mono_ns + by_ns,
            seq=message.seq + self.number * numbers,
        )


def _event_shifted(payload: bytes, by_ns: int) -> bytes:
    try:
        event: Event = decode_event(payload)
    except DecodeError:
        return payload
    times = {name: getattr(event, name, None) for name in _TIMES}
    moved = {name: at + by_ns for name, at in times.items() if at is not None}
    return encode_event(msgspec.structs.replace(event, **moved))
