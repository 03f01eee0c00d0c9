"""Sending one ready frame to many clients, and cutting off those that do not read."""

from __future__ import annotations

import asyncio

from websockets.frames import Frame, Opcode

from tes_nb.collector.logs import logger


def text_frame(payload: bytes) -> bytes:
    """Return the unmasked WebSocket text frame around `payload`, made once for all clients."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def binary_frame(payload: bytes) -> bytes:
    """Return the unmasked WebSocket binary frame around `payload`."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class Client:
    """One open WebSocket of a foreign client.

    Frames go straight into its transport: one `write` a frame, so they never mix with what aiohttp writes for
    replies and pings. A client whose unsent bytes exceed `max_buffer` is aborted: it would otherwise eat the
    memory of all.
    """

    __slots__ = ("_max_buffer", "_transport", "parts")

    def __init__(self, transport: asyncio.Transport, max_buffer: int) -> None:
        self._transport = transport
        self._max_buffer = max_buffer
        self.parts: tuple[str, ...] = ()
        """What it subscribed to; () = everything."""

    def write(self, frame: bytes) -> None:
        """Send the frame, or cut the client off."""
        transport = self._transport
        if transport.is_closing():
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > self._max_buffer:
            logger.warning(
                "A client does not read: cut off with more than %d bytes unsent.", self._max_buffer
            )
            transport.abort()
