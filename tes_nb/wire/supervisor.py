"""The states of one upstream connection, without I/O, clock or random numbers of its own.

`Supervisor.handle(event, now)` takes one event and returns the commands that follow. What can happen in which
state is the table `TRANSITIONS` at the end of this file; a pair that is not listed is ignored on purpose,
because events of an attempt that is over arrive late in every real program.

    IDLE ─► AUTHORIZING ─► CONNECTING ─► OPEN ─► CLOSING
                 ▲              │          │        │
                 └── WAITING ◄──┴──────────┴────────┘          STOPPED from everywhere

At most one attempt is under way: a `Connect` is only ever returned when the attempt before it was answered
with `NotAuthorized`, `NotOpened` or `Lost`. A renewal that opens the next connection before the old one is
closed is a second supervisor beside this one, driven by the same shell, and not more states in this one.

POLLING and FAILED are no states of the connection but what a user should read: see `view`.
"""

# ruff: noqa: ARG002, SLF001 - the acts of the table share one signature, and it stands outside the class

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from tes_nb.model import Kind
from tes_nb.wire import retry
from tes_nb.wire.lifecycle import (
    Abandon,
    Authorize,
    Authorized,
    Close,
    Command,
    Connect,
    Event,
    GapBegins,
    GapEnds,
    Heartbeat,
    Lost,
    NotAuthorized,
    NotOpened,
    Opened,
    Poll,
    Polled,
    ReaderState,
    Received,
    Start,
    Stop,
    Subscribe,
    Tick,
    Word,
)
from tes_nb.wire.liveness import NEVER, Fallback, Liveness
from tes_nb.wire.profile import PROFILE, Profile
from tes_nb.wire.retry import Backoff, Verdict

_BY_KIND: Mapping[str, Verdict] = {
    **dict.fromkeys(("refused", "network", "dns", "tls"), retry.UNREACHABLE),
    "auth": retry.NOT_ALLOWED,
}


class State(StrEnum):
    """Where the connection is."""

    IDLE = "idle"
    AUTHORIZING = "authorizing"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    WAITING = "waiting"
    STOPPED = "stopped"


_WORDS: Mapping[State, Word] = {
    State.IDLE: "IDLE",
    State.AUTHORIZING: "CONNECTING",
    State.CONNECTING: "CONNECTING",
    State.OPEN: "OPEN",
    State.CLOSING: "WAITING",
    State.WAITING: "WAITING",
    State.STOPPED: "CLOSED",
}


