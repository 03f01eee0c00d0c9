"""The log of this room: stdlib logging under "tes_nb.net", and the newest lines in memory for a view to show.

Peers can provoke errors as fast as they like, so at most ten lines a second pass; the rest are counted, and
the count is the first line that passes afterwards.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LINES_PER_S = 10
MAX_LINES = 1000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log."""

    at: float
    """Unix seconds."""
    level: str
    text: str
    fields: Mapping[str, object]
    """What the line is about: source, state, close_code and the like."""


class RecentLog(logging.Handler):
    """Keeps the newest lines and hands what passes to the parent logger, under the user's own settings."""

    def __init__(
        self,
        *,
        keep: int = MAX_LINES,
        parent: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._parent = parent
        self._clock = clock
        self._lines: deque[LogLine] = deque(maxlen=keep)
        self._window = -1.0
        self._passed = 0
        self.suppressed = 0
        """Lines left out since the last one that passed."""

    def lines(self) -> list[LogLine]:
        """Return the newest lines, oldest first."""
        self.acquire()
        try:
            return list(self._lines)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, or count it."""
        if not self._may_pass():
            self.suppressed += 1
            return
        if self.suppressed:
            left_out, self.suppressed = self.suppressed, 0
            text = f"{left_out} more lines were left out: at most {LINES_PER_S} a second are kept."
            self._pass(logging.LogRecord(record.name, logging.WARNING, __file__, 0, text, None, None))
            self._passed += 1
        self._pass(record)

    def _may_pass(self) -> bool:
        now = self._clock()
        if not self._window <= now < self._window + 1:
            self._window, self._passed = now, 0
        if self._passed >= LINES_PER_S:
            return False
        self._passed += 1
        return True

    def _pass(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        self._lines.append(LogLine(record.created, record.levelname, record.getMessage(), fields))
        if self._parent is not None and self._parent.isEnabledFor(record.levelno):
            self._parent.handle(record)


LOGGER = logging.getLogger("tes_nb.net")
RECENT = RecentLog(parent=logging.getLogger("tes_nb"))
# Every line reaches RECENT, which hands it up itself: so a user's levels and handlers count, and so does the
# limit.
LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False
LOGGER.addHandler(RECENT)

QUIET = logging.getLogger("tes_nb.net.websockets")
"""For the websockets library, whose debug lines show the headers we send, tokens included."""
QUIET.setLevel(logging.CRITICAL)


def note(level: int, text: str, **fields: object) -> None:
    """Write one line. `fields` must hold no secret."""
    LOGGER.log(level, "%s", text, extra={"fields": fields})
