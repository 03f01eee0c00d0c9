"""The static pictures of displayed views are those of the end: made anew when a cell ends, on stop and at exit (0029).

Where a browser may show a view, its output is left alone while the view is alive: replacing it would take zoom, tab and
selection away. When its feeds have ended, the picture takes its place, since the view can say nothing new. Where no
browser can come (nbconvert, papermill), each cell's end brings a new picture, and the output holds nothing else:
what shows it later has no network to fetch a widget's manager from.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
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


class Pictures:
    """The views that were displayed in this process, and their outputs."""

    def __init__(self) -> None:
        self._views: weakref.WeakSet[Any] = weakref.WeakSet()
        self._shell: Any = None
        self._pid = 0

    def display(self, view: PicturedView, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Put a view into the running cell's output, and follow it."""
        from IPython import get_ipython  # noqa: PLC0415 - only where somebody displays
        from IPython.display import display  # noqa: PLC0415

        show: Callable[..., object] = display
        show(dict(data), raw=True, metadata=dict(metadata), display_id=str(view.uid))
        shell = get_ipython()
        if shell is None:
            return
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

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._refresh(lambda _: True)

    def _refresh(self, due: Callable[[PicturedView], bool]) -> None:
        from IPython.display import update_display  # noqa: PLC0415

        update: Callable[..., object] = update_display
        for view in list(self._views):
            try:
                data = view.picture() if due(view) else None
                if data is not None:
                    update(dict(data), raw=True, display_id=str(view.uid))
                    if view.over:
                        self._views.discard(view)
            except Exception:  # a picture must never make a user's cell fail
                logger.exception("The picture of a view failed")
                self._views.discard(view)


def without_browser(shell: Any) -> bool:
    """Whether the running cell was sent by a program: JupyterLab, Notebook and VS Code say which cell it is."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    metadata = (parent or {}).get("metadata") or {}
    hosts = any(name.startswith(("VOILA_", "VSCODE_")) for name in os.environ) or "marimo" in sys.modules
    return not hosts and "cellId" not in metadata and getattr(shell, "kernel", None) is not None


pictures = Pictures()
"""Those of this process."""
