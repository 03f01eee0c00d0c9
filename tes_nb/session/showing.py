"""Live tables, cards and inspectors of feeds: the widgets, told by the session around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tes_nb.errors import SessionError
from tes_nb.store.session.schema import SourceInfo, session_path
from tes_nb.store.session.writer import SessionWriter

if TYPE_CHECKING:
    from tes_nb.model import Message
    from tes_nb.session.feed import Feed
    from tes_nb.views.inspector import Inspector, Save
    from tes_nb.views.tables import LiveCards, LiveTable


def upstream_of(feed: Feed) -> tuple[str, str]:
    """Return (word, text) of the feed's state, as views tell it."""
    state = feed.look()
    return state.word, str(state)


def live_table(feed: Feed, table: str) -> LiveTable:
    """Return the widget. Raises `SessionError` for a table without a key or a front end that was not built."""
    from tes_nb.views.tables import LiveTable  # noqa: PLC0415 - widgets only when somebody looks

    return LiveTable(
        feed,
        table,
        url=feed.url,
        upstream=lambda: upstream_of(feed),
        known=feed.known_of(table),
        on_origin=feed.on_origin,
    )


def live_cards(feed: Feed, table: str) -> LiveCards:
    """Return the widget. Raises `SessionError` for a table with a key or a front end that was not built."""
    from tes_nb.views.tables import LiveCards  # noqa: PLC0415

    return LiveCards(feed, table, url=feed.url, upstream=lambda: upstream_of(feed), on_origin=feed.on_origin)


def live_inspector(feeds: Sequence[Feed], title: str) -> Inspector:
    """Return the widget: the newest messages of these feeds and those to come."""
    from tes_nb.views.inspector import Inspector  # noqa: PLC0415

    if not feeds:
        raise SessionError("There is no feed to inspect.")

    return Inspector(
        [feed.tap for feed in feeds],
        title=title,
        period_s=max(feed.stream.period_s for feed in feeds),
        url=feeds[0].url,
        save=saver(feeds),
        on_origin=feeds[0].on_origin,
    )


def saver(feeds: Sequence[Feed]) -> Save:
    """Return what writes messages of these feeds as a session file."""
    streams = {feed.source: feed.stream.name for feed in feeds}
    return lambda messages: save_messages(messages, streams)


def save_messages(messages: Sequence[Message], streams: dict[str, str]) -> str:
    """Write messages, oldest first, as a session file; return the sentence that says where.

    streams: source → the name of its stream. Raises `SessionError` when it cannot be written.
    """
    path = session_path(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = messages[0]
    writer = SessionWriter(path, time=(first.t_wall_ns, first.t_mono_ns))
    try:
        sources = dict.fromkeys(message.source for message in messages)
        infos = [SourceInfo(source, streams[source], None) for source in sources]
        writer.append([*infos, *messages])
    finally:
        writer.close()
    return f'{len(messages)} messages were saved; tes.open("{path}") reads them.'
