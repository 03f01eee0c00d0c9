"""The child's side of `tes_nb.simulate.process`: `python -m tes_nb.simulate`, options on standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import msgspec

from tes_nb.errors import TesError
from tes_nb.net.child import give_answer, input_ended, read_options
from tes_nb.simulate.options import Options
from tes_nb.simulate.process import serve

PARENT_CHECK_S = 0.5


def main() -> int:
    """Serve until standard input ends or the parent is gone. Return 0, or 1 when it could not start."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = read_options(Options)
        asyncio.run(_serve(options, parent))
    except (msgspec.MsgspecError, TesError) as error:
        give_answer({"error": str(error)})
        return 1
    return 0


async def _serve(options: Options, parent: int) -> None:
    server = await serve(options)
    try:
        give_answer({"http": server.http})
        closed = asyncio.get_running_loop().create_task(input_ended())
        # A forked pool of the parent keeps the pipe open: then its end is not noticed.
        while os.getppid() == parent and not closed.done():
            await asyncio.wait([closed], timeout=PARENT_CHECK_S)
        closed.cancel()
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(main())
