"""WebSocket frames made and read by hand, for what no library would send."""

from __future__ import annotations

import asyncio

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros. The payload has at most 65,535 bytes."""
    first = (0x80 if fin else 0) | opcode
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload
    return bytes([first, 0x80 | 126]) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of a server: (opcode, payload)."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    return first & 0xF, await reader.readexactly(length)


async def read_frames(reader: asyncio.StreamReader, patience_s: float = 5.0) -> list[tuple[int, bytes]]:
    """All frames up to the server's close frame, or up to the end."""
    frames: list[tuple[int, bytes]] = []
    async with asyncio.timeout(patience_s):
        try:
            while not frames or frames[-1][0] != CLOSE:
                frames.append(await read_frame(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            return frames
    return frames
