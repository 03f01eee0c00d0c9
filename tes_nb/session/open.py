"""What `tes.open` takes: a session file, or a HAR file as Chrome's DevTools, Playwright or mitmproxy save it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tes_nb.errors import SessionError
from tes_nb.session.recorded import RecordedSession, recognise
from tes_nb.store.har.har_session import import_har
from tes_nb.store.paths import user_path
from tes_nb.store.session.packed import packed_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import session_path
from tes_nb.streams import NAMES, get


def open_session(
    path: str | Path, *, streams: Mapping[str, str] | None = None, redact: bool = True
) -> RecordedSession:
    """Open a session file, also one that is being recorded, compressed or damaged, or a HAR file of a browser or proxy.

    streams and redact are for HAR files: part of an address → stream name, and whether credentials are taken
    out. Raises `SessionError`, a sentence with what to do, for what is no session.
    """
    file = user_path(path, SessionError)
    if file.suffix.lower() == ".har":
        return open_har(file, streams=streams, redact=redact)
    try:
        named = (file, session_path(file))
        places = (
            *named,
            *map(packed_path, named),
        )  # a recorder with --compress may have compressed it meanwhile
        return RecordedSession(SessionFile.open(next((one for one in places if one.exists()), file)))
    except OSError as error:
        raise SessionError(
            f"'{file}' cannot be opened ({error.strerror or error}): check the name and the folder."
        ) from error


def _address_channels(name: str, url: str) -> tuple[str, ...] | None:
    read = get(name).address_channels if name in NAMES else None
    return None if read is None else read(url)


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
