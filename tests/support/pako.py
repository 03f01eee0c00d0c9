"""pako, the library with which NowGoal's own page inflates, as npm installed it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "node_modules" / "pako" / "dist"
NODE = PACKAGE / "pako.esm.mjs"
BROWSER = PACKAGE / "pako.min.js"
FORMS = {"deflate": "zlib", "gzip": "gzip", "deflateRaw": "raw"}
"""pako's functions → what we call their output."""


def needed(path: Path) -> Path:
    """Return the file, or skip; under CI it must be there."""
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail("pako is not installed: npm ci")
        pytest.skip("pako is not installed: npm ci")
    return path
