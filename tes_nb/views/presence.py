"""Who looks at a view: only then is anything sent to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SILENCE_S = 65.0
"""A browser says every 20 s that it is there; after this long without it, while the kernel listens, it is gone."""
HIDDEN_SILENCE_S = 12 * 3600.0
PROBE_EVERY_S = 1.0
DEAF_AFTER_S = 2.5
"""The kernel's loop is probed each second; without an answer for so long it hears nobody."""


class Listening:
    """How long the kernel's own loop has been able to take messages: not while a cell holds it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch the loop that runs in the calling thread; where none runs, time simply passes."""
        self._clock = clock
        self._passed = 0.0
        self._asked_at: float | None = None
        self._last_asked = clock()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def seconds(self) -> float:
        """Return the seconds that have counted so far; cheap enough to be asked at each repaint."""
        now = self._clock()
        if self._loop is None or self._loop.is_closed():
            self._passed += now - self._last_asked
            self._last_asked = now
        elif self._asked_at is None and now - self._last_asked >= PROBE_EVERY_S:
            self._asked_at = now
            try:
                self._loop.call_soon_threadsafe(self._answered)
            except RuntimeError:  # closed meanwhile
                self._asked_at = None
        return self._passed

    def _answered(self) -> None:
        """The loop is free: what was waiting for it has been, or is about to be, handled."""
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < PROBE_EVERY_S:
            self._passed += self._asked_at - self._last_asked
        self._last_asked = now
        self._asked_at = None


@dataclass(slots=True)
class _Client:
    visible: bool
    heard_at: float


class Presence:
    """The browsers' views of one widget, by what they say.

    Until the first one has spoken the widget counts as seen: during "Run All" the kernel hears nobody.
    """

    def __init__(self, listening: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the time from `listening`: seconds during which messages could come in. clock: seconds."""
        self._listening = listening
        self._clock = clock
        self._counted = (listening(), clock())
        self._lock = threading.Lock()
        self._clients: dict[str, _Client] = {}
        self._made_at = listening()
        self.confirmed = False
        """Whether any browser has spoken."""

    def take(self, message: Mapping[str, Any]) -> None:
        """Take what a browser says: hello, visible, alive, keyframe or bye. Anything else is not ours."""
        client, kind = str(message.get("client", ""))[:64], message.get("type")
        if kind not in ("hello", "visible", "alive", "keyframe", "bye") or not client:
            return
        with self._lock:
            self.confirmed = True
            if kind == "bye":
                self._clients.pop(client, None)
                return
            known = self._clients.get(client)
            visible = known.visible if known else True
            if kind == "visible":
                visible = message.get("value") is True
            self._clients[client] = _Client(visible, self._listening())

    @property
    def watched(self) -> bool:
        """Whether anything need be sent."""
        now = self._listening()
        with self._lock:
            if not self.confirmed:
                return now - self._made_at < SILENCE_S
            for name, one in list(self._clients.items()):
                # a hidden one says nothing and costs nothing, but pages that were closed must not pile up
                if now - one.heard_at > (SILENCE_S if one.visible else HIDDEN_SILENCE_S):
                    del self._clients[name]
            return any(one.visible for one in self._clients.values())

    @property
    def deaf(self) -> bool:
        """Whether the kernel has not been able to hear anybody for a while: a cell holds its loop."""
        counted, now = self._listening(), self._clock()
        if counted != self._counted[0]:
            self._counted = (counted, now)
        return not self.confirmed or now - self._counted[1] > DEAF_AFTER_S

    @property
    def clients(self) -> int:
        """How many views there are, seen or not."""
        with self._lock:
            return len(self._clients)
