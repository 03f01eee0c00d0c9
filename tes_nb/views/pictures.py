"""The static pictures of displayed views are those of the end: made anew when a cell ends, on stop and at exit (0029).

Where a browser may show a view, its picture is an output of its own below it, which the view hides while it is there
(0036): so it can be made anew without taking zoom, tab and selection away, and JupyterLab without the kernel shows it.
When its feeds have ended, the picture takes the view's place, since the view can say nothing new. Where no browser can
come (nbconvert, papermill), the output holds the picture alone: what shows it later has no network to fetch a widget's
manager from.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

logger = logging.getLogger("tes_nb.views")


class PicturedView(Protocol):
    """What is asked of a displayed view."""

    uid: Any
    """The id under which it is displayed."""

    @property
    def seen(self) -> bool:
        """Whether a browser has spoken for it."""

    @property
    def over(self) -> bool:
        """Whether nothing new can come."""

    def picture(self) -> Mapping[str, Any] | None:
        """The output without its widget; `None` = it cannot be made."""


MIMES = ("text/plain", "text/html")
"""What an output holds for those who cannot run a view."""
NOTHING = {"text/plain": "", "text/html": "<i></i>"}
LEAST_REST_S, REST = 1.0, 20
"""Pictures of living views take at most a twentieth of the time."""


class Pictures:
    """The views that were displayed in this process, and their outputs."""

    def __init__(self) -> None:
        self._views: weakref.WeakSet[Any] = weakref.WeakSet()
        self._below: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those whose picture is an output of its own."""
        self._shell: Any = None
        self._pid = 0
        self._resting_until = 0.0
        self._is_waiting = False

    def display(self, view: PicturedView, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Put a view into the running cell's output, and follow it."""
        from IPython import get_ipython  # noqa: PLC0415 - only where somebody displays
        from IPython.display import display  # noqa: PLC0415

        show: Callable[..., object] = display
        shell = get_ipython()
        below = (
            getattr(shell, "kernel", None) is not None and not without_browser(shell) and "text/html" in data
        )
        whole = {name: cell for name, cell in data.items() if not below or name != "text/html"}
        show(whole, raw=True, metadata=dict(metadata), display_id=str(view.uid))
        if shell is None:
            return
        if below:
            picture = {name: data[name] for name in MIMES}
            show(hidden_by_view(view, picture), raw=True, display_id=_below(view))
            self._below.add(view)
        self._views.add(view)
        if self._shell is not shell:
            shell.events.register("post_run_cell", self._after_cell)
            if self._shell is None:
                atexit.register(self._at_exit)
            self._shell, self._pid = shell, os.getpid()

    def _after_cell(self, result: object = None) -> None:
        del result
        alone = without_browser(self._shell)
        self._refresh(lambda view: view.over or (alone and not view.seen))
        if not self._below:
            return
        rest = self._resting_until - time.monotonic()
        if rest <= 0:
            self._refresh_below()
        elif not self._is_waiting:
            self._is_waiting = True
            self._shell.kernel.io_loop.call_later(rest, self._refresh_below)

    def _refresh_below(self) -> None:
        """Make the pictures below living views anew, then rest."""
        self._is_waiting = False
        began = time.monotonic()
        for view in [one for one in self._below if one in self._views]:
            self._update(view, view.picture, below=True)
        self._resting_until = time.monotonic() + max(LEAST_REST_S, REST * (time.monotonic() - began))

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._refresh(lambda _: True)

    def _refresh(self, due: Callable[[PicturedView], bool]) -> None:
        """Put pictures in the place of those views."""
        for view in list(self._views):
            is_over = view.over
            if due(view) and self._update(view, view.picture) and view in self._below:
                self._below.discard(view)
                self._update(view, lambda: NOTHING, below=True)
            if is_over:
                self._views.discard(view)

    def _update(
        self, view: PicturedView, make: Callable[[], Mapping[str, Any] | None], *, below: bool = False
    ) -> bool:
        """Replace a view's output, or the one below it; False = there was nothing to put there."""
        from IPython.display import update_display  # noqa: PLC0415

        update: Callable[..., object] = update_display
        try:
            data = make()
            if data is not None:
                shown = hidden_by_view(view, data) if below else data
                update(dict(shown), raw=True, display_id=_below(view) if below else str(view.uid))
        except Exception:  # a picture must never make a user's cell fail
            logger.exception("The picture of a view failed")
            self._views.discard(view)
            return False
        return data is not None


def _below(view: PicturedView) -> str:
    return f"{view.uid}-picture"


def hidden_by_view(view: PicturedView, picture: Mapping[str, Any]) -> dict[str, Any]:
    """Return a picture as an output that the view hides while a browser shows it; comm.js does it."""
    return {**picture, "text/html": f'<div class="tes-picture-{view.uid}">{picture["text/html"]}</div>'}


def without_browser(shell: Any) -> bool:
    """Whether the running cell was sent by a program: JupyterLab, Notebook and VS Code say which cell it is."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    metadata = (parent or {}).get("metadata") or {}
    hosts = any(name.startswith(("VOILA_", "VSCODE_")) for name in os.environ) or "marimo" in sys.modules
    return not hosts and "cellId" not in metadata and getattr(shell, "kernel", None) is not None


pictures = Pictures()
"""Those of this process."""
