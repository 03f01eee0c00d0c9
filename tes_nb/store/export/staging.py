"""Files, and folders of files, that appear under their names whole, and together, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tes_nb.store.paths import explained, user_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX, _SUFFIX = ".tes-", ".part"
_LEFTOVER_S = 3600.0
"""A temporary file or folder that nobody has written to for so long belongs to a process that was killed."""


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Staging]:
    """Give a place to write files that get their names, in the order they were opened, when the block ends well.

    When it ends by any exception, KeyboardInterrupt too, they are removed, and what stood under their names
    before still does. `folder` is made if it is missing. Raises `ExportError` where it cannot be written to.
    """
    staging = Staging(user_path(folder))
    try:
        try:
            yield staging
            staging.commit()
        finally:
            staging.sweep()
    finally:
        staging.sweep()  # an interrupt may have come before the first sweep began


class Staging:
    """Files under temporary names of the folder in which they will stand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staged: list[tuple[Path, Path]] = []
        self._open: list[StagedFile] = []
        self._stale: list[Path] = []
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder, folders=False)

    def open(self, name: str) -> StagedFile:
        """Return a file to write to; it stays open until `finish`."""
        final = user_path(self._folder / name)
        with explained(final):
            if final.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = _temporary_in(self._folder)
        self._staged.append((temporary, final))  # before it exists: an interrupt must not leave it behind
        self._open.append(StagedFile(temporary, final))  # on one line: an interrupt must not lose it open
        return self._open[-1]

    def remove(self, name: str) -> None:
        """Let a file of the folder go, just before the last of the new ones gets its name."""
        self._stale.append(self._folder / name)

    def finish(self) -> None:
        """Bring the open files to the disk and close them."""
        while self._open:
            self._open[-1].finish()
            self._open.pop()

    def commit(self) -> None:
        """Give all files their names."""
        self.finish()
        for place, (temporary, final) in enumerate(self._staged, 1):
            if place == len(self._staged):
                self._remove_stale()
            with explained(final):
                temporary.replace(final)
        with explained(self._folder):
            if os.name == "posix":  # Windows cannot bring renames to the disk
                _sync(self._folder)

    def _remove_stale(self) -> None:
        for path in self._stale:
            with explained(path):
                # where big and small letters are the same, it may be a new file by now
                if path.exists() and not any(new.exists() and path.samefile(new) for _, new in self._staged):
                    path.unlink()

    def sweep(self) -> None:
        """Remove the files that have not got their names."""
        for file in self._open:
            file.abandon()
        for temporary, _ in self._staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


class StagedFile:
    """A file under a temporary name."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self._final = final
        self.size = 0
        """Bytes written so far."""
        with explained(final):
            self._file = temporary.open("xb", buffering=1 << 20)

    def write(self, text: str) -> None:
        """Append text as UTF-8. Raises `ExportError` where the disk does not take it."""
        data = text.encode("utf-8", "backslashreplace")
        with explained(self._final):
            self._file.write(data)
        self.size += len(data)

    @property
    def binary(self) -> BinaryIO:
        """The file itself, for a library that writes by itself; its errors are the caller's to explain."""
        return self._file

    def finish(self) -> None:
        """Bring everything to the disk and close."""
        with explained(self._final):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close without caring for what was written."""
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def staged_folders(folder: Path, pattern: str, *, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a folder in which those that fit `pattern` move into `folder` when the block ends well, else vanish.

    What fits `pattern` there already goes: a folder as a whole where all its files are ours, else our files alone.
    Raises `ExportError` where it cannot be written to.
    """
    folder = user_path(folder)
    temporary = _temporary_in(folder)
    try:
        with explained(folder):
            if folder.exists() and not folder.is_dir():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            temporary.mkdir(parents=True)
            _remove_leftovers(folder, folders=True)
        yield temporary
        with explained(folder):
            for file in filter(Path.is_file, temporary.rglob("*")):
                _sync(file)
            before = {old: _Files.of(old, is_ours) for old in folder.glob(pattern) if old.is_dir()}
            for made in sorted(temporary.glob(pattern)):
                final = folder / made.relative_to(temporary)
                if final in before:
                    before.pop(final).give_way(final, temporary)
                _move_into(made, final)
            for old, files in before.items():
                files.give_way(old, temporary)
                if not any(old.parent.iterdir()):
                    old.parent.rmdir()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Files:
    """What stands in a folder from before."""

    ours: list[Path]
    others: list[Path]

    @classmethod
    def of(cls, folder: Path, is_ours: Callable[[Path], bool]) -> _Files:
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        marks = [is_ours(path) for path in files]
        ours = [path for path, mark in zip(files, marks, strict=True) if mark]
        return cls(ours, [path for path, mark in zip(files, marks, strict=True) if not mark])

    def give_way(self, folder: Path, temporary: Path) -> None:
        """Remove our files from `folder`; where there are no others, all at once: it goes with `temporary`."""
        if self.ours and not self.others:
            folder.rename(temporary / f"replaced-{secrets.token_hex(4)}")
            return
        for file in self.ours:
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()


def _move_into(made: Path, final: Path) -> None:
    """Give a folder its name, or its files theirs where others have stayed in a folder of this name."""
    final.parent.mkdir(exist_ok=True)
    if not final.exists():
        made.rename(final)
        return
    for file in [path for path in made.rglob("*") if path.is_file()]:
        target = final / file.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)


def _temporary_in(folder: Path) -> Path:
    return folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def _remove_leftovers(folder: Path, *, folders: bool) -> None:
    oldest = time.time() - _LEFTOVER_S
    for leftover in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # another process may be quicker
            if leftover.is_dir() == folders and leftover.stat().st_mtime < oldest:
                shutil.rmtree(leftover) if folders else leftover.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
