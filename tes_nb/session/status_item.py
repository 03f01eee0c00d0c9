"""The item in JupyterLab's status bar: a session's figures over a comm that its kernel opens (0035).

    kernel → browser  {"type": "figures", "memory", "memory_limit": bytes, "cores", "cores_limit", "word", "text",
                       "url": of the page}
                      {"type": "docked", "panel": id or null}, {"type": "refused", "error"}
    browser → kernel  as of each view (`tes_nb/static/comm.js`); {"type": "dock"}

By silence the browser sees that the kernel is held: something is sent each half second while the item is visible.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from tes_nb.errors import TesError
from tes_nb.views.clock import clock
from tes_nb.views.push import Listening, Presence, Push, Sent
from tes_nb.views.source import plain_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tes_nb.session.session import Session
    from tes_nb.views.dashboard import Dashboard

TARGET = "tes_nb.status"
PERIOD_S = 0.45
"""A little less than two steps of the repaint clock."""
FIGURES = {
    "memory": "memory_rss",
    "memory_limit": "limits_memory",
    "cores": "cpu_cores",
    "cores_limit": "limits_cores",
}
"""What the item shows → its column of the metrics."""


class FiguresContent:
    """The newest figures of the kernel, again and again."""

    def __init__(self, session: Session) -> None:
        self._feed = session.metrics
        self._session = session
        self._sent_at = 0.0
        self._cursor = 0
        self._figures: dict[str, Any] = dict.fromkeys(FIGURES)

    def check(self) -> None:
        """Nothing is lost while the item is not visible."""

    def everything(self) -> list[Sent]:
        """Return the figures as they are now."""
        fresh = self._feed.store.main.since(self._cursor, FIGURES.values())
        self._cursor = fresh.cursor
        if len(fresh):
            (newest,) = plain_rows(
                {name: cells[-1:] for name, cells in fresh.columns.items()}, [*FIGURES.values()]
            )
            self._figures = dict(zip(FIGURES, newest, strict=True))
        self._sent_at = time.monotonic()
        state = self._feed.look()
        facts = {"word": state.word, "text": str(state), "url": self._session.url}
        return [Sent({"type": "figures", **self._figures, **facts})]

    def news(self) -> list[Sent]:
        """Return the same, if it is time."""
        return self.everything() if time.monotonic() - self._sent_at >= PERIOD_S else []

    def state(self) -> dict[str, Any]:
        """Nothing changes beside the figures."""
        return {}

    def fallback(self) -> str:
        """There is no picture of it: a status bar is not saved."""
        return ""


class StatusItem:
    """A session's side of the item. Made on the kernel's own thread, since it listens to the kernel's loop."""

    def __init__(self, session: Session) -> None:
        from comm import create_comm  # noqa: PLC0415 - where there is a kernel, it is there

        self._session = session
        self._board: Dashboard | None = None
        """The dashboard that a click has docked."""
        self._presence = Presence(Listening().seconds)
        self._comm = comm = cast("Any", create_comm(target_name=TARGET, data={}))
        # ipykernel 7.4 hands a comm's messages to where it last sent from, here a thread within the cell's turn; they
        # are to go where the browser sends them, to a subshell that no cell holds up
        comm._reply_subshell_for = None  # noqa: SLF001
        self._push = Push(FiguresContent(session), self._send, self._presence)
        self._comm.on_msg(self._receive)
        self._comm.on_close(self._end)
        clock.add(self._push)

    def close(self) -> None:
        """End it, in every browser."""
        self._end()
        self._comm.close()

    def _end(self, message: object = None) -> None:
        """Send no more; called, too, when a browser has no such item."""
        del message
        self._push.ended = True

    def _send(self, sent: Sent) -> None:
        self._comm.send(sent.content)

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Called with what a browser says."""
        content = message["content"]["data"]
        self._presence.note_message(content)
        if content.get("type") == "hello":
            self._push.request_all()
        elif content.get("type") == "dock":
            self._send(self._dock())
        clock.wake()

    def _dock(self) -> Sent:
        """Dock a dashboard, or name the panel that shows it already."""
        try:
            if self._board is None or not self._board.shown:
                if self._board is not None:
                    self._board.close()
                self._board = self._session.dashboard(dock="right")
        except TesError as error:
            return Sent({"type": "refused", "error": str(error)})
        return Sent({"type": "docked", "panel": self._board.panel_id})
