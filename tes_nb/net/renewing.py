"""A reader whose connections are renewed before their tokens expire, without losing or doubling a message.

Two ordinary readers, called legs, take turns. Most of the time there is one, the first. When its token is about
to expire a second one gets a fresh token and a connection of its own; `tes_nb.wire.merge` merges what both
bring, and once a message came on both the first is closed and the second takes its place. A first that is lost
meanwhile is replaced at once; unless it is proven that nothing is missing, a gap is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from tes_nb.errors import AuthenticationError, ConnectionFailed, DecodeError
from tes_nb.model import Direction, Kind, Opcode, Stream
from tes_nb.net.auth import NO_GRANT, AuthorizeHook, Grant
from tes_nb.net.endpoints import Target
from tes_nb.net.loop import now
from tes_nb.net.outlet import Item, Joined, Sink
from tes_nb.net.reader import Reader
from tes_nb.net.transport import LIMITS, Limits
from tes_nb.wire.events import Event, Gap, StateChange
from tes_nb.wire.inflate import inflate
from tes_nb.wire.lifecycle import ReaderState
from tes_nb.wire.merge import Merge
from tes_nb.wire.profile import PROFILE, Profile

_NEVER = float("-inf")


class Owner(Protocol):
    """Who owns the legs."""

    def connects(self, leg: Leg) -> None:
        """A leg has a grant, and opens a connection next."""

    def received(self, leg: Leg, item: Item) -> None:
        """A message came, its connection numbered over all legs."""

    def event(self, leg: Leg, event: Event) -> None:
        """A gap or a change of state, its connection numbered over all legs."""


class Leg:
    """A reader with the numbers of its connections, its newest grant, and whether it is open."""

    def __init__(
        self,
        owner: Owner,
        authorize: AuthorizeHook,
        make: Callable[[Leg], Reader],
        next_conn: Callable[[], int],
    ) -> None:
        """`make` gives its reader; `next_conn` numbers a connection."""
        self._owner = owner
        self._authorize = authorize
        self._next_conn = next_conn
        self._numbers: dict[int, int] = {}
        self.grant: Grant = NO_GRANT
        self.was_granted = False
        self.was_open = False
        self.is_open = False
        self.opened_at = _NEVER
        """When the newest connection was opened, on the reader's monotonic clock."""
        self.last_data_s = _NEVER
        self.retired = False
        """Whether it is over: nothing of it counts any more."""
        self.reader = make(self)

    async def authorize(self) -> Grant:
        """Get what the next connection needs."""
        if self.retired:
            raise AuthenticationError("This connection was replaced.")
        self.grant = await self._authorize()
        self.was_granted = True
        self._owner.connects(self)
        return self.grant

    def due_s(self, least_s: float) -> float | None:
        """When the open connection is to be renewed, at least `least_s` after it began; `None` = not at all."""
        if not self.is_open or self.grant.renew_at_s is None:
            return None
        return max(self.grant.renew_at_s, self.opened_at + least_s)

    def note(self, change: StateChange, time_s: float) -> None:
        """Take notice of the reader's state."""
        if change.state == "OPEN":
            if not self.is_open:
                self.opened_at = time_s
            self.is_open = self.was_open = True
        else:
            self.is_open = False

    def number(self, conn: int) -> int:
        """Return the number that a connection of this leg has among all connections; 0 = it had none."""
        if conn == 0:
            return 0
        if conn not in self._numbers:
            self._numbers[conn] = self._next_conn()
        return self._numbers[conn]

    def received(self, direction: Direction, opcode: Opcode, payload: bytes, conn: int, flags: int) -> None:
        """Hand a message on (as the reader's sink)."""
        self._owner.received(self, (direction, opcode, payload, self.number(conn), flags))

    def event(self, event: Event) -> None:
        """Hand an event on (as the reader's sink)."""
        if isinstance(event, Gap | StateChange):
            event = msgspec.structs.replace(event, conn=self.number(event.conn))
        self._owner.event(self, event)


_MERGED = (Kind.DATA, Kind.UNDECODED)
"""Kinds that a peer broadcasts; keepalives and replies belong to one connection."""
_STEPS = 5
"""A renewal looks at the clock so many times within the shortest of its times."""
_MOST_HELD = 10_000
REFUSED = "closed for a new token: the peer refuses a second connection"
LOST = "the new connection was lost while the old one was closed"


