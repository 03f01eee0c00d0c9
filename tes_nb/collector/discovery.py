"""The discovery file: where a running collector of this user listens, and its token, readable by the user alone."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tes_nb.collector.lifetime import create_time, is_same_process
from tes_nb.errors import CollectorError
from tes_nb.jobs.slots import FOLDER

_LOG = re.compile(r"collector-(\d+)-\d+\.log")


class RunningCollector(msgspec.Struct, frozen=True):
    """A collector that runs. The token is left out of its `repr`."""

    pid: int
    created: float | None
    status_port: int
    workers_port: int
    observed_pid: int | None
    token: str
    start_id: str = ""
    """As each handshake says it; "" = by a tes_nb that said none."""

    def __repr__(self) -> str:
        return f"RunningCollector(pid={self.pid}, ports={self.status_port}/{self.workers_port})"


def runtime_dir() -> Path:
    """Return the folder of the discovery files and logs (mode 0700), made if it is missing.

    It lies in XDG_RUNTIME_DIR, or in the folder for temporary files where that cannot be used. Raises
    `CollectorError` where both cannot.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        with contextlib.suppress(OSError):
            return _private(Path(base) / "tes_nb")
    folder = Path(tempfile.gettempdir()) / f"tes_nb-{os.getuid()}"
    try:
        return _private(folder)
    except OSError as error:
        raise CollectorError(
            f"{folder}, where collectors say that they run, cannot be used ({error.strerror or error}): "
            "set XDG_RUNTIME_DIR or TMPDIR to a folder of your own."
        ) from error


def _private(folder: Path) -> Path:
    """Return the folder, open to this user alone. Raises OSError, also when it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError("it is no folder of this user")
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def publish(collector: RunningCollector) -> Path:
    """Write the file with mode 0600, never readable by others even for a moment."""
    path = runtime_dir() / f"collector-{collector.pid}.json"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(collector))
    return path


def running() -> Iterator[RunningCollector]:
    """Yield the collectors that still run; files of dead ones are removed. Where none can run, none does."""
    if not hasattr(os, "getuid"):
        return
    for path in sorted(runtime_dir().glob("collector-*.json")):
        try:
            collector = msgspec.json.decode(path.read_bytes(), type=RunningCollector)
        except (OSError, msgspec.MsgspecError):
            continue
        if is_same_process(collector.pid, collector.created):
            yield collector
        else:
            path.unlink(missing_ok=True)


def remove_stale() -> None:
    """Remove what collectors and parents that were killed have left behind."""
    for _ in running():
        pass
    for path in runtime_dir().glob("collector-*.log"):
        name = _LOG.fullmatch(path.name)
        with contextlib.suppress(OSError):
            if name is not None and create_time(int(name[1])) is None:
                path.unlink(missing_ok=True)
    for folder in runtime_dir().glob(f"{FOLDER}*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdecimal() and create_time(int(pid)) is None:
            shutil.rmtree(folder, ignore_errors=True)
