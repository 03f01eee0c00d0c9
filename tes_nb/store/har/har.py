"""Read the WebSocket messages of a HAR file, as Chrome's DevTools and others save it, in constant memory.

    report = HarReport()
    for message in read_har("devtools.har", recognise, report=report): ...

Chrome writes an entry's messages before the entry's address. The first of them wait in memory; for the rest the
address is looked for further on in the file.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import ijson  # type: ignore[import-untyped] # it has no stubs
import msgspec
from msgspec.structs import replace

from tes_nb.errors import SessionError, counted
from tes_nb.model import Direction, Opcode
from tes_nb.store.har.har_message import BREAKS, CONTROL, HarMessages
from tes_nb.store.redact import redact_url
from tes_nb.wire.events import Subscription, encode_event

if TYPE_CHECKING:
    from tes_nb.model import Message
    from tes_nb.store.har.har_message import Event


_REQUEST = b'"request"'
_REQUEST_URL = re.compile(rb'"request"\s*+:\s*+\{[^{}]*?"url"\s*+:\s*+("(?:[^"\\]|\\.)*+")', re.DOTALL)
_UTF_16 = {"utf-16-le": (codecs.BOM_UTF16_LE, b"{\0"), "utf-16-be": (codecs.BOM_UTF16_BE, b"\0{")}
_BLOCK = 2**20
_LONGEST = 2**16
"""Bytes of a request up to the end of its address."""


def address_ahead(file: BinaryIO) -> str | None:
    """Return the address of the next request after what was read of the file; `None` = there is none.

    Only a key can be spelled `"request"` with bare quotes: inside a string they would be escaped. Does not move
    the file's position.
    """
    began = position = file.tell()
    try:
        while block := _read_at(file, position, _BLOCK):
            place = block.find(_REQUEST)
            while place >= 0:
                match = _REQUEST_URL.match(_read_at(file, position + place, _LONGEST))
                if match:
                    return str(msgspec.json.decode(match[1], type=str))
                place = block.find(_REQUEST, place + 1)
            position += max(1, len(block) - len(_REQUEST) + 1)
        return None
    finally:
        file.seek(began)


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


Recognise: TypeAlias = Callable[[str], str | None]
"""An address → the source it belongs to, for example the name of a stream; `None` = leave its messages out."""
AddressChannels: TypeAlias = Callable[[str, str], tuple[str, ...] | None]
"""A source and the address of a connection → the channels that the address asks for; `None` = it says nothing."""

_ENTRIES = ["log", "entries"]
_ENTRY = ["log", "entries", ""]
_MESSAGES = "websocketmessages"
"""Chrome writes `_webSocketMessages`, others with less of a "_" or other capitals."""
_CREATOR = ["log", "creator", "name"]
_CREATOR_MOST = 40
_URL = ["log", "entries", "", "request", "url"]
"""The keys on the way to a place; "" stands for any element of an array."""
_ENTRY_DEPTH = 3
_BEGINS = frozenset({"start_map", "start_array"})
_ENDS = frozenset({"end_map", "end_array"})
_MEMORY = 4 * 2**20
"""Bytes of payload that wait for their address in memory."""
_ADDRESSES = 1000
"""So many addresses are named in the report, however many a file has."""


@dataclass(slots=True)
class HarReport:
    """What became of a HAR file's messages."""

    messages: int = 0
    """Imported."""
    connections: int = 0
    """WebSocket connections with messages of recognised sources."""
    bad: dict[str, int] = field(default_factory=dict)
    """Why a message could not be taken → how many."""
    unrecognised: dict[str, int] = field(default_factory=dict)
    """Addresses (without credentials) that belong to no known source → their messages."""
    urls: dict[str, str] = field(default_factory=dict)
    """Source → the address of its first connection, without credentials."""
    creator: str = ""
    """The program that wrote the file, as it calls itself; "" = it does not."""
    broken: str = ""
    """Where and why the file breaks off; "" = it is whole."""

    @property
    def lossy(self) -> bool:
        """Whether messages of the file could not be taken. Unrecognised ones and control frames are no loss."""
        return bool(self.broken) or any(reason != CONTROL for reason in self.bad)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a user reads."""
        lines = [f"{counted(self.messages, 'message')} of {counted(self.connections, 'connection')}."]
        lines += [
            f"{counted(count, 'message')} left out: {reason}." for reason, count in sorted(self.bad.items())
        ]
        lines += [
            f"{count:,} messages of {url} belong to no known stream."
            for url, count in self.unrecognised.items()
        ]
        return (*lines, self.broken) if self.broken else tuple(lines)


def read_har(
    path: str | os.PathLike[str],
    recognise: Recognise,
    *,
    address_channels: AddressChannels = lambda source, url: None,  # noqa: ARG005 - an address that says nothing
    report: HarReport | None = None,
    redact: bool = True,
) -> Iterator[Message]:
    """Yield the messages, connection by connection, in the order of the file.

    Before those of a connection whose address asks for channels comes an event that says so (`address_channels`).

    `t_wall_ns` is the file's time; `t_mono_ns` is the same but never goes back within a connection. Cookies and
    headers are never read; `redact` also replaces credentials in addresses and in text messages. Binary messages
    that are compressed stay as they are. A file that breaks off gives what is before the break, see `report`.

    Raises `SessionError` when the file cannot be read or is no HAR file.
    """
    path = Path(path)
    with contextlib.ExitStack() as cleanup:
        try:
            original = cleanup.enter_context(path.open("rb"))
        except OSError as error:
            raise SessionError(
                f"{path} cannot be read ({error.strerror}): check the name and the folder."
            ) from error
        _refuse_archive(path, original)
        file = cleanup.enter_context(_as_utf8(original))
        reader = _HarReader(
            recognise, address_channels, HarReport() if report is None else report, redact=redact
        )
        for group in reader.read(file):
            yield from group
        if not reader.is_har:
            raise SessionError(
                f"{path.name} is no HAR file ({reader.report.broken or 'it has no log of entries'}): in Chrome's "
                "DevTools, save one from the Network tab with 'Export HAR'."
            )


class _HarReader:
    """Walks through a file's JSON events. The hot part is `HarMessages`."""

    def __init__(
        self, recognise: Recognise, address_channels: AddressChannels, report: HarReport, *, redact: bool
    ) -> None:
        self.report = report
        self.is_har = False
        self._recognise, self._address_channels, self._redact = recognise, address_channels, redact
        self._messages = HarMessages(redact=redact)
        report.bad = self._messages.bad
        self._seqs: dict[str, int] = {}
        self._conns: dict[str, int] = {}
        self._waiting: list[list[Message]] = []
        """Messages of the current entry whose address has not come yet."""
        self._ahead: str | None = None
        """The address of the current entry, where it was looked for ahead."""

    def read(self, file: BinaryIO) -> Iterator[list[Message]]:
        try:
            yield from self._entries(ijson.basic_parse(file, use_float=True), file)
        except BREAKS as error:
            yield from self._finish_entry(None)
            lost = _count_opcodes(file) - self._messages.count
            why = " ".join(str(error).split("\n", maxsplit=1)[0].split()) or type(error).__name__
            self.report.broken = (
                f"The file breaks off ({why}): about {max(0, lost):,} more messages cannot be read."
            )

    def _entries(self, events: Iterator[Event], file: BinaryIO) -> Iterator[list[Message]]:
        keys: list[str] = []
        url: str | None = None
        for event, value in events:
            if event == "map_key":
                keys[-1] = value
            elif event in _BEGINS:
                self.is_har = self.is_har or keys == _ENTRIES
                if event == "start_array" and _is_messages(keys):
                    yield from self._array(events, url, file)
                else:
                    keys.append("")
            elif event in _ENDS:
                keys.pop()
                if len(keys) == _ENTRY_DEPTH:
                    yield from self._finish_entry(url)
                    url = None
            elif event == "string" and keys == _URL:
                url = value
            elif event == "string" and keys == _CREATOR:
                self.report.creator = "".join(filter(str.isprintable, value))[:_CREATOR_MOST].strip()

    def _array(self, events: Iterator[Event], url: str | None, file: BinaryIO) -> Iterator[list[Message]]:
        self._messages.begin("", 0, 0)
        groups = self._messages.convert(events)
        if url is not None:
            yield from self._connection(url, [], groups)
            return
        size = 0
        for group in groups:
            self._waiting.append(group)
            size += sum(len(message.payload) for message in group)
            if size >= _MEMORY:
                self._ahead = address_ahead(file)
                waiting, self._waiting = self._waiting, []
                yield from self._connection(self._ahead or "", waiting, groups)

    def _finish_entry(self, url: str | None) -> Iterator[list[Message]]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            yield from self._connection(url or "", waiting, iter(()))
        if self._ahead not in (None, url) and url is not None:
            raise SessionError(
                "This HAR file does not give the address of a connection where Chrome does: its messages would be "
                "taken for another stream's. Save it again from Chrome's DevTools."
            )
        self._ahead = None

    def _connection(
        self, url: str, waiting: list[list[Message]], groups: Iterator[list[Message]]
    ) -> Iterator[list[Message]]:
        """Give one connection its source: to what waited for it, and to what comes now."""
        source = self._recognise(url)
        if source is None:
            self._note_unrecognised(url, sum(map(len, waiting)) + sum(map(len, groups)))
            return
        conn = self._conns[source] = self._conns.get(source, 0) + 1
        seq = self._seqs.get(source, 0)
        self.report.connections += 1
        self.report.urls.setdefault(source, redact_url(url) if self._redact else url)
        channels = self._address_channels(source, url)
        seq += channels is not None
        late = [
            replace(each, source=source, conn=conn, seq=seq + each.seq) for group in waiting for each in group
        ]
        self._messages.begin(source, conn, seq + len(late))
        for group in itertools.chain([late], groups):
            if channels is not None and group:
                yield [_subscription(group[0], channels)]
                channels = None
            self._seqs[source] = seq = seq + len(group)
            self.report.messages += len(group)
            yield group

    def _note_unrecognised(self, url: str, count: int) -> None:
        counts = self.report.unrecognised
        name = redact_url(url) if self._redact else url
        if name not in counts and len(counts) >= _ADDRESSES:
            name = "other addresses"
        counts[name] = counts.get(name, 0) + count


