"""Handing live messages to user code: callbacks, and async iteration in the user's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from tes_nb.errors import BackgroundError
from tes_nb.model import Decoded, Message, Opcode

Follower = Callable[[Message, Decoded | None], object]
"""Takes every message with what the store made of it; `None` = an event of ours, or nothing that can be read."""

BUFFER = 10_000
"""Messages an iteration may lag before the oldest are dropped (and counted)."""


class Listeners:
    """Everyone who wants each message. `publish` runs on the background thread and never waits."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Message], object]] = []
        self._iterations: list[_Iteration] = []
        self._followers: list[Follower] = []
        self._errors: deque[tuple[str, Exception]] = deque(maxlen=100)
        self.dropped = 0
        """Messages that slow iterations missed."""
        self.closed = False
        """Whether no message can come any more."""

    def publish(self, message: Message, decoded: Decoded | None = None) -> None:
        """Give the message to everyone, our own events to followers only.

        What user code raises is kept for the next call.
        """
        for follower in tuple(self._followers):
            follower(message, decoded)
        if message.opcode == Opcode.EVENT:
            return
        for callback in tuple(self._callbacks):
            self.run(callback, message)
        for iteration in tuple(self._iterations):
            self.dropped += iteration.put(message)

    def run(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call a function of the user's; what it raises is kept for the next call."""
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - user code may raise anything; it is raised again
            self._errors.append((getattr(callback, "__name__", repr(callback)), error))

    def on_message(self, callback: Callable[[Message], object]) -> Callable[[], None]:
        """Add a callback; return the function that takes it off again."""
        self._callbacks.append(callback)

        def off() -> None:
            with contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return off

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Add one who takes our own events and decoded rows, too; return the function that takes it off again."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def raise_pending(self) -> None:
        """Raise what a callback raised on the background thread, once."""
        if self._errors:
            name, error = self._errors.popleft()
            self._errors.clear()
            raise BackgroundError(
                f"Your on_message function '{name}' raised {type(error).__name__}: {error}. "
                "It stays registered; call what on_message returned to take it off."
            ) from error

    async def iterate(self) -> AsyncIterator[Message]:
        """Yield each message from now on, until the feed closes."""
        iteration = _Iteration(asyncio.get_running_loop())
        self._iterations.append(iteration)
        if self.closed:  # nobody ends it any more
            iteration.end()
        try:
            while (message := await iteration.get()) is not None:
                yield message
        finally:
            self._iterations.remove(iteration)

    def close(self) -> None:
        """End every iteration: no message comes any more."""
        self.closed = True
        for iteration in tuple(self._iterations):
            iteration.end()


class _Iteration:
    """A bounded buffer between the background thread and one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer: deque[Message] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, message: Message) -> int:
        """Add a message from another thread; return how many were dropped for it."""
        dropped = 0
        if len(self._buffer) >= BUFFER:
            self._buffer.popleft()
            dropped = 1
        self._buffer.append(message)
        self._wake_up()
        return dropped

    def end(self) -> None:
        """Let `get` return `None` once the buffer is empty."""
        self._ended = True
        self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(RuntimeError):  # the user's loop is closed: nobody iterates any more
            self._loop.call_soon_threadsafe(self._wake.set)

    async def get(self) -> Message | None:
        while not self._buffer:
            if self._ended:
                return None
            self._wake.clear()
            if not self._buffer and not self._ended:
                await self._wake.wait()
        return self._buffer.popleft()
