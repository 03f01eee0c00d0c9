"""A collector that serves until it is told to end: in the foreground, or as the child of a kernel."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import msgspec

from tes_nb.collector.app import Collector
from tes_nb.collector.lifetime import first_of, watch_parent, watch_signals, watch_stdin
from tes_nb.collector.logs import log_to_stderr, logger
from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.outlive import keep
from tes_nb.collector.process import Started
from tes_nb.errors import TesError
from tes_nb.net.child import give_answer, read_options

SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep the others waiting: the grid must not wait for the recorder's writer."""


def main() -> int:
    """Run until the owner is gone. Returns the exit code: 0, 1 = could not start, 2 = not understood."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    log_to_stderr()
    try:
        options = read_options(CollectorOptions)
    except msgspec.MsgspecError as error:
        give_answer(Started(error=f"The collector did not understand its options: {error}."))
        return 2
    return asyncio.run(_run(options))


async def _run(options: CollectorOptions) -> int:
    try:
        collector = await start_collector(options)
    except TesError as error:
        give_answer(Started(error=str(error)))
        return 1
    ended = watch_signals(signal.SIGTERM)
    watches: list[Awaitable[str]] = [watch_stdin()]
    if options.parent_pid is not None:
        watches.append(watch_parent(options.parent_pid, options.parent_created))
    started = Started(os.getpid(), collector.ports, collector.busy_ports)
    reason = await serve_until(collector, lambda: give_answer(started), ended, *watches)
    logger.info("The collector ends: %s.", reason)
    return 0


async def start_collector(options: CollectorOptions) -> Collector:
    """Return the collector that the options ask for, serving. Raises `CollectorError` when it cannot."""
    if options.replay is None:
        collector = Collector(options)
    else:
        from tes_nb.collector.replay.app import ReplayCollector  # noqa: PLC0415 - few replay, none waits for it

        collector = ReplayCollector(options)
    await collector.start()
    return collector


async def serve_until(
    collector: Collector, announce: Callable[[], None], ended: asyncio.Future[str], *watches: Awaitable[str]
) -> str:
    """Announce it and serve until one of the awaitables gives its reason, then stop; return the reason.

    ended: somebody wants it to end. The others say that its owner is gone: then recordings that are kept go on.
    """
    try:
        announce()
        reason = await first_of(ended, *watches)
        if not ended.done() and collector.recordings.keeps and collector.upstreams:
            logger.info("The kernel is gone (%s); what is recorded goes on.", reason)
            reason = await keep(collector, ended)
    finally:
        await collector.stop()
    return reason
