"""What a user sees of a reader: one word, a reason, and a few counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Word = Literal["IDLE", "CONNECTING", "OPEN", "POLLING", "WAITING", "FAILED", "CLOSED"]


@dataclass(frozen=True, slots=True)
class ReaderState:
    """A snapshot; `str()` of it is the line a user reads."""

    word: Word
    reason: str = ""
    """Why it is not simply open, without a full stop; "" = there is nothing to say."""
    status: int | None = None
    """The HTTP status of a FAILED one."""
    retry_in_s: float | None = None
    """Seconds until the next try; `None` = none is planned."""
    stale: bool = False
    """Open, but without data for three of the stream's periods."""
    conn: int = 0
    """The newest connection's number; 0 = there was none yet."""
    attempts: int = 0
    """Tries to connect since the start."""
    reconnects: int = 0
    """Connections after the first one."""
    close_code: int | None = None
    """The close code of the last connection that ended; 1006 = without a close frame."""

    def __str__(self) -> str:
        """Return for example "OPEN · 2 reconnects" or "WAITING 4.2 s: connection refused"."""
        parts = [self._first_part()]
        if self.stale:
            parts.append("stale: no data for 3 periods")
        if self.reconnects and self.word in ("OPEN", "POLLING"):
            parts.append(f"{self.reconnects} reconnect" + ("s" if self.reconnects > 1 else ""))
        return " · ".join(parts)

    def _first_part(self) -> str:
        head: str = self.word
        if self.word == "FAILED" and self.status is not None:
            head += f" {self.status}"
        if self.word == "WAITING" and self.retry_in_s is not None:
            head += f" {self.retry_in_s:.1f} s"
        text = f"{head}: {self.reason}" if self.reason else head
        if self.word == "FAILED" and self.retry_in_s is not None:
            text += f"; next try in {self.retry_in_s:.0f} s"
        return text
