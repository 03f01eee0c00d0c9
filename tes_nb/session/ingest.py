"""A message's last hop: decode it and put its rows into the store. Live, replay and import all pass here."""

from __future__ import annotations

from tes_nb.errors import DecodeError
from tes_nb.model import Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.store.tables import StreamStore
from tes_nb.wire.events import ClockJump, Gap, Mark, StateChange, decode_event


class Ingest:
    """Feeds one source's messages into its store, and remembers what a user asks first."""

    def __init__(self, stream: Stream, store: StreamStore) -> None:
        self.stream = stream
        self.store = store
        self.messages = 0
        """Messages received, small talk and undecoded ones included."""
        self.latest: Message | None = None
        """The newest data message."""
        self.state: StateChange | None = None
        """The upstream's newest state; `None` = our own samplers, or not told yet."""
        self.marks: list[Mark] = []
        self.clock_jumps: list[ClockJump] = []

    def take(self, message: Message) -> Kind:
        """Take one message. Never raises for what the message holds."""
        if message.opcode == Opcode.EVENT:
            self._event(message)
            return Kind.KEEPALIVE
        self.messages += 1
        if message.direction == Direction.OUT or message.flags & FLAG_DUPLICATE:
            return Kind.ECHO
        try:
            decoded = self.stream.decode(message)
        except DecodeError as error:
            self.store.add_undecoded(message, error.reason, str(error))
            return Kind.UNDECODED
        self.store.add(message, decoded)
        if decoded.kind is Kind.DATA:
            self.latest = message
        return decoded.kind

    def _event(self, message: Message) -> None:
        try:
            event = decode_event(message.payload)
        except DecodeError as error:
            self.store.add_undecoded(message, error.reason, str(error))
            return
        match event:
            case Gap():
                self.store.add_gap(event)
            case StateChange():
                self.state = event
            case Mark():
                self.marks.append(event)
            case ClockJump():
                self.clock_jumps.append(event)
