"""A recorded session: the same feeds, frames and figures as live, because the same decoders run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tes_nb.errors import counted, meant
from tes_nb.model import Message, Stream
from tes_nb.net.endpoints import default_ports
from tes_nb.session.extras import extras_of
from tes_nb.session.feed import Feed
from tes_nb.session.origin import RecordedOrigin
from tes_nb.session.outputs import SessionOutputs
from tes_nb.store.memory.tables import count_undecoded
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import new_session_path
from tes_nb.streams import NAMES, all_streams, get
from tes_nb.streams.kernel import KERNEL
from tes_nb.views.html import table_html
from tes_nb.views.source import KernelNotes
from tes_nb.wire.events import Gap, Mark

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from tes_nb.store.har.har import HarReport
    from tes_nb.store.session.tables import SessionInfo

_MARK = "tes_stream"
"""What `to_har` adds to the query of an address that is not its stream's own, such as a stand-in's on this machine."""
SHORT = 20_000
"""So many messages are decoded in about a second."""


class RecordedSession(SessionOutputs):
    """What `tes.open()` gives. Close it, or use it as a context manager."""

    def __init__(
        self,
        file: SessionFile,
        *,
        import_report: HarReport | None = None,
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        self._file = file
        self._folder = folder
        self.import_report = import_report
        """What became of an imported file's messages; `None` = this is a recording."""
        self.path = file.path
        self.feeds: dict[str, Feed] = {}
        """Source name → feed."""
        for source in file.sources.values():
            if source.stream in NAMES:
                stream = get(source.stream)
                origin = RecordedOrigin(stream, source.name, file)
                self.feeds[source.name] = extras_of(stream).feed(stream, origin)
        if KERNEL in self.feeds:
            notes = KernelNotes(lambda: self.feeds[KERNEL].store)
            for feed in self.feeds.values():
                feed.notes = notes
                feed.cell_costs = lambda: self.feeds[KERNEL].frame("cells")
        self.running = False
        self.url = str(file.path)

    def __getattr__(self, name: str) -> Feed:
        feeds: Mapping[str, Feed] = self.__dict__.get("feeds", {})
        if name in feeds:
            return feeds[name]
        there = ", ".join(feeds) or "no feeds"
        raise AttributeError(f"This recording has no feed '{name}'; it has {there}.{meant(name, feeds)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.feeds]

    def _all_gaps(self) -> list[tuple[str | None, Gap]]:
        return [(one.source, one.gap) for one in self._file.gaps]

    def _all_marks(self) -> list[Mark]:
        return [Mark(one.label, one.at_ns) for one in self._file.marks]

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the file is damaged, a sentence each; () = nothing that was read."""
        return self._file.damage

    def info(self, *, decode: bool | None = None) -> SessionInfo:
        """Return the session in figures: duration, counts, rates, bytes, gaps, undecoded messages, peaks.

        All but the undecoded ones is known without reading messages. decode: count those, too, by decoding the
        whole recording; `None` = if it is short enough for a moment (20,000 messages).
        """
        info = self._file.info()
        if decode is None:
            decode = info.messages <= SHORT
        if not decode or info.undecoded is not None:
            return info
        counts = {
            name: count_undecoded(feed.stream, self._file.messages(name)) for name, feed in self.feeds.items()
        }
        sources = {name: replace(each, undecoded=counts.get(name, 0)) for name, each in info.sources.items()}
        return replace(info, undecoded=sum(counts.values()), sources=sources)

    @property
    def being_recorded(self) -> bool:
        """Whether somebody records into the file now."""
        return self._file.recording_pid is not None

    def recorded_messages(self, source: str | None = None) -> Iterator[Message]:
        """Yield what came of a source, `None` = of all, as it came, in flat memory."""
        return self._file.messages(source)

    def _title_and_page(self) -> tuple[str, str]:
        return self.path.name, ""

    def _raise_pending(self) -> None:
        """Nothing goes on in the background."""

    def _settle(self) -> None:
        """Nothing is on its way."""

    def _steering(self) -> None:
        return None

    def to_har(self, path: str | Path, *, redact: bool = True) -> int:
        """Write what was on the wire as a HAR file, as Chrome's DevTools save it; return how many messages.

        DevTools and `tes.open()` open it. Streams without an address, such as the kernel's own, were on no wire and
        are left out, as are gaps, marks and states. redact=False keeps credentials. Memory stays flat. Raises
        `ExportError` where it cannot be written.
        """
        from tes_nb.store.har.har_session import connections_of, write_har  # noqa: PLC0415 - few write one

        sources = self._file.sources
        addresses = {name: sources[name].url or _address(feed.stream) for name, feed in self.feeds.items()}
        on_the_wire = {
            name: _marked(url, self.feeds[name].stream.name) for name, url in addresses.items() if url
        }
        return write_har(path, connections_of(self._file, on_the_wire), redact=redact)

    def save_as(self, path: str | Path) -> Path:
        """Write a copy that is whole, also of a session that is being recorded; return its path.

        path: as in `s.record()`. Raises `SessionError` where it cannot be written, or where there is a file.
        """
        return self._file.save_as(new_session_path(path))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Let polars, DuckDB and others read the messages as they came, in flat memory; feeds give tables.

        Columns: time, source, seq, conn, direction (in, out), opcode (event, text, binary), size, payload.
        """
        from tes_nb.store.memory.arrow import message_batches, need_pyarrow, stream_capsule  # noqa: PLC0415 - an extra

        need_pyarrow()
        return stream_capsule(message_batches(self._file.messages()), requested_schema)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        info = self.info()
        amounts = (
            f"{counted(info.messages, 'message')}, {info.duration_s:,.1f} s, {counted(info.gaps, 'gap')}"
        )
        lines = [f"<recording {self.path.name}: {amounts}>"]
        for name, each in info.sources.items():
            lines.append(f"  {name}: {counted(each.messages, 'message')}, {each.per_second:.1f}/s")
        return "\n".join([*lines, *(f"  damaged: {sentence}" for sentence in self.damage)])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        rows = [
            (n, f"{e.messages:,}", f"{e.per_second:.1f}", str(e.gaps)) for n, e in self.info().sources.items()
        ]
        html = table_html(escape(self.path.name), ("source", "messages", "per second", "gaps"), rows)
        return {"text/plain": repr(self), "text/html": html}


def _address(stream: Stream) -> str:
    """Return where a stream of this machine's own is found; "" = it has no address."""
    endpoint = stream.endpoint
    if endpoint.port == "none":
        return endpoint.path
    status, workers = default_ports(None, os.environ)
    return f"ws://localhost:{workers if endpoint.port == 'workers' else status}{endpoint.path}"


def recognise(url: str, streams: Mapping[str, str] | None = None) -> str | None:
    """Return the stream that an address belongs to; `None` = none of ours.

    streams: part of an address → stream, from the user; it counts before what the streams themselves say.
    """
    for part, name in (streams or {}).items():
        if part in url:
            return name
    place = urlsplit(url)
    marked = dict(parse_qsl(place.query)).get(_MARK)
    if marked in NAMES:
        return marked
    for stream in all_streams():
        paths = filter(None, (stream.endpoint.path, *stream.endpoint.aliases))
        if any(_is_at(stream, path, place.hostname or "", place.path) for path in paths):
            return stream.name
    return None


def _is_at(stream: Stream, path: str, host: str, url_path: str) -> bool:
    """A stream on TES's ports is known by its path, an external one by its site (the last two labels)."""
    if stream.endpoint.port != "none":
        return url_path.endswith(path)
    site = (urlsplit(path).hostname or "").split(".")[-2:]
    return bool(site) and host.split(".")[-2:] == site


def _marked(url: str, stream: str) -> str:
    """Return the address with the stream in its query, where it does not say by itself what travels there."""
    if recognise(url) == stream:
        return url
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, (parts.query, f"{_MARK}={stream}")))).geturl()
