"""A recorded stream on the plain endpoint where it is live otherwise."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tes_nb.collector.channel import Channel
from tes_nb.collector.fanout import Client, binary_frame, text_frame
from tes_nb.collector.hub import Hub
from tes_nb.model import Direction, Kind, Message, Observation, Opcode, Producer, Stream
from tes_nb.model.message import FLAG_DUPLICATE


def _nothing_observed() -> Observation:
    raise web.HTTPServiceUnavailable(reason="A replay observes nothing.")


class ReplayChannel(Channel):
    """Sends clients the payloads as they were recorded; only parts that a client chose are made anew."""

    def __init__(self, stream: Stream, producer: Producer, hub: Hub) -> None:
        super().__init__(stream, producer, hub, _nothing_observed)
        self._latest: Message | None = None
        self._owed = False

    def take(self, message: Message, *, skipped: bool) -> None:
        """Send a message to all clients; skipped: keep it as the newest and send nothing."""
        data = message.direction == Direction.IN and message.opcode != Opcode.EVENT
        if not data or message.flags & FLAG_DUPLICATE or self.stream.classify(message) is not Kind.DATA:
            return
        self._latest, self._owed = message, skipped
        if not skipped:
            self._send(message)

    def settle(self) -> None:
        """Send what was skipped over last."""
        if self._owed and self._latest is not None:
            self._owed = False
            self._send(self._latest)

    def _send(self, message: Message) -> None:
        for client in tuple(self.clients):
            client.write(self._frame(message, client))

    def _frame(self, message: Message, client: Client) -> bytes:
        if client.parts and self.producer.select is not None:
            try:
                return text_frame(self.encode(message.json(), client.parts))
            except (msgspec.DecodeError, KeyError, TypeError):
                pass  # a peer's own form, which has no such parts
        frame = text_frame if message.opcode == Opcode.TEXT else binary_frame
        return frame(message.payload)

    def current(self) -> dict[str, Any]:
        """Return the newest message. 503 when none has been played yet, or none that is an object."""
        newest = None if self._latest is None else _parsed(self._latest)
        if not isinstance(newest, dict):
            raise web.HTTPServiceUnavailable(reason="The replay has played no message of this stream yet.")
        return newest

    def touch(self) -> None:
        """Nothing changes by itself."""

    def join(self, client: Client) -> None:
        """Greet a client with the newest message, then send it every one."""
        self.clients.add(client)
        if self._latest is not None:
            client.write(self._frame(self._latest, client))


def _parsed(message: Message) -> Any:
    try:
        return message.json()
    except msgspec.DecodeError:
        return None
