"""Under which web origins the Jupyter server shows this kernel's widgets, known before any browser has spoken.

A widget says its page's origin itself, but the kernel hears that only between cells; controls are to answer sooner.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1")


def jupyter_origins(parent: int | None = None) -> tuple[str, ...]:
    """Return the origins of the server that started this kernel; () = none did, or it does not say.

    parent: the process that started this one; `None` = as it is. Looks only where IPython's kernel runs.
    """
    if "ipykernel" not in sys.modules:
        return ()
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - ipykernel has imported it

    wanted = os.getppid() if parent is None else parent
    told = (_told(path) for path in Path(jupyter_runtime_dir()).glob(f"jpserver-{wanted}.json"))
    return tuple(origin for one in told for origin in _origins(one))


def _told(path: Path) -> dict[str, object]:
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _origins(told: dict[str, object]) -> list[str]:
    """The address in the file, and the other names of this machine with the same port."""
    place = urlsplit(str(told.get("url", "")))
    if place.scheme not in ("http", "https") or place.port is None or place.hostname is None:
        return []
    hosts = dict.fromkeys([place.hostname, *(LOOPBACK if place.hostname in LOOPBACK else ())])
    return [f"{place.scheme}://{host}:{place.port}" for host in hosts]
