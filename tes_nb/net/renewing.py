"""A reader whose connections are renewed before their tokens expire, without losing or doubling a message.

Two ordinary readers, called halves, take turns. Most of the time there is one, the first. When its token is about
to expire a second one gets a fresh token and a connection of its own; `tes_nb.wire.merge` merges what both
bring, and once a message came on both the first is closed and the second takes its place. A first that is lost
meanwhile is replaced at once; unless it is proven that nothing is missing, a gap is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b

import msgspec

from tes_nb.errors import AuthenticationError, ConnectionFailed, DecodeError
from tes_nb.model import Direction, Kind, Message, Opcode, Stream
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.net.auth import NO_CREDENTIALS, AuthorizeHook, Credentials
from tes_nb.net.endpoints import Target
from tes_nb.net.loop import now
from tes_nb.net.outlet import Outlet, report
from tes_nb.net.reader import Reader, state_change
from tes_nb.net.transport import ABNORMAL, LIMITS, PeerLimits
from tes_nb.wire.events import Event, StateChange
from tes_nb.wire.inflate import inflate
from tes_nb.wire.lifecycle import ReaderState
from tes_nb.wire.merge import Merge
from tes_nb.wire.profile import PROFILE, Profile

_NEVER = float("-inf")
_MERGED = (Kind.DATA, Kind.UNDECODED)
"""Kinds that a peer broadcasts; keepalives and replies belong to one connection."""
_STEPS = 5
"""A renewal looks at the clock so many times within the shortest of its times."""
_MOST_HELD = 10_000
REFUSED = "closed for a new token: the peer refuses a second connection"
LOST = "the new connection was lost while the old one was closed"


class Half:
    """One of the two readers: where it puts what comes, the numbers of its connections, its newest credentials."""

    def __init__(self, whole: RenewingReader, authorize: AuthorizeHook) -> None:
        self._whole = whole
        self._authorize = authorize
        self._numbers: dict[int, int] = {}
        self.credentials: Credentials = NO_CREDENTIALS
        self.was_authorized = False
        self.was_open = False
        self.is_open = False
        self.opened_at = _NEVER
        """When the newest connection was opened, on the reader's monotonic clock."""
        self.last_data_s = _NEVER
        self.gap_cause: str | None = None
        """Why messages of this half alone may be missing; `None` = none are."""
        self.retired = False
        """Whether it is over: nothing of it counts any more."""
        self.reader = whole.new_reader(outlet=self, authorize=self.authorize, channels=whole.channels)

    async def authorize(self) -> Credentials:
        """Get what the next connection needs. From the moment it is there, both halves are counted."""
        if self.retired:
            raise AuthenticationError("This connection was replaced.")
        self.credentials = await self._authorize()
        self.was_authorized = True
        if self is self._whole.second:
            self._whole.merge.begin()
            self._whole.proven_at = 0.0
        return self.credentials

    # What its reader calls ----------------------------------------------------------------------------------

    def number(self, conn: int) -> int:
        """Return the number that a connection of this half has among all connections; 0 = it had none."""
        if conn == 0:
            return 0
        if conn not in self._numbers:
            self._whole.conn += 1
            self._numbers[conn] = self._whole.conn
        return self._numbers[conn]

    def append(self, message: Message, kind: Kind) -> None:
        """Hand a message on: at once while there is one connection, else merged with what the other half brings."""
        whole = self._whole
        if self.retired:
            return
        if whole.merge.idle or message.direction == Direction.OUT or kind not in _MERGED:
            whole.outlet.append(message, kind)
        else:
            whole.append_merged(self, message, kind)

    def event(self, event: Event) -> None:
        """Hand on a change of state."""
        if not self.retired and isinstance(event, StateChange):
            self._whole.change(self, event)

    def begin_gap(self, conn: int, cause: str, *, by_silence: bool = False) -> None:
        """Record a gap, unless there are two halves: what one misses, the other brings."""
        self.gap_cause = cause
        if not self.retired and self._whole.second is None:
            self._whole.outlet.begin_gap(conn, cause, by_silence=by_silence)

    def end_gap(self) -> None:
        """Data have come again on this half."""
        self.gap_cause = None
        if self is self._whole.first and not self.retired:
            self._whole.outlet.end_gap()

    def close(self) -> None:
        """The half has ended; the whole goes on."""


