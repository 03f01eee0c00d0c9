"""Folders and environment of a test's own, which the kernels, collectors and commands that it starts inherit."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

FOLDERS = {
    "HOME": "home",
    "XDG_RUNTIME_DIR": "run",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "TES_SESSION_DIR": "sessions",
    "IPYTHONDIR": "home/.ipython",
    "JUPYTER_CONFIG_DIR": "home/.jupyter",
    "JUPYTER_DATA_DIR": "home/.local/share/jupyter",
    "JUPYTER_RUNTIME_DIR": "run/jupyter",
}
OF_THE_USER = ("TES_DEV_TOKEN", "BUN_PORT", "WORKER_API_PORT", "TES_PRIMARY_REGION", "PRIMARY_REGION")
"""What moves ports and secrets of a TES, and must not reach into tests."""


class Own:
    """One temporary folder with a place for each test in it."""

    def __init__(self) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="tes-nb-own-"))
        self._before: list[dict[str, str | None]] = []
        # What package managers and browsers have loaded before is no state of ours, and costs minutes to load again.
        self._caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")

    def enter(self, name: str) -> None:
        """Let everything from here on find folders of that name, empty at first."""
        place = self._base / name
        wanted: dict[str, str | None] = {key: str(place / sub) for key, sub in FOLDERS.items()}
        wanted |= {"XDG_CACHE_HOME": self._caches} | dict.fromkeys(OF_THE_USER)
        (place / "home").mkdir(parents=True)
        self._before.append({key: os.environ.get(key) for key in wanted})
        _set(wanted)

    def leave(self) -> None:
        """Go back to what was before the last `enter`; its folders go with the rest, since somebody may hold them."""
        _set(self._before.pop())

    def close(self) -> None:
        """Go back to the user's own, and remove all folders."""
        while self._before:
            self.leave()
        shutil.rmtree(self._base, ignore_errors=True)


def _set(wanted: dict[str, str | None]) -> None:
    for key, value in wanted.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
