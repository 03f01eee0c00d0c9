"""tes_nb: live TES streams in notebooks, as frames, plots and CSV.

import tes_nb as tes
s = tes.start()
s.metrics.frame()
"""

from __future__ import annotations

from importlib import import_module

from tes_nb._version import __version__

TYPE_CHECKING = (
    False  # `typing` takes long to import, and every worker of an observed pool comes through here
)
if TYPE_CHECKING:
    from typing import Any

    from tes_nb.errors import (
        ArgumentError,
        AuthenticationError,
        BackgroundError,
        CollectorError,
        ConnectionFailed,
        DecodeError,
        ExportError,
        SessionError,
        TesError,
    )
    from tes_nb.session.cluster_frame import cluster_frame
    from tes_nb.session.compare import compare
    from tes_nb.session.feed import Feed
    from tes_nb.session.many import open_many
    from tes_nb.session.nowgoal.feed import NOWGOAL, SIMULATED
    from tes_nb.session.open import open_session as open  # noqa: A004 - tes.open reads like pandas' own
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.session.recordings import Recording, recordings
    from tes_nb.session.recordings import copy_session as copy
    from tes_nb.session.session import Session
    from tes_nb.session.start import attach, replay, sessions, start, stop
    from tes_nb.settings import nest, options
    from tes_nb.store.export.restore import read_folder as read_csv

_HOMES = {
    "NOWGOAL": "tes_nb.session.nowgoal.feed",
    "SIMULATED": "tes_nb.session.nowgoal.feed",
    "ArgumentError": "tes_nb.errors",
    "AuthenticationError": "tes_nb.errors",
    "BackgroundError": "tes_nb.errors",
    "CollectorError": "tes_nb.errors",
    "ConnectionFailed": "tes_nb.errors",
    "DecodeError": "tes_nb.errors",
    "ExportError": "tes_nb.errors",
    "SessionError": "tes_nb.errors",
    "TesError": "tes_nb.errors",
    "Feed": "tes_nb.session.feed",
    "RecordedSession": "tes_nb.session.recorded",
    "Recording": "tes_nb.session.recordings",
    "Session": "tes_nb.session.session",
    "attach": "tes_nb.session.start",
    "cluster_frame": "tes_nb.session.cluster_frame",
    "compare": "tes_nb.session.compare",
    "copy": "tes_nb.session.recordings:copy_session",
    "load_ipython_extension": "tes_nb.notebook",
    "nest": "tes_nb.settings",
    "open": "tes_nb.session.open:open_session",
    "open_many": "tes_nb.session.many",
    "options": "tes_nb.settings",
    "read_csv": "tes_nb.store.export.restore:read_folder",
    "recordings": "tes_nb.session.recordings",
    "replay": "tes_nb.session.start",
    "sessions": "tes_nb.session.start",
    "start": "tes_nb.session.start",
    "stop": "tes_nb.session.start",
    "unload_ipython_extension": "tes_nb.notebook",
}
"""Public name → the module it lives in, and its name there where that is another; imported when it is first used
(PEP 562), so that a collector can start while its session is still being imported."""

__all__ = [
    "NOWGOAL",
    "SIMULATED",
    "ArgumentError",
    "AuthenticationError",
    "BackgroundError",
    "CollectorError",
    "ConnectionFailed",
    "DecodeError",
    "ExportError",
    "Feed",
    "RecordedSession",
    "Recording",
    "Session",
    "SessionError",
    "TesError",
    "__version__",
    "attach",
    "cluster_frame",
    "compare",
    "copy",
    "nest",
    "open",
    "open_many",
    "options",
    "read_csv",
    "recordings",
    "replay",
    "sessions",
    "start",
    "stop",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tes_nb' has no attribute '{name}'; it has {', '.join(__all__)}")
    module, _, its_name = home.partition(":")
    value = getattr(import_module(module), its_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
