"""Sessions and feeds: where the rooms are wired together."""

from tes_nb.session.feed import Feed
from tes_nb.session.recorded import RecordedSession
from tes_nb.session.recorded import open_session as open  # noqa: A004 - tes.open reads like pandas' own
from tes_nb.session.recording import Recording
from tes_nb.session.session import Session
from tes_nb.session.start import attach, sessions, start, stop
from tes_nb.store.restore import read_folder as read_csv

__all__ = [
    "Feed",
    "RecordedSession",
    "Recording",
    "Session",
    "attach",
    "open",
    "read_csv",
    "sessions",
    "start",
    "stop",
]
