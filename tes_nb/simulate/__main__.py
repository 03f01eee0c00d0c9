"""The child's side of `tes_nb.simulate.process`: `python -m tes_nb.simulate`, options on standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import msgspec

from tes_nb.errors import TesError
from tes_nb.simulate.options import Options
from tes_nb.simulate.process import serve

PARENT_CHECK_S = 0.5


def main() -> int:
    """Serve until standard input ends or the parent is gone. Return 0, or 1 when it could not start."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = msgspec.json.decode(sys.stdin.buffer.readline(), type=Options)
        asyncio.run(_serve(options, parent))
    except (msgspec.MsgspecError, TesError) as error:
        _say({"error": str(error)})
        return 1
    return 0


async def _serve(options: Options, parent: int) -> None:
    server = await serve(options)
    try:
        _say({"http": server.http})
        closed = asyncio.get_running_loop().create_task(_standard_input_closed())
        # A forked pool of the parent keeps the pipe open: then its end tells nothing.
        while os.getppid() == parent and not closed.done():
            await asyncio.wait([closed], timeout=PARENT_CHECK_S)
        closed.cancel()
    finally:
        await server.stop()


async def _standard_input_closed() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


def _say(answer: dict[str, str]) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
