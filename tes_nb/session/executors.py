"""Pools under observation: `pool = s.observe(ProcessPoolExecutor(4))`. A pool is wrapped; nothing of it is patched."""

from __future__ import annotations

import itertools
import shutil
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.jobs import slots
from tes_nb.jobs.run import name_of, run_chunk, run_job
from tes_nb.jobs.slots import PoolCounts
from tes_nb.session.stacks import new_folder, no_place

T = TypeVar("T")


class PoolRecord:
    """The folder of one observed pool, and its counts."""

    def __init__(self) -> None:
        folder = new_folder()
        self.folder = str(folder)
        try:
            self.counts = PoolCounts(self.folder)
        except OSError as error:
            raise no_place(error) from error
        self.jobs = itertools.count(1)
        self.since = time.time()

    def finished(self, job: int, name: str, future: Future[Any]) -> None:
        """Count what became of a job."""
        try:
            error = future.exception()
        except CancelledError:
            self.counts.add(cancelled=1)
            return
        if error is None:
            self.counts.done()
            return
        state = slots.BROKEN if isinstance(error, BrokenExecutor) else slots.RUNNING
        self.counts.add(failed=1, state=state, last_error=f"{type(error).__name__} in {name} (job {job})")

    def close(self) -> None:
        """Say that no job will come any more."""
        self.counts.add(state=slots.CLOSED)


class ObservedExecutor(Executor):
    """An executor whose queue, jobs and failures show in `s.workers`. It does what the one behind it does.

    Attributes that it does not have are those of the executor behind it, which is `executor`.
    """

    def __init__(self, executor: Executor, record: PoolRecord) -> None:
        self.executor = executor
        self._record = record
        self._folder = record.folder

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submit a job, as the executor behind it does, and raise what that raises."""
        record = self._record
        job, name = next(record.jobs), name_of(fn)
        record.counts.submitted()
        try:
            future: Future[T] = self.executor.submit(run_job, self._folder, job, name, fn, args, kwargs)
        except BaseException as error:
            broken = isinstance(error, BrokenExecutor)
            closed = isinstance(error, RuntimeError) and "shutdown" in str(error)
            state = slots.BROKEN if broken else slots.CLOSED if closed else slots.RUNNING
            record.counts.add(submitted=-1, state=state)
            raise
        future.add_done_callback(partial(record.finished, job, name))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,
    ) -> Iterator[T]:
        """Return an iterator over the results, in order; a chunk of a process pool is one job."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1 or isinstance(self.executor, ThreadPoolExecutor):
            return super().map(fn, *iterables, timeout=timeout, **options)
        calls = zip(*iterables, strict=False)
        chunks = iter(lambda: tuple(itertools.islice(calls, chunksize)), ())
        results = super().map(partial(run_chunk, fn), chunks, timeout=timeout, **options)
        return itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, **options: Any) -> None:
        """Shut the executor behind it down. options: what that takes beyond others, such as loky's `kill_workers`."""
        if cancel_futures:
            options["cancel_futures"] = True
        self.executor.shutdown(wait, **options)
        self._record.close()

    def __getattr__(self, name: str) -> Any:
        if name == "executor":  # it is being copied, and is nothing yet
            raise AttributeError(name)
        return getattr(self.executor, name)

    def __reduce__(self) -> Any:
        raise SessionError(
            "An executor belongs to the process that made it, and cannot be sent to another one."
        )

    def __repr__(self) -> str:
        now = self._record.counts.now
        word = ("takes jobs", "shut down", "broken")[now.state]
        open_jobs = now.submitted - now.done - now.failed - now.cancelled
        since = time.strftime("%H:%M:%S", time.localtime(self._record.since))
        return (
            f"<observed {type(self.executor).__name__}, {word}: {open_jobs} waiting or running, {now.done} done, "
            f"{now.failed} failed, since {since}; what is submitted past this wrapper, or was before, is not counted>"
        )


def observe_executor(
    executor: Executor, register: Callable[[str, str, str], object], name: str
) -> ObservedExecutor:
    """Wrap an executor. `register` gets folder, name and kind of it. Raises `ArgumentError`, `CollectorError`."""
    if isinstance(executor, ObservedExecutor):
        raise ArgumentError("This executor is observed already.")
    record = PoolRecord()
    kind = "thread" if isinstance(executor, ThreadPoolExecutor) else "process"
    try:
        register(record.folder, name or type(executor).__name__, kind)
    except BaseException:
        shutil.rmtree(record.folder, ignore_errors=True)
        raise
    if getattr(executor, "_queue_count", 0) or getattr(executor, "_threads", None):
        print("This pool had jobs before: those are not counted.")  # noqa: T201 - said once, to whoever asked
    observed = ObservedExecutor(executor, record)
    weakref.finalize(observed, record.close)
    return observed


def is_joblib(what: object) -> bool:
    """Whether it is the module joblib."""
    return isinstance(what, ModuleType) and what.__name__ == "joblib"


def observe_joblib(joblib: Any, register: Callable[[str, str, str], object], name: str) -> Any:
    """Return a context in which `joblib.Parallel` runs in an observed loky pool."""
    from joblib._parallel_backends import LokyBackend  # noqa: PLC0415 - the public register takes its subclasses

    record = PoolRecord()
    register(record.folder, name or "joblib", "process")

    class ObservedLoky(LokyBackend):  # type: ignore[misc]  # joblib has no types
        """Loky's backend, with each batch of calls as a job."""

        def configure(self, *args: Any, **options: Any) -> Any:
            count = super().configure(*args, **options)
            self._workers: Any = ObservedExecutor(self._workers, record)
            return count

    return joblib.parallel_config(backend=ObservedLoky())
