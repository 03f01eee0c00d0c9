"""A TCP proxy that misbehaves on demand: silent, reset, slices, latency, bandwidth, cuts, one direction dead."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct

UP, DOWN = "up", "down"  # client → server, server → client


class ChaosProxy:
    """Stands between a client and `port`; its attributes may be changed at any time."""

    def __init__(self, port, host="127.0.0.1", seed=0):
        self.upstream = (host, port)
        self.silent = False  # takes everything, forwards nothing
        self.dead = frozenset()  # directions of which nothing is forwarded
        self.slice = None  # forward in pieces of so many bytes
        self.latency = None  # () -> seconds each way
        self.bandwidth = None  # bytes per second, server → client
        self.reset_after = None  # RST to the client after so many bytes of the server, counted per connection
        self.connections = 0
        self.dice = random.Random(seed)
        self._pairs = set()
        self._tasks = set()
        self._server = None
        self.port = None

    async def __aenter__(self):
        await self.up()
        return self

    async def __aexit__(self, *_error):
        await self.down()

    async def up(self):
        """Listen, on the same port as before if there was one."""
        # Room for little in flight: what the proxy withholds should be noticed, not swallowed by buffers.
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port or 0, limit=2**16)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self):
        """Refuse new connections and reset the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self):
        """RST every open connection, both sides."""
        for writers in tuple(self._pairs):
            for writer in writers:
                reset(writer)

    def cut(self):
        """FIN to the client, without a WebSocket close frame."""
        for client, _server in tuple(self._pairs):
            client.close()

    async def _accept(self, reader, writer):
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            reset(writer)
            return
        pair = (writer, up_writer)
        self._pairs.add(pair)
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await asyncio.gather(self._forward(reader, up_writer, UP), self._forward(up_reader, writer, DOWN))
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # cancelled: an uncaught error to asyncio 3.11, so it ends here
        finally:
            self._tasks.discard(task)
            self._pairs.discard(pair)
            for side in pair:
                side.close()

    async def _forward(self, reader, writer, direction):
        """Read here, write there, with everything that is wrong today."""
        queue = asyncio.Queue()
        task = asyncio.ensure_future(self._deliver(queue, writer, direction))
        try:
            while data := await reader.read(2**16):
                if self.silent or direction in self.dead:
                    continue
                delay = self.latency() if self.latency is not None else 0.0
                queue.put_nowait((asyncio.get_running_loop().time() + delay, data))
            queue.put_nowait((0.0, b""))
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await task

    async def _deliver(self, queue, writer, direction):
        sent = 0
        loop = asyncio.get_running_loop()
        while True:
            at, data = await queue.get()
            if not data:
                writer.write_eof()
                return
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
            for piece in self._pieces(data, direction):
                limit = self.reset_after
                if direction == DOWN and limit is not None and sent + len(piece) >= limit:
                    writer.write(piece[: limit - sent])
                    await writer.drain()
                    reset(writer)
                    raise ConnectionResetError
                sent += len(piece)
                writer.write(piece)
                await writer.drain()
                if direction == DOWN and self.bandwidth:
                    await asyncio.sleep(len(piece) / self.bandwidth)
                elif self.slice:
                    await asyncio.sleep(0)

    def _pieces(self, data, direction):
        size = self.slice
        if direction == DOWN and self.bandwidth:
            size = max(self.bandwidth // 20, 1)
        if not size:
            return [data]
        return [data[start : start + size] for start in range(0, len(data), size)]


def reset(writer):
    """Close with a RST instead of a FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
