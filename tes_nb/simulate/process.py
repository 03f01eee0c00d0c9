"""A running stand-in: on this loop (`serve`), for ever in this process (`run_forever`), in a child; and its client."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import ssl
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec
from aiohttp import web

from tes_nb.errors import ConnectionFailed, TesError
from tes_nb.net.child import end, handshake, how_it_failed, launch
from tes_nb.simulate.faults import Fault, parse
from tes_nb.simulate.options import Options
from tes_nb.simulate.server import ControlRoutes, application
from tes_nb.simulate.service import GREETING, Service

ANSWER_S = 5.0

_open = build_opener(ProxyHandler({})).open
"""Loopback is never asked for through a proxy."""


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


class StandInClient(Addresses):
    """A stand-in at a known address (`http://127.0.0.1:port`). All calls block, for at most 5 s."""

    def post(self, *faults: Fault | str) -> None:
        """Put faults in force, given as such or in words: `"reset"`, `"random:every=3"`."""
        orders = [parse(fault) if isinstance(fault, str) else fault for fault in faults]
        self._ask("POST", "/faults", msgspec.json.encode(orders))

    def clear_faults(self) -> None:
        """End every fault."""
        self._ask("DELETE", "/faults")

    def ledger(self) -> dict[str, Any]:
        """Return the account of what was sent, as `GET /ledger` answers it."""
        account: dict[str, Any] = self._ask("GET", "/ledger")
        return account

    def sent(self, subscriber: str) -> list[int]:
        """Return the numbers of the messages that were for that logical subscriber."""
        numbers: list[int] = self._ask("GET", f"/ledger?{urlencode({'subscriber': subscriber})}")["numbers"]
        return numbers

    def sent_at(self, subscriber: str) -> dict[int, int]:
        """Return those numbers with the times they were sent at (Unix ns), for `reconcile`."""
        reply = self._ask("GET", f"/ledger?{urlencode({'subscriber': subscriber})}")
        return dict(zip(reply["numbers"], reply["sent_at_ns"], strict=True))

    def roster(self) -> list[dict[str, str]]:
        """Return match_id, home_team, away_team and league of every match there has been."""
        roster: list[dict[str, str]] = self._ask("GET", "/roster")
        return roster

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = Request(self.http + path, data=body, method=method)  # noqa: S310 - our own http address
        try:
            with _open(request, timeout=ANSWER_S) as answer:
                return msgspec.json.decode(answer.read())
        except HTTPError as error:
            raise TesError(error.read().decode(errors="replace").strip()) from error
        except (OSError, msgspec.DecodeError) as error:
            raise ConnectionFailed(
                f"The simulated NowGoal at {self.http} does not answer ({error}); start it again."
            ) from error


# The parent writes the options as one line of JSON and keeps the pipe open; the child answers with one line,
# `{"http": …}` or `{"error": …}`, and ends when the pipe does, or when its parent is another process.

START_S = 15.0
STOP_S = 3.0


class ChildServer(StandInClient):
    """A stand-in in a child process; `start_child` makes it, `stop()` or the end of the parent ends it."""

    def __init__(self, http: str, process: subprocess.Popen[bytes]) -> None:
        super().__init__(http)
        self._process = process
        self._owner = os.getpid()
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the child, in at most 3 s. Does nothing when it has ended, or in a forked process."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        end(self._process, STOP_S)


def start_child(options: Options | None = None) -> ChildServer:
    """Start a stand-in in a child process and return it when it listens; `None` = the default options.

    Raises `TesError` when it cannot listen, or says nothing for 15 s.
    """
    process = launch("tes_nb.simulate")
    try:
        return ChildServer(_address(process, options or Options()), process)
    except BaseException:
        end(process, STOP_S)
        raise


def _address(process: subprocess.Popen[bytes], options: Options) -> str:
    """Give the child its options and return where it listens."""
    answer = handshake(process, options, dict[str, str], timeout_s=START_S) or {}
    if "http" not in answer:
        sentence = answer.get("error", f"it {how_it_failed(process, START_S)}")
        raise TesError(f"The simulated NowGoal did not start: {sentence}")
    return answer["http"]


log = logging.getLogger("tes_nb.simulate")


class RunningServer(Addresses):
    """A stand-in on the current event loop; `serve` makes it, `await stop()` ends it."""

    def __init__(self, http: str, service: Service, runner: web.AppRunner) -> None:
        super().__init__(http)
        self._service = service
        self._runner = runner

    def post(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._service.fault_runner.post(fault)

    async def clear_faults(self) -> None:
        """End every fault."""
        await self._service.fault_runner.clear()

    def ledger(self) -> dict[str, Any]:
        """Return the answer of `GET /ledger`."""
        return ControlRoutes(self._service).account()

    def sent(self, subscriber: str) -> list[int]:
        """Return the numbers of the messages that were for that logical subscriber."""
        return self._service.connections.log.expected(subscriber)

    def sent_at(self, subscriber: str) -> dict[int, int]:
        """Return those numbers with the times they were sent at (Unix ns), for `reconcile`."""
        log = self._service.connections.log
        numbers = log.expected(subscriber)
        return dict(zip(numbers, log.sent_at_ns(numbers), strict=True))

    async def stop(self) -> None:
        """Close every connection with the code 1001, and the port. Again is fine."""
        open_ones = self._service.connections.select()
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
