"""What `walk()` yields: an event each for data, gaps, states, marks, cells, and what could not be read.

Every event has `type`, `source`, `at_ns`, `time` and `rows`, so that a loop which wants data alone need not ask what
an event is: `for row in event.rows.get("odds", ())`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
import pandas as pd

from tes_nb.model import Message, Table
from tes_nb.wire.events import Gap, StateChange

NO_ROWS: Mapping[str, Sequence[Any]] = MappingProxyType({})


class WalkEvent(msgspec.Struct):
    """One step of a walk."""

    source: str
    """The feed it belongs to; "" = all of them."""
    at_ns: int
    """When the loop sees it: Unix ns, UTC; the receive time, and the delay of `walk(delay=…)` on top."""

    type: ClassVar[str] = ""
    local: ClassVar[bool] = False
    """Whether it happened on this machine: a delay does not hold for it."""

    @property
    def time(self) -> pd.Timestamp:
        """The same as a time in UTC."""
        return pd.Timestamp(self.at_ns, unit="ns", tz="UTC")

    @property
    def rows(self) -> Mapping[str, Sequence[Any]]:
        """Table → rows, each with the table's columns as attributes; only data has any."""
        return NO_ROWS


class DataEvent(WalkEvent):
    """A message with what it says."""

    message: Message
    """As it came: `payload`, `t_wall_ns` (received), `seq`, `conn`."""
    rows: Mapping[str, Sequence[Any]]
    """Table → rows, each a named tuple of the table's columns; None (NaN for float64) is absent."""

    type: ClassVar[str] = "data"


class GapEvent(WalkEvent):
    """Messages are missing: it comes when a gap begins (`gap.back_at_ns` is None), and again when it ends."""

    gap: Gap

    type: ClassVar[str] = "gap"


class StateEvent(WalkEvent):
    """The connection to a peer changed its state."""

    state: StateChange

    type: ClassVar[str] = "state"


class MarkEvent(WalkEvent):
    """What the user marked; once, though every source carries it."""

    label: str

    type: ClassVar[str] = "mark"
    local: ClassVar[bool] = True


class CellEvent(WalkEvent):
    """A cell came to its end."""

    cell: Any
    """A row of the table cells: number, start, wall_s, cpu_s …"""

    type: ClassVar[str] = "cell"
    local: ClassVar[bool] = True


class FaultEvent(WalkEvent):
    """A message that could not be read."""

    message: Message
    reason: str
    """One of a few fixed words."""
    sentence: str

    type: ClassVar[str] = "fault"


class DamageEvent(WalkEvent):
    """Messages that were in the recording, or on their way to this loop, and cannot be had any more."""

    missing: int | None
    """How many; `None` = not known."""
    sentence: str

    type: ClassVar[str] = "damage"
    local: ClassVar[bool] = True


@lru_cache(maxsize=256)
def row_maker(table: Table) -> Callable[[Any], Any]:
    """Return what makes a named tuple of a row of that table; a name that Python does not take becomes `_4`."""
    kind = namedtuple(table.name, table.names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - its names come at run time
    return partial(tuple.__new__, kind)
