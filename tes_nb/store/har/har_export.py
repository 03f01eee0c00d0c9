"""Write messages as a HAR file, in the form that Chrome's DevTools give WebSocket messages."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tes_nb._version import __version__
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.export.staging import staged
from tes_nb.store.redact import PayloadRedactor, redact_url

if TYPE_CHECKING:
    import os

    from tes_nb.store.export.staging import StagedFile
    from tes_nb.store.session.reader import SessionFile

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class HarConnection:
    """One connection to be written."""

    url: str
    messages: Iterable[Message]
    """In order; gone through once. Our own events are left out: they never were on the wire."""


def write_har(
    path: str | os.PathLike[str], connections: Iterable[HarConnection], *, redact: bool = True
) -> int:
    """Write the connections and return how many messages there are. Memory stays flat.

    Text that is no UTF-8 is written as a binary message, so that no byte is lost. Times keep microseconds, as in
    Chrome's own files. The file appears under its name when it is complete; raises `ExportError` where it cannot
    be written.
    """
    path = Path(path)
    redactor = PayloadRedactor() if redact else None
    with staged(path.parent) as staging:
        file = staging.open(path.name)
        creator = {"name": "tes_nb", "version": __version__}
        file.write(f'{{"log":{{"version":"1.2","creator":{json.dumps(creator)},"pages":[],"entries":[')
        count = 0
        for number, connection in enumerate(connections):
            file.write(",\n" if number else "\n")
            count += _write_entry(file, connection, redactor)
        file.write("\n]}}\n")
    return count


def connections_of(session: SessionFile, addresses: Mapping[str, str]) -> Iterator[HarConnection]:
    """Yield the upstream connections of a recording, ready for `write_har`. addresses: source → its address."""
    for name, url in addresses.items():
        for conn in session.connections(name):
            yield HarConnection(url, session.messages(name, conn=conn))


def _write_entry(file: StagedFile, connection: HarConnection, redactor: PayloadRedactor | None) -> int:
    url = connection.url if redactor is None else redact_url(connection.url)
    wire = (message for message in connection.messages if message.opcode != Opcode.EVENT)
    first = next(wire, None)
    began = 0 if first is None else first.t_wall_ns
    head = json.dumps(_entry(url, began))
    file.write(head[:-1] + ',"_webSocketMessages":[')
    count, last, block = 0, began, list[str]()
    for message in () if first is None else _chain(first, wire):
        block.append((",\n" if count else "") + _message(message, redactor))
        count, last = count + 1, message.t_wall_ns
        if len(block) >= _BLOCK:
            file.write("".join(block))
            block.clear()
    file.write("".join(block) + f'],"time":{(last - began) / 1e6!r}}}')
    return count


def _chain(first: Message, others: Iterator[Message]) -> Iterator[Message]:
    yield first
    yield from others


def _message(message: Message, redactor: PayloadRedactor | None) -> str:
    payload = message.payload
    opcode, data = message.opcode, ""
    if opcode == Opcode.TEXT:
        try:
            data = (payload if redactor is None else redactor(payload)).decode()
        except UnicodeDecodeError:
            opcode = Opcode.BINARY
    if opcode == Opcode.BINARY:
        data = b64encode(payload).decode()
    kind = "receive" if message.direction == Direction.IN else "send"
    seconds, rest = divmod(message.t_wall_ns // 1000, 1_000_000)
    return f'{{"type":"{kind}","time":{seconds}.{rest:06d},"opcode":{opcode:d},"data":{json.dumps(data)}}}'


def _entry(url: str, began_ns: int) -> dict[str, Any]:
    """What HAR 1.2 asks of an entry, without the total time and the messages."""
    sizes = {"headersSize": -1, "bodySize": -1}
    common = {"httpVersion": "HTTP/1.1", "cookies": [], "headers": []}
    query = [
        {"name": name, "value": value}
        for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
    ]
    began = datetime.fromtimestamp(began_ns // 10**9, UTC).replace(microsecond=began_ns % 10**9 // 1000)
    return {
        "_resourceType": "websocket",
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request": {"method": "GET", "url": url, **common, "queryString": query, **sizes},
        "response": {
            "status": 101,
            "statusText": "Switching Protocols",
            **common,
            "content": {"size": 0, "mimeType": "x-unknown"},
            "redirectURL": "",
            **sizes,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
    }
