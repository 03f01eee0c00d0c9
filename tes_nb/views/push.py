"""What is sent to a view, and when: everything at first and on request, then what is new, if anybody looks.

docs/decisions/0010 says why a view that nobody has spoken for yet counts as seen.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

SILENCE_S = 65.0
"""A browser says every 20 s that it is there; after this long without it, while the kernel listens, it is gone."""
HIDDEN_SILENCE_S = 12 * 3600.0
UNHEARD_S = 12.0
"""A browser that shows a view says so at once: after so long, while the kernel listened, none has shown it (0042)."""
PROBE_EVERY_S = 1.0
DEAF_AFTER_S = 2.5
"""The kernel's loop is probed each second; without an answer for so long it hears nobody."""


class Listening:
    """How long the kernel's own loop has been able to take messages: not while a cell holds it."""

    _main_loop: asyncio.AbstractEventLoop | None = None
    """Of the main thread, which runs the cells. A subshell has a loop of its own, which no cell holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch the main thread's loop, else the calling thread's; where none runs, time simply passes."""
        self._clock = clock
        self._passed = 0.0
        self._probed_at: float | None = None
        self._counted_to = clock()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        if threading.current_thread() is threading.main_thread():
            Listening._main_loop = self._loop
        elif self._loop is not None:
            self._loop = Listening._main_loop or self._loop

    def seconds(self) -> float:
        """Return the seconds that have counted so far; cheap enough for each repaint."""
        now = self._clock()
        if self._loop is None or self._loop.is_closed():
            self._passed += now - self._counted_to
            self._counted_to = now
        elif self._probed_at is None and now - self._counted_to >= PROBE_EVERY_S:
            self._probed_at = now
            try:
                self._loop.call_soon_threadsafe(self._on_answer)
            except RuntimeError:  # closed meanwhile
                self._probed_at = None
        return self._passed

    def _on_answer(self) -> None:
        """The loop is free: what was waiting for it has been, or is about to be, handled."""
        now = self._clock()
        if self._probed_at is not None and now - self._probed_at < PROBE_EVERY_S:
            self._passed += self._probed_at - self._counted_to
        self._counted_to = now
        self._probed_at = None


@dataclass(slots=True)
class _Client:
    visible: bool
    spoke_at: float


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

    def note_message(self, message: Mapping[str, Any]) -> None:
        """Take what a browser says: hello, visible, alive, keyframe or bye. Anything else is not ours."""
        client, kind = str(message.get("client", ""))[:64], message.get("type")
        if kind not in ("hello", "visible", "alive", "keyframe", "bye") or not client:
            return
        with self._lock:
            self.confirmed = True
            if kind == "bye":
                self._clients.pop(client, None)
                return
            before = self._clients.get(client)
            visible = message.get("value") is True if kind == "visible" else before is None or before.visible
            self._clients[client] = _Client(visible, self._listening())

    @property
    def watched(self) -> bool:
        """Whether anything need be sent."""
        now = self._listening()
        with self._lock:
            if not self.confirmed:
                return now - self._made_at < UNHEARD_S
            for name, one in list(self._clients.items()):
                # a hidden one says nothing and costs nothing, but pages that were closed must not pile up
                if now - one.spoke_at > (SILENCE_S if one.visible else HIDDEN_SILENCE_S):
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


REPEAT_AT_S = (0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""When everything is sent again while no browser could answer: the first may have come before its listener."""
HEARTBEAT_S = 3.0


class Sent(NamedTuple):
    """One message to the browser."""

    content: dict[str, Any]
    buffers: Sequence[bytes] = ()


class Content(Protocol):
    """What a view shows, turned into messages. All is called on the clock's thread."""

    def check(self) -> None:
        """Look at what is new, also while nobody watches."""

    def everything(self) -> list[Sent]:
        """Return all there is: the browser knows nothing, or has missed something."""

    def news(self) -> list[Sent]:
        """Return what came since the last call of `everything` or `news`."""

    def state(self) -> dict[str, Any]:
        """Return what changed beside the data since it was last told, all of it after `everything`."""

    def fallback(self) -> str:
        """Return the same as small static HTML; called on any thread, changes nothing."""


class SentState:
    """Remembers what state a browser has been sent, so that only changes travel."""

    def __init__(self) -> None:
        self._sent: dict[str, Any] = {}

    def forget(self) -> None:
        """Send everything again: another browser listens, which begins with empty parts."""
        self._sent.clear()

    def changes(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parts that differ from what was sent."""
        changed = {
            name: part
            for name, part in state.items()
            if (part != self._sent[name] if name in self._sent else part)
        }
        self._sent.update(changed)
        return changed


class Push:
    """One view's traffic. `step` runs on the clock's thread, `request_all` on any."""

    def __init__(
        self,
        content: Content,
        send: Callable[[Sent], None],
        presence: Presence,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """send: a message → the browser. clock: seconds."""
        self.content = content
        self.ended = False
        self._send = send
        self._presence = presence
        self._clock = clock
        self._all_due = True
        self._made = self._last_sent = clock()
        self._repeats = list(REPEAT_AT_S)

    def request_all(self) -> None:
        """Send everything at the next step."""
        self._all_due = True

    def step(self) -> bool:
        """Send what is new, if anybody looks; False when the view has ended."""
        if self.ended:
            return False
        self.content.check()
        if not self._presence.watched:
            return True
        now = self._clock()
        self._plan(now)
        # unset before anything is read: what is asked for meanwhile is sent again
        all_due, self._all_due = self._all_due, False
        messages = self.content.everything() if all_due else self.content.news()
        state = self.content.state()
        if state or (not messages and now - self._last_sent >= HEARTBEAT_S):
            messages = [*messages, Sent({"type": "state", "state": state})]
        for message in messages:
            self._last_sent = now
            self._send(message)
        return True

    def _plan(self, now: float) -> None:
        """Until a browser has spoken, send all again now and then."""
        if self._presence.confirmed:
            self._repeats.clear()
        elif self._repeats and now - self._made >= self._repeats[0]:
            self._repeats.pop(0)
            self._all_due = True
