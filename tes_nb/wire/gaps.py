"""The book of holes: from the loss of a connection until data comes again, one record each."""

from __future__ import annotations

from tes_nb.wire.events import Gap


class GapBook:
    """At most one gap is open at a time. All times are Unix nanoseconds, UTC, handed in."""

    def __init__(self) -> None:
        self._last_seen_ns: int | None = None
        self._open: Gap | None = None

    @property
    def open(self) -> Gap | None:
        """The gap that is open; `None` = none is."""
        return self._open

    def seen(self, at_ns: int) -> None:
        """A message came."""
        self._last_seen_ns = at_ns

    def begin(self, conn: int, cause: str, at_ns: int) -> None:
        """Messages may be missing from now on. Ignored while a gap is open: its first cause counts."""
        if self._open is None:
            self._open = Gap(
                conn=conn, last_seen_ns=self._last_seen_ns, lost_at_ns=at_ns, back_at_ns=None, cause=cause
            )

    def end(self, at_ns: int | None) -> Gap | None:
        """Data comes again, or (`at_ns=None`) the reader stops: return the gap that was open, if one was."""
        gap, self._open = self._open, None
        if gap is None:
            return None
        return Gap(
            conn=gap.conn,
            last_seen_ns=gap.last_seen_ns,
            lost_at_ns=gap.lost_at_ns,
            back_at_ns=at_ns,
            cause=gap.cause,
        )
