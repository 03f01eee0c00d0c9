"""Make a session of a HAR file, so that everything that reads recordings reads it too."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tes_nb.errors import SessionError
from tes_nb.store.har.har import AddressChannels, HarReport, Recognise, read_har
from tes_nb.store.session.schema import Fact, SourceInfo
from tes_nb.store.session.writer import SessionWriter, wal_path

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