class Supervisor:
    """Decides; a shell does. All times are seconds on one monotonic clock, handed in as `now`."""

    def __init__(
        self,
        *,
        period_s: float,
        random: Callable[[], float],
        profile: Profile = PROFILE,
        paths: int = 1,
        can_poll: bool = False,
        heartbeat_s: float | None = None,
        authorizes: bool = False,
    ) -> None:
        """Make one that does nothing yet.

        `random` gives floats in [0, 1). `paths` is how many candidate URLs there are. `heartbeat_s=None`:
        there is nothing to send. `authorizes`: each attempt begins with `Authorize`.
        """
        self._profile = profile
        self._paths = paths
        self._authorizes = authorizes
        self._backoff = Backoff(profile.backoff_first_s, profile.backoff_cap_s, random)
        self._live = Liveness(profile, period_s, heartbeat_s)
        self._fallback = Fallback(profile, period_s, random) if can_poll else None
        self._out: list[Command] = []
        self.state = State.IDLE
        self.conn = 0
        """The number of the present or last WebSocket connection; 0 = there was none."""
        self.revision = 0
        """Goes up whenever `view` may have changed."""
        self._connections = 0  # numbers given out, to sockets and to runs of polling
        self._opens = 0
        self._attempt = 0
        self._path = 0
        self._clock = -NEVER
        self._retry_at = NEVER
        self._reason, self._advice = "", ""
        self._status: int | None = None
        self._close_code: int | None = None
        self._missing = 0  # handshakes in a row that said "no such thing"
        self._verdict = retry.BACKOFF
        self._fresh_tried = False
        self._gap: GapBegins | None = None

    # What a shell calls ----------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event at `now`; return what to do, in this order. Never raises, in no order."""
        self._out = []
        self._note_hold(now)
        act = TRANSITIONS.get((self.state, type(event)))
        if act is not None and getattr(event, "attempt", self._attempt) == self._attempt:
            act(self, event, now)
        elif isinstance(event, Opened):  # an attempt that was given up came through after all
            self._out.append(Close(event.attempt, "superseded"))
        if isinstance(event, Tick) and self.state in _ALIVE and now >= self._live.silent_at():
            self._begin_gap(self._data_conn, f"no data for {self._live.stale_s:g} s", by_silence=True)
        return self._out

    def deadline(self) -> float:
        """When the next `Tick` is wanted at the latest; infinity = not at all."""
        if self.state in (State.IDLE, State.STOPPED):
            return NEVER
        due = self._clock + self._profile.tick_s
        if self._gap is None:
            due = min(due, self._live.silent_at())
        if self.state is State.WAITING:
            due = min(due, self._retry_at)
        elif self.state is State.OPEN:
            due = min(due, self._live.due_at())
        if self._fallback is not None and self._may_poll():
            due = min(due, self._fallback.due_at())
        return due

    def view(self, now: float) -> ReaderState:
        """Return what a user should read now."""
        word = self._word()
        waiting = self.state is State.WAITING and word in ("WAITING", "FAILED")
        return ReaderState(
            word=word,
            reason=self._visible_reason(word),
            status=self._status if word == "FAILED" else None,
            retry_in_s=max(self._retry_at - now, 0.0) if waiting else None,
            stale=self._live.stale and word == "OPEN",
            conn=self.conn,
            attempts=self._attempt,
            reconnects=max(self._opens - 1, 0),
            close_code=self._close_code,
        )

    # What a user should read -----------------------------------------------------------------------------

    def _word(self) -> Word:
        if self.state in (State.IDLE, State.STOPPED):
            return _WORDS[self.state]
        if self._fallback is not None and self._fallback.working:
            return "POLLING"
        if self._missing >= self._profile.missing_tries and self.state is not State.OPEN:
            return "FAILED"
        return _WORDS[self.state]

    def _visible_reason(self, word: Word) -> str:
        if word == "POLLING" and self._fallback is not None:
            why = f"no push for {self._fallback.quiet_s:g} s" if self.state is State.OPEN else self._reason
            return f"every {self._profile.poll_every_s:g} s over HTTP, {why}"
        return f"{self._reason}{self._advice}" if word in ("WAITING", "FAILED") else ""

    # A new attempt ---------------------------------------------------------------------------------------

    def _start(self, event: Start, now: float) -> None:
        self._live.begin(now)
        if self._fallback is not None:
            self._fallback.begin(now)
        self._try(now)

    def _try(self, now: float) -> None:
        self._attempt += 1
        self._retry_at = NEVER
        if self._authorizes:
            self._go(State.AUTHORIZING)
            self._out.append(Authorize(self._attempt))
        else:
            self._connect(None, now)

    def _connect(self, event: Authorized | None, now: float) -> None:
        self._go(State.CONNECTING)
        self._out.append(Connect(self._attempt, self._path))

    def _not_authorized(self, event: NotAuthorized, now: float) -> None:
        self._wait(event.sentence, retry.NOT_ALLOWED, now, event.retry_after_s)

    def _not_opened(self, event: NotOpened, now: float) -> None:
        failure = event.failure
        self._status = failure.status
        if failure.status is not None:
            verdict = retry.status_verdict(failure.status)
        else:
            verdict = _BY_KIND.get(failure.kind, retry.BACKOFF)
        self._wait(failure.sentence, verdict, now, failure.retry_after_s)
        self._advice = failure.advice

    # An open connection ----------------------------------------------------------------------------------

    def _opened(self, event: Opened, now: float) -> None:
        self._go(State.OPEN)
        self._opens += 1
        self.conn = self._number()
        self._live.opened(now)
        self._out.append(Subscribe(self._attempt))

    def _received(self, event: Received, now: float) -> None:
        self._live.received(event.kind, now)
        if event.kind is Kind.DATA:
            self._missing = 0
            if self._fallback is not None:
                self.revision += self._fallback.working
                self._fallback.pushed(now)
            self._data(now)

    def _data(self, now: float) -> None:
        """Data came, pushed or polled."""
        self.revision += self._live.data(now)
        if self._gap is not None:
            self._gap = None
            self._out.append(GapEnds())

    def _watch(self, event: Tick, now: float) -> None:
        self._note_health(now)
        if self._live.heartbeat_due(now):
            self._out.append(Heartbeat(self._attempt))
        self.revision += self._live.look(now)
        if self._live.dead(now):
            self._close(f"no message for {self._profile.watchdog_s:g} s")
        elif self._paths > 1 and self._live.only_greeted(now):
            self._close(retry.NO_DATA.meaning)
        self._poll(event, now)

    def _close(self, reason: str) -> None:
        self._go(State.CLOSING)
        self._reason = reason
        self._out.append(Close(self._attempt, reason))

    def _lost(self, event: Lost, now: float) -> None:
        self._note_health(now)
        self._close_code = event.code
        self._wait(event.sentence, retry.close_verdict(event.code), now)

    def _lost_as_wished(self, event: Lost, now: float) -> None:
        self._close_code = event.code
        self._wait(self._reason, retry.BACKOFF if self._live.has_data else retry.NO_DATA, now)

    def _note_health(self, now: float) -> None:
        if self._live.healthy(now):
            self._backoff.reset()
            self._fresh_tried = False

    # Between two attempts --------------------------------------------------------------------------------

    def _wait(self, reason: str, verdict: Verdict, now: float, retry_after_s: float | None = None) -> None:
        self._go(State.WAITING)
        self._reason, self._advice = reason, ""
        self._verdict = verdict
        self._missing = self._missing + 1 if verdict.missing else 0
        if verdict.missing or verdict is retry.NO_DATA:
            self._path = (self._path + 1) % self._paths
            if self._fallback is not None:
                self._fallback.hurry()
        if self._fallback is None or not self._fallback.working:  # else polling goes on bringing data
            self._begin_gap(self.conn, reason)
        self._retry_at = now + self._delay(verdict, retry_after_s)
        self._retry(None, now)

    @property
    def _data_conn(self) -> int:
        """The number of what data come over: the run of polling, or the connection."""
        polling = 0 if self._fallback is None else self._fallback.conn
        return polling or self.conn

    def _begin_gap(self, conn: int, cause: str, *, by_silence: bool = False) -> None:
        """Say that a gap begins; of one that is open, what explains it."""
        if self._gap is None or (self._gap.by_silence and not by_silence):
            self._gap = GapBegins(conn, cause, by_silence)
            self._out.append(self._gap)

    def _delay(self, verdict: Verdict, retry_after_s: float | None) -> float:
        if verdict.fresh_token and self._authorizes and not self._fresh_tried:
            self._fresh_tried = True
            return 0.0
        delay = self._backoff.next()
        if self._missing >= self._profile.missing_tries:
            delay = self._backoff.rest()
        if verdict.slow:
            delay = max(delay, self._backoff.cap_s / 2)
        if retry_after_s is not None:
            delay = max(delay, min(retry_after_s, self._profile.longest_retry_after_s))
        return delay

    def _retry(self, event: Tick | None, now: float) -> None:
        if now >= self._retry_at:
            self._try(now)
        elif event is not None:
            self._poll(event, now)

    # Polling beside or instead of the connection ---------------------------------------------------------

    def _may_poll(self) -> bool:
        fallback = self._fallback
        return fallback is not None and (
            fallback.working or self._verdict.pollable or self.state is State.OPEN
        )

    def _poll(self, event: Tick, now: float) -> None:
        fallback = self._fallback
        if fallback is None or not self._may_poll() or now < fallback.due_at():
            return
        if fallback.conn == 0:
            fallback.conn = self._number()
        fallback.begun(now)
        self._out.append(Poll(fallback.conn))

    def _polled(self, event: Polled, now: float) -> None:
        fallback = self._fallback
        if fallback is None:
            return
        if event.failure is None:
            self._data(now)
        elif fallback.working:
            self._begin_gap(fallback.conn, event.failure.sentence)
        fallback.ended(ok=event.failure is None, now=now)
        self.revision += 1

    # The end, and the clock ------------------------------------------------------------------------------

    def _stop(self, event: Stop, now: float) -> None:
        if self.state in (State.AUTHORIZING, State.CONNECTING):
            self._out.append(Abandon(self._attempt))
        elif self.state is State.OPEN:
            self._out.append(Close(self._attempt, "done"))
        self._go(State.STOPPED)

    def _go(self, state: State) -> None:
        self.state = state
        self.revision += 1

    def _number(self) -> int:
        self._connections += 1
        return self._connections

    def _note_hold(self, now: float) -> None:
        """A clock that comes much later than a tick stood still: that is no silence of the peer."""
        late = now - self._clock - self._profile.tick_s
        if self._profile.held_s < late < NEVER:
            self._live.held(late)
            if self._fallback is not None:
                self._fallback.held(late)
        self._clock = max(self._clock, now)


