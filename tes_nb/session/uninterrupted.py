"""Beginnings and ends that an interrupt (Ctrl-C, "Interrupt kernel") cannot leave half done."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def uninterrupted(act: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
    """Run `act` on a thread of its own and return what it gives; what it raises is raised here.

    Python delivers interrupts to the main thread alone, so `act` comes to its end in any case. The caller still
    gets the KeyboardInterrupt at once; `undo` is then called with the result, as soon as there is one.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(act())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            done.set_exception(error)

    threading.Thread(target=run, name="tes_nb begin or end", daemon=True).start()
    try:
        return done.result()
    except BaseException:
        if undo is not None:
            done.add_done_callback(lambda late: _undo(late, undo))
        raise


def _undo(late: Future[T], undo: Callable[[T], object]) -> None:
    if late.exception() is None:
        with contextlib.suppress(Exception):
            undo(late.result())
