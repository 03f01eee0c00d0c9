"""HAR files and sessions: make a session of a HAR file, write a session as one, in the form of Chrome's DevTools."""

from __future__ import annotations

import itertools
import json
import os
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tes_nb._version import __version__
from tes_nb.errors import SessionError
from tes_nb.model import Direction, Message, Opcode
from tes_nb.store.export.staging import staged
from tes_nb.store.har.har import AddressChannels, HarReport, Recognise, read_har
from tes_nb.store.redact import PayloadRedactor, redact_url
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.schema import Fact, SourceInfo
from tes_nb.store.session.writer import SessionWriter

if TYPE_CHECKING:
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
    for message in () if first is None else itertools.chain([first], wire):
        block.append((",\n" if count else "") + _message(message, redactor))
        count, last = count + 1, message.t_wall_ns
        if len(block) >= _BLOCK:
            file.write("".join(block))
            block.clear()
    file.write("".join(block) + f'],"time":{(last - began) / 1e6!r}}}')
    return count


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


_GROUP = 4096
_IN_CHROME = (
    "open Chrome's DevTools before the page connects, let it run, and save with "
    "'Export HAR' from the Network tab."
)
_ADVICE = {
    # Chrome and Edge call themselves WebInspector, Safari "WebKit Web Inspector"
    "webkit": f"Safari's Web Inspector mostly leaves them out; {_IN_CHROME}",
    "firefox": f"Firefox mostly leaves them out; {_IN_CHROME}",
    "webinspector": _IN_CHROME,
    "playwright": (
        "Playwright writes them since version 1.61 and where contents are embedded: update it, record with "
        'record_har_content="embed", and close the context before you open the file.'
    ),
    "mitmproxy": (
        "mitmproxy writes them since version 10.1 and once the connection has ended: update it, start it before "
        "the page connects (mitmdump --set hardump=FILE.har), and close the page before you stop it."
    ),
    "tes_nb": "tes_nb wrote it of a session in which none were recorded; export a session that has some.",
}
"""A word in the program's name → what to do."""


def import_har(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    recognise: Recognise,
    address_channels: AddressChannels = lambda source, url: None,  # noqa: ARG005 - an address that says nothing
    *,
    redact: bool = True,
) -> HarReport:
    """Write the messages of a HAR file into a new session file, and say what became of them.

    `recognise` gives each address the source it belongs to (a stream's name); `address_channels` and `redact` as in
    `read_har`.
    Raises `SessionError`, and leaves no file behind, when there is nothing to import: the file is no HAR file,
    has no WebSocket messages, or none of a known stream.
    """
    path, target = Path(path), Path(target)
    report = HarReport()
    groups = _grouped(
        read_har(path, recognise, address_channels=address_channels, report=report, redact=redact)
    )
    first = next(groups, None)
    if first is None:
        raise _nothing_in(path, report)
    writer = SessionWriter(target, time=(first[0].t_wall_ns, first[0].t_mono_ns))
    try:
        for group in itertools.chain([first], groups):
            infos = [SourceInfo(name, name, url) for name, url in report.urls.items()]
            writer.append([*infos, *group])
        writer.append(
            [Fact("imported", {"from": path.name, "sentences": list(report.sentences)}), _end(path, writer)]
        )
    except BaseException:
        writer.close()
        for leftover in (target, wal_path(target)):
            leftover.unlink(missing_ok=True)
        raise
    writer.close()
    return report


def _grouped(messages: Iterator[Message]) -> Iterator[list[Message]]:
    while group := list(itertools.islice(messages, _GROUP)):
        yield group


def _end(path: Path, writer: SessionWriter) -> Fact:
    return Fact("ended", {"text": f"Imported from {path.name}.", "messages": writer.messages})


def _nothing_in(path: Path, report: HarReport) -> SessionError:
    if report.unrecognised:
        there = ", ".join(itertools.islice(report.unrecognised, 3))
        return SessionError(
            f"{path.name} has WebSocket messages, but of no stream known here ({there}): "
            'say what each carries: tes.open(…, streams={"part of the address": "name of the stream"}).'
        )
    if report.bad or report.broken:
        return SessionError(
            f"{path.name} has no WebSocket message that can be read: {' '.join(report.sentences)}"
        )
    return SessionError(f"{path.name} has no WebSocket messages: {_advice(report.creator)}")


def _advice(creator: str) -> str:
    """Say what to do in the program that wrote the file."""
    for word, advice in _ADVICE.items():
        if word in creator.lower():
            return advice
    written = f"it was written by {creator}, which may have no place for them; " if creator else ""
    return f"{written}{_IN_CHROME}"
