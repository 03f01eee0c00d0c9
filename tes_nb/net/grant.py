"""What an authorize hook gives a reader for one attempt to connect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Grant:
    """Headers and a query that open the door. Never shown: both may hold a token."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with the handshake and with polls, to the host that was asked for and to no other."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the WebSocket URL."""
    raw_query: str = field(default="", repr=False)
    """The same as it is to travel, for peers that want it spelt in their own way."""
    asks_for: tuple[str, ...] | None = None
    """The channels that the query asks for, so that they are not asked for again; `None` = it asks for none."""
    renew_at_s: float | None = None
    """When the next grant is due, on the room's monotonic clock; `None` = never, or nobody knows."""
    expires_at_s: float | None = None
    """When this one stops to open doors, on the same clock."""

    def url(self, url: str) -> str:
        """Return `url` with the query added."""
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode(self.query, safe=","), self.raw_query)))
        return url if query == parts.query else urlunsplit(parts._replace(query=query))

    def redact(self, text: str) -> str:
        """Return `text` without our secrets: a peer may quote them back at us."""
        for value in (*self.headers.values(), *self.query.values()):
            for word in value.split():
                if len(word) >= _SHORTEST_SECRET:
                    text = text.replace(word, "…")
        return text


AuthorizeHook = Callable[[], Awaitable[Grant]]
"""Called before each attempt; raises `AuthenticationError`, whose sentence shows in the reader's state."""

NO_GRANT = Grant()
