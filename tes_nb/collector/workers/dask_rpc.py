"""A Dask scheduler's own port, read without dask: one question, `identity`, over one connection that stays open.

A message is its length, the number of its frames and the length of each, all 64 bits little-endian, then the frames;
the first one is MessagePack. Whatever a scheduler has pickled stands in other frames, which are never looked at.
After both have said how they compress, which we do not, each question gets one answer (decisions/0027).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any
from urllib.parse import urlsplit

import msgspec

_LENGTH = struct.Struct("<Q")
_MOST_FRAMES = 1024


class RpcConnection:
    """One connection to `tcp://host:port`. Raises OSError, TimeoutError included, for whatever goes wrong."""

    def __init__(self, address: str, *, deadline_s: float, max_bytes: int) -> None:
        self.address = address
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, operation: str) -> bytes:
        """Ask one question and return the answer's first frame, in MessagePack."""
        try:
            async with asyncio.timeout(self._deadline_s):
                reader, writer = self._streams or await self._connect()
                await _send(writer, {"op": operation, "reply": True})
                return await self._receive(reader)
        except asyncio.IncompleteReadError:
            await self.close()
            raise ConnectionError("the connection was closed") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = reader, writer = await asyncio.open_connection(self._host, self._port)
        await _send(writer, {"compression": None, "python": [3, 11, 0], "pickle-protocol": 4})
        await self._receive(reader)
        return self._streams

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        """Read one message. Its length says how much follows at once; large frames may come after that."""
        size = await _number(reader)
        frames = await _number(reader)
        if not 0 < frames <= _MOST_FRAMES or size > self._max_bytes:
            raise ConnectionError("what answers is no Dask scheduler, or its answer is too long")
        lengths = [await _number(reader) for _ in range(frames)]
        if sum(lengths) > self._max_bytes:
            raise ConnectionError("its answer is too long")
        return (await reader.readexactly(sum(lengths)))[: lengths[0]]


async def _number(reader: asyncio.StreamReader) -> int:
    value: int = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))[0]
    return value


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    frame = msgspec.msgpack.encode(message)
    body = _LENGTH.pack(1) + _LENGTH.pack(len(frame)) + frame
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()
