"""Run as a program by the tests of exports: `python -m tests.support.exporting WHAT FOLDER`.

kills       export again and again in children that are killed at random moments; prints how many were killed
fsize       export more than this process may write to a file; prints the sentence
export      export once; prints the sentence of what went wrong, or "written"
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from tes_nb.errors import ExportError
from tes_nb.store.export.export import TableExport, write_folder
from tests.support.rows import NUMBERS, filled, number_rows

LARGE = 30_000
KILLS = int(os.environ.get("TES_TEST_KILLS", "30"))


def tables(count: int) -> list[TableExport]:
    """Two tables of so many rows."""
    rows = filled(NUMBERS, number_rows(count)).snapshot()
    return [TableExport(stem, "test", NUMBERS, rows.chunks(500), count) for stem in ("one", "two")]


def export_for_ever(folder: Path, ready: int) -> None:
    """Export two versions in turn."""
    versions = [filled(NUMBERS, number_rows(count)).snapshot() for count in (2000, 3000)]
    os.write(ready, b"!")
    while True:
        for rows in versions:
            write_folder(
                folder,
                [TableExport(stem, "test", NUMBERS, rows.chunks(500), len(rows)) for stem in ("one", "two")],
                created_ns=0,
            )


def kills(folder: Path) -> str:
    """Kill children in the middle of exports."""
    chance = random.Random(5)
    for _ in range(KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            export_for_ever(folder, writing)
        os.read(reading, 1)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    return f"killed {KILLS}"


def export(folder: Path) -> str:
    """Export once."""
    try:
        write_folder(folder, tables(LARGE))
    except ExportError as error:
        return str(error)
    return "written"


def fsize(folder: Path) -> str:
    """Export with a limit on the size of files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    return export(folder)


if __name__ == "__main__":
    print({"kills": kills, "fsize": fsize, "export": export}[sys.argv[1]](Path(sys.argv[2])))  # noqa: T201
