"""What DevTools' Messages tab shows, in the notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tes_nb.errors import TesError
from tes_nb.model import Message
from tes_nb.store.memory.recent import RecentMessage, RecentMessages
from tes_nb.streams.browser_json import PREVIEW_CHARS, inflated, inspect_message
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import MOST_ROWS, newest_rows
from tes_nb.views.live import LiveView, json_period, silent_sentence
from tes_nb.views.push import Sent, SentState

FIRST = 500
"""Messages of each source that a new inspector begins with."""
A_STEP = 200
"""Messages that are sent at one step, the newest; an inspector is not to cost more than it shows."""
INLINE_BYTES = 8 * 1024
"""Payloads up to this size travel along; larger ones on request."""
HISTORY = 50


class InspectorContent:
    """The messages and connections of some sources."""

    def __init__(self, sources: Sequence[RecentMessages]) -> None:
        self._sources = {recent.name: recent for recent in sources}
        self._cursors = dict.fromkeys(self._sources, 0)
        self._state = SentState()
        self.sentence = ""

    def check(self) -> None:
        """Nothing to watch for."""

    def everything(self) -> list[Sent]:
        """Return the newest messages of every source."""
        self._cursors = dict.fromkeys(self._sources, 0)
        self._state.forget()
        return [self._messages(FIRST, replace=True)]

    def news(self) -> list[Sent]:
        """Return the new messages."""
        new = self._messages(A_STEP, replace=False)
        return [new] if new.buffers else []

    def _messages(self, most: int, *, replace: bool) -> Sent:
        newest: list[tuple[RecentMessages, RecentMessage]] = []
        for name, recent in self._sources.items():
            new = recent.since(self._cursors[name])
            if new:
                self._cursors[name] = new[-1].number
            newest += [(recent, entry) for entry in new[-most:]]
        newest.sort(key=_received_at)
        described = [describe(recent, entry) for recent, entry in newest]
        content = {"type": "messages", "replace": replace, "items": [item for item, _ in described]}
        return Sent(content, [payload for _, payload in described])

    def state(self) -> dict[str, Any]:
        """Return the connections, and the sentence, where they changed."""
        connections = [_connection(recent) for recent in self._sources.values()]
        return self._state.changes({"connections": connections, "sentence": self.sentence})

    def fallback(self) -> str:
        """Return the newest messages, without their payloads."""
        newest = [(recent, one) for recent in self._sources.values() for one in recent.since(0)[-MOST_ROWS:]]
        newest.sort(key=_received_at, reverse=True)
        items = [describe(recent, one)[0] for recent, one in newest[:MOST_ROWS]]
        names = ("direction", "kind", "size", "outcome", "preview")
        return newest_rows(names, [[item[name] for name in names] for item in items])

    def find(self, identity: str) -> Message | None:
        """Return the message with this id; `None` = it is no longer kept, or never was."""
        name, _, number = identity.rpartition(" ")
        recent = self._sources.get(name)
        return None if recent is None or not number.isdecimal() else recent.find(int(number[:18]))


def _received_at(pair: tuple[RecentMessages, RecentMessage]) -> int:
    return pair[1].message.t_wall_ns


def describe(recent: RecentMessages, entry: RecentMessage) -> tuple[dict[str, Any], bytes]:
    """Return a message as the browser lists it, and its payload inflated if it is to travel along."""
    info, payload, _ = inspect_message(recent.name, recent.decode, entry.message)
    item = {"id": f"{recent.name} {entry.number}", **msgspec.structs.asdict(info)}
    return item, payload if len(payload) <= INLINE_BYTES else b""


def _connection(recent: RecentMessages) -> dict[str, Any]:
    states = recent.states
    if not states:
        return {"name": recent.name, "state": "OPEN", "text": "made by our own samplers", "history": []}
    last = states[-1]
    history = [{"t": one.at_ns / 1e9, "text": one.text[:PREVIEW_CHARS]} for one in states[-HISTORY:]]
    return {
        "name": recent.name,
        "state": last.state,
        "text": last.text[:PREVIEW_CHARS],
        "attempts": last.attempts,
        "reconnects": last.reconnects,
        "close_code": last.close_code,
        "since": last.at_ns / 1e9,
        "history": history,
    }


MAX_SENT_BYTES = 2**20
"""Of a payload that is requested, at most so much is sent."""

Save = Callable[[Sequence[Message]], str]
"""Messages, oldest first → a sentence that says where they were written. Raises `TesError`."""


class Inspector(LiveView):
    """Connections and messages of some sources: filter, pause, read payloads, copy, save what is in sight."""

    def __init__(
        self,
        sources: Sequence[RecentMessages],
        *,
        title: str = "messages",
        period_s: float = 1.0,
        url: str = "",
        save: Save | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show what the sources keep. period_s: the longest normal silence. save: `None` = there is no such button."""
        self._requests = InspectorRequests(InspectorContent(sources), save)
        spec = inspector_spec(title, period_s, url, can_save=save is not None)
        super().__init__(
            "views", "inspector", spec, self._requests.content, on_origin=on_origin, repaint=repaint
        )

    def on_request(self, content: Mapping[str, Any]) -> None:
        """Answer a request for a payload, or for saving the messages in sight."""
        self._requests.on_request(content, self.send_message)


def inspector_spec(title: str, period_s: float, url: str, *, can_save: bool) -> dict[str, Any]:
    """What the browser must know of an inspector from the start."""
    return {
        "title": title,
        "period_s": json_period(period_s),
        "silent": silent_sentence(url),
        "can_save": can_save,
    }


class InspectorRequests:
    """Answers an inspector in a browser."""

    def __init__(self, content: InspectorContent, save: Save | None) -> None:
        self.content = content
        self._save = save

    def on_request(self, content: Mapping[str, Any], answer: Callable[[Sent], None]) -> None:
        """Answer a request for a payload, or for saving the messages in sight."""
        if content.get("type") == "payload":
            self._send_payload(str(content.get("id")), answer)
        elif content.get("type") == "save" and isinstance(content.get("ids"), Sequence):
            messages = [self.content.find(str(one)) for one in content["ids"]]
            self.content.sentence = self._save_all([one for one in messages if one is not None])

    def _send_payload(self, identity: str, answer: Callable[[Sent], None]) -> None:
        message = self.content.find(identity)
        if message is None:
            self.content.sentence = "That message is no longer kept; record a session to keep them all."
            return
        plain = inflated(message)
        payload = message.payload if plain is None else plain
        answer(Sent({"type": "payload", "id": identity}, [payload[:MAX_SENT_BYTES]]))

    def _save_all(self, messages: Sequence[Message]) -> str:
        if self._save is None or not messages:
            return "There is nothing to save."
        try:
            return self._save(sorted(messages, key=lambda message: message.t_wall_ns))
        except TesError as error:
            return str(error)
