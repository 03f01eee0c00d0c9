"""What Chrome's DevTools know of a page's WebSockets, and the HAR file that their exporter makes of it.

The events are those of a real browser (the Chrome DevTools Protocol). What the exporter does with them is as in the
DevTools' own sources: times are the handshake's wall time plus what the monotonic clock ran since; binary data stay
base64, as the protocol gives them; an entry's messages come before its request.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class DevTools:
    """Listens to a page of Playwright from now on."""

    def __init__(self, page: Any) -> None:
        self.requests: dict[str, dict[str, Any]] = {}
        self._session = page.context.new_cdp_session(page)
        for event, handler in {
            "webSocketCreated": self._created,
            "webSocketWillSendHandshakeRequest": self._handshake,
            "webSocketHandshakeResponseReceived": self._response,
            "webSocketFrameReceived": lambda event: self._frame(event, "receive"),
            "webSocketFrameSent": lambda event: self._frame(event, "send"),
            "webSocketFrameError": self._error,
        }.items():
            self._session.on(f"Network.{event}", handler)
        self._session.send("Network.enable")

    def _created(self, event: dict[str, Any]) -> None:
        self.requests[event["requestId"]] = {"url": event["url"], "frames": []}

    def _handshake(self, event: dict[str, Any]) -> None:
        one = self.requests[event["requestId"]]
        one.update(issued=event["timestamp"], wall=event["wallTime"], headers=event["request"]["headers"])

    def _response(self, event: dict[str, Any]) -> None:
        self.requests[event["requestId"]]["response"] = event["response"]

    def _frame(self, event: dict[str, Any], kind: str) -> None:
        frame = event["response"]
        self._add(event, {"type": kind, "opcode": frame["opcode"], "data": frame["payloadData"]})

    def _error(self, event: dict[str, Any]) -> None:
        self._add(event, {"type": "error", "opcode": -1, "data": event["errorMessage"]})

    def _add(self, event: dict[str, Any], frame: dict[str, Any]) -> None:
        one = self.requests[event["requestId"]]
        time = one["wall"] - one["issued"] + event["timestamp"]
        kind = {"type": frame.pop("type")}
        one["frames"].append({**kind, "time": time, **frame})

    def save(self, path: Path) -> Path:
        """Export as HAR."""
        entries = [_entry(one) for one in self.requests.values()]
        creator = {"name": "WebInspector", "version": "537.36"}
        log = {"version": "1.2", "creator": creator, "pages": [], "entries": entries}
        path.write_text(json.dumps({"log": log}, indent=2))
        return path


def _entry(one: dict[str, Any]) -> dict[str, Any]:
    response = one.get("response", {"status": 0, "statusText": "", "headers": {}})
    began = datetime.fromtimestamp(one["wall"], UTC).isoformat(timespec="milliseconds")
    sizes = {"headersSize": -1, "bodySize": -1}
    return {
        "_resourceType": "websocket",
        "_webSocketMessages": one["frames"],
        "cache": {},
        "request": {
            "method": "GET",
            "url": one["url"],
            "httpVersion": "HTTP/1.1",
            "headers": _pairs(one["headers"]),
            "queryString": [],
            "cookies": [],
            **sizes,
        },
        "response": {
            "status": response["status"],
            "statusText": response["statusText"],
            "httpVersion": "HTTP/1.1",
            "headers": _pairs(response["headers"]),
            "cookies": [],
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": "",
            **sizes,
        },
        "startedDateTime": began.replace("+00:00", "Z"),
        "time": 0,
        "timings": {"send": 0, "wait": 0, "receive": 0},
    }


def _pairs(headers: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]
