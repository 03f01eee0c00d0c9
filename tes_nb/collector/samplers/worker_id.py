"""Ids of workers: they become file names and parts of addresses, so only harmless characters."""

from __future__ import annotations

import re

ID_MOST = 100
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{ID_MOST}}}", re.ASCII)


def worker_id(pid: int, born: int | str) -> str:
    """Return the id of a worker: the same while it is listed, another for a later user of the pid."""
    return f"{pid}-{born}"


def check_id(text: str) -> str:
    """Return `text` if it can be a worker's id. Raises ValueError with a sentence for everything else."""
    if _ID.fullmatch(text) is None or ".." in text:
        raise ValueError(
            f"A worker's id has 1 to {ID_MOST} characters out of A-Z, a-z, 0-9, '.', '_', '-' and no '..'."
        )
    return text
