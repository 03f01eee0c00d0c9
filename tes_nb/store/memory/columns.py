"""Growing typed columns for one table: cheap to append to, free to look at (docs/decisions/0008).

Rows wait as their decoder gave them and become numpy cells in batches, column by column. Cost per row does not
depend on how many rows there are: memory at least doubles when it runs out, and at the row cap a quarter is
spare, so that each row is moved at most four times after that.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tes_nb.model.table import BASE_COLUMNS
from tes_nb.store.memory.buffers import Buffer, tail, transposed
from tes_nb.store.memory.cells import NAT, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tes_nb.model import Dtype, Row, Table, Values
    from tes_nb.store.memory.buffers import Encoded
    from tes_nb.store.memory.cells import Array

DEFAULT_CAP = 1_000_000
_BATCH = 1024
"""Rows that wait before they become cells; reading turns them into cells at once."""

_BUSY = 65_536
"""From so many rows on memory grows sixteenfold, not twofold. What is not written to costs addresses alone."""

_BASE: dict[str, Dtype] = {column.name: column.dtype for column in BASE_COLUMNS} | {"time": "int64"}
"""`time` is never absent, so it is kept as the plain integers it is."""


class _Waiting(msgspec.Struct, gc=False):
    """The rows of one message that are no cells yet, and what they share.

    The garbage collector never looks at it: a feed that is busy would make it look through the whole kernel, several
    times a minute, for as long as a tenth of a second (docs/decisions/0042).
    """

    time_ns: int
    sent_at_ns: int | None
    seq: int
    conn: int
    source: str
    rows: Sequence[Row]
    count: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """What `Columns.since` gives: the rows that came after a cursor."""

    cursor: int
    """Hand this to the next `since`."""
    lost: int
    """Rows that came after the cursor but were dropped before this call."""
    time: Array
    """int64, Unix ns, UTC, in the order received."""
    columns: Mapping[str, Array]
    """As in `Cells.numpy`, read-only, each as long as `time`."""

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class _State:
    """All there is of a table, replaced as a whole.

    An interrupt (Ctrl-C in a cell that asks for a frame) can come between any two steps, and must neither
    lose a row nor leave half of one.
    """

    buffers: dict[str, Buffer]
    capacity: int = 0
    end: int = 0
    """Place after the last row in memory; what lies beyond is free to be written."""
    living: int = 0
    """So many rows before `end` count."""
    total: int = 0
    """Rows ever stored."""
    cleared: int = 0
    """`total` when the table was last cleared."""
    disorder: int = 0
    """Number, from 0, of the newest row that is older than the one before it."""
    last_time: int = NAT
    unfit: int = 0
    refused: int = 0
    waiting: list[_Waiting] = field(default_factory=list)
    """Messages whose rows are not in `buffers` yet."""

    @property
    def dropped(self) -> int:
        return self.total - self.living


class Columns:
    """The rows of one table. One thread appends, any thread reads; no reader ever sees half a row."""

    def __init__(self, table: Table, *, stream: str = "", cap: int = DEFAULT_CAP) -> None:
        """Keep at most `cap` rows, at least 1: beyond it the oldest are dropped, and counted."""
        if cap < 1:
            raise ValueError(f"A table must be allowed at least 1 row, not {cap}: give a larger cap.")
        self.table = table
        self.stream = stream
        self.cap = cap
        dtypes = _dtypes(table)
        self._required = [name for name, dtype in dtypes.items() if dtype == "int64"]
        self._lock = threading.Lock()
        self._waiting_rows = 0
        self._state = _State({name: Buffer(dtype) for name, dtype in dtypes.items()})

    def append(
        self,
        rows: Sequence[Row],
        *,
        time_ns: int,
        sent_at_ns: int | None = None,
        seq: int = 0,
        conn: int = 0,
        source: str = "",
    ) -> None:
        """Add the rows of one message, which share its times (Unix ns; `None` = not given) and position."""
        count = len(rows)
        if not count:
            return
        with self._lock:
            self._state.waiting.append(_Waiting(time_ns, sent_at_ns, seq, conn, source, rows, count))
            self._waiting_rows += count
            if self._waiting_rows >= _BATCH:
                self._store_waiting()

    def __len__(self) -> int:
        """Return how many rows are kept."""
        return self._settled().living

    @property
    def received(self) -> int:
        """Rows that came, with those that wait to become cells: looking at it costs nothing."""
        with self._lock:
            return self._state.total + self._waiting_rows

    @property
    def total(self) -> int:
        """How many rows were ever stored: the cursor after the newest row."""
        return self._settled().total

    @property
    def cleared(self) -> int:
        """The cursor at which the table was last cleared: rows before it count no longer. 0 = never."""
        return self._state.cleared

    @property
    def dropped(self) -> int:
        """How many rows the cap has cost."""
        state = self._settled()
        return state.dropped - state.cleared

    def clear(self) -> None:
        """Forget all rows. Cursors go on: one from before lies before `cleared`, also one that had read all."""
        with self._lock:
            state = self._store_waiting()
            place = state.total + 1
            self._state = replace(
                state, living=0, total=place, cleared=place, last_time=NAT, unfit=0, refused=0
            )

    @property
    def unfit(self) -> int:
        """How many cells had a value of the wrong type or range and were left empty."""
        return self._settled().unfit

    @property
    def refused(self) -> int:
        """How many rows were not stored: too short, too long, or unfit where a value must not be absent."""
        return self._settled().refused

    def snapshot(self) -> Snapshot:
        """Return all rows kept, without copying any."""
        with self._lock:
            state = self._store_waiting()
            low, high = state.end - state.living, state.end
            cells = {name: buffer.cells(low, high) for name, buffer in state.buffers.items()}
        time = cells.pop("time").values
        ordered = state.disorder <= state.dropped
        return Snapshot(self.stream, self.table, time, cells, ordered=ordered, dropped=state.dropped)

    def since(self, cursor: int, columns: Iterable[str] | None = None) -> Fresh:
        """Return the rows after `cursor` (0 = all there are, `total` = none yet).

        `columns` names columns among `sent_at`, `seq`, `conn`, `source` and the table's own; `None` = all.
        KeyError for another name. A cursor of another table, beyond `total`, gives no rows.
        """
        snapshot, cursor = self.snapshot(), max(cursor, 0)
        oldest, total = snapshot.dropped, snapshot.dropped + len(snapshot)
        fresh = snapshot.slice(min(max(cursor - oldest, 0), len(snapshot)), len(snapshot))
        return Fresh(
            cursor=total,
            lost=max(oldest - cursor, 0),
            time=fresh.time,
            columns={
                name: fresh.cells[name].numpy() for name in (fresh.cells if columns is None else columns)
            },
        )

    def _settled(self) -> _State:
        with self._lock:
            return self._store_waiting()

    # All that follows is called with the lock held.

    def _store_waiting(self) -> _State:
        """Turn waiting rows into cells, and return the state then."""
        if self._state.waiting:
            self._state = self._with_rows(self._state.waiting)
            self._waiting_rows = 0
        return self._state

    def _with_rows(self, messages: list[_Waiting]) -> _State:
        """Return the state after these messages, each of which gave one group of rows."""
        owners = np.repeat(np.arange(len(messages)), [one.count for one in messages])
        state = replace(self._state, waiting=[])
        columns, refused = transposed([one.rows for one in messages], len(self.table.columns))
        if refused:
            state = replace(state, refused=state.refused + len(refused))
            owners = np.delete(owners, refused)
        if len(owners) > self.cap:
            state = replace(state, total=state.total + len(owners) - self.cap, living=0)
            owners, columns = owners[-self.cap :], [tail(column, self.cap) for column in columns]
        return (
            self._written(self._roomy(state, len(owners)), messages, owners, columns)
            if owners.size
            else state
        )

    def _roomy(self, state: _State, rows: int) -> _State:
        """Return the same with room for so many rows, the oldest left behind where the cap wants it."""
        if state.end + rows <= state.capacity:
            return state
        stay = min(state.living, self.cap - rows)
        spare = max(self.cap // 4, _BATCH)
        least = max(min(2 * (stay + rows), self.cap + spare), _BATCH)
        wished = least if stay < _BUSY else max(least, min(16 * (stay + rows), self.cap + spare))
        try:
            return _moved(state, stay, wished)
        except MemoryError:
            return _moved(state, stay, least)

    def _written(
        self, state: _State, messages: list[_Waiting], owners: Array, columns: Sequence[Values]
    ) -> _State:
        """Write rows beyond the end, and return the new end. `owners` has the place of each row's message."""
        stamps: tuple[Values, ...] = (
            [one.time_ns for one in messages],
            [one.sent_at_ns for one in messages],
            [one.seq for one in messages],
            [one.conn for one in messages],
            [one.source for one in messages],
        )
        values = chain(stamps, columns)
        cells = {
            name: buffer.encode(column, len(owners))
            for (name, buffer), column in zip(state.buffers.items(), values, strict=True)
        }
        cells.update({name: cells[name].take(owners) for name in _BASE})
        if any(piece.unfit for piece in cells.values()):
            state, cells = self._without_unfit(state, cells, len(owners))
        for name, buffer in state.buffers.items():
            buffer.write(state.end, cells[name])
        times = cells["time"].values
        end, total = state.end + len(times), state.total + len(times)
        living = min(state.living + len(times), self.cap)
        disorder, last_time = state.disorder, state.last_time
        if times.size:  # where the wall clock jumped back last, if it did
            back = np.flatnonzero(times[1:] < times[:-1])
            if back.size:
                disorder = state.total + int(back[-1]) + 1
            elif times[0] < last_time:
                disorder = state.total
            last_time = int(times[-1])
        return replace(state, end=end, total=total, living=living, disorder=disorder, last_time=last_time)

    def _without_unfit(
        self, state: _State, cells: dict[str, Encoded], rows: int
    ) -> tuple[_State, dict[str, Encoded]]:
        """Count unfit cells, and leave out the rows in which one cannot be absent."""
        unfit = state.unfit + sum(len(piece.unfit) for piece in cells.values())
        unstored = sorted({place for name in self._required for place in cells[name].unfit})
        places = np.delete(np.arange(rows), unstored)
        state = replace(state, unfit=unfit, refused=state.refused + len(unstored))
        return state, {name: piece.take(places) for name, piece in cells.items()}


def _moved(state: _State, stay: int, capacity: int) -> _State:
    """Return the newest `stay` rows alone, in new memory for `capacity` rows."""
    low = state.end - stay
    buffers = {name: buffer.moved(low, state.end, capacity) for name, buffer in state.buffers.items()}
    return replace(state, buffers=buffers, capacity=capacity, end=stay, living=stay)


def _dtypes(table: Table) -> dict[str, Dtype]:
    names = [*_BASE, *table.names]
    if len(set(names)) < len(names):
        twice = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        raise ValueError(f"Table '{table.name}' uses a column name twice: {twice}. Rename one.")
    return _BASE | {column.name: column.dtype for column in table.columns}
