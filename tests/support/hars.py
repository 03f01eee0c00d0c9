"""HAR files for tests, as Chrome's DevTools write them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

TIME = 1_767_225_600.25
"""Unix seconds of the first message."""
METRICS = "ws://localhost:3002/ws/server-metrics/live"
STATUS = "ws://localhost:3002/api/dev/status/live"


def text(number: int, data: str, *, kind: str = "receive") -> dict[str, Any]:
    """A text message."""
    return {"type": kind, "time": TIME + number / 1000, "opcode": 1, "data": data}


def binary(number: int, data: bytes, *, kind: str = "receive") -> dict[str, Any]:
    """A binary message."""
    return {"type": kind, "time": TIME + number / 1000, "opcode": 2, "data": b64encode(data).decode()}


def entry(url: str, messages: list | None, **more: Any) -> dict[str, Any]:
    """An entry with its keys in Chrome's order: the messages come before the request."""
    own = {} if messages is None else {"_webSocketMessages": messages}
    return {
        "_connectionId": "7",
        "_initiator": {"type": "script", "stack": {"callFrames": [{"url": "http://x/", "lineNumber": 1}]}},
        "_priority": "High",
        "_resourceType": "websocket",
        **own,
        "cache": {},
        "request": {
            "method": "GET",
            "url": url,
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Cookie", "value": "sid=planted-cookie"}],
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": 0,
        },
        "response": {
            "status": 101,
            "statusText": "Switching Protocols",
            "headers": [],
            "content": {"size": 0},
        },
        "startedDateTime": "2026-01-01T00:00:00.000Z",
        "time": 12.5,
        **more,
    }


def har(*entries: dict[str, Any]) -> dict[str, Any]:
    """A whole file."""
    creator = {"name": "WebInspector", "version": "537.36"}
    return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": list(entries)}}


def write(path: Path, *entries: dict[str, Any]) -> Path:
    """Write a HAR file."""
    path.write_text(json.dumps(har(*entries)))
    return path


def write_large(path: Path, *, messages: int, connections: int = 4, padding: int = 300) -> Path:
    """Write a HAR file piece by piece; a quarter of its connections are binary."""
    number = 0
    with path.open("w") as file:
        file.write(
            '{"log":{"version":"1.2","creator":{"name":"WebInspector","version":"1"},"pages":[],"entries":['
        )
        for each in range(connections):
            empty = json.dumps(entry(METRICS, []))
            before, after = empty.split('"_webSocketMessages": []')
            file.write(("," if each else "") + before + '"_webSocketMessages":[')
            for place in range(messages // connections):
                number += 1
                pad = "x" * padding
                if each % 4 == 3:
                    made = binary(number, f"{number:09d}{pad}"[: padding * 3 // 4].encode())
                else:
                    made = text(number, json.dumps({"type": "metrics", "timestamp": number, "pad": pad}))
                file.write(("," if place else "") + json.dumps(made))
            file.write("]" + after)
        file.write("]}}")
    return path


def recognise(url: str) -> str | None:
    """The sources of these tests, by path."""
    for name, path in (("metrics", "/ws/server-metrics/live"), ("status", "/api/dev/status/live")):
        if path in url:
            return name
    return None
