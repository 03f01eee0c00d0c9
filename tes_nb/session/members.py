"""The files of a set of recordings: found by glob, folder or list, and named so that no two are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tes_nb.errors import SessionError
from tes_nb.session.open import open_session
from tes_nb.store.paths import user_path
from tes_nb.store.session.packed import is_packed

if TYPE_CHECKING:
    from tes_nb.session.recorded import RecordedSession

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
