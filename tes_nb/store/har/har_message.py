"""One WebSocket message of a HAR file, checked and converted. The hot loop of reading HAR files.

The form of Chrome's files is read quickly; another one by what it most likely means (`read_message`).
"""

from __future__ import annotations

import binascii
import datetime as dt
from base64 import b64decode
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import ijson  # type: ignore[import-untyped] # it has no stubs

from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.redact import PayloadRedactor
from tes_nb.store.session.schema import MAX_PAYLOAD

# There is no standard for them: all follow Chrome's `_webSocketMessages`, more or less.
#
#     Chrome, Edge, mitmproxy   {"type": "receive", "time": 1780000000.25, "opcode": 1, "data": "…"}
#     Playwright                the same with the time in milliseconds
#     others                    an ISO time, "direction": "in", "fromClient": true, "opcode": "text",
#                               no opcode at all, "encoding": "base64", a timestamp in µs or ns
#
# The hot loop reads the first form by itself, and asks here about anything else.

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


if TYPE_CHECKING:
    from collections.abc import Iterator

    Event = tuple[str, Any]
    """As ijson gives it: what begins, ends or stands there, and its value."""

CONTROL = "control frames and errors, which carry no data"
_CONTROLS = (-1, 8, 9, 10)
"""Close, ping, pong; Chrome notes errors as -1."""
_CHROME_DIRECTIONS = {"receive": Direction.IN.value, "send": Direction.OUT.value}
_LATEST_NS = 2**63 - 1
_CHROME_FIELDS = 4
_READABLE = frozenset({b"{", b"[", b'"', b"<"})
"""A binary payload that begins so is text after all, and may hold credentials."""
_GROUP = 256
_TEXT, _BINARY = int(Opcode.TEXT), int(Opcode.BINARY)
BREAKS = (ijson.JSONError, ValueError, OverflowError, RecursionError)
"""What ijson raises where a file is no JSON."""
_FLAWS = (KeyError, TypeError, AttributeError, ValueError, OverflowError)


class HarMessages:
    """Converts arrays of `_webSocketMessages` to messages, stamped with what `begin` says."""

    def __init__(self, *, redact: bool) -> None:
        self.bad: dict[str, int] = {}
        """Why messages could not be taken → how many."""
        self.good = 0
        self._source, self._conn, self._seq = "", 0, 0
        self._redact = PayloadRedactor() if redact else None

    @property
    def count(self) -> int:
        """Messages so far, good and bad."""
        return self.good + sum(self.bad.values())

    def begin(self, source: str, conn: int, seq: int) -> None:
        """Give the next messages this source and connection, and sequence numbers from `seq` + 1 on."""
        self._source, self._conn, self._seq = source, conn, seq

    def convert(self, events: Iterator[Event]) -> Iterator[list[Message]]:  # noqa: PLR0912 - a hot loop without calls
        """Yield the good messages up to the end of the array that has just begun, by the hundred.

        Raises what ijson raises (`BREAKS`) where the file breaks off, after the messages before.
        The loop turns ten times a message, millions of times a second.
        """
        fields: dict[str, Any] = {}
        flags: dict[str, bool | None] = {}
        key, inside, mono = "", False, 0
        group: list[Message] = []
        redact, source, conn, seq = self._redact, self._source, self._conn, self._seq
        try:
            for event, value in events:
                if event == "map_key":
                    key = value
                elif event == "string" or event == "number":  # noqa: PLR1714 - quicker than a set
                    fields[key] = value
                elif event == "end_map":
                    inside = False
                    try:
                        if flags or len(fields) > _CHROME_FIELDS:
                            raise KeyError  # Chrome writes no more: they may change what the others mean
                        opcode, data, time = fields["opcode"], fields["data"], fields["time"]
                        payload = data.encode() if opcode == _TEXT else self._binary(opcode, data)
                        wall = round(time * 1e6) * 1000 if time < MILLISECONDS else wall_ns(time)
                        direction = _CHROME_DIRECTIONS[fields["type"]]
                    except _FLAWS:
                        reading = self._other_dialect(fields, flags)
                        if reading is None:
                            continue
                        opcode, payload, wall, direction = reading
                    if mono <= wall <= _LATEST_NS and len(payload) <= MAX_PAYLOAD:
                        mono = wall
                    elif not self._odd_but_good(wall, payload):
                        continue
                    if redact is not None and opcode == _TEXT:
                        payload = redact(payload)
                    seq += 1
                    group.append(Message(source, direction, opcode, payload, wall, mono, conn, seq))
                    if len(group) >= _GROUP:
                        yield self._hand_over(group)
                        group = []
                        source, conn, seq = self._source, self._conn, self._seq
                elif event == "start_map" and not inside:
                    inside, fields, flags = True, {}, {}
                elif event == "boolean" or event == "null":  # noqa: PLR1714 - as above
                    flags[key] = value
                elif event == "end_array":
                    break
                elif event.startswith("start"):
                    skip(events)
        except BREAKS:
            yield self._hand_over(group)
            raise
        yield self._hand_over(group)

    def _hand_over(self, group: list[Message]) -> list[Message]:
        self.good += len(group)
        self._seq += len(group)
        return group

    def _odd_but_good(self, wall: int, payload: bytes) -> bool:
        """What is left once a message is not newer than the last one, or not short."""
        if len(payload) > MAX_PAYLOAD:
            self._refuse("too long")
        elif not 0 <= wall <= _LATEST_NS:
            self._refuse("bad time")
        else:
            return True
        return False

    def _binary(self, opcode: Any, data: str) -> bytes:
        if opcode != _BINARY:
            raise KeyError(opcode)
        return self._without_secrets(b64decode(data, validate=True))

    def _without_secrets(self, payload: bytes) -> bytes:
        return self._redact(payload) if self._redact is not None and payload[:1] in _READABLE else payload

    def _other_dialect(self, fields: dict[str, Any], flags: dict[str, bool | None]) -> DialectMessage | None:
        """Read a message that is not in Chrome's form; `None` = it is in none, and counted as bad."""
        try:
            reading = read_message(fields, flags)
        except _FLAWS as error:
            self._refuse(_reason(fields, error))
            return None
        if reading.opcode == _BINARY:
            return reading._replace(payload=self._without_secrets(reading.payload))
        return reading

    def _refuse(self, reason: str) -> None:
        self.bad[reason] = self.bad.get(reason, 0) + 1


def _reason(fields: dict[str, Any], error: Exception) -> str:
    opcode = fields.get("opcode")
    if opcode in _CONTROLS or is_control(fields):
        return CONTROL
    if isinstance(error, binascii.Error):
        return "bad base64"
    if isinstance(error, UnicodeError):
        return "text that is no Unicode"
    if "opcode" in fields and (opcode.lower() if isinstance(opcode, str) else opcode) not in OPCODES:
        return "unknown opcode"
    time = fields.get("time", 0)
    if not isinstance(time, int | float) or not isfinite(time):
        return "bad time"
    return "a field is missing or of another type"


def skip(events: Iterator[Event]) -> None:
    """Pass over the value that has just begun, however deep it is."""
    depth = 1
    for event, _ in events:
        if event.startswith("start"):
            depth += 1
        elif event.startswith("end"):
            depth -= 1
            if depth == 0:
                return
