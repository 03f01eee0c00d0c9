"""A stream, described once: where it listens, how a message decodes, its tables, how ours produces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tes_nb.model.message import Decoded, Kind, Message
from tes_nb.model.observation import Observation
from tes_nb.model.table import Row, Table

STALE_PERIODS = 3
"""A stream is stale when so many of its normal silences (`Stream.period_s`) have passed without data."""


class FeedDecoder(Protocol):
    """Decodes the messages of one feed where what they say depends on what their connection asked for."""

    def note(self, message: Message) -> None:
        """Take note of what we sent, or of an event of ours. Never raises for bad input."""

    def decode(self, message: Message) -> Decoded:
        """Return what a received message says; raises as `Stream.decode` does."""


class PlainDecoder:
    """The decoder of a feed whose messages say all by themselves."""

    def __init__(self, decode: Callable[[Message], Decoded]) -> None:
        self.decode = decode

    def note(self, message: Message) -> None:
        """There is nothing to remember."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a fresh bearer token comes from before each connection, and how a connection presents it."""

    url: str
    headers: Mapping[str, str]
    """What the request must carry."""
    nonce: str | None = None
    """The query parameter that takes a random number; `None` = none does."""
    auth: Literal["header", "query"] = "header"
    """`Authorization: Bearer …`, or `query` behind the WebSocket's URL."""
    query: str = "?token={token}"
    """For "query": {token} is the token, {channels} the wanted channels joined by commas."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a stream listens."""

    port: Literal["status", "workers", "none"]
    """Which of TES's two ports; "none" = no place on them: `path` is a whole URL, or "" = our relay only."""
    path: str
    aliases: tuple[str, ...] = ()
    """Other paths under which peers serve the same stream, tried in this order."""
    poll: str | None = None
    """HTTP path with the same content, for peers without the WebSocket; `None` = there is none."""
    token: TokenSource | None = None
    """`None` = a connection needs no token."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answers to a client's message."""

    reply: dict[str, Any]
    parts: tuple[str, ...] | None = None
    """The parts the client wants from now on; () = all; `None` = unchanged."""


@dataclass(frozen=True, slots=True)
class HttpHalf:
    """A GET route that answers a stream's current content."""

    port: Literal["status", "workers"]
    path: str
    bare: Callable[[dict[str, Any]], dict[str, Any]]
    """The stream's message → the body of the answer."""
    headers: Mapping[str, str]
    open: bool = True
    """False = needs the token."""


@dataclass(frozen=True, slots=True)
class Producer:
    """How our collector produces the stream. All functions are pure."""

    build: Callable[[Observation], dict[str, Any]]
    """The canonical message for what was observed."""
    period_s: float
    """A message is sent at least this often, on a fixed grid."""
    changed: Callable[[dict[str, Any]], object] | None = None
    """Message → a comparable value; when it differs from the last sent one, a push follows. `None` = never."""
    answer: Callable[[bytes, int], Answer] | None = None
    """(client's text, now in Unix ms) → what to answer. `None` = clients get the common error."""
    select: Callable[[dict[str, Any], tuple[str, ...]], dict[str, Any]] | None = None
    """(message, parts) → the message with those parts only."""
    http: tuple[HttpHalf, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """Everything the rest of tes_nb knows about a stream."""

    name: str
    doc: str
    endpoint: Endpoint
    tables: tuple[Table, ...]
    main: str
    """The table that `feed.frame()` gives."""
    period_s: float
    """The longest silence that is normal, in seconds; three of them make a stream stale."""
    decode: Callable[[Message], Decoded]
    """Raises `DecodeError` for what is not this stream; nothing else. A stream with a table `raw` raises
    nothing: it answers UNDECODED with a row there, and a row and a note for each fault in a readable message.
    """
    classify: Callable[[Message], Kind]
    """The kind alone, much cheaper than `decode`; never raises."""
    feed_decoder: Callable[[], FeedDecoder] | None = None
    """Makes the decoder of one feed where messages do not say all by themselves; `None` = `decode` knows all."""
    fold: Callable[[dict[str, Any], Message, Decoded], Mapping[str, Sequence[Row]]] | None = None
    """(memory of this feed, message, its decoding) → rows of tables that compare messages; pure but for `memory`."""
    folded: tuple[str, ...] = ()
    """The tables whose rows depend on all messages before, so that no range stands alone: those that `fold` fills,
    and those in which a decoder of the feed says something once."""
    heartbeat: bytes | None = None
    """Text to send so that a peer does not call us idle."""
    heartbeat_s: float = 10.0
    subscription: Callable[[Sequence[str]], bytes] | None = None
    """Names → the text that asks a peer for them; `None` = the stream has no choice."""
    address_channels: Callable[[str], tuple[str, ...] | None] | None = None
    """The address of a connection → what it asks for; `None` = it says nothing of that."""
    resolve_names: Callable[[Sequence[str]], tuple[str, ...]] | None = None
    """Names as users write them → the wire's, () → those that are usual; raises ValueError. `None` = as they are."""
    producer: Producer | None = None
    """`None` = our collector does not produce it by itself."""
    view: Literal["chart", "cards", "table"] = "chart"
    """How its main table is looked at most often."""
    extras: str = ""
    """`module:name` of the `tes_nb.session.extras.Extras` that its feeds have beyond others; "" = none."""

    def decoder(self) -> FeedDecoder:
        """Return a decoder for the messages of one feed, in their order."""
        return PlainDecoder(self.decode) if self.feed_decoder is None else self.feed_decoder()

    def holds_events(self, table: Table) -> bool:
        """Whether each row of a table is of its own, such as an executed cell, instead of how something is now."""
        regular = self.producer is not None or (table.name == self.main and self.period_s < float("inf"))
        return not table.key and not regular

    def table(self, name: str) -> Table:
        """Return the table of that name; KeyError lists the names there are."""
        for table in self.tables:
            if table.name == name:
                return table
        names = ", ".join(table.name for table in self.tables)
        raise KeyError(f"stream '{self.name}' has no table '{name}'; it has {names}")
