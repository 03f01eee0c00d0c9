"""Reading one stream of one peer for as long as it is wanted: the shell around `tes_nb.wire.supervisor`.

The supervisor decides, this file does: it connects, sends, polls, and hands on what comes. Nothing here
decodes, and nothing here names a stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tes_nb.errors import AuthenticationError, ConnectionFailed, SessionError, TesError
from tes_nb.model import Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_POLLED
from tes_nb.net import transport
from tes_nb.net.auth import NO_CREDENTIALS, AuthorizeHook
from tes_nb.net.endpoints import Target
from tes_nb.net.http import Poller
from tes_nb.net.logs import note
from tes_nb.net.loop import now
from tes_nb.net.outlet import Receiver, report
from tes_nb.net.transport import ABNORMAL, LIMITS, Closed, Link, PeerLimits
from tes_nb.wire import lifecycle as life
from tes_nb.wire.events import StateChange
from tes_nb.wire.lifecycle import Failure, ReaderState
from tes_nb.wire.profile import PROFILE, Profile
from tes_nb.wire.supervisor import Supervisor

_SOONEST_S = 0.001
_REMEMBERED_TEXTS = 8
"""So many of the newest texts that were sent are recognised as echoes when the peer sends them back."""


class Reader:
    """Keeps one stream coming. Everything runs in the loop in which `start()` was called."""

    def __init__(
        self,
        stream: Stream,
        target: Target,
        *,
        source: str,
        outlet: Receiver,
        profile: Profile = PROFILE,
        limits: PeerLimits = LIMITS,
        authorize: AuthorizeHook | None = None,
        channels: Sequence[str] | None = None,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = now,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make a reader that does nothing yet.

        `source` is its name in messages and logs. What comes goes to `outlet`. `authorize` is awaited before each
        attempt; `channels` are subscribed after each open, `None` = leave it to the peer. `clock` is monotonic
        seconds.
        """
        self.stream, self.target, self.source = stream, target, source
        self._profile, self._limits = profile, limits
        self._authorize_hook = authorize
        self._clock, self._wall_ns = clock, wall_ns
        self._supervisor = Supervisor(
            period_s=stream.period_s,
            random=dice,
            profile=profile,
            paths=len(target.ws),
            can_poll=target.poll is not None,
            heartbeat_s=None if stream.heartbeat is None else stream.heartbeat_s,
            authorizes=authorize is not None,
        )
        self._outlet = outlet
        self._sent_texts: deque[bytes] = deque(maxlen=_REMEMBERED_TEXTS)
        self._poller = (
            None
            if target.poll is None
            else Poller(target.poll, deadline_s=profile.open_timeout_s, max_bytes=limits.message_bytes)
        )
        self._channels = None if channels is None else tuple(channels)
        self._channels_mono_ns = int(clock() * 1e9)
        self._channels_version = 0
        self._sent_version = -1  # of the channels, on the present connection
        self._credentials = NO_CREDENTIALS
        self._queries = tuple(urlsplit(url).query for url in (*target.ws, target.poll or ""))
        """Of the addresses: a user's own token may be in one."""
        self._link: Link | None = None
        self._attempt_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._published: ReaderState | None = None
        self._published_revision = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False

    # For users ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ReaderState:
        """What a user should read now; `str()` of it is the line."""
        return self._supervisor.view(self._clock())

    @property
    def channels(self) -> tuple[str, ...] | None:
        """What is subscribed; `None` = what the peer gives by itself."""
        return self._channels

    def start(self) -> None:
        """Begin, in the running loop. Raises `SessionError` when it was started or stopped before."""
        if self._loop is not None or self._stopped:
            raise SessionError(f"The reader of '{self.source}' was started before; make a new one.")
        self._loop = asyncio.get_running_loop()
        self._feed(life.Start())

    async def stop(self) -> None:
        """End for good, within the profile's close timeout and a little. Idempotent."""
        first, self._stopped = not self._stopped, True
        if first and self._loop is not None:
            self._feed(life.Stop())
            if self._timer is not None:
                self._timer.cancel()
        if self._tasks:
            _done, late = await asyncio.wait(tuple(self._tasks), timeout=2 * self._profile.close_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._poller is not None:
            await self._poller.close()
        if first:
            self._outlet.close()

    async def send(self, text: str | bytes) -> None:
        """Send a text on the open connection. Raises `ConnectionFailed` when there is none."""
        link = self._link
        if link is None:
            raise ConnectionFailed(
                f"'{self.source}' has no open connection ({self.state}); send again when OPEN."
            )
        await self._send(link, text.encode() if isinstance(text, str) else text)

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for exactly these, now and after each reconnect, once each time."""
        if self.stream.subscription is None:
            raise SessionError(f"The stream '{self.stream.name}' has nothing to choose from.")
        self._channels, self._channels_mono_ns = tuple(names), int(self._clock() * 1e9)
        self._channels_version += 1
        if self._published is not None:
            self._published = None  # nothing else may have changed
            self._publish_state()
        if self._link is not None:
            await self._send_subscription(self._link)

    # Driving the supervisor ---------------------------------------------------------------------------------

    def _feed(self, event: life.Event) -> None:
        """Give the supervisor an event, carry out its commands, publish what changed."""
        for command in self._supervisor.handle(event, self._clock()):
            self._do(command)
        if self._supervisor.revision != self._published_revision:
            self._publish_state()
        if type(event) is not life.Received:  # a message can only postpone what is due
            self._set_timer()

    def _set_timer(self) -> None:
        """Come back when the supervisor wants to; a timer that comes too early does no harm and stays."""
        due = self._supervisor.deadline()
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due < float("inf") and self._loop is not None:
            self._timer_at = due
            self._timer = self._loop.call_later(max(due - self._clock(), _SOONEST_S), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._feed(life.Tick())

    def _publish_state(self) -> None:
        """Publish the state if a user would read something else than before."""
        self._published_revision = self._supervisor.revision
        state = self.state
        visible = replace(
            state, attempts=0, retry_in_s=None
        )  # a countdown and one more attempt are no change of state
        if visible == self._published:
            return
        self._published = visible
        wall = self._wall_ns()
        wait_s = state.retry_in_s
        retry_at = None if wait_s is None else wall + int(wait_s * 1e9)
        conn = self._outlet.number(state.conn)
        request = (self._channels, self._channels_mono_ns)
        self._outlet.event(state_change(state, conn, wall, retry_at, request))
        level = logging.WARNING if state.word == "FAILED" else logging.INFO
        note(level, f"{self.source}: {state}", source=self.source, state=state.word, conn=state.conn)

    # What the commands do -----------------------------------------------------------------------------------

    def _do(self, command: life.Command) -> None:
        """Do what the supervisor says."""
        link = self._link
        match command:
            case life.Authorize():
                self._attempt_task = self._spawn(self._get_credentials(command.attempt), "authorize")
            case life.Connect():
                url = self.target.ws[command.path]
                self._attempt_task = self._spawn(self._attempt(command.attempt, url), "connection")
            case life.Abandon() if self._attempt_task is not None:
                self._attempt_task.cancel()
            case life.Close() if link is not None:
                self._spawn(link.close(command.reason), "close")
            case life.Subscribe() if link is not None and self.stream.subscription is not None:
                self._spawn(self._quietly(self._send_subscription(link)), "subscription")
            case life.Heartbeat() if link is not None and self.stream.heartbeat is not None:
                self._spawn(self._quietly(self._send(link, self.stream.heartbeat)), "heartbeat")
            case life.Poll():
                self._spawn(self._fetch(command.conn), "poll")
            case life.GapBegins():
                number = self._outlet.number(command.conn)
                self._outlet.begin_gap(number, command.cause, by_silence=command.by_silence)
            case life.GapEnds():
                self._outlet.end_gap()

    async def _get_credentials(self, attempt: int) -> None:
        assert self._authorize_hook is not None
        try:
            async with asyncio.timeout(self._profile.authorize_timeout_s):
                self._credentials = await self._authorize_hook()
        except TesError as error:
            wait = error.retry_after_s if isinstance(error, AuthenticationError) else None
            self._feed(life.NotAuthorized(attempt, str(error).rstrip("."), wait))
        except TimeoutError:
            self._feed(life.NotAuthorized(attempt, "the authorization took too long"))
        except Exception as error:
            self._feed(life.NotAuthorized(attempt, f"the authorization failed: {type(error).__name__}"))
            raise
        else:
            self._feed(life.Authorized(attempt))

    async def _attempt(self, attempt: int, url: str) -> None:
        """Connect, and hand on what comes until the connection ends."""
        opened: Link | Failure = Failure("protocol", "the attempt failed")
        try:
            opened = await transport.connect(
                self._credentials.url(url),
                headers=self._credentials.headers,
                profile=self._profile,
                limits=self._limits,
            )
        finally:
            if isinstance(opened, Failure):
                self._feed(life.NotOpened(attempt, self._without_secrets(opened)))
        if isinstance(opened, Link):
            await self._hold(attempt, opened)

    async def _hold(self, attempt: int, link: Link) -> None:
        closed = Closed(ABNORMAL, "the connection was given up")
        self._link, self._sent_version = link, -1
        self._sent_texts.clear()  # only this connection's own texts can come back as echoes
        try:
            self._feed(life.Opened(attempt))
            conn = self._outlet.number(self._supervisor.conn)
            closed = await link.receive(partial(self._receive, attempt, conn))
        finally:
            self._link = None
            link.abort()
            self._feed(
                life.Lost(attempt, closed.code, self._credentials.redact(closed.sentence, *self._queries))
            )

    def _without_secrets(self, failure: Failure) -> Failure:
        sentence, advice = (
            self._credentials.redact(text, *self._queries) for text in (failure.sentence, failure.advice)
        )
        return msgspec.structs.replace(failure, sentence=sentence, advice=advice)

    def _receive(self, attempt: int, conn: int, opcode: Opcode, payload: bytes) -> None:
        """Make the message, say once what kind it is, and hand it on; a gap that it ends comes first."""
        message = Message(self.source, Direction.IN, opcode, payload, 0, 0, conn, 0)
        kind = self._kind(message)
        self._feed(life.Received(attempt, kind))
        self._outlet.append(message, kind)

    def _kind(self, message: Message) -> Kind:
        """Return what a received message is; our own texts coming back are echoes, whatever they are."""
        if message.payload in self._sent_texts:
            return Kind.ECHO
        try:
            return self.stream.classify(message)
        except Exception as error:  # noqa: BLE001 - a user's own stream must not end the connection
            report(f"classify of the stream '{self.stream.name}'", error)
            return Kind.UNDECODED

    async def _send_subscription(self, link: Link) -> None:
        """Send the channels, unless this connection has them already."""
        if self._sent_version == self._channels_version or self._channels is None:
            return
        if self._sent_version < 0 and self._credentials.channels == self._channels:
            self._sent_version = self._channels_version  # the URL of this connection asked for them
            return
        assert self.stream.subscription is not None
        self._sent_version = self._channels_version
        await self._send(link, self.stream.subscription(self._channels))

    async def _send(self, link: Link, text: bytes) -> None:
        """Send, and hand on a copy: recordings hold both directions."""
        self._sent_texts.append(text)
        conn = self._outlet.number(self._supervisor.conn)
        self._outlet.append(Message(self.source, Direction.OUT, Opcode.TEXT, text, 0, 0, conn, 0), Kind.ECHO)
        await link.send(text)

    async def _fetch(self, conn: int) -> None:
        assert self._poller is not None
        body: bytes | Failure = Failure("poll", "the poll failed")
        try:
            body = await self._poller.fetch(self._credentials.headers)
        finally:
            if isinstance(body, Failure):
                self._feed(life.Polled(self._without_secrets(body)))
        if isinstance(body, bytes):
            number = self._outlet.number(conn)
            message = Message(self.source, Direction.IN, Opcode.TEXT, body, 0, 0, number, 0, FLAG_POLLED)
            kind = self._kind(message)
            useless = Failure("poll", f"the poll brought no data but {kind}")
            self._feed(life.Polled(None if kind is Kind.DATA else useless))
            self._outlet.append(message, kind)

    # Tasks --------------------------------------------------------------------------------------------------

    async def _quietly(self, coro: Coroutine[Any, Any, None]) -> None:
        """Send; that a connection ended meanwhile is reported by `Lost`."""
        with contextlib.suppress(ConnectionFailed):
            await coro

    def _spawn(self, coro: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        assert self._loop is not None
        task = self._loop.create_task(coro, name=f"{what} of {self.source}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._loop is not None:
            self._loop.call_exception_handler(
                {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            )


def state_change(
    state: ReaderState,
    conn: int,
    at_ns: int,
    retry_at_ns: int | None,
    request: tuple[tuple[str, ...] | None, int],
    *,
    token_until_ns: int | None = None,
) -> StateChange:
    """Return the event that says what a user should read from now on.

    conn: the connection's number outside. request: the channels that are asked for, and since when (monotonic ns).
    """
    channels, since_ns = request
    return StateChange(
        state=state.word,
        text=str(state),
        conn=conn,
        at_ns=at_ns,
        attempts=state.attempts,
        reconnects=state.reconnects,
        close_code=state.close_code,
        retry_at_ns=retry_at_ns,
        token_until_ns=token_until_ns,
        channels=channels,
        channels_mono_ns=None if channels is None else since_ns,
    )
