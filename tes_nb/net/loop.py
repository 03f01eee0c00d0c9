"""The one background thread of a process and its event loop: nothing of ours runs on the user's own loop."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from tes_nb.errors import BackgroundError, SessionError
from tes_nb.net.logs import note

# Linux stops CLOCK_MONOTONIC during suspend and has CLOCK_BOOTTIME, which goes on; macOS does not stop it.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))


def now() -> float:
    """Return seconds since some fixed instant; never goes back, whatever happens to the wall clock."""
    return time.clock_gettime(_CLOCK) if _CLOCK else time.monotonic()


T = TypeVar("T")
_MAX_ERRORS = 100
_STOP_S = 2.0


class DidNotFinish(BackgroundError, TimeoutError):
    """A call on the background thread took longer than its caller wanted to wait."""


class Background:
    """A daemon thread that runs an event loop. Use `background()`: a process has one."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        """The process it belongs to: after a fork the child has only the dead copy of it."""
        self._errors: deque[tuple[str, BaseException]] = deque(maxlen=_MAX_ERRORS)
        self._more_errors = 0
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._uncaught)
        self._thread = threading.Thread(target=self._main, name="tes_nb background", daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, for what must be called on it."""
        return self._loop

    @property
    def alive(self) -> bool:
        """Whether it runs, in this process."""
        return self.pid == os.getpid() and self._thread.is_alive() and not self._loop.is_closed()

    def run(self, coro: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `coro` there and wait for its result; what it raises is raised here.

        Works from any thread, also from one whose own event loop is running. `timeout` is in seconds, `None`
        = no end; after it the coroutine is cancelled and `DidNotFinish` raised. An interrupt cancels it too.
        """
        if threading.current_thread() is self._thread:
            coro.close()
            raise SessionError("The background thread cannot wait for itself: await the coroutine instead.")
        name = getattr(coro, "__qualname__", "The call")
        future = self._submit(coro, name)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise SessionError(
                f"{name} was cancelled, since the background thread ended meanwhile."
            ) from None
        except concurrent.futures.TimeoutError:
            if future.done():  # the coroutine itself raised a TimeoutError
                raise
            future.cancel()
            raise DidNotFinish(
                f"{name} did not finish within {timeout:g} s in the background and was cancelled; try again."
            ) from None
        except BaseException:
            future.cancel()
            raise

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> concurrent.futures.Future[T]:
        """Start `coro` there and return at once. What it raises is kept for `raise_pending`."""

        def done(future: concurrent.futures.Future[T]) -> None:
            if not future.cancelled() and (error := future.exception()) is not None:
                self.report(name, error)

        future = self._submit(coro, name)
        future.add_done_callback(done)
        return future

    def report(self, name: str, error: BaseException) -> None:
        """Keep an error that no call waits for; `name` says what failed. Callable from any thread."""
        if len(self._errors) == _MAX_ERRORS:
            self._more_errors += 1
        self._errors.append((name, error))
        note(logging.ERROR, f"{name} failed: {_brief(error)}", task=name)

    def raise_pending(self) -> None:
        """Raise what failed since the last call, as one `BackgroundError`; else do nothing."""
        if not self._errors:
            return
        errors = [self._errors.popleft() for _ in range(len(self._errors))]
        more, self._more_errors = len(errors) - 1 + self._more_errors, 0
        name, error = errors[0]
        also = f" ({more} more errors since; the log has them.)" if more else ""
        raise BackgroundError(f"{name} failed in the background: {_brief(error)}.{also}") from error

    def stop(self) -> None:
        """Cancel everything and end the thread, within two seconds. Does nothing in another process."""
        if not self.alive:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_S)

    def _submit(self, coro: Coroutine[Any, Any, T], name: str) -> concurrent.futures.Future[T]:
        # As asyncio.run_coroutine_threadsafe, which cannot name its task.
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def start() -> None:
            task = self._loop.create_task(coro, name=name)
            task.add_done_callback(lambda done: _copy(done, future))
            future.add_done_callback(lambda done: self._cancel(task) if done.cancelled() else None)

        try:
            if self.alive:
                self._loop.call_soon_threadsafe(start)
                return future
        except RuntimeError:  # the loop was closed between the two lines
            pass
        coro.close()
        raise SessionError("The background thread has ended; start a new session.")

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
            self._loop.call_soon_threadsafe(task.cancel)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._end()

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        gathered = asyncio.wait(tasks, timeout=_STOP_S / 2) if tasks else asyncio.sleep(0)
        self._loop.run_until_complete(gathered)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _uncaught(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio reports as uncaught: in a callback, in a task, in a transport."""
        error = context.get("exception")
        task = context.get("task") or context.get("future")
        name = task.get_name() if isinstance(task, asyncio.Task) else "A callback"
        if error is None:
            note(logging.WARNING, str(context.get("message", "asyncio reports a problem")), task=name)
        else:
            self.report(name, error)


def _copy(task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
    """Give a finished task's outcome to whoever waits in another thread."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled there in this very moment
        if task.cancelled():
            future.cancel()
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".: ")


_lock = threading.Lock()
_current: Background | None = globals().get(
    "_current"
)  # `%autoreload` runs this line again, and sessions go on
_inherited: list[Background] = globals().get("_inherited", [])


def background() -> Background:
    """Return the process's background thread, started on first use, and anew in a forked child."""
    global _current  # noqa: PLW0603 - the one per process, by design
    with _lock:
        if _current is None or not _current.alive:
            _current = Background()
        return _current


def _after_fork() -> None:
    """Forget the parent's thread in a child.

    Its loop must not be closed here: parent and child share the epoll instance behind it, and closing would
    take the parent's sockets out of it. So it is kept, untouched, for as long as the child lives.
    """
    global _current, _lock  # noqa: PLW0603 - a thread that the child does not have may hold the lock
    _lock = threading.Lock()
    if _current is not None:
        _inherited.append(_current)
    _current = None


def _at_exit() -> None:
    if _current is not None:
        _current.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
