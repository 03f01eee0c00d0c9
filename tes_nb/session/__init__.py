"""Sessions and feeds: where the rooms are wired together.

`start` and `attach` are here at once, the rest when it is first used (PEP 562): a collector can then start while
its session is still being imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tes_nb.session.start import attach, replay, sessions, start, stop

if TYPE_CHECKING:
    from tes_nb.session.feed import Feed
    from tes_nb.session.found import recordings
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.session.recorded import open_session as open  # noqa: A004 - tes.open reads like pandas' own
    from tes_nb.session.recording import Recording
    from tes_nb.session.session import Session
    from tes_nb.store.export.restore import read_folder as read_csv

_HOMES = {
    "Feed": ("tes_nb.session.feed", "Feed"),
    "RecordedSession": ("tes_nb.session.recorded", "RecordedSession"),
    "Recording": ("tes_nb.session.recording", "Recording"),
    "Session": ("tes_nb.session.session", "Session"),
    "open": ("tes_nb.session.recorded", "open_session"),
    "recordings": ("tes_nb.session.found", "recordings"),
    "read_csv": ("tes_nb.store.export.restore", "read_folder"),
}
"""Public name → (module, its name there)."""

__all__ = [
    "Feed",
    "RecordedSession",
    "Recording",
    "Session",
    "attach",
    "open",
    "read_csv",
    "recordings",
    "replay",
    "sessions",
    "start",
    "stop",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tes_nb.session' has no attribute '{name}'")
    module, its_name = _HOMES[name]
    value = getattr(import_module(module), its_name)
    globals()[name] = value
    return value