class RenewingReader:
    """Keeps one stream coming, with the interface of a `Reader`."""

    def __init__(
        self,
        stream: Stream,
        target: Target,
        *,
        source: str,
        outlet: Outlet,
        authorize: AuthorizeHook,
        profile: Profile = PROFILE,
        limits: PeerLimits = LIMITS,
        channels: Sequence[str] | None = None,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = now,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make a reader that does nothing yet. The words are those of `Reader`.

        Credentials that say when they are to be renewed are; others are used until the connection ends.
        """
        self.stream, self.target, self.source = stream, target, source
        self.new_reader = partial(
            Reader,
            stream,
            target,
            source=source,
            profile=profile,
            limits=limits,
            dice=dice,
            clock=clock,
            wall_ns=wall_ns,
        )
        """Makes a reader for a half."""
        self._authorize_hook = authorize
        self._profile, self._clock, self._wall_ns = profile, clock, wall_ns
        self.channels = None if channels is None else tuple(channels)
        """What is subscribed; `None` = what the peer gives by itself."""
        self._channels_mono_ns = int(clock() * 1e9)
        self.merge: Merge[tuple[Message, Kind]] = Merge()
        self.outlet = outlet
        self.conn = 0
        """The number of the newest connection of either half."""
        self.second: Half | None = None
        self.first = self._lead = Half(self, authorize)
        self._past = ReaderState("IDLE")
        self._changed = asyncio.Event()
        self._held_at = self.proven_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._ends: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._published = ""
        self.renewals = 0
        """Connections that were replaced without a gap."""

    # For users ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> ReaderState:
        """What a user should read now. Renewals without a gap are no reconnects."""
        state = self._lead.reader.state
        return replace(
            state,
            conn=self._lead.number(state.conn) or self._past.conn,
            attempts=self._past.attempts + state.attempts,
            reconnects=self._past.reconnects + state.reconnects,
            close_code=self._past.close_code if state.close_code is None else state.close_code,
        )

    def start(self) -> None:
        """Begin, in the running loop. Raises `SessionError` when it was started or stopped before."""
        self.first.reader.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"renewal of {self.source}")

    async def stop(self) -> None:
        """End for good, within the profile's close timeout and a little. Idempotent."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        second, self.second = self.second, None
        if second is not None:
            second.retired = True
            await second.reader.stop()
        self._lead = self.first
        await self.first.reader.stop()
        await asyncio.gather(*self._ends, return_exceptions=True)
        self._append_all(self.merge.forget())
        self.outlet.close()
        if self._published != "CLOSED" and self._task is not None:
            self._publish_state()

    async def send(self, text: str | bytes) -> None:
        """Send a text on the open connection. Raises `ConnectionFailed` when there is none."""
        await self._lead.reader.send(text)

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for exactly these, now and after each reconnect, once each time."""
        self.channels, self._channels_mono_ns = tuple(names), int(self._clock() * 1e9)
        for half in filter(None, (self.first, self.second)):
            with contextlib.suppress(ConnectionFailed):  # it was just lost; the next one will ask for them
                await half.reader.subscribe(names)

    # What a half calls --------------------------------------------------------------------------------------

    def append_merged(self, half: Half, message: Message, kind: Kind) -> None:
        """Hand on what can be handed on now that this message came on that half."""
        half.last_data_s = self._clock()
        key = _content(message)
        side = self.merge.second if half is self.second else self.merge.first
        messages = side(key, (message, kind))
        if self.merge.proven and not self.proven_at:
            self.proven_at = self._clock()
        if not self.merge.held:
            self._held_at = 0.0
        elif not self._held_at:
            self._held_at = self._clock()
        self._append_all(messages)

    def _append_all(self, messages: Iterable[tuple[tuple[Message, Kind], bool]]) -> None:
        """Hand on messages, each with its kind and whether it is a duplicate."""
        for (message, kind), duplicate in messages:
            if duplicate:
                message = msgspec.structs.replace(message, flags=message.flags | FLAG_DUPLICATE)  # noqa: PLW2901
            self.outlet.append(message, kind)

    def change(self, half: Half, change: StateChange) -> None:
        """Do what follows from a new state of a half."""
        if change.state == "CLOSED" and not self._stopped:
            return  # being closed by us; until it is over, messages come
        was_open, half.is_open = half.is_open, change.state == "OPEN"
        if half.is_open and not was_open:
            half.opened_at, half.was_open = self._clock(), True
        self._changed.set()
        lost = not half.is_open and (was_open or change.state != "CONNECTING")
        if half is self.second:
            if lost:
                self.merge.second_lost()
                self.proven_at = 0.0
        elif lost and was_open and self.second is not None:
            self._take_over(change)
            return
        if half is self._lead:
            self._publish_state(change.retry_at_ns)

    # Renewal ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopped:
            await self._until_due()
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - reported; the connection there is goes on
                report(f"A renewal of '{self.source}'", error)
                await asyncio.sleep(self._profile.renew_every_s)

    async def _until_due(self) -> None:
        """Wait until the token of the open connection is about to expire."""
        while True:
            self._changed.clear()
            first, due = self.first, self.first.credentials.renew_at_s
            wait = None
            if first.is_open and due is not None:
                wait = max(due, first.opened_at + self._profile.renew_every_s) - self._clock()
            if wait is not None and wait <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    wait
                ):  # wait_for may swallow a cancellation that comes with the event
                    await self._changed.wait()

    async def _renew(self) -> None:
        """Open a second connection, and keep both until one is enough."""
        profile = self._profile
        step = min(profile.renew_linger_s, profile.renew_hold_s, profile.renew_last_s) / _STEPS
        second = self.second = Half(self, self._authorize_hook)
        second.reader.start()
        while True:
            await asyncio.sleep(step)
            if self.second is not second:
                break  # the first was lost meanwhile, and the second took its place
            await self._look(second, self._clock())
        await asyncio.sleep(profile.renew_linger_s)
        self._append_all(self.merge.forget())

    async def _look(self, second: Half, time_s: float) -> None:
        """Do what the time has come for."""
        profile = self._profile
        held_too_long = time_s >= self._held_at + profile.renew_hold_s or self.merge.held > _MOST_HELD
        if self.merge.held and held_too_long:
            self._append_all(self.merge.release())
        if self.proven_at and time_s >= self.proven_at + profile.renew_linger_s and second.is_open:
            await self._hand_over(second)
            return
        expires = self.first.credentials.expires_at_s
        refused = second.was_authorized and not second.was_open  # a token was had, and no connection
        if refused and expires is not None and time_s >= expires - profile.renew_last_s:
            await self._close_then_open(second)

    async def _hand_over(self, second: Half) -> None:
        """Close the first connection; what it still brings until it is closed is merged as before."""
        first = self.first
        self._lead = second
        await first.reader.stop()
        if self.first is first:  # else it was lost before, and is replaced already
            whole = self.merge.proven  # False = the second was lost while the first was being closed
            self._replace_first(second, None if whole else second.gap_cause or LOST)
            self.renewals += whole
        self._publish_state()

    def _take_over(self, lost: StateChange) -> None:
        """The first connection is gone: the second one is the first now, in whatever state it is."""
        first, second = self.first, self.second
        assert second is not None  # who calls has looked
        whole = self.merge.proven or self._was_calm(first, second, lost)
        self._lead = second
        self._replace_first(second, None if whole else first.gap_cause or lost.text)
        self.renewals += whole
        task = asyncio.get_running_loop().create_task(first.reader.stop(), name=f"end of {self.source}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        self._publish_state()

    def _was_calm(self, first: Half, second: Half, lost: StateChange) -> bool:
        """Whether the first was closed in due form while neither connection had anything to bring.

        A peer that has had time to take notice of the second one's subscription would have sent it there, too.
        """
        settled = second.opened_at + self._profile.renew_settled_s
        calm = second.is_open and self._clock() >= settled and first.last_data_s <= settled
        return calm and lost.close_code not in (None, ABNORMAL)

    def _replace_first(self, second: Half, cause: str | None = None) -> None:
        """Let the second be the first. `cause` says why messages may be missing; `None` = none are."""
        first, self.first, self.second = self.first, second, None
        first.retired = True
        state = first.reader.state
        self._past = ReaderState(
            "IDLE",
            conn=self.conn,
            attempts=self._past.attempts + state.attempts,
            reconnects=self._past.reconnects + state.reconnects + (cause is not None),
            close_code=state.close_code,
        )
        out = self.merge.promote()
        if cause is not None or self.outlet.gap is not None:
            # The second's supervisor knows of the gap only if it has one of its own.
            conn = first.number(state.conn)
            self.outlet.begin_gap(conn, cause or "", until_data=second.gap_cause is None)
        self._append_all(out)

    async def _close_then_open(self, refused: Half) -> None:
        """Renew with a gap: the peer does not let us have two connections."""
        refused.retired, self.second = True, None
        fresh = Half(self, self._authorize_hook)
        first = self.first
        await asyncio.gather(refused.reader.stop(), first.reader.stop())
        self.merge.second_lost()
        self._lead = fresh
        self._replace_first(fresh, REFUSED)
        fresh.reader.start()

    def _publish_state(self, retry_at_ns: int | None = None) -> None:
        """Publish the state of the whole."""
        state, wall = self.state, self._wall_ns()
        self._published = state.word
        expires = self._lead.credentials.expires_at_s if self._lead.is_open else None
        until = None if expires is None else wall + int((expires - self._clock()) * 1e9)
        request = (self.channels, self._channels_mono_ns)
        self.outlet.event(state_change(state, state.conn, wall, retry_at_ns, request, token_until_ns=until))


def _content(message: Message) -> bytes:
    """Return what two copies of one message have in common, however each was compressed."""
    payload = message.payload
    if message.opcode == Opcode.BINARY:
        with contextlib.suppress(DecodeError):
            payload = inflate(payload)
    return blake2b(payload, digest_size=16).digest()
