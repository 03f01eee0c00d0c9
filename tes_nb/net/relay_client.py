"""Reading the collector's relay: every record once, in order, also across reconnects."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Literal

from tes_nb.errors import DecodeError
from tes_nb.model import Message, Opcode
from tes_nb.model.operation import TOKEN_HEADER
from tes_nb.net.collector_connection import LOCAL, LocalConnection
from tes_nb.net.logs import note
from tes_nb.net.outlet import report
from tes_nb.net.transport import Closed, Link
from tes_nb.wire.events import Gap, Playback, StateChange, decode_event
from tes_nb.wire.lifecycle import ReaderState
from tes_nb.wire.profile import Profile
from tes_nb.wire.record import unpack_all

OVERFLOW = "relay overflow"
"""The cause by which a collector says that it dropped records which this reader never got."""


class RelayReader:
    """Hands each record of one source to `on_message`, in the loop in which it was started."""

    def __init__(
        self,
        url: str,
        source: str,
        *,
        token: str | None,
        start_id: str = "",
        on_message: Callable[[Message], object],
        on_state: Callable[[ReaderState], None] | None = None,
        after: int = 0,
        profile: Profile = LOCAL,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`url` is the source's relay (`ws://127.0.0.1:3002/ws/relay/status`).

        Records after number `after` are wanted; 0 = all that the collector still has. start_id: that of the
        collector whose relay it is; "" = whichever answers.
        """
        self.source = source
        self._on_message = on_message
        self._last = after
        self._round = 0
        self._fresh = True
        self._ahead: set[int] = set()
        self.lost = 0
        """Records that the collector had dropped before this reader could get them."""
        self.undecoded = 0
        """Records that are no records: a collector of another version."""
        self._connection = LocalConnection(
            f"relay of {source}",
            lambda: f"{url}?after={self._last}{f'&round={self._round}' if self._round else ''}",
            self._serve,
            headers=None if token is None else {TOKEN_HEADER: token},
            start_id=start_id,
            on_state=on_state,
            profile=profile,
            dice=dice,
        )

    @property
    def connected(self) -> bool:
        """Whether records can come."""
        return self._connection.connected

    @property
    def is_replaced(self) -> bool:
        """Whether another collector answers where ours did: nothing comes any more."""
        return self._connection.is_replaced

    @property
    def state(self) -> ReaderState:
        """The state of the connection to the collector; the upstream's own state comes as an event."""
        return self._connection.state

    @property
    def last_seq(self) -> int:
        """The number of the newest record received."""
        return self._last

    @property
    def round(self) -> int:
        """The round of a replay that it is in; 0 = nothing was taken back."""
        return self._round

    async def start(self) -> None:
        """Begin; returns at once. Raises `SessionError` when it was started or stopped before."""
        self._connection.start()

    async def stop(self) -> None:
        """Close for good. Idempotent."""
        await self._connection.stop()

    async def _serve(self, link: Link) -> Closed:
        self._fresh = True
        return await link.receive(self._receive)

    def _receive(self, _opcode: Opcode, records: bytes) -> None:
        """Hand on what has not come before: the way of every message into the kernel."""
        messages = unpack_all(self.source, records)
        while True:
            try:
                message = next(messages, None)
            except DecodeError as error:
                self.undecoded += 1
                note(logging.WARNING, f"relay of {self.source}: {error}", source=self.source)
                return
            if message is None:
                return
            order = self._order(message) if message.opcode == Opcode.EVENT else "next"
            if order == "repeated" or (order == "next" and not self._is_new(message.seq)):
                continue
            try:
                self._on_message(message)
            except Exception as error:  # noqa: BLE001 - what a feed does must not end its relay
                report(f"What takes the messages of '{self.source}'", error)

    def _is_new(self, seq: int) -> bool:
        """Whether the record of that number was not received before; takes note of it."""
        fresh, self._fresh = self._fresh, False
        if seq <= self._last:
            # The first record of a connection never lies behind what was asked for, unless the collector itself
            # began anew and counts from 1 again.
            if not fresh:
                return False
            self._ahead.clear()
        self._last = seq
        if seq in self._ahead:
            self._ahead.discard(seq)
            return False
        return True

    def _order(self, message: Message) -> Literal["next", "apart", "repeated"]:
        """Look into an event; return whether it comes in its place, beside the messages, or once more.

        After an overflow a collector repeats the newest state, out of its place: that one is handed on at once.
        What has no number, the collector says beside the messages: where a replay is, and its file's gaps.
        """
        try:
            event = decode_event(message.payload)
        except DecodeError:
            return "next" if message.seq else "apart"  # kept raw like any other message
        if message.seq == 0:
            if isinstance(event, Playback) and event.round != self._round:
                self._round, self._last = event.round, 0
                self._ahead.clear()
            return "apart"
        if isinstance(event, Gap) and event.cause.startswith(OVERFLOW):
            self.lost += event.missing or 0
            self._ahead = {seq for seq in self._ahead if seq > message.seq}
        elif isinstance(event, StateChange) and message.seq > self._last + 1:
            if message.seq in self._ahead:
                return "repeated"
            self._ahead.add(message.seq)
            return "apart"
        return "next"
