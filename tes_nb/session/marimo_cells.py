"""marimo's cells as events like IPython's, so that one watch measures both: its runner calls hooks around each cell.

The hooks are marimo's own and not public: where a marimo has others, cells are not measured, and all else goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary


class MarimoShell:
    """What `CellWatch` needs of a shell: its events, and the number of the running cell.

    marimo's cells have no numbers, so that a number is a place in the order in which they ran.
    """

    def __init__(self) -> None:
        self.events = self.displayhook = self
        self.prompt_count = 1
        self._callbacks: list[tuple[str, Callable[[Any], None]]] = []

    def register(self, event: str, callback: Callable[[Any], None]) -> None:
        """Call back at each `event`: pre_run_cell or post_run_cell."""
        self._callbacks.append((event, callback))

    def unregister(self, event: str, callback: Callable[[Any], None]) -> None:
        """Call back no longer. Raises `ValueError` where it is not registered."""
        self._callbacks.remove((event, callback))

    def follow(self, hooks: Any) -> None:
        """Be called by marimo's runners around each cell."""
        hooks.add_pre_execution(self._before)
        hooks.add_post_execution(self._after)

    def _before(self, cell: Any, context: object) -> None:
        del context
        self._send("pre_run_cell", SimpleNamespace(raw_cell=cell.code))

    def _after(self, cell: Any, context: object, run: Any) -> None:
        del context
        stopped = type(run.exception).__name__ == "MarimoStopError"  # by mo.stop(), on purpose
        result = SimpleNamespace(
            info=SimpleNamespace(raw_cell=cell.code),
            execution_count=self.prompt_count,
            error_in_exec=None if stopped else run.exception,
        )
        self.prompt_count += 1
        self._send("post_run_cell", result)

    def _send(self, event: str, what: object) -> None:
        for wanted, callback in tuple(self._callbacks):
            if wanted == event:
                callback(what)


_shells: WeakKeyDictionary[Any, MarimoShell] = WeakKeyDictionary()
"""marimo's kernel → its shell: a server that shows apps has a kernel for each visitor."""


def marimo_shell() -> MarimoShell | None:
    """Return the shell of the marimo whose cell calls this; `None` = none does, or it has no such hooks."""
    if "marimo" not in sys.modules:
        return None
    try:
        kernel = import_module("marimo._runtime.context.types").safe_get_context()._kernel  # noqa: SLF001
        shell = _shells.get(kernel)
        if shell is None:
            shell = MarimoShell()
            # a run has a copy of the kernel's hooks: those of the run that goes on are beside them
            for hooks in filter(None, (kernel._hooks, _running_hooks())):  # noqa: SLF001
                shell.follow(hooks)
            _shells[kernel] = shell
    except (ImportError, AttributeError):
        return None
    return shell


def _running_hooks() -> Any:
    """The hooks of the runner that runs the calling cell; it is found on the stack alone. `None` = there is none."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None:
        runner: Any = frame.f_locals.get("self")
        if type(runner).__module__.startswith("marimo.") and hasattr(runner, "_hooks"):
            return runner._hooks  # noqa: SLF001
        frame = frame.f_back
    return None