class RenewingReader:
    """Keeps one stream coming, with the face of a `Reader`."""

    def __init__(
        self,
        stream: Stream,
        target: Target,
        *,
        source: str,
        sink: Sink,
        authorize: AuthorizeHook,
        profile: Profile = PROFILE,
        limits: Limits = LIMITS,
        channels: Sequence[str] | None = None,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = now,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Make a reader that does nothing yet. The words are those of `Reader`.

        Grants that say when they are to be renewed are; the others are used until the connection ends.
        """
        self.stream, self.target, self.source = stream, target, source
        self._authorize_hook = authorize
        self._profile, self._limits = profile, limits
        self._dice, self._clock, self._wall_ns = dice, clock, wall_ns
        self._channels = None if channels is None else tuple(channels)
        self._merge: Merge[Item] = Merge()
        self._out = Joined(stream, source, sink, wall_ns)
        self._conn = 0
        self._first = self._lead = self._new_leg()
        self._second: Leg | None = None
        self._past = ReaderState("IDLE")
        self._news = asyncio.Event()
        self._held_at = self._proven_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._ends: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._shown = ""
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

    @property
    def sink_errors(self) -> int:
        """How often the sink raised; each time the loop's handler was told."""
        return self._out.errors

    @property
    def channels(self) -> tuple[str, ...] | None:
        """What is subscribed; `None` = what the peer gives by itself."""
        return self._channels

    def start(self) -> None:
        """Begin, in the running loop. Raises `SessionError` when it was started or stopped before."""
        self._first.reader.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"renewal of {self.source}")

    async def stop(self) -> None:
        """End for good, within the profile's close timeout and a little. Idempotent."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        second, self._second = self._second, None
        if second is not None:
            second.retired = True
            await second.reader.stop()
        self._lead = self._first
        await self._first.reader.stop()
        await asyncio.gather(*self._ends, return_exceptions=True)
        self._out.emit(self._merge.forget())
        self._out.close()
        if self._shown != "CLOSED" and self._task is not None:
            self._show()

    async def send(self, text: str | bytes) -> None:
        """Send a text on the open connection. Raises `ConnectionFailed` when there is none."""
        await self._lead.reader.send(text)

    async def subscribe(self, names: Sequence[str]) -> None:
        """Ask the peer for exactly these, now and after each reconnect, once each time."""
        self._channels = tuple(names)
        for leg in filter(None, (self._first, self._second)):
            with contextlib.suppress(ConnectionFailed):  # it was just lost; the next one will ask for them
                await leg.reader.subscribe(names)

    # Legs ---------------------------------------------------------------------------------------------------

    def _new_leg(self) -> Leg:
        def reader(leg: Leg) -> Reader:
            return Reader(
                self.stream,
                self.target,
                source=self.source,
                sink=leg,
                profile=self._profile,
                limits=self._limits,
                authorize=leg.authorize,
                channels=self._channels,
                dice=self._dice,
                clock=self._clock,
                wall_ns=self._wall_ns,
            )

        return Leg(self, self._authorize_hook, reader, self._next_conn)

    def _next_conn(self) -> int:
        self._conn += 1
        return self._conn

    def connects(self, leg: Leg) -> None:
        """Take notice that a leg is about to open a connection: from now on both are counted."""
        if leg is self._second:
            self._merge.begin()
            self._proven_at = 0.0

    def received(self, leg: Leg, item: Item) -> None:
        """Take a message of a leg."""
        if leg.retired:
            return
        direction, opcode, payload, _, _ = item
        if self._merge.idle or direction is Direction.OUT:
            self._out.give(item)
            return
        kind = self._out.kind(item)
        if kind not in _MERGED:
            self._out.give(item)
            return
        leg.last_data_s = self._clock()
        key = _content(opcode, payload)
        out = self._merge.second(key, item) if leg is self._second else self._merge.first(key, item)
        self._note_progress()
        self._out.emit(out)

    def _note_progress(self) -> None:
        if self._merge.proven and not self._proven_at:
            self._proven_at = self._clock()
        if not self._merge.held:
            self._held_at = 0.0
        elif not self._held_at:
            self._held_at = self._clock()

    def event(self, leg: Leg, event: Event) -> None:
        """Take a gap or a change of state of a leg."""
        if leg.retired:
            return
        if isinstance(event, StateChange):
            self._changed(leg, event)
        elif leg is self._first and self._out.gap is None:  # what a second one misses, the first brings
            self._out.tell(event)

    def _changed(self, leg: Leg, change: StateChange) -> None:
        if change.state == "CLOSED" and not self._stopped:
            return  # being closed by us; until it is over, messages come
        was_open = leg.is_open
        leg.note(change, self._clock())
        self._news.set()
        lost = not leg.is_open and (was_open or change.state != "CONNECTING")
        if leg is self._second:
            if lost:
                self._merge.second_lost()
                self._proven_at = 0.0
        elif lost and was_open and self._second is not None:
            self._take_over(change)
            return
        if leg is self._lead:
            self._show(change.retry_at_ns)

    # Renewal ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopped:
            await self._until_due()
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - reported; the connection there is goes on
                self._out.report("a renewal", error)
                await asyncio.sleep(self._profile.renew_every_s)

    async def _until_due(self) -> None:
        """Wait until the token of the open connection is about to expire."""
        while True:
            self._news.clear()
            due = self._first.due_s(self._profile.renew_every_s)
            wait = None if due is None else due - self._clock()
            if wait is not None and wait <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for may swallow a cancellation that comes with news
                    await self._news.wait()

    async def _renew(self) -> None:
        """Open a second connection, and keep both until one is enough."""
        profile = self._profile
        step = min(profile.renew_linger_s, profile.renew_hold_s, profile.renew_last_s) / _STEPS
        second = self._second = self._new_leg()
        second.reader.start()
        while True:
            await asyncio.sleep(step)
            if self._second is not second:
                break  # the first was lost meanwhile, and the second took its place
            await self._look(second, self._clock())
        await asyncio.sleep(profile.renew_linger_s)
        self._out.emit(self._merge.forget())

    async def _look(self, second: Leg, time_s: float) -> None:
        """Do what the time has come for."""
        profile = self._profile
        if self._merge.held and self._is_held_too_long(time_s):
            self._out.emit(self._merge.release())
        if self._proven_at and time_s >= self._proven_at + profile.renew_linger_s and second.is_open:
            await self._hand_over(second)
        elif self._is_refused(second, time_s):
            await self._close_then_open(second)

    def _is_held_too_long(self, time_s: float) -> bool:
        return time_s >= self._held_at + self._profile.renew_hold_s or self._merge.held > _MOST_HELD

    def _is_refused(self, second: Leg, time_s: float) -> bool:
        """Whether there was a token for a second connection, but no connection, and time runs out."""
        expires = self._first.grant.expires_at_s
        if second.is_open or not second.was_granted or expires is None:
            return False
        return not second.was_open and time_s >= expires - self._profile.renew_last_s

    async def _hand_over(self, second: Leg) -> None:
        """Close the first connection; what it still brings until it is closed is merged as before."""
        first = self._first
        self._lead = second
        await first.reader.stop()
        if self._first is first:  # else it was lost before, and is replaced already
            whole = self._merge.proven  # False = the second was lost while the first was being closed
            self._replace_first(second, None if whole else _cause(second, LOST))
            self.renewals += whole
        self._show()

    def _take_over(self, lost: StateChange) -> None:
        """The first connection is gone: the second one is the first now, whatever it is doing."""
        first, second = self._first, self._second
        assert second is not None  # who calls has looked
        whole = self._merge.proven or self._was_calm(first, second, lost)
        self._lead = second
        self._replace_first(second, None if whole else _cause(first, lost.text))
        self.renewals += whole
        self._end(first.reader.stop())
        self._show()

    def _was_calm(self, first: Leg, second: Leg, lost: StateChange) -> bool:
        """Whether the first was closed in due form while neither connection had anything to bring.

        A peer that has had time to take notice of the second one's subscription would have sent it there, too.
        """
        settled = second.opened_at + self._profile.renew_settled_s
        calm = second.is_open and self._clock() >= settled and first.last_data_s <= settled
        return calm and lost.close_code not in (None, 1006)

    def _replace_first(self, second: Leg, cause: str | None = None) -> None:
        """Let the second be the first. `cause` says why messages may be missing; `None` = none are."""
        first, self._first, self._second = self._first, second, None
        first.retired = True
        state = first.reader.state
        self._past = ReaderState(
            "IDLE",
            conn=self._conn,
            attempts=self._past.attempts + state.attempts,
            reconnects=self._past.reconnects + state.reconnects + (cause is not None),
            close_code=state.close_code,
        )
        out = self._merge.promote()
        if cause is not None:
            self._out.gap_begins(first.number(state.conn), cause)
        self._out.emit(out)

    async def _close_then_open(self, refused: Leg) -> None:
        """Renew with a gap: the peer does not let us have two connections."""
        refused.retired, self._second = True, None
        fresh = self._new_leg()
        first = self._first
        await asyncio.gather(refused.reader.stop(), first.reader.stop())
        self._merge.second_lost()
        self._lead = fresh
        self._replace_first(fresh, REFUSED)
        fresh.reader.start()

    def _end(self, coro: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro, name=f"end of a connection of {self.source}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    # The way out --------------------------------------------------------------------------------------------

    def _show(self, retry_at_ns: int | None = None) -> None:
        """Publish the state of the whole."""
        state, wall = self.state, self._wall_ns()
        self._shown = state.word
        expires = self._lead.grant.expires_at_s if self._lead.is_open else None
        self._out.tell(
            StateChange(
                state=state.word,
                text=str(state),
                conn=state.conn,
                at_ns=wall,
                attempts=state.attempts,
                reconnects=state.reconnects,
                close_code=state.close_code,
                retry_at_ns=retry_at_ns,
                token_until_ns=None if expires is None else wall + int((expires - self._clock()) * 1e9),
            )
        )


def _cause(leg: Leg, otherwise: str) -> str:
    """Return why a leg's connection was lost."""
    gap = leg.reader.gap
    return otherwise if gap is None else gap.cause


def _content(opcode: Opcode, payload: bytes) -> bytes:
    """Return what two copies of one message have in common, however each was compressed."""
    if opcode is Opcode.BINARY:
        with contextlib.suppress(DecodeError):
            payload = inflate(payload)
    return blake2b(payload, digest_size=16).digest()
