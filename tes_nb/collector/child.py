"""What the child process does: start, say so, run until the owner is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable

import msgspec

from tes_nb.collector.app import Collector
from tes_nb.collector.lifetime import first_of, watch_parent, watch_signals, watch_stdin
from tes_nb.collector.logs import log_to_stderr, logger
from tes_nb.collector.options import Options
from tes_nb.collector.outlive import keep
from tes_nb.collector.process import Started
from tes_nb.errors import TesError

SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep the others waiting: the grid must not wait for the recorder's writer."""


def main() -> int:
    """Run until the owner is gone. Returns the exit code: 0, 1 = could not start, 2 = not understood."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    log_to_stderr()
    try:
        options = msgspec.json.decode(sys.stdin.buffer.readline(), type=Options)
    except msgspec.MsgspecError as error:
        _say(Started(error=f"The collector did not understand its options: {error}."))
        return 2
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    try:
        collector = new_collector(options)
        await collector.start()
    except TesError as error:
        _say(Started(error=str(error)))
        return 1
    try:
        told = watch_signals()
        watches: list[Awaitable[str]] = [told, watch_stdin()]
        if options.parent_pid is not None:
            watches.append(watch_parent(options.parent_pid, options.parent_created))
        _say(Started(os.getpid(), collector.ports, collector.taken))
        reason = await first_of(*watches)
        if not told.done() and collector.recordings.keeps and collector.upstreams:
            logger.info("The kernel is gone (%s); what is recorded goes on.", reason)
            reason = await keep(collector, told)
        logger.info("The collector ends: %s.", reason)
    finally:
        await collector.stop()
    return 0


def new_collector(options: Options) -> Collector:
    """Return the collector that the options ask for."""
    if options.replay is None:
        return Collector(options)
    from tes_nb.collector.replay.app import ReplayCollector  # noqa: PLC0415 - few replay, none waits for it

    return ReplayCollector(options)


def _say(started: Started) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(started) + b"\n")
    sys.stdout.buffer.flush()
