"""What a session does with workers: observe pools and clusters, ask what a process does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Executor
from typing import Any

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.model.operation import Operation, R
from tes_nb.model.work_control import ObservePool


class WorkerActions(ABC):
    """Needs the way to the collector."""

    peer: str | None

    @abstractmethod
    def _call(self, operation: Operation[R]) -> R:
        """Let the collector carry out an operation."""

    @abstractmethod
    def _check_present(self, what: str) -> None:
        """Raise where the session shows what is over."""

    def observe(self, what: Any, *, name: str = "") -> Any:
        """Show a pool's jobs in `s.workers`; return what to use in its place.

        what: a `ProcessPoolExecutor`, a `ThreadPoolExecutor`, loky's `get_reusable_executor()`: use the executor that
        is returned, which does the same. What is submitted to the one given, or was before, cannot be counted. The
        module `joblib`: returns a context, `with s.observe(joblib): Parallel(…)`. name: what the pool is called in
        the table; "" = its class.
        Raises `ArgumentError` for anything else, `CollectorError` when the collector refuses.
        """
        self._check_present("observe()")
        if self.peer is not None:
            raise SessionError(
                f"This session shows {self.peer}; a pool of this process shows in a session of tes.start()."
            )
        from tes_nb.session.executors import (  # noqa: PLC0415 - most sessions observe no pool
            is_joblib,
            observe_executor,
            observe_joblib,
        )

        if isinstance(what, Executor):
            return observe_executor(what, self._register_pool, name)
        if is_joblib(what):
            return observe_joblib(what, self._register_pool, name)
        raise ArgumentError(
            "observe() takes an executor of concurrent.futures or loky, or the module joblib, "
            f"not a {type(what).__name__}."
        )

    def _register_pool(self, folder: str, name: str, kind: str) -> str:
        operation = ObservePool(
            folder=folder, name=name[:200], kind="thread" if kind == "thread" else "process"
        )
        return self._call(operation).id
