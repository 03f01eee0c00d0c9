"""What `tes.open` and `tes.open_many` take: session files, and HAR files of Chrome's DevTools, Playwright or mitmproxy.

The files of a set are found by glob, folder or list, and named so that no two are alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TypeAlias

from tes_nb.errors import SessionError
from tes_nb.session.recorded import RecordedSession, recognise
from tes_nb.store.har.har_session import import_har
from tes_nb.store.paths import user_path
from tes_nb.store.session.packed import is_packed, packed_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import session_path
from tes_nb.streams import NAMES, get


def open_session(
    path: str | Path, *, streams: Mapping[str, str] | None = None, redact: bool = True
) -> RecordedSession:
    """Open a session file, also one that is being recorded, compressed or damaged, or a HAR file of a browser or proxy.

    streams and redact are for HAR files: part of an address → stream name, and whether credentials are taken
    out. Raises `SessionError`, a sentence with what to do, for what is no session.
    """
    file = user_path(path, SessionError)
    if file.suffix.lower() == ".har":
        return open_har(file, streams=streams, redact=redact)
    try:
        named = (file, session_path(file))
        places = (
            *named,
            *map(packed_path, named),
        )  # a recorder with --compress may have compressed it meanwhile
        return RecordedSession(SessionFile.open(next((one for one in places if one.exists()), file)))
    except OSError as error:
        raise SessionError(
            f"'{file}' cannot be opened ({error.strerror or error}): check the name and the folder."
        ) from error


def _address_channels(name: str, url: str) -> tuple[str, ...] | None:
    read = get(name).address_channels if name in NAMES else None
    return None if read is None else read(url)


def open_har(
    path: str | Path, *, streams: Mapping[str, str] | None = None, redact: bool = True
) -> RecordedSession:
    """Import the WebSocket messages of a HAR file and open them as a session.

    streams: part of an address → stream name, for addresses that are not recognised. redact=False keeps
    credentials. `session.import_report` says what was taken and what was not. Raises `SessionError` for a file
    that is no HAR or has no messages of a known stream.
    """
    folder = tempfile.TemporaryDirectory(prefix="tes_nb-har-")
    target = Path(folder.name) / f"{Path(path).stem}.tes"
    try:
        report = import_har(
            path, target, lambda url: recognise(url, streams), _address_channels, redact=redact
        )
        return RecordedSession(SessionFile.open(target), import_report=report, folder=folder)
    except BaseException:
        folder.cleanup()
        raise


SUFFIXES = (".tes", ".har", ".tes.zst")
_BESIDE = ("-wal", "-shm", "-journal", ".lock", ".part")
"""What lies beside a session while it is written, and is none."""

Paths: TypeAlias = "str | Path | Sequence[str | Path]"


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A file of a set. It is sent to the workers of a cluster as it is."""

    session: str
    """The file's name without its ending; where several have the same, with its folder, and then with a number."""
    path: Path
    streams: Mapping[str, str] | None = None
    redact: bool = True

    def open(self) -> RecordedSession:
        """Open it. Raises `SessionError`, a sentence, for what is no session."""
        return open_session(self.path, streams=self.streams, redact=self.redact)


def members_of(paths: Paths, streams: Mapping[str, str] | None, redact: bool) -> list[RecordingFile]:
    """Return the files that a glob, a folder, a file, or a list of those names.

    Raises `SessionError` where there is none at all; a file that is named is in the list even if it is not there.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files = list(dict.fromkeys(file.absolute() for each in given for file in _files(each)))
    if not files:
        named = ", ".join(f"'{each}'" for each in given) or "an empty list"
        raise SessionError(
            f"There is no recording at {named}: give a folder with .tes, .tes.zst or .har files, a glob, or files."
        )
    names = _names(files)
    return [RecordingFile(names[file], file, streams, redact) for file in files]


def _files(given: str | Path) -> list[Path]:
    path = user_path(given, SessionError)
    try:
        if path.is_dir():
            return _once(sorted(file for file in path.iterdir() if file.name.lower().endswith(SUFFIXES)))
    except OSError as error:
        raise SessionError(
            f"'{path}' cannot be listed ({error.strerror or error}): check the folder's permissions."
        ) from error
    if has_magic(str(path)) and not path.exists():
        files = [Path(file) for file in sorted(glob(str(path), recursive=True)) if not file.endswith(_BESIDE)]  # noqa: PTH207 - a Path cannot glob from the root
        return _once([file for file in files if file.is_file()])
    return [path]


def _once(files: list[Path]) -> list[Path]:
    """Leave out a compressed file where the session still lies beside it: its maker is about to remove that."""
    return [file for file in files if not (is_packed(file) and file.with_suffix("") in files)]


def _stem(file: Path) -> str:
    return (file.with_suffix("") if is_packed(file) else file).stem


def _names(files: Sequence[Path]) -> dict[Path, str]:
    stems = [_stem(file) for file in files]
    names: dict[Path, str] = {}
    used: set[str] = set()
    for file in files:
        stem = _stem(file)
        plain = stem if stems.count(stem) == 1 else f"{file.parent.name}_{stem}"
        name, number = plain, 1
        while name in used:
            number += 1
            name = f"{plain}_{number}"
        used.add(name)
        names[file] = name
    return names
