"""The child process: options in on the first line, `{pid, ports}` or an error out on the first line."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import msgspec

from tes_nb.collector.app import Collector
from tes_nb.collector.lifetime import first_of, ignore_interrupts, watch_parent, watch_signals, watch_stdin
from tes_nb.collector.options import Options
from tes_nb.collector.process import Started
from tes_nb.errors import TesError

SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep the others waiting: the grid must not wait for the recorder's writer."""


def main() -> int:
    """Run until the owner is gone."""
    ignore_interrupts()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        options = msgspec.json.decode(sys.stdin.buffer.readline(), type=Options)
    except msgspec.MsgspecError as error:
        _say(Started(error=f"The collector did not understand its options: {error}."))
        return 2
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    collector = Collector(options)
    try:
        await collector.start()
    except TesError as error:
        _say(Started(error=str(error)))
        return 1
    _say(Started(os.getpid(), collector.ports, collector.taken))
    watches = [watch_stdin(), watch_signals()]
    if options.parent_pid is not None:
        watches.append(watch_parent(options.parent_pid, options.parent_created))
    reason = await first_of(*watches)
    logging.getLogger("tes_nb.collector").info("The collector ends: %s.", reason)
    await collector.stop()
    return 0


def _say(started: Started) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(started) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
