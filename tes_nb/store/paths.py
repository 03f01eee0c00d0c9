"""Paths that users give: what they mean, and what is wrong with them, in a sentence."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import TYPE_CHECKING

from tes_nb.errors import ExportError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from tes_nb.errors import TesError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or export to another folder",
    errno.EDQUOT: "your quota on this disk is used up; free some space or export to another folder",
    errno.EFBIG: "the file would be larger than this system or 'ulimit -f' allows; export less, or raise it",
    errno.EROFS: "it is on a read-only file system; export to another folder",
    errno.EACCES: "you have no permission to write there; export to another folder or change its permissions",
    errno.EPERM: "you have no permission to write there; export to another folder or change its permissions",
    errno.ENOTDIR: "a part of the path is a file, not a folder; give another path",
    errno.EEXIST: "it is a file, not a folder; give another path",
    errno.EISDIR: "it is a folder, not a file; give the path of a file in it",
    errno.ENAMETOOLONG: "the path is too long; give a shorter one",
    errno.ENOENT: "the folder has gone; make it again or export to another one",
    errno.ESTALE: "the network disk has lost the folder; mount it again or export to another one",
    errno.EIO: "the disk reports an error; export to another one",
    errno.EMFILE: "this process has too many files open; close some",
}


def user_path(path: str | os.PathLike[str], failure: type[TesError] = ExportError) -> Path:
    """Return what a user means by a path: `~` is a home, and a relative one needs a current folder.

    It need not exist. Raises `failure`, a sentence with what to do, for one that leads nowhere at all.
    """
    raw = Path(path)
    if "\0" in str(raw):
        raise failure(f"{str(raw)!r} is no path: it holds a NUL character. Give another one.")
    try:
        resolved = raw.expanduser()
    except RuntimeError as error:
        raise failure(
            f"'{raw}' begins with a home folder that does not exist: give the whole path."
        ) from error
    if not resolved.is_absolute():
        try:
            Path.cwd()
        except OSError as error:
            raise failure(
                f"'{raw}' leads nowhere, since the current folder has gone: change to one that exists "
                "(%cd in a notebook) or give a whole path."
            ) from error
    return resolved


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into an `ExportError` that says what happened to `path` and what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}; export to another folder")
        raise ExportError(f"Nothing was written to '{path}': {advice}.") from error
