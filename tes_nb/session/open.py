"""What `tes.open` takes: a session file, or a HAR file as Chrome's DevTools, Playwright or mitmproxy save it."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tes_nb.errors import SessionError
from tes_nb.model import Stream
from tes_nb.session.recorded import RecordedSession
from tes_nb.store.har.har import AddressChannels, HarReport, Recognise, read_har
from tes_nb.store.paths import user_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import Fact, SourceInfo, session_path
from tes_nb.store.session.writer import SessionWriter, wal_path
from tes_nb.streams import NAMES, all_streams, get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tes_nb.model import Message


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


def open_session(
    path: str | Path, *, streams: Mapping[str, str] | None = None, redact: bool = True
) -> RecordedSession:
    """Open a session file, also one that is being recorded or is damaged, or a HAR file of a browser or proxy.

    streams and redact are for HAR files: part of an address → stream name, and whether credentials are taken
    out. Raises `SessionError`, a sentence with what to do, for what is no session.
    """
    file = user_path(path, SessionError)
    if file.suffix.lower() == ".har":
        return open_har(file, streams=streams, redact=redact)
    try:
        recording = file if file.exists() else session_path(file)
        return RecordedSession(SessionFile.open(recording if recording.exists() else file))
    except OSError as error:
        raise SessionError(
            f"'{file}' cannot be opened ({error.strerror or error}): check the name and the folder."
        ) from error


def recognise(url: str, streams: Mapping[str, str] | None = None) -> str | None:
    """Return the stream that an address belongs to; `None` = none of ours.

    streams: part of an address → stream, from the user; it counts before what the streams themselves say.
    """
    for part, name in (streams or {}).items():
        if part in url:
            return name
    place = urlsplit(url)
    for stream in all_streams():
        paths = filter(None, (stream.endpoint.path, *stream.endpoint.aliases))
        if any(_is_at(stream, path, place.hostname or "", place.path) for path in paths):
            return stream.name
    return None


def _address_channels(name: str, url: str) -> tuple[str, ...] | None:
    read = get(name).address_channels if name in NAMES else None
    return None if read is None else read(url)


def _is_at(stream: Stream, path: str, host: str, url_path: str) -> bool:
    """A stream on TES's ports is known by its path, an external one by its site (the last two labels)."""
    if stream.endpoint.port != "none":
        return url_path.endswith(path)
    site = (urlsplit(path).hostname or "").split(".")[-2:]
    return bool(site) and host.split(".")[-2:] == site


def open_har(
    path: str | Path, *, streams: Mapping[str, str] | None = None, redact: bool = True
) -> RecordedSession:
    """Import the WebSocket messages of a HAR file and open them as a session.

    streams: part of an address → stream name, for addresses that are not recognised. redact=False keeps
    credentials. `session.import_report` says what was taken and what was not. Raises `SessionError` for a file
    that is no HAR or has no messages of a known stream.
    """
    folder = tempfile.TemporaryDirectory(prefix="tes_nb-har-")
    target = Path(folder.name) / f"{Path(path).stem}.tes"
    try:
        report = import_har(
            path, target, lambda url: recognise(url, streams), _address_channels, redact=redact
        )
        return RecordedSession(SessionFile.open(target), import_report=report, folder=folder)
    except BaseException:
        folder.cleanup()
        raise
