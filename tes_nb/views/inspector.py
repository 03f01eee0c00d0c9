"""What DevTools' Messages tab shows, in the notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tes_nb.errors import TesError
from tes_nb.model import Message
from tes_nb.store.memory.recent import MessageTap
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.inspecting import InspectorContent, inflated
from tes_nb.views.live import LiveView, silent_sentence, told_period
from tes_nb.views.pushing import Sent

MAX_SENT_BYTES = 2**20
"""Of a payload that is asked for, at most so much is sent."""

Save = Callable[[Sequence[Message]], str]
"""Messages, oldest first → a sentence that says where they were written. Raises `TesError`."""


class Inspector(LiveView):
    """Connections and messages of some sources: filter, pause, read payloads, copy, save what is shown."""

    def __init__(
        self,
        taps: Sequence[MessageTap],
        *,
        title: str = "messages",
        period_s: float = 1.0,
        url: str = "",
        save: Save | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show what the taps keep. period_s: the longest normal silence. save: `None` = there is no such button."""
        self._desk = InspectorDesk(InspectorContent(taps), save)
        spec = inspector_spec(title, period_s, url, can_save=save is not None)
        super().__init__("views", "inspector", spec, self._desk.content, on_origin=on_origin, repaint=repaint)

    def asked(self, content: Mapping[str, Any]) -> None:
        """Answer a request for a payload, or for saving what is shown."""
        self._desk.asked(content, lambda sent: self.send(sent.content, list(sent.buffers)))


def inspector_spec(title: str, period_s: float, url: str, *, can_save: bool) -> dict[str, Any]:
    """What the browser must know of an inspector from the start."""
    return {
        "title": title,
        "period_s": told_period(period_s),
        "silent": silent_sentence(url),
        "can_save": can_save,
    }


class InspectorDesk:
    """Answers what an inspector in a browser asks."""

    def __init__(self, content: InspectorContent, save: Save | None) -> None:
        self.content = content
        self._save = save

    def asked(self, content: Mapping[str, Any], answer: Callable[[Sent], None]) -> None:
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
