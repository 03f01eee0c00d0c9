"""A running stand-in: on a loop that is there (`serve`), or for ever in this process (`run_forever`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tes_nb.errors import TesError
from tes_nb.simulate.desk import Desk
from tes_nb.simulate.faults import Fault
from tes_nb.simulate.options import Options
from tes_nb.simulate.server import application
from tes_nb.simulate.service import GREETING, Service

log = logging.getLogger("tes_nb.simulate")


class Addresses:
    """Where the parts of a stand-in are."""

    def __init__(self, http: str) -> None:
        """Take `http://host:port` (or https) without a path."""
        self.http = http

    @property
    def url(self) -> str:
        """The WebSocket that takes the token as a bearer header: the default form."""
        return f"ws{self.http[4:]}/ws"

    @property
    def stream_url(self) -> str:
        """The WebSocket that takes channels and token in the query: `?channels=a,b&&token=…`."""
        return f"ws{self.http[4:]}/stream"

    @property
    def token_url(self) -> str:
        """The token endpoint, without `?rnum=…`."""
        return f"{self.http}/ajax/getwebsockettoken"

    def __repr__(self) -> str:
        return f"<simulated NowGoal at {self.http}>"


class RunningServer(Addresses):
    """A stand-in on the current event loop; `serve` makes it, `await stop()` ends it."""

    def __init__(self, http: str, service: Service, runner: web.AppRunner) -> None:
        super().__init__(http)
        self._service = service
        self._runner = runner

    def post(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._service.striker.post(fault)

    async def clear_faults(self) -> None:
        """End every fault."""
        await self._service.striker.clear()

    def ledger(self) -> dict[str, Any]:
        """Return what `GET /ledger` tells."""
        return Desk(self._service).account()

    def sent(self, subscriber: str) -> list[int]:
        """Return the numbers of the messages that were for that logical subscriber."""
        return self._service.hub.log.expected(subscriber)

    def sent_at(self, subscriber: str) -> dict[int, int]:
        """Return those numbers with the times they were sent at (Unix ns), for `reconcile`."""
        log = self._service.hub.log
        numbers = log.expected(subscriber)
        return dict(zip(numbers, log.sent_at_ns(numbers), strict=True))

    async def stop(self) -> None:
        """Close every connection with the code 1001, and the port. Again is fine."""
        open_ones = self._service.hub.connections()
        await asyncio.gather(*(connection.close(1001, "the stand-in stops") for connection in open_ones))
        await self._runner.cleanup()


async def serve(options: Options, tls: ssl.SSLContext | None = None) -> RunningServer:
    """Start a stand-in on the running event loop and return it when it listens.

    `tls` makes it https and wss. Raises `TesError` when the port is taken.
    """
    service = Service(options)
    runner = web.AppRunner(application(service), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise TesError(
            f"The stand-in cannot listen on {options.host}:{options.port}: {error.strerror or error}. "
            "Choose another port, or 0 for any free one."
        ) from error
    port = runner.addresses[0][1]
    name = f"[{options.host}]" if ":" in options.host else options.host
    server = RunningServer(f"http{'s' if tls else ''}://{name}:{port}", service, runner)
    log.info("simulated data: %s, at %s", GREETING, server.http)
    return server


def run_forever(options: Options, announce: Callable[[RunningServer], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called once it listens; `None` = nothing is said."""
    asyncio.run(_until_signal(options, announce or (lambda _: None)))


async def _until_signal(options: Options, announce: Callable[[RunningServer], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    server = await serve(options)
    try:
        announce(server)
        await stopped.wait()
    finally:
        await server.stop()
