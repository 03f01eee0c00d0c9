"""Where session files go."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

SUFFIX = ".tes"


def session_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where recordings go that are not given a folder: `TES_SESSION_DIR`, else `sessions/`."""
    return Path(environ.get("TES_SESSION_DIR", "").strip() or "sessions")


def session_path(path: str | Path | None) -> Path:
    """Return the absolute path of a session file: a bare name goes into the session folder, `None` is a new name."""
    if path is None:
        path = f"{datetime.now(UTC):%Y-%m-%d_%H%M%S}_{time.monotonic_ns() % 1000:03d}"
    given = Path(path).expanduser()
    named = given if given.suffix else given.with_suffix(SUFFIX)
    if len(named.parts) == 1 and not given.suffix:
        named = session_dir() / named
    return named.absolute()
