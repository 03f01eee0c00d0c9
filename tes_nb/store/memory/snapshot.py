"""A table's rows as they were at one moment: what frames, views and exports read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tes_nb.model import Table
    from tes_nb.store.memory.cells import Array, Cells


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows in the order they were received. It never changes, and costs nothing to take."""

    stream: str
    """The stream's name; "" = unknown."""
    table: Table
    time: Array
    """int64, Unix ns, UTC: when each row was received. Read-only."""
    cells: Mapping[str, Cells]
    """`sent_at`, `seq`, `conn`, `source`, then the table's own columns, each as long as `time`."""
    ordered: bool
    """False = the wall clock jumped back somewhere among these rows."""
    dropped: int = 0
    """How many older rows the table had to drop before these."""

    def __len__(self) -> int:
        return len(self.time)

    def slice(self, low: int, high: int) -> Snapshot:
        """Return the rows `low` to `high`, without copying."""
        cells = {name: piece.slice(low, high) for name, piece in self.cells.items()}
        return replace(self, time=self.time[low:high], cells=cells)

    def by_time(self) -> Snapshot:
        """Return the rows sorted by time, those of one time in the order received."""
        if self.ordered:
            return self
        order = np.argsort(self.time, kind="stable")
        cells = {name: piece.take(order) for name, piece in self.cells.items()}
        return replace(self, time=self.time[order], cells=cells, ordered=True)

    def chunks(self, rows: int) -> Iterator[Snapshot]:
        """Yield the rows in pieces of at most so many."""
        for low in range(0, len(self), rows):
            yield self.slice(low, low + rows)
