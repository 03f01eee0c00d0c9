"""Another program on the ports that a TES likes to have, as on the machine of somebody who develops one.

    python -m tests.support.foreign [COMMAND ...]

Each port answers in its own strange way, to whoever comes: a web page for everything (3002), nothing ever (3003), a
mail server's greeting (3004), a WebSocket that sends text of its own (3005). Runs the command meanwhile and ends with
its exit code; without one it runs until it is ended. A port that is taken already is foreign enough.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
from collections.abc import Awaitable, Callable

PORTS = (3002, 3003, 3004, 3005)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PAGE = b"<!doctype html><title>Something else</title><p>This is no TES.</p>"
TEXT = b'{"type":"hello","from":"somebody else"}'

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with the same page."""
    await reader.readuntil(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + PAGE)


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and say nothing."""
    while await reader.read(65_536):
        pass


async def mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet as a mail server does, and refuse every line."""
    writer.write(b"220 foreign.example ESMTP\r\n")
    while await reader.readline():
        writer.write(b"500 Command unrecognized\r\n")


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept every handshake and send a text ten times a second."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    key = next(
        (line.split(b":")[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key")), b""
    )
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        writer.write(bytes((0x81, len(TEXT))) + TEXT)
        await writer.drain()
        await asyncio.sleep(0.1)


def guarded(answer: Answer) -> Answer:
    """The same, for peers that leave in the middle."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await answer(reader, writer)
        writer.close()

    return serve


async def main(command: list[str]) -> int:
    """Hold the ports while the command runs."""
    for port, answer in zip(PORTS, (page, silence, mail, websocket), strict=True):
        try:
            await asyncio.start_server(guarded(answer), "127.0.0.1", port)
        except OSError as error:
            sys.stderr.write(f"Port {port}: {error.strerror}; somebody else is there already.\n")
    if not command:
        await asyncio.Event().wait()
    return await (await asyncio.create_subprocess_exec(*command)).wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main(sys.argv[1:])))
