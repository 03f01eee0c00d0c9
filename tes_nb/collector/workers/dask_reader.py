"""Reads one Dask scheduler by its address, again and again, and leaves nothing behind there (decisions/0027).

`/json/identity.json` fails with HTTP 500, and a traceback in the scheduler's log, while tasks run
(dask/distributed#8370): a worker's heartbeat then has figures whose keys are no JSON. So the same question is put to
the scheduler's own port wherever that can be reached, and the HTTP server only says where it is, and how many tasks are
in which state.

On the scheduler's own port a message is its length, the number of its frames and the length of each, all 64 bits
little-endian, then the frames; the first one is MessagePack. What a scheduler has pickled is in other frames, which are
not read. After both have said how they compress, which we do not, each question gets one answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tes_nb.collector.workers.dask_identity import (
    Identity,
    SchedulerAddress,
    address_in_page,
    decode_identity,
)
from tes_nb.errors import ConnectionFailed, DecodeError
from tes_nb.net.failures import failure_of, status_failure
from tes_nb.net.http import HttpClient, HttpReply
from tes_nb.wire.lifecycle import Failure

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


DEADLINE_S = 2.0
MOST_BYTES = 8 * 2**20
LOOK_AGAIN_S = 10.0
"""Where the scheduler's own port cannot be reached it is tried again so often. A question that its HTTP server failed
on is put again as seldom: each leaves a traceback in the scheduler's log."""
TALLY_PERIOD_S = 2.0
_OK, _FAILED = 200, 500
_CANNOT_DESCRIBE = (
    "its HTTP server cannot describe its workers while tasks run (HTTP 500, dask/distributed#8370), and its own port "
    "cannot be reached; give that as tcp://host:port"
)
_TALLY = re.compile(rb'^dask_scheduler_tasks\{state="([a-z-]{1,20})"\} ([0-9.e+]{1,20})$', re.MULTILINE)


class SchedulerReader:
    """Asks one scheduler, one question at a time."""

    def __init__(self, address: SchedulerAddress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self.tally: dict[str, int] = {}
        """Tasks by state, on the scheduler as a whole; empty = it does not tell."""
        self._clock = clock
        self._http: HttpClient | None = None
        self._rpc: RpcConnection | None = None
        self._stacks: RpcConnection | None = None
        self._base = address.http
        self._look_again_at = self._ask_again_at = self._tally_at = float("-inf")
        self._refusal = ""

    async def read(self) -> Identity:
        """Return the scheduler and its workers now. Raises `ConnectionFailed` with a sentence's part: what is wrong."""
        try:
            identity = await self._over_tcp() if self._rpc or self.address.tcp else await self._over_http()
        except DecodeError as error:
            raise ConnectionFailed(str(error)) from None
        await self._count(identity)
        return identity

    async def call_stacks(self) -> bytes | None:
        """Return what the workers' tasks do now, as the scheduler packs it; `None` = it cannot be asked.

        A worker that is held keeps its scheduler waiting: this has a connection of its own. Raises `ConnectionFailed`.
        """
        if self._rpc is None:
            return None
        if self._stacks is None or self._stacks.address != self._rpc.address:
            await self._close_stacks()
            self._stacks = self._connection(self._rpc.address)
        try:
            return await self._stacks.ask("call_stack")
        except (OSError, ValueError) as error:
            await self._close_stacks()
            raise ConnectionFailed(f"its workers do not say what they run ({type(error).__name__})") from None

    async def groups(self) -> bytes | None:
        """Return the tasks by function, as the scheduler packs it; `None` = it cannot be asked.

        Raises `ConnectionFailed`.
        """
        if self._rpc is None:
            return None
        try:
            return await self._rpc.ask("get_task_prefix_states")
        except (OSError, ValueError) as error:
            await self._close_rpc()
            raise ConnectionFailed(f"it does not say what its tasks are ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close what is open. Idempotent."""
        await self._close_stacks()
        await self._close_rpc()
        if self._http is not None:
            await self._http.close()
            self._http = None

    # The scheduler's own port

    async def _over_tcp(self) -> Identity:
        self._rpc = self._rpc or self._connection(self.address.tcp)
        try:
            return decode_identity(await self._rpc.ask("identity"), packed=True)
        except (OSError, ValueError) as error:
            failure = failure_of(error, DEADLINE_S)
            await self._close_rpc()
            raise ConnectionFailed("cannot connect" if failure is None else failure.sentence) from None

    async def _move_to(self, address: str) -> Identity | None:
        """Ask the port that the HTTP server names, on the HTTP server's own host; `None` = nothing answers there."""
        parts, host = urlsplit(address), urlsplit(self._base).hostname or ""
        if parts.scheme != "tcp" or parts.port is None:
            return None
        self._rpc = self._connection(
            f"tcp://[{host}]:{parts.port}" if ":" in host else f"tcp://{host}:{parts.port}"
        )
        try:
            return await self._over_tcp()
        except ConnectionFailed:
            return None

    async def _close_stacks(self) -> None:
        stacks, self._stacks = self._stacks, None
        if stacks is not None:
            await stacks.close()

    async def _close_rpc(self) -> None:
        rpc, self._rpc = self._rpc, None
        if rpc is not None:
            await rpc.close()

    def _connection(self, address: str) -> RpcConnection:
        return RpcConnection(address, deadline_s=DEADLINE_S, max_bytes=MOST_BYTES)

    # Its HTTP server

    async def _over_http(self) -> Identity:
        """Ask where the scheduler's own port is, and ask there; where it cannot be reached, ask the HTTP server."""
        if self._clock() >= self._look_again_at:
            self._look_again_at = self._clock() + LOOK_AGAIN_S
            page = await self._get("/info/main/workers.html")
            identity = await self._move_to(address_in_page(page.body))
            if identity is not None:
                self._look_again_at = float("-inf")
                return identity
        if self._refusal and self._clock() < self._ask_again_at:
            raise ConnectionFailed(self._refusal)
        reply = await self._get("/json/identity.json")
        self._refusal = ""
        if reply.status == _OK:
            return decode_identity(reply.body, packed=False)
        if reply.status == _FAILED:
            self._ask_again_at = self._clock() + LOOK_AGAIN_S
            self._refusal = _CANNOT_DESCRIBE
        raise ConnectionFailed(self._refusal or status_failure(reply.status, reply.headers).sentence)

    async def _get(self, path: str) -> HttpReply:
        self._http = self._http or HttpClient(
            urlsplit(self._base).hostname or "", deadline_s=DEADLINE_S, max_bytes=MOST_BYTES
        )
        reply = await self._http.get(f"{self._base}{path}", {})
        if isinstance(reply, Failure):
            raise ConnectionFailed(reply.sentence)
        if len(reply.body) > MOST_BYTES:
            raise ConnectionFailed(f"its answer is longer than {MOST_BYTES // 2**20} MiB")
        return reply

    async def _count(self, identity: Identity) -> None:
        """Count tasks by state every now and then; a scheduler without that page does not matter."""
        if not self._base and identity.http_port is not None:
            host = urlsplit(self.address.tcp).netloc.rpartition(":")[0]
            self._base = f"http://{host}:{identity.http_port}"
        if not self._base or self._clock() < self._tally_at + TALLY_PERIOD_S:
            return
        self._tally_at = self._clock()
        try:
            reply = await self._get("/metrics")
        except ConnectionFailed:
            return
        self.tally = {state.decode(): int(float(number)) for state, number in _TALLY.findall(reply.body)}
