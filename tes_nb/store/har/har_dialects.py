"""WebSocket messages of a HAR file as other tools than Chrome write them.

There is no standard for them: everybody follows Chrome's `_webSocketMessages`, more or less.

    Chrome, Edge, mitmproxy   {"type": "receive", "time": 1780000000.25, "opcode": 1, "data": "…"}
    Playwright                the same with the time in milliseconds
    others                    an ISO time, "direction": "in", "fromClient": true, "opcode": "text",
                              no opcode at all, "encoding": "base64", a timestamp in µs or ns

`tes_nb.store.har.har_message` reads the first form by itself, quickly, and asks here about anything else.
"""

from __future__ import annotations

import datetime as dt
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple

from tes_nb.model import Direction, Opcode

MILLISECONDS = 1e12
"""A greater number is no time in seconds: these would be tens of thousands of years. In milliseconds it is 2001."""
_UNITS = ((1e18, 1e-3), (1e15, 1.0), (MILLISECONDS, 1e3))
"""A number from here on → µs in one of its unit: ns, µs, ms."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_IN, _OUT = Direction.IN.value, Direction.OUT.value
_DIRECTIONS = dict.fromkeys(("receive", "received", "in", "incoming", "inbound", "server", "response"), _IN)
_DIRECTIONS |= dict.fromkeys(("send", "sent", "out", "outgoing", "outbound", "client", "request"), _OUT)
_FROM_CLIENT = ("fromClient", "from_client", "outgoing", "isOutgoing", "sent")
"""Flags that say which way a message went."""
OPCODES: dict[Any, int] = {1: int(Opcode.TEXT), 2: int(Opcode.BINARY)}
OPCODES |= {"text": int(Opcode.TEXT), "utf8": int(Opcode.TEXT), "binary": int(Opcode.BINARY)}
CONTROL_WORDS = frozenset({"open", "close", "ping", "pong", "error"})

_DIRECTION_NAMES = ("type", "direction", "dir")
_KIND_NAMES = ("opcode", "opCode", "kind", "format", "type")
_TIME_NAMES = ("time", "timestamp", "timeStamp", "wallTime", "startedDateTime", "date", "at")
_DATA_NAMES = ("data", "payload", "payloadData", "text", "body", "content")
_BASE64_FLAGS = ("base64", "isBase64", "base64Encoded", "base64encoded")


class DialectMessage(NamedTuple):
    """What a message of any dialect says."""

    opcode: int
    payload: bytes
    wall_ns: int
    direction: int


def wall_ns(when: object) -> int:
    """Return Unix ns of a number of seconds, ms, µs or ns, or of an ISO 8601 text. Raises ValueError."""
    if isinstance(when, str):
        moment = dt.datetime.fromisoformat(when)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - _EPOCH
        return since // dt.timedelta(microseconds=1) * 1000
    if isinstance(when, bool) or not isinstance(when, int | float):
        raise ValueError("no time")
    return round(when * next((micros for least, micros in _UNITS if when > least), 1e6)) * 1000


def read_message(fields: Mapping[str, str | float], flags: Mapping[str, bool | None]) -> DialectMessage:
    """Read a message's texts and numbers, and its flags and nulls. Raises KeyError or ValueError where it is none."""
    data = fields[_first(_DATA_NAMES, fields)]
    if not isinstance(data, str):
        raise TypeError("data is no text")
    base64 = _is_base64(fields, flags)
    opcode = _opcode(fields, flags, base64=base64)
    is_encoded = opcode == Opcode.BINARY if base64 is None else base64
    payload = b64decode(data, validate=True) if is_encoded else data.encode()
    return DialectMessage(
        opcode, payload, wall_ns(fields[_first(_TIME_NAMES, fields)]), _direction(fields, flags)
    )


def is_control(fields: Mapping[str, Any]) -> bool:
    """Whether a message is none, but says in words what happened to the connection."""
    opcode = fields.get("opcode", fields.get("type"))
    return isinstance(opcode, str) and opcode.lower() in CONTROL_WORDS


def _first(names: tuple[str, ...], fields: Mapping[str, Any]) -> str:
    return next((name for name in names if name in fields), names[0])


def _word(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _is_base64(fields: Mapping[str, Any], flags: Mapping[str, Any]) -> bool | None:
    """`None` = it is not said; then binary messages are, as in Chrome's files."""
    encoding = _word(fields.get("encoding"))
    if encoding is not None:
        return encoding == "base64"
    return next((flags[name] for name in _BASE64_FLAGS if name in flags), None)


def _opcode(fields: Mapping[str, Any], flags: Mapping[str, Any], *, base64: bool | None) -> int:
    for name in _KIND_NAMES:
        if name in fields and _word(fields[name]) in OPCODES:
            return OPCODES[_word(fields[name])]
    if "opcode" in fields or "opcode" in flags:
        raise KeyError("opcode")
    return int(Opcode.BINARY if base64 or flags.get("binary") or flags.get("isBinary") else Opcode.TEXT)


def _direction(fields: Mapping[str, Any], flags: Mapping[str, Any]) -> int:
    for name in _DIRECTION_NAMES:
        if name in fields and _word(fields[name]) in _DIRECTIONS:
            return _DIRECTIONS[str(_word(fields[name]))]
    for name in _FROM_CLIENT:
        if isinstance(flags.get(name), bool):
            return _OUT if flags[name] else _IN
    raise KeyError("type")
