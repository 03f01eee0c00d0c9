"""What a worker of an observed pool holds: said by a thread of its own when a byte comes through a pipe.

The thread sleeps in a read until then. It needs the interpreter, so where C code does not let go of it nobody answers,
and whoever asked says so. Types and counts come first, within two seconds; then allocations by site, where tracemalloc
is on. No values are read: names of types, files and lines.
"""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPE, ANSWER = "ask-", "holds-"
"""A process's pipe and its answer in the folder, with its pid behind."""
WALK_S = 2.0
"""So long objects are counted; then what was counted stands, and that it is not all."""
MOST_TYPES, MOST_SITES = 50, 25
_AT_ONCE = 10_000

_started = 0
"""The pid of the process whose thread runs."""


def start(folder: str) -> None:
    """Let this process say what it holds; once for a process. Never raises."""
    global _started  # noqa: PLW0603 - one for a process
    pid = os.getpid()
    if _started == pid or not hasattr(os, "mkfifo") or os.path.basename(folder).split("-")[1:2] == [str(pid)]:  # noqa: PTH119
        return  # the process that made the pool does the user's own work
    _started = pid
    try:
        path = os.path.join(folder, f"{PIPE}{pid}")  # noqa: PTH118 - pathlib takes long to import
        os.mkfifo(path, 0o600)
        handle = os.open(path, os.O_RDWR)  # so that the pipe never ends
        threading.Thread(target=_serve, args=(folder, pid, handle), name="tes_nb holds", daemon=True).start()
    except (OSError, RuntimeError):  # no place, or no threads: it is asked in vain
        return


def _serve(folder: str, pid: int, handle: int) -> None:
    while os.read(handle, 64):
        try:
            answer: dict[str, Any] = {
                "objects": _objects(),
                "allocations": None,
                "tracing": _is_tracing(),
                "complete": False,
            }
            if answer["tracing"]:
                _write(folder, pid, answer)
                answer["allocations"] = _allocations()
            _write(folder, pid, {**answer, "complete": True})
        except OSError:  # the session has ended
            return


def _objects() -> dict[str, Any]:
    """Count what the garbage collector knows, by type."""
    import gc  # noqa: PLC0415 - workers that nobody asks need none of these
    from collections import Counter  # noqa: PLC0415

    counts: Counter[int] = Counter()  # by identity: a metaclass of the user's may not let its types be hashed
    kinds: dict[int, type] = {}
    listed = gc.get_objects()  # of a fork it copies the pages, which is what takes long
    end, counted = time.monotonic() + WALK_S, 0
    listed.reverse()  # what the user made comes before what modules made as they were imported
    while counted < len(listed) and time.monotonic() < end:
        part = listed[counted : counted + _AT_ONCE]
        counts.update(map(id, map(type, part)))
        kinds.update((id(kind), kind) for kind in map(type, part))
        counted += len(part)
    types = [
        {"type": _type_name(kinds[kind]), "count": count} for kind, count in counts.most_common(MOST_TYPES)
    ]
    return {"total": len(listed), "counted": counted, "types": types}


def _type_name(kind: type) -> str:
    """A type's name and module, past any metaclass of the user's."""
    name = str(type.__dict__["__qualname__"].__get__(kind))
    module = (
        kind.__dict__.get("__module__") if isinstance(kind.__dict__.get("__module__"), str) else "builtins"
    )
    return name if module == "builtins" else f"{module}.{name}"


def _is_tracing() -> bool:
    try:
        import _tracemalloc  # noqa: PLC0415
    except ImportError:
        return False
    return bool(_tracemalloc.is_tracing())


def _allocations() -> list[dict[str, Any]]:
    """The sites whose allocations hold most, in bytes."""
    import tracemalloc  # noqa: PLC0415

    sites = tracemalloc.take_snapshot().statistics("lineno")[:MOST_SITES]
    return [
        {
            "file": one.traceback[0].filename,
            "line": one.traceback[0].lineno,
            "bytes": one.size,
            "count": one.count,
        }
        for one in sites
    ]


def _write(folder: str, pid: int, answer: dict[str, Any]) -> None:
    """Write it whole: readers see all of it or nothing."""
    import json  # noqa: PLC0415

    path = os.path.join(folder, f"{ANSWER}{pid}")  # noqa: PTH118
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(answer, file)
    os.replace(f"{path}.new", path)  # noqa: PTH105
