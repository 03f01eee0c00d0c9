"""Waiting for rows or seconds, with a progress bar; and for the first states of a new session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Protocol

from tqdm.auto import tqdm

from tes_nb.errors import SessionError

STEP_S = 0.1


class Waitable(Protocol):
    """What can be waited for."""

    @property
    def rows(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def closed(self) -> bool: ...


class Progress:
    """How far a wait has come, and its bar."""

    def __init__(
        self,
        feed: Waitable,
        rows: int | None,
        seconds: float | None,
        timeout: float | None,
        unit: str = "rows",
    ) -> None:
        if rows is None and seconds is None:
            raise SessionError(f"Say what to wait for: {unit}=… or seconds=….")
        if (rows is not None and rows < 0) or (seconds is not None and seconds < 0):
            raise SessionError(f"{unit} and seconds must not be negative.")
        self._unit = unit
        self._feed = feed
        self._rows = rows
        self._seconds = seconds
        self._timeout = timeout
        self._began = time.monotonic()
        self._first = feed.rows
        self._total: float = rows if rows is not None else round(seconds or 0, 1)
        self._bar = tqdm(
            total=self._total, desc=feed.name, unit=unit if rows is not None else "s", leave=False
        )

    @property
    def gained(self) -> int:
        """Rows since the wait began."""
        return self._feed.rows - self._first

    def done(self) -> bool:
        """Move the bar; say whether the wait is over. Raises `SessionError` when it cannot end well."""
        elapsed = time.monotonic() - self._began
        here = self.gained if self._rows is not None else elapsed
        self._bar.update(min(round(here, 1), self._total) - self._bar.n)
        if self._rows is not None and self.gained >= self._rows:
            return True
        if self._seconds is not None and elapsed >= self._seconds:
            return True
        if self._feed.closed:
            raise SessionError(
                f"'{self._feed.name}' ended while it was waited for; {self.gained} {self._unit} came."
            )
        if self._timeout is not None and elapsed >= self._timeout:
            raise SessionError(
                f"Only {self.gained} of {self._rows} {self._unit} came from '{self._feed.name}' "
                f"in {self._timeout:g} s; look at its state."
            )
        return False

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def wait_blocking(
    feed: Waitable, rows: int | None, seconds: float | None, timeout: float | None, *, unit: str = "rows"
) -> int:
    """Wait in the caller's thread; return the rows (or whatever `unit` counts) that came."""
    progress = Progress(feed, rows, seconds, timeout, unit)
    try:
        while not progress.done():
            time.sleep(STEP_S)
        return progress.gained
    finally:
        progress.close()


async def wait_async(feed: Waitable, rows: int | None, seconds: float | None, timeout: float | None) -> int:  # noqa: ASYNC109 - the sentence it raises names the feed
    """Wait in the caller's loop; return the rows that came."""
    progress = Progress(feed, rows, seconds, timeout)
    try:
        while not progress.done():  # noqa: ASYNC110 - see below
            await asyncio.sleep(STEP_S)  # rows come from another thread, which knows no loop to wake
        return progress.gained
    finally:
        progress.close()


FIRST_STATES_S = 1.5
"""A new session waits so long at most for the first state of its feeds; usually some hundredths of a second."""
_FIRST_LOOK_EVERY_S = 0.005


class HasState(Protocol):
    """What shows how it is doing."""

    def look(self) -> object: ...


def wait_for_states(feeds: Iterable[HasState]) -> None:
    """Wait a moment until each feed has its first state: a user who looks at once is to see how things are."""
    new, until = list(feeds), time.monotonic() + FIRST_STATES_S
    while any(feed.look() == "CONNECTING" for feed in new) and time.monotonic() < until:
        time.sleep(_FIRST_LOOK_EVERY_S)
