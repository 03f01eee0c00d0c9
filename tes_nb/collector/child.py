"""A collector that serves until it is stopped: in the foreground, as the child of a kernel, or after that."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from tes_nb.collector.app import Collector
from tes_nb.collector.http.control import Control, control_socket
from tes_nb.collector.http.guard import Access, Guard
from tes_nb.collector.http.routes import RouteTable
from tes_nb.collector.http.server import Port, bind_free
from tes_nb.collector.http.sockets import Sockets
from tes_nb.collector.hub import Hub
from tes_nb.collector.lifetime import first_of, watch_parent, watch_signals, watch_stdin
from tes_nb.collector.logs import log_to_stderr, logger
from tes_nb.collector.options import CollectorOptions
from tes_nb.collector.process import Started
from tes_nb.collector.samplers.http_window import HttpWindow
from tes_nb.errors import TesError
from tes_nb.model.control import ListRecordings, StopRecording
from tes_nb.net.child import give_answer, read_options
from tes_nb.wire.events import Mark

# Nothing is served any more and nothing is sampled: the kernel's ports are free for its successor, which finds the
# recording by the discovery file (`tes.recordings()`) and may end it over the control socket (decisions/0012).

CHECK_S = 0.25
"""How often it is looked whether a recording is left."""
ALONE_LABEL = "The kernel has ended; this recording goes on without it."
LATE_LABEL = "The recording was kept as long as it may be, and ends here."


async def keep(collector: Collector, ended: Awaitable[str]) -> str:
    """Go on until the last kept recording ends, a signal stops it, or the time is over. Returns the reason."""
    await collector.retire()
    _mark(collector, ALONE_LABEL)
    port = await _serve_control(collector)
    try:
        return await first_of(ended, _last_one_ends(collector), _time_is_over(collector))
    finally:
        await port.stop()


def _mark(collector: Collector, label: str) -> None:
    for source in tuple(collector.upstreams):
        collector.hub.event(source, Mark(label=label, at_ns=time.time_ns()))


async def _serve_control(collector: Collector) -> Port:
    """Serve the two operations that make sense now, at a free port of 127.0.0.1, and say where."""
    options = collector.options
    control = Control()
    control.register(ListRecordings, collector.recordings.recordings)
    control.register(StopRecording, collector.recordings.stop)
    listener = bind_free()
    number = listener.getsockname()[1]
    guard = Guard(
        options.token,
        auth_all=options.auth == "all",
        failures_per_minute=options.limits.auth_failures_per_minute,
    )
    guard.allow_ports([number])
    table = RouteTable()
    sockets = Sockets(guard, options.limits, _nothing, collector.start_id)
    table.socket("/ws/control", control_socket(control, guard, sockets), Access.FIRST_MESSAGE)
    app = table.application(guard, HttpWindow(), options.limits.client_message, _nothing)
    port = Port(app, (listener,), options.limits.request_timeout)
    await port.start()
    collector.announce((number, 0))
    logger.info("Kept on port %d: %s.", number, ", ".join(collector.recordings.outliving()))
    return port


async def _last_one_ends(collector: Collector) -> str:
    while collector.recordings.keeps:  # noqa: ASYNC110 - a recorder that meets its size limit sends no event
        await asyncio.sleep(CHECK_S)
    return "the last kept recording has ended"


async def _time_is_over(collector: Collector) -> str:
    await asyncio.sleep(collector.options.keep_s)
    _mark(collector, LATE_LABEL)
    return f"recordings are kept for {collector.options.keep_s / 3600:g} h at most"


def _nothing() -> None:
    """The number of clients is not shown anywhere."""


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
    gc.freeze()  # what has begun stays: looking through it again and again would hold the grid (decisions/0042)
    asyncio.get_running_loop().set_exception_handler(partial(_uncaught, collector.hub))
    ended = watch_signals(signal.SIGTERM)
    watches: list[Awaitable[str]] = [watch_stdin()]
    if options.parent_pid is not None:
        watches.append(watch_parent(options.parent_pid, options.parent_created))
    started = Started(os.getpid(), collector.ports, collector.busy_ports, start_id=collector.start_id)
    reason = await serve_until(collector, lambda: give_answer(started), ended, *watches)
    logger.info("The collector ends: %s.", reason)
    return 0


def _uncaught(hub: Hub, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Make room where a connection met the end of the memory, so that the next one does not; log it in any case."""
    if isinstance(context.get("exception"), MemoryError):
        hub.shrink()
    loop.default_exception_handler(context)


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

    ended: it is asked to end. The others say that its owner is gone: then recordings that are kept go on.
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