def _subscription(first: Message, channels: tuple[str, ...]) -> Message:
    """Return the event that says what a connection asked for; it comes right before its first message."""
    event = encode_event(Subscription(first.conn, channels))
    return replace(
        first, direction=Direction.IN, opcode=Opcode.EVENT, payload=event, seq=first.seq - 1, flags=0
    )


def _refuse_archive(path: Path, file: BinaryIO) -> None:
    head = file.read(4)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise SessionError(f"{path.name} is a compressed archive: unpack it and open the HAR file inside.")


def _is_messages(keys: list[str]) -> bool:
    return keys[:-1] == _ENTRY and keys[-1].lower().lstrip("_") == _MESSAGES


@contextlib.contextmanager
def _as_utf8(file: BinaryIO) -> Iterator[BinaryIO]:
    """Give the file after its byte order mark; one in UTF-16 as a copy on the disk in UTF-8."""
    head = file.read(3)
    encoding = next((name for name, marks in _UTF_16.items() if head.startswith(marks)), None)
    if encoding is None:
        file.seek(len(codecs.BOM_UTF8) if head == codecs.BOM_UTF8 else 0)
        yield file
        return
    file.seek(2 if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else 0)
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    with tempfile.TemporaryFile() as copy:
        while block := file.read(_BLOCK):
            copy.write(decoder.decode(block).encode())
        copy.seek(0)
        yield copy


def _count_opcodes(file: BinaryIO) -> int:
    """How many messages a file that cannot be parsed seems to hold: inside strings the quotes would be escaped."""
    key = b'"opcode"'
    file.seek(0)
    count, rest = 0, b""
    while block := file.read(1 << 20):
        text = rest + block
        count += text.count(key)
        rest = text[-len(key) + 1 :]
    return count
