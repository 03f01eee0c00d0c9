"""What the feed of workers can do beyond others: ask one what it does."""

from __future__ import annotations

from tes_nb.errors import SessionError
from tes_nb.model.work_control import GetStack
from tes_nb.session.extras import Extras
from tes_nb.session.feed import Feed
from tes_nb.session.stacks import Stack


class WorkersFeed(Feed):
    """The workers: `s.workers.frame()`, `s.workers.table()`, `s.workers.stack(id)`."""

    def stack(self, worker: str) -> Stack:
        """Return what a worker does now: functions, files and lines of each thread, no values.

        worker: an id of `s.workers.frame()`. Raises `CollectorError` where it cannot be seen, with the cause and what
        to do; `SessionError` where this is a recording.
        """
        if self.ask is None:
            raise SessionError(
                "A recording holds no processes that could be asked; s.workers.stack() is for live ones."
            )
        return Stack(self.ask(GetStack(worker=worker)))


EXTRAS = Extras(feed=WorkersFeed)
