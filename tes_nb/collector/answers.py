"""HTTP answers as compact JSON, and refusals as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web


def json_answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `value` as JSON without spaces."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def sentence(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a refusal: `{"error": text}`, kept by no cache."""
    return json_answer(
        {"error": text}, status=status, headers={"Cache-Control": "no-store", **(headers or {})}
    )
