"""The discovery file: where a running collector of this user listens, and its token, readable by the user alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tes_nb.collector.lifetime import is_same_process


class Found(msgspec.Struct, frozen=True):
    """A collector that runs. The token is left out of its `repr`."""

    pid: int
    created: float | None
    status_port: int
    workers_port: int
    observed_pid: int | None
    token: str

    def __repr__(self) -> str:
        return f"Found(pid={self.pid}, ports={self.status_port}/{self.workers_port})"


def runtime_dir() -> Path:
    """Return the folder of the discovery files (mode 0700), made if it is missing."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "tes_nb" if base else Path(tempfile.gettempdir()) / f"tes_nb-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR to a folder of your own.")
    return folder


def publish(found: Found) -> Path:
    """Write the file with mode 0600, never readable by others even for a moment."""
    path = runtime_dir() / f"collector-{found.pid}.json"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(found))
    return path


def running() -> Iterator[Found]:
    """Yield the collectors that still run; files of dead ones are removed."""
    for path in sorted(runtime_dir().glob("collector-*.json")):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Found)
        except (OSError, msgspec.MsgspecError):
            continue
        if is_same_process(found.pid, found.created):
            yield found
        else:
            path.unlink(missing_ok=True)
