"""What lets a kernel's stack be read, also while a cell holds it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from tes_nb.collector.discovery import runtime_dir
from tes_nb.errors import SessionError
from tes_nb.jobs import slots
from tes_nb.jobs.dumps import CELLS, prepare

_folder: tuple[int, str] | None = None
"""(pid, folder) of this process; "" = there is no place for one."""


def new_folder() -> Path:
    """Make a folder that a collector of this user reads. Raises `SessionError`."""
    try:
        folder = runtime_dir() / f"{slots.FOLDER}{os.getpid()}-{time.monotonic_ns()}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise no_place(error) from error
    return folder


def no_place(error: OSError) -> SessionError:
    """Return the error for where such a folder cannot be made."""
    return SessionError(
        f"There is no place to write what the pool does ({error}); free some space, then try again."
    )


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
