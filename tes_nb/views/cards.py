"""The static face of a session and of a feed: small HTML tables that also read well in a dead notebook."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_VALUES = 60
MAX_TEXT = 200

_STYLE = "border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums"
_CELL = "padding:2px 10px;text-align:left;border-bottom:1px solid rgba(128,128,128,.3);overflow-wrap:anywhere"


class FeedLike(Protocol):
    """What a feed shows."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> Any: ...
    @property
    def rows(self) -> int: ...
    @property
    def messages(self) -> int: ...
    @property
    def latest(self) -> Any: ...


class SessionLike(Protocol):
    """What a session shows."""

    @property
    def feeds(self) -> Mapping[str, FeedLike]: ...
    @property
    def running(self) -> bool: ...
    @property
    def url(self) -> str: ...


def feed_html(feed: FeedLike) -> str:
    """Return a feed's state and its last values."""
    caption = f"{escape(feed.name)}: {escape(str(feed.state))} · {feed.rows} rows · {feed.messages} messages"
    values = list(_flatten(feed.latest))[:MAX_VALUES]
    if not values:
        return f"<p>{caption}<br>No data yet.</p>"
    return table_html(caption, ("field", "last value"), values)


def session_html(session: SessionLike, head: str) -> str:
    """Return a session's feeds with their states and counts. head: what it is, in a line."""
    caption = f"{escape(head)}, {escape(session.url)}"
    rows = [
        (feed.name, str(feed.state), str(feed.rows), str(feed.messages)) for feed in session.feeds.values()
    ]
    return table_html(caption, ("feed", "state", "rows", "messages"), rows)


def _flatten(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        found: list[tuple[str, str]] = []
        for name, inner in value.items():
            found += _flatten(inner, f"{path}.{name}" if path else str(name))
        return found
    if value is None and not path:
        return []
    text = value if isinstance(value, str) else json.dumps(value)
    return [(path, text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…")]


def table_html(caption: str, head: tuple[str, ...], rows: list[Any]) -> str:
    """Everything in the rows is untrusted text and stays text."""
    cells = "".join(f'<th style="{_CELL}">{escape(word)}</th>' for word in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(str(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<table style="{_STYLE}"><caption style="text-align:left;font-weight:600">{caption}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    )
