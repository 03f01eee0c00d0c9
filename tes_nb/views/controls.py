"""What the buttons and the scrubber of a dashboard show: asked of the collector, never waited for (decisions/0034)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from tes_nb.errors import TesError
from tes_nb.views.push import Sent
from tes_nb.views.zone import WallClock

OPERATIONS = ("mark", "scale", "record", "stop", "replay", "stack", "snapshot")
"""What controls and the buttons of rows may request."""
PERIOD_S = 1.0
REPLAY_PERIOD_S = 0.25
"""A thumb that moves is to be seen moving."""

Call = Callable[..., Any]
"""(operation, **args) → the collector's answer. Blocks; raises `TesError`."""


@dataclass(frozen=True, slots=True)
class Steering:
    """How the controls reach the collector."""

    port: int
    """Of its control socket, for browsers on this machine."""
    reveal: Callable[[], str]
    """→ the token. It travels as a message, never in what is saved with the notebook."""
    call: Call
    """The way through the kernel, for all others."""
    ask: Callable[[str], Future[Any]]
    """An operation without arguments → its answer as plain data later on, `None` where there is none; never blocks."""
    replay: bool = False
    """Whether what is steered is a replay."""

    def answer(self, content: Mapping[str, Any], send: Callable[[Any], None]) -> None:
        """Do what a browser requests that cannot reach the collector; send it the answer later on.

        content: {"type": "control", "id", "op", "args"}.
        """
        threading.Thread(target=self._answer, args=(dict(content), send), daemon=True).start()  # it blocks

    def _answer(self, content: Mapping[str, Any], send: Callable[[Any], None]) -> None:
        answer: dict[str, Any] = {"type": "answer", "id": content.get("id")}
        op, args = content.get("op"), content.get("args")
        try:
            if op not in OPERATIONS or not isinstance(args, Mapping):
                raise TesError("There is no such control.")  # noqa: TRY301 - one way to answer
            send({**answer, "ok": True, "result": self.call(op, **args)})
        except (TesError, TypeError) as error:
            send({**answer, "ok": False, "error": str(error)})


class ControlWatch:
    """Which controls can act, and where a replay is, as messages to the browser. All on the clock's thread."""

    def __init__(self, steering: Steering, clock: Callable[[], float] = time.monotonic) -> None:
        self._steering = steering
        self._clock = clock
        self._period_s = REPLAY_PERIOD_S if steering.replay else PERIOD_S
        self._pending: dict[str, Future[Any]] = {}
        self._answers: dict[str, Any] = {}
        self._sent: dict[str, Any] = {}
        self._due = 0.0

    def everything(self) -> list[Sent]:
        """Return the token, and all that is known."""
        self._sent.clear()
        return [Sent({"type": "token", "token": self._steering.reveal()}), *self.news()]

    def news(self) -> list[Sent]:
        """Return what changed, and ask again when it is time."""
        for op in [op for op, answer in self._pending.items() if answer.done()]:
            self._answers[op] = self._pending.pop(op).result()
        now = self._clock()
        if now >= self._due and "controls" not in self._pending:
            self._due = now + self._period_s
            self._pending["controls"] = self._steering.ask("controls")
            if self._steering.replay and self._answers.get("track") is None and "track" not in self._pending:
                self._pending["track"] = self._steering.ask("track")
        changed = [op for op, answer in self._answers.items() if self._sent.get(op, "") != answer]
        self._sent.update({op: self._answers[op] for op in changed})
        return [Sent({"type": op, op: self._answers[op]}) for op in changed]

    def fallback(self) -> str:
        """Return where a replay is, as HTML; "" = there is none."""
        replay: Mapping[str, Any] | None = (self._answers.get("controls") or {}).get("replay")
        if replay is None:
            return ""
        place = pd.Timestamp(replay["place_ns"], tz="UTC")
        clock = WallClock([place])
        at = f"{clock.moment(place.value):%Y-%m-%d %H:%M:%S} {clock.name}"
        return f"<p>{escape(replay['word'])} at {escape(at)}, {replay['share']:.0%} of the recording</p>"
