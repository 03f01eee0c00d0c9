"""Sessions and feeds: where the rooms are wired together."""

from tes_nb.session.feed import Feed
from tes_nb.session.session import Session
from tes_nb.session.start import attach, sessions, start, stop
from tes_nb.store.restore import read_folder as read_csv

__all__ = ["Feed", "Session", "attach", "read_csv", "sessions", "start", "stop"]
