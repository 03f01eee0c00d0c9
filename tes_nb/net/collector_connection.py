"""A connection to our own collector that comes back quickly: the common part of relay and control."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from tes_nb.errors import SessionError
from tes_nb.model.operation import START_HEADER
from tes_nb.net import transport
from tes_nb.net.logs import note
from tes_nb.net.loop import now
from tes_nb.net.transport import Closed, Link, PeerLimits
from tes_nb.wire.lifecycle import Failure, ReaderState, Word
from tes_nb.wire.profile import Profile
from tes_nb.wire.retry import Backoff, close_verdict, status_verdict

LOCAL = Profile(
    ping_interval_s=None,  # a cell that holds the interpreter must not look like a dead collector
    backoff_first_s=0.05,
    backoff_cap_s=1.0,
)
"""On loopback a peer that is there answers at once, and one that is gone is refused at once."""
LOCAL_LIMITS = PeerLimits(message_bytes=2 * 2**20)
"""The largest message of a peer, and the relay's header before it."""
_REFUSED_WAIT_S = 10.0
"""A token that is wrong will be wrong again, and a collector counts such tries."""
_LASTING_S = 1.0


class LocalConnection:
    """Connects, lets `serve` use the connection until it ends, and connects again, until stopped."""

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        serve: Callable[[Link], Awaitable[Closed]],
        *,
        headers: Mapping[str, str] | None = None,
        start_id: str = "",
        on_state: Callable[[ReaderState], None] | None = None,
        profile: Profile = LOCAL,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`url` is asked before each attempt; `serve` returns how the connection ended.

        start_id: that of the only collector which may answer; "" = whichever does. Another one at its address means
        that it is gone: that is the end, and `serve` is not called.
        """
        self._name = name
        self._url, self._serve, self._headers = url, serve, headers
        self._start_id = start_id
        self._on_state, self._profile = on_state, profile
        self._backoff = Backoff(profile.backoff_first_s, profile.backoff_cap_s, dice)
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._opens = self._attempts = 0
        self._retry_at = 0.0
        self._close_code: int | None = None
        self._word: Word = "IDLE"
        self._reason = ""
        self.is_replaced = False
        """Whether another collector answers at the address: ours will never again."""

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self._link is not None

    @property
    def state(self) -> ReaderState:
        """What a user should read now."""
        waiting = self._word in ("WAITING", "FAILED")
        return ReaderState(
            word=self._word,
            reason=self._reason if waiting else "",
            retry_in_s=max(self._retry_at - now(), 0.0) if waiting and not self.is_replaced else None,
            conn=self._opens,
            attempts=self._attempts,
            reconnects=max(self._opens - 1, 0),
            close_code=self._close_code,
        )

    def start(self) -> None:
        """Begin, in the running loop. Raises `SessionError` when it was started or stopped before."""
        if self._word != "IDLE":
            raise SessionError(f"The connection for '{self._name}' was started before; make a new one.")
        self._word = "CONNECTING"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"connection of {self._name}")

    async def stop(self) -> None:
        """Close for good, within the profile's close timeout. Idempotent."""
        task, self._task = self._task, None
        link = self._link
        if link is not None:
            await link.close("done")
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._word != "CLOSED":
            self._set_word("CLOSED")

    async def _run(self) -> None:
        while True:
            self._attempts += 1
            self._set_word("CONNECTING")
            refused = await self._once_safely()
            if self._task is None:  # being stopped
                return
            if self.is_replaced:
                self._set_word("FAILED")
                return
            wait_s = _REFUSED_WAIT_S if refused else self._backoff.next()
            self._retry_at = now() + wait_s
            self._set_word("FAILED" if refused else "WAITING")
            await asyncio.sleep(wait_s)

    async def _once_safely(self) -> bool:
        """As `_once`; a bug in what uses the connection is reported, and does not end the reconnecting."""
        try:
            return await self._once()
        except Exception as error:  # noqa: BLE001 - reported
            self._reason = f"an error of ours: {type(error).__name__}"
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"the connection of {self._name} failed", "exception": error}
            )
            return False

    async def _once(self) -> bool:
        """One attempt and what follows from it; return whether the collector refused us."""
        url = self._url()
        opened = await transport.connect(
            url, headers=self._headers, profile=self._profile, limits=LOCAL_LIMITS
        )
        if isinstance(opened, Failure):
            self._reason = opened.sentence
            verdict = None if opened.status is None else status_verdict(opened.status)
            return verdict is not None and (verdict.missing or verdict.fresh_token)
        if self._start_id and opened.header(START_HEADER) != self._start_id:
            opened.abort()
            self.is_replaced = True
            self._reason = f"another collector answers at {urlsplit(url).netloc}; start a new session"
            return False
        began = now()
        self._link = opened
        self._opens += 1
        self._set_word("OPEN")
        try:
            closed = await self._serve(opened)
        finally:
            self._link = None
            opened.abort()
        self._reason, self._close_code = closed.sentence, closed.code
        if now() - began >= _LASTING_S:
            self._backoff.reset()
        return close_verdict(closed.code).fresh_token

    def _set_word(self, word: Word) -> None:
        self._word = word
        state = self.state
        level = logging.WARNING if word == "FAILED" else logging.DEBUG
        note(level, f"{self._name}: {state}", source=self._name, state=word)
        if self._on_state is not None:
            self._on_state(state)
