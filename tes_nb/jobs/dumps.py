"""Stacks on demand: this process writes what its threads do to a file, when a signal comes that nobody else uses.

`faulthandler` does the writing, in C, within a millisecond, also while other C code holds the interpreter; it writes
names of functions, files and lines, and no values. Whoever sends the signal must know that the process is prepared:
to any other, it would be the end.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading

FILE = "stack-"
"""A process's file in the folder, with its pid behind. The first line: signal number, the main thread's identity."""
CELLS = "cells"
"""Beside it, in a notebook: number and file name of each cell."""
_TAKEN = ("SigBlk:", "SigIgn:", "SigCgt:")

_prepared: tuple[int, int, object] | None = None
"""(pid, signal, its file) of the preparation; signal 0 = there is none to have."""


def prepare(folder: str) -> bool:
    """Let this process write its stack when it is asked; once for a process. Return whether it does. Never raises."""
    global _prepared  # noqa: PLW0603 - one for a process
    pid = os.getpid()
    if _prepared is not None and _prepared[0] == pid:
        return _prepared[1] > 0
    _prepared = (pid, *_register(folder, pid))
    return _prepared[1] > 0


def _register(folder: str, pid: int) -> tuple[int, object]:
    if not hasattr(faulthandler, "register"):  # Windows
        return 0, None
    number = _inherited() or free_signal()
    if number == 0:
        return 0, None
    path = os.path.join(folder, f"{FILE}{pid}")  # noqa: PTH118 - pathlib takes long to import
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(handle, f"{number} {threading.main_thread().ident}\n".encode())
        faulthandler.register(number, handle, all_threads=True, chain=False)
    except (OSError, RuntimeError, ValueError):
        return 0, None
    return number, handle


def _inherited() -> int:
    """The signal that the process prepared of which this is a fork: it is caught here, too, and ours."""
    return 0 if _prepared is None else _prepared[1]


def free_signal() -> int:
    """Return a signal that this process neither catches, ignores nor blocks; 0 = there is none."""
    taken = caught_signals()
    if taken is None:
        return 0
    for number in range(signal.SIGRTMAX - 2, signal.SIGRTMIN + 2, -1):
        if not taken >> (number - 1) & 1:
            return number
    return 0


def caught_signals(pid: int | None = None, words: tuple[str, ...] = _TAKEN) -> int | None:
    """Return the signals that a process blocks, ignores or catches, as bits; `None` = the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        name = "self" if pid is None else pid
        with open(f"/proc/{name}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            lines = [line.split() for line in file if line.startswith(words)]
    except OSError:
        return None
    taken = 0
    for line in lines:
        taken |= int(line[1], 16)
    return taken if lines else None
