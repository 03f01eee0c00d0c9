"""What DevTools' Messages tab shows, in the notebook."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tes_nb.errors import DecodeError, TesError
from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.store.memory.recent import RecentMessages
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import MOST_ROWS, newest_rows
from tes_nb.views.live import LiveView, json_period, silent_sentence
from tes_nb.views.push import Sent
from tes_nb.views.rows import shortened
from tes_nb.wire.inflate import inflate

if TYPE_CHECKING:
    from tes_nb.store.memory.recent import RecentMessage


FIRST = 500
"""Messages of each source that a new inspector begins with."""
A_STEP = 200
"""Messages that are told at one step, the newest; an inspector is not to cost more than it shows."""
INLINE_BYTES = 8 * 1024
"""Payloads up to this size travel along; larger ones when they are asked for."""
PREVIEW_CHARS = 300
HISTORY = 50


class InspectorContent:
    """The messages and connections of some sources."""

    def __init__(self, sources: Sequence[RecentMessages]) -> None:
        self._sources = {recent.name: recent for recent in sources}
        self._cursors = dict.fromkeys(self._sources, 0)
        self._connections: list[dict[str, Any]] | None = None
        self.sentence = ""
        self._said = ""

    def check(self) -> None:
        """Nothing to watch for."""

    def everything(self) -> list[Sent]:
        """Return the newest messages of every source."""
        self._cursors = dict.fromkeys(self._sources, 0)
        self._connections, self._said = None, ""
        return [self._messages(FIRST, replace=True)]

    def news(self) -> list[Sent]:
        """Return the new messages."""
        new = self._messages(A_STEP, replace=False)
        return [new] if new.buffers else []

    def _messages(self, most: int, *, replace: bool) -> Sent:
        found: list[tuple[RecentMessages, RecentMessage]] = []
        for name, recent in self._sources.items():
            new = recent.since(self._cursors[name])
            if new:
                self._cursors[name] = new[-1].number
            found += [(recent, one) for one in new[-most:]]
        found.sort(key=lambda pair: pair[1].message.t_wall_ns)
        told = [described(recent, one) for recent, one in found]
        items = [item for item, _ in told]
        return Sent(
            {"type": "messages", "replace": replace, "items": items}, [payload for _, payload in told]
        )

    def state(self) -> dict[str, Any]:
        """Return the connections, and the sentence, where they changed."""
        connections = [_connection(recent) for recent in self._sources.values()]
        state: dict[str, Any] = {}
        if connections != self._connections:
            state["connections"] = self._connections = connections
        if self.sentence != self._said:
            state["sentence"] = self._said = self.sentence
        return state

    def fallback(self) -> str:
        """Return the newest messages, without their payloads."""
        newest = [(recent, one) for recent in self._sources.values() for one in recent.since(0)[-MOST_ROWS:]]
        newest.sort(key=lambda pair: pair[1].message.t_wall_ns, reverse=True)
        items = [described(recent, one)[0] for recent, one in newest[:MOST_ROWS]]
        names = ("direction", "kind", "size", "outcome", "preview")
        return newest_rows(names, [[item[name] for name in names] for item in items])

    def find(self, identity: str) -> Message | None:
        """Return the message with this id; `None` = it is no longer kept, or never was."""
        name, _, number = identity.rpartition(" ")
        recent = self._sources.get(name)
        return None if recent is None or not number.isdecimal() else recent.find(int(number[:18]))


def described(recent: RecentMessages, entry: RecentMessage) -> tuple[dict[str, Any], bytes]:
    """Return a message as the browser lists it, and its payload inflated if it is to travel along."""
    message = entry.message
    plain = inflated(message)
    kind, outcome, decode_ms = _decoded(recent, message)
    told = {
        "id": f"{recent.name} {entry.number}",
        "t": message.t_wall_ns / 1e9,
        "direction": "in" if message.direction == Direction.IN else "out",
        "kind": kind,
        "size": len(message.payload),
        "inflated": None if plain is None else len(plain),
        "decode_ms": decode_ms,
        "outcome": shortened(f"{recent.name}: {outcome}", PREVIEW_CHARS),
        "undecoded": kind == Kind.UNDECODED,
        "conn": message.conn,
        "preview": _preview(message.payload if plain is None else plain),
    }
    shown = message.payload if plain is None else plain
    return told, shown if len(shown) <= INLINE_BYTES else b""


def inflated(message: Message) -> bytes | None:
    """Return the payload as the sender wrote it; `None` where it cannot be inflated."""
    if message.opcode == Opcode.TEXT:
        return message.payload
    try:
        return inflate(message.payload)
    except DecodeError:
        return None


def _decoded(recent: RecentMessages, message: Message) -> tuple[str, str, float | None]:
    """Return (kind, what came of it, milliseconds); what we sent is not decoded."""
    if message.direction == Direction.OUT:
        return "sent", "sent", None
    began = time.perf_counter()
    try:
        decoded = recent.stream.decode(message)
    except DecodeError as error:
        return Kind.UNDECODED, f"{error.reason}: {error}", _ms(began)
    except Exception as error:  # noqa: BLE001 - a stream's mistake is shown, not raised
        return Kind.UNDECODED, f"the decoder failed: {error!r}", _ms(began)
    counts = [f"{len(rows)} {table}" for table, rows in decoded.rows.items() if rows]
    return decoded.kind, ", ".join([*counts, *decoded.notes]) or decoded.kind, _ms(began)


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1e3, 3)


def _preview(payload: bytes) -> str:
    return payload[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")[:PREVIEW_CHARS]


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
"""Of a payload that is asked for, at most so much is sent."""

Save = Callable[[Sequence[Message]], str]
"""Messages, oldest first → a sentence that says where they were written. Raises `TesError`."""


class Inspector(LiveView):
    """Connections and messages of some sources: filter, pause, read payloads, copy, save what is shown."""

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
        """Answer a request for a payload, or for saving what is shown."""
        self._requests.on_request(content, lambda sent: self.send(sent.content, list(sent.buffers)))


def inspector_spec(title: str, period_s: float, url: str, *, can_save: bool) -> dict[str, Any]:
    """What the browser must know of an inspector from the start."""
    return {
        "title": title,
        "period_s": json_period(period_s),
        "silent": silent_sentence(url),
        "can_save": can_save,
    }


class InspectorRequests:
    """Answers what an inspector in a browser asks."""

    def __init__(self, content: InspectorContent, save: Save | None) -> None:
        self.content = content
        self._save = save

    def on_request(self, content: Mapping[str, Any], answer: Callable[[Sent], None]) -> None:
        """Answer a request for a payload, or for saving what is shown."""
        if content.get("type") == "payload":
            self._send_payload(str(content.get("id")), answer)
        elif content.get("type") == "save" and isinstance(content.get("ids"), Sequence):
            self.content.sentence = self._saved([str(one) for one in content["ids"]])

    def _send_payload(self, identity: str, answer: Callable[[Sent], None]) -> None:
        message = self.content.find(identity)
        if message is None:
            self.content.sentence = "That message is no longer kept; record a session to keep them all."
            return
        plain = inflated(message)
        shown = message.payload if plain is None else plain
        answer(Sent({"type": "payload", "id": identity}, [shown[:MAX_SENT_BYTES]]))

    def _saved(self, identities: Sequence[str]) -> str:
        found = [message for one in identities if (message := self.content.find(one)) is not None]
        if self._save is None or not found:
            return "There is nothing to save."
        try:
            return self._save(sorted(found, key=lambda message: message.t_wall_ns))
        except TesError as error:
            return str(error)
