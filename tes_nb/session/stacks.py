"""What lets a kernel's stack be read, also while a cell holds it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from tes_nb.collector.discovery import runtime_dir
from tes_nb.errors import SessionError
from tes_nb.jobs import slots
from tes_nb.jobs.dumps import CELLS, prepare
from tes_nb.model.control import KernelActivity

FIRST_S, SECOND_S, LATER_S = 1.0, 10.0, 60.0
"""A cell is looked at when it has run for one second, for ten, and then each minute."""
MOST_FRAMES = 200

_folder: tuple[int, str] | None = None
"""(pid, folder) of this process; "" = there is no place for one."""
cell_numbers: dict[str, int] = {}
"""The files of a notebook's cells → their numbers."""


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
        cell_numbers[name] = number
        with Path(prepared_folder(), CELLS).open("a") as file:
            file.write(f"{number}\t{name}\n")


class CellPlace:
    """Where the running cell is, one cell after the other: looked at from the kernel's own background thread (0026).

    A cell that sleeps, waits or computes lets that thread run, so the interpreter can be asked for the cell's frames:
    no signal, and nothing that the cell notices. One that does not let it run is looked at from outside. `begin` and
    `end` belong to the cell's thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cell: KernelActivity | None = None
        self._thread = 0
        self._began_s = self._due_s = 0.0

    def begin(self, number: int, since_ns: int) -> KernelActivity:
        """A cell begins on this thread; return what is reported of that."""
        with self._lock:
            self._cell, self._thread = KernelActivity(number, since_ns), threading.get_ident()
            self._began_s, self._due_s = self._clock(), FIRST_S
            return self._cell

    def end(self) -> str | None:
        """Return where the cell was when it was last looked at; `None` = never, or not in the user's code."""
        with self._lock:
            cell, self._cell = self._cell, None
            return None if cell is None else cell.place

    def look(self, report: Callable[[KernelActivity], None]) -> None:
        """Report where the cell is, if one runs and it is time to look; nothing is reported after its `end`."""
        with self._lock:
            ran_s = self._clock() - self._began_s
            if self._cell is None or ran_s < self._due_s:
                return
            self._due_s = SECOND_S if ran_s < SECOND_S else ran_s + LATER_S
            place = place_of_thread(self._thread)
            if place != self._cell.place:
                self._cell = KernelActivity(self._cell.cell, self._cell.since, place)
                report(self._cell)


def place_of_thread(thread: int) -> str | None:
    """Return where a thread of this process is in the user's code, such as "inner, cell 7 line 11".

    `None` = nowhere there, or there is no such thread.
    """
    from tes_nb.collector.stacks import in_cells, place_of, stack_frame  # noqa: PLC0415 - short cells need none of it
    from tes_nb.model.work_control import ThreadStack  # noqa: PLC0415

    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way
    calls = islice(traceback.walk_stack(frame), MOST_FRAMES) if frame is not None else ()
    frames = [stack_frame(one.f_code.co_name, one.f_code.co_filename, line) for one, line in calls]
    del frame
    return place_of([in_cells(ThreadStack("main", frames), cell_numbers)])
