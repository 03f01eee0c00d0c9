"""Running a cell inside a cell magic as IPython runs any cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def run_cell(shell: Any, code: str) -> Any:
    """Run the code in the user's namespace, top-level `await` included; return IPython's result of it.

    What the code raises is not shown here: `result.raise_error()` raises it where the magic's own cell shows it.
    """
    with _quiet(shell):
        return shell.run_cell(code, store_history=False)


@contextmanager
def _quiet(shell: Any) -> Iterator[None]:
    """A traceback is shown once, by the cell that has the magic."""
    shown = shell.showtraceback
    shell.showtraceback = lambda *_args, **_options: None
    try:
        yield
    finally:
        shell.showtraceback = shown
