"""What DevTools' Messages tab shows, in the notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tes_nb.errors import TesError
from tes_nb.model import Message
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.inspecting import InspectorContent, inflated
from tes_nb.views.live import LiveView, silent_sentence
from tes_nb.views.tap import MessageTap

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
        self._save = save
        self._content = InspectorContent(taps)
        spec = {
            "title": title,
            "period_s": period_s,
            "silent": silent_sentence(url),
            "can_save": save is not None,
        }
        super().__init__("views", "inspector", spec, self._content, on_origin=on_origin, repaint=repaint)

    def asked(self, content: Mapping[str, Any]) -> None:
        """Answer a request for a payload, or for saving what is shown."""
        if content.get("type") == "payload":
            self._send_payload(str(content.get("id")))
        elif content.get("type") == "save" and isinstance(content.get("ids"), Sequence):
            self._content.sentence = self._saved([str(one) for one in content["ids"]])

    def _send_payload(self, identity: str) -> None:
        message = self._content.find(identity)
        if message is None:
            self._content.sentence = "That message is no longer kept; record a session to keep them all."
            return
        plain = inflated(message)
        shown = message.payload if plain is None else plain
        self.send({"type": "payload", "id": identity}, [shown[:MAX_SENT_BYTES]])

    def _saved(self, identities: Sequence[str]) -> str:
        found = [message for one in identities if (message := self._content.find(one)) is not None]
        if self._save is None or not found:
            return "There is nothing to save."
        try:
            return self._save(sorted(found, key=lambda message: message.t_wall_ns))
        except TesError as error:
            return str(error)
