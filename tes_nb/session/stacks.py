"""Stacks as a user sees them, and what makes a kernel answer when it is asked for one."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tes_nb.errors import SessionError
from tes_nb.jobs.dumps import CELLS, prepare
from tes_nb.session.executors import new_folder

if TYPE_CHECKING:
    from tes_nb.model.work_control import ProcessStack, StackFrame, ThreadStack

_folder: tuple[int, str] | None = None
"""(pid, folder) of this process; "" = there is no place for one."""


class Stack:
    """What a process did at one instant: `print(stack)` shows it like a traceback, innermost call last."""

    def __init__(self, said: ProcessStack) -> None:
        self.pid = said.pid
        self.place = said.place
        """Where the main thread was in the user's own code, in words; `None` = nowhere there."""
        self.door = said.door
        """How it was looked at: faulthandler, or py-spy."""
        self.took_ms = said.took_ms
        """How long that took, in milliseconds."""
        self.threads: list[ThreadStack] = said.threads
        """Each with a name and frames, innermost first: function, file, line, and whether it is the user's."""

    def __str__(self) -> str:
        parts = [f"process {self.pid}, {self.place or 'not in your code'} ({self.door}, {self.took_ms:g} ms)"]
        for thread in self.threads:
            parts += [f"{thread.name}:", *(_line(frame) for frame in reversed(thread.frames))]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def _line(frame: StackFrame) -> str:
    return f"{'>' if frame.mine else ' '} {frame.function}, {frame.file} line {frame.line}"


def prepared_folder() -> str:
    """Let this process write its stack when it is asked; return the folder for that, "" = it cannot."""
    global _folder  # noqa: PLW0603 - one for a process
    if _folder is None or _folder[0] != os.getpid():
        try:
            folder = str(new_folder())
        except SessionError:
            folder = ""
        if folder and prepare(folder):
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _folder = os.getpid(), folder
    return _folder[1]


def note_cell(shell: Any, cell: str | None = None) -> None:
    """Write down which file a notebook's cell is, since a held kernel cannot be asked: its number, and no code.

    cell: what runs now; `None` = the newest of the history.
    """
    with contextlib.suppress(Exception):  # whatever IPython this is, the cell runs
        number = int(shell.displayhook.prompt_count)
        code = shell.history_manager.input_hist_raw[-1] if cell is None else cell
        name = shell.compile.get_code_name(code, code, number)
        with Path(prepared_folder(), CELLS).open("a") as file:
            file.write(f"{number}\t{name}\n")
