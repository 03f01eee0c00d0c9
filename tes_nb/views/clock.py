"""One repaint clock for all views: a daemon thread, so that views move while a cell runs."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Protocol

DEFAULT_FPS = 4.0
MIN_FPS, MAX_FPS = 0.1, 30.0
_TRIES = 3
logger = logging.getLogger("tes_nb.views")


class Repaintable(Protocol):
    """What the clock drives."""

    def step(self) -> bool:
        """Send what is new, if anybody looks. False = this view has ended. Called on the clock's thread."""


class RepaintClock:
    """Calls `step()` of each view `fps` times a second. Its thread lives while there is a view."""

    def __init__(self, fps: float = DEFAULT_FPS) -> None:
        self._fps = fps
        self._lock = threading.Lock()
        self._views: dict[int, weakref.ref[Repaintable]] = {}
        self._failures: dict[int, int] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()

    @property
    def fps(self) -> float:
        """Repaints a second, at most. 0.1 to 30."""
        return self._fps

    @fps.setter
    def fps(self, value: float) -> None:
        if not MIN_FPS <= value <= MAX_FPS:
            raise ValueError(f"Views repaint {MIN_FPS} to {MAX_FPS:.0f} times a second, not {value}.")
        self._fps = value

    def add(self, view: Repaintable) -> None:
        """Step this view from now on, until it ends or nobody holds it."""
        with self._lock:
            self._views[id(view)] = weakref.ref(view)
            self._failures.pop(id(view), None)
            if self._thread is None or not self._thread.is_alive():
                self._owner = os.getpid()
                self._thread = threading.Thread(target=self._run, name="tes_nb repaint", daemon=True)
                self._thread.start()
        self._wake.set()

    def remove(self, view: Repaintable) -> None:
        """Step this view no more."""
        with self._lock:
            self._views.pop(id(view), None)

    def wake(self) -> None:
        """Step now: somebody has just looked."""
        self._wake.set()

    def _run(self) -> None:
        while self._step_all() and os.getpid() == self._owner:
            self._wake.wait(1.0 / self._fps)
            if self._wake.is_set():
                self._wake.clear()
                time.sleep(0.005)  # what woke us often has more to say at once

    def _step_all(self) -> bool:
        """Step every view; False = there is none, and the thread ends."""
        with self._lock:
            views = list(self._views.items())
        for number, reference in views:
            view = reference()
            if view is None or not self._step_view(number, view):
                with self._lock:
                    if (
                        self._views.get(number) is reference
                    ):  # else a new view has the number of one that was freed
                        del self._views[number]
        with self._lock:
            if not self._views:
                self._thread = None
                return False
        return True

    def _step_view(self, number: int, view: Repaintable) -> bool:
        """Step one; a view that fails three times in a row is left alone, the others go on."""
        try:
            goes_on = view.step()
        except Exception:
            self._failures[number] = self._failures.get(number, 0) + 1
            logger.exception(
                "A view could not be repainted (%d of %d tries).", self._failures[number], _TRIES
            )
            return self._failures[number] < _TRIES
        self._failures.pop(number, None)
        return goes_on


clock = RepaintClock()
"""The one that all views share."""
