"""Asks a worker of an observed pool what it holds (`tes_nb/jobs/holds.py`), and waits some seconds for the answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.errors import CollectorError
from tes_nb.jobs.holds import ANSWER, PIPE

WAIT_S = 4.0
"""Who can run at all has answered by then, a busy one, too."""
MOST_BYTES = 2**20
_POLL_S = 0.02


async def read_holds(folder: Path, pid: int) -> dict[str, Any]:
    """Return {"objects", "allocations", "tracing", "complete"}, see there; not complete = more would have come.

    Raises `CollectorError` with a sentence: why it does not say.
    """
    answer = folder / f"{ANSWER}{pid}"
    answer.unlink(missing_ok=True)
    try:
        handle = os.open(folder / f"{PIPE}{pid}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        raise CollectorError(
            f"The process {pid} has run no job yet, or has ended: nobody there answers."
        ) from None
    try:
        with contextlib.suppress(BlockingIOError):  # it has been asked often enough
            os.write(handle, b"?")
    finally:
        os.close(handle)
    said: dict[str, Any] | None = None
    end = time.monotonic() + WAIT_S
    while (said is None or not said["complete"]) and time.monotonic() < end:
        await asyncio.sleep(_POLL_S)
        said = _read(answer) or said
    if said is None:
        raise CollectorError(
            f"The process {pid} did not answer within {WAIT_S:g} s: C code does not let go of the interpreter "
            "there, or the process is stopped."
        )
    return said


def _read(path: Path) -> dict[str, Any] | None:
    """Return the answer; `None` = there is none yet. What a user's process wrote is no more trusted than others."""
    try:
        with path.open("rb") as file:
            said = msgspec.json.decode(file.read(MOST_BYTES), type=dict[str, Any])
        types = [
            {"type": safe_name(str(one["type"])), "count": int(one["count"])}
            for one in said["objects"]["types"]
        ]
        sites = said["allocations"]
        return {
            "objects": {
                **{name: int(said["objects"][name]) for name in ("total", "counted")},
                "types": types,
            },
            "allocations": None if sites is None else [dict(one) for one in sites],
            "tracing": bool(said["tracing"]),
            "complete": bool(said["complete"]),
        }
    except (OSError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
        return None
