"""The files of a recording that goes on for weeks: `night_2026-11-28_041500.tes`, then compressed, then removed.

Nothing is remembered beside the files. What a file is stands in it, as the fact `series` or in the note of a
compressed one (`store.session.packed`): whoever begins after a kill finishes what was left, and touches nothing else.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from tes_nb.errors import SessionError
from tes_nb.store.session.files import is_full, remove, wal_path
from tes_nb.store.session.lock import WriterLock, lock_path, owner_of
from tes_nb.store.session.packed import PART, is_packed, note_of, pack
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import PAGE_SIZE, SUFFIX

FACT = "series"
_TIMES = r"_\d{4}-\d\d-\d\d_\d{6}(?:_\d+)?"


@dataclass(slots=True)
class Tidied:
    """What was done with files that are finished."""

    compressed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    """What could not be done, a sentence each; most of it is tried again."""


class Series:
    """Names the files of one recorder, and looks after those that are finished. One thread at a time."""

    def __init__(self, folder: Path, name: str, *, compress: bool, keep_ns: int | None) -> None:
        """keep_ns: finished files older than that are removed; `None` = none is."""
        self.folder, self.name = folder, name
        self._compress, self._keep_ns = compress, keep_ns
        self._pattern = re.compile(rf"{re.escape(name)}{_TIMES}{re.escape(SUFFIX)}(?:\.zst)?")
        self._left: dict[tuple[str, int], str] = {}
        """Files (name, inode) that are left as they are, and why."""

    def lock(self) -> WriterLock:
        """Let nobody else write the series. Raises `SessionError`, which names who does."""
        return WriterLock(self.folder / f"{self.name}{SUFFIX}")

    def new_path(self) -> Path:
        """Return the name of a file that begins now and is not there yet."""
        base = f"{self.name}_{datetime.now(UTC):%Y-%m-%d_%H%M%S}"
        number, stem = 1, base
        while list(self.folder.glob(f"{escape(stem)}{SUFFIX}*")):
            number += 1
            stem = f"{base}_{number}"
        return self.folder / f"{stem}{SUFFIX}"

    def facts(self, path: Path) -> dict[str, Any]:
        """Return what a file notes about itself."""
        return {FACT: {"name": self.name, "file": path.name}}

    def tidy(self, wanted: Callable[[], bool] = lambda: True) -> Tidied:
        """Remove what is old and what a kill left, and compress the rest. wanted: False = stop in the middle."""
        done = Tidied()
        parts = list(self.folder.glob(f".{escape(self.name)}_*{PART}"))
        for part in parts:
            if self._pattern.fullmatch(part.name[1 : -len(PART)]):
                with suppress(OSError):
                    part.unlink()
        works = [self._remove_empty]
        if self._keep_ns is not None:  # first: on a full disk there is room for a compressed file then
            works.append(self._remove_old)
        if self._compress:
            works.append(self._pack)
        for work in works:
            try:
                paths = sorted(self._files())
            except (
                OSError
            ) as error:  # somebody has removed the folder; what is being recorded may bring it back
                done.trouble.append(f"Finished files cannot be looked after for now: {error}.")
                return done
            for path in paths:
                if not wanted():
                    return done
                try:
                    work(path, done, wanted)
                except (OSError, sqlite3.Error) as error:
                    why = f"the disk of {self.folder} is full" if is_full(error) else error
                    done.trouble.append(f"{path.name} stays as it is for now: {why}.")
                except SessionError as error:
                    done.trouble.append(self._leave(path, f"{path.name} stays as it is: {error}"))
        return done

    def _files(self) -> Iterator[Path]:
        for path in self.folder.iterdir():
            if (
                self._pattern.fullmatch(path.name)
                and not path.is_symlink()
                and self._key(path) not in self._left
            ):
                yield path

    def _key(self, path: Path) -> tuple[str, int]:
        try:
            return path.name, path.stat().st_ino
        except OSError:
            return path.name, 0

    def _leave(self, path: Path, why: str) -> str:
        self._left[self._key(path)] = why
        return why

    def _remove_empty(self, path: Path, done: Tidied, wanted: Callable[[], bool]) -> None:
        """Remove a file whose recorder was killed before it wrote anything: the lock that is left says so."""
        del wanted
        if not is_packed(path) and lock_path(path).exists() and owner_of(path) is None and _is_empty(path):
            _without_lock(path)
            remove(path)
            done.removed.append(path.name)

    def _remove_old(self, path: Path, done: Tidied, wanted: Callable[[], bool]) -> None:
        del wanted
        assert self._keep_ns is not None
        age_ns = time.time_ns() - path.stat().st_mtime_ns
        if age_ns < self._keep_ns or not self._is_ours(path):
            return
        if is_packed(path):
            path.unlink()
        else:
            _without_lock(path)
            remove(path)
        done.removed.append(path.name)

    def _pack(self, path: Path, done: Tidied, wanted: Callable[[], bool]) -> None:
        if is_packed(path) or not self._is_ours(path):
            return
        with SessionFile.open(path) as session:
            if session.damage:
                raise SessionError(f"it is damaged. {session.damage[0]}")
        _without_lock(path)
        if (packed := pack(path, self.facts(path)[FACT], wanted=wanted)) is not None:
            done.compressed.append(packed.name)

    def _is_ours(self, path: Path) -> bool:
        """Whether this series wrote it, nobody writes it now, and it has not been renamed."""
        if is_packed(path):
            return bool(note_of(path) == self.facts(path.with_suffix(""))[FACT])
        if owner_of(path) is not None:
            return False
        with SessionFile.open(path) as session:
            facts = session.facts
        if facts.get(FACT) == self.facts(path)[FACT]:
            return True
        self._leave(path, "")
        return False


def _is_empty(path: Path) -> bool:
    try:
        with SessionFile.open(path) as session:
            return not session.facts and not session.info().messages
    except SessionError:
        return path.stat().st_size <= PAGE_SIZE  # before its tables were there


def _without_lock(path: Path) -> None:
    """Fold in the log of a recorder that was killed, and take its lock away: what is left is one file."""
    lock = WriterLock(path)
    try:
        if wal_path(path).exists():
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE").fetchall()
            if wal_path(path).exists():
                raise SessionError("somebody reads it, so that its log cannot be folded in")
    finally:
        lock.release()
