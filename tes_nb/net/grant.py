"""What an authorize hook gives a reader for one attempt to connect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Grant:
    """Headers and a query that open the door. Never shown: both may hold a token."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with the handshake and with polls, to the host that was asked for and to no other."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the WebSocket URL."""

    def url(self, url: str) -> str:
        """Return `url` with the query added."""
        if not self.query:
            return url
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode(self.query, safe=","))))
        return urlunsplit(parts._replace(query=query))


AuthorizeHook = Callable[[], Awaitable[Grant]]
"""Called before each attempt; raises `AuthenticationError`, whose sentence shows in the reader's state."""

NO_GRANT = Grant()