_Act = Callable[[Supervisor, Any, float], None]
_ALIVE = (State.AUTHORIZING, State.CONNECTING, State.OPEN, State.CLOSING, State.WAITING)

TRANSITIONS: Mapping[tuple[State, type], _Act] = {
    (State.IDLE, Start): Supervisor._start,
    (State.IDLE, Stop): Supervisor._stop,
    (State.AUTHORIZING, Authorized): Supervisor._connect,
    (State.AUTHORIZING, NotAuthorized): Supervisor._not_authorized,
    (State.AUTHORIZING, Tick): Supervisor._poll,
    (State.CONNECTING, Opened): Supervisor._opened,
    (State.CONNECTING, NotOpened): Supervisor._not_opened,
    (State.CONNECTING, Tick): Supervisor._poll,
    (State.OPEN, Received): Supervisor._received,
    (State.OPEN, Lost): Supervisor._lost,
    (State.OPEN, Tick): Supervisor._watch,
    (State.CLOSING, Lost): Supervisor._lost_as_wished,
    (State.WAITING, Tick): Supervisor._retry,
    **{(state, Polled): Supervisor._polled for state in _ALIVE},
    **{(state, Stop): Supervisor._stop for state in _ALIVE},
}
"""(state, type of event) → what happens. What is not listed is ignored deliberately."""
