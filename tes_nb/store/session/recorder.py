"""Records messages into a session file: `put` never waits, a thread of its own commits and acknowledges."""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn, Self

import msgspec

from tes_nb._version import __version__
from tes_nb.errors import SessionError
from tes_nb.model.control import DISK_S
from tes_nb.store.session.files import remove
from tes_nb.store.session.lock import WriterLock
from tes_nb.store.session.queue import MessageQueue
from tes_nb.store.session.recorder_loop import OnCommit, OnState, RecorderLoop
from tes_nb.store.session.schema import APPLICATION_ID, Fact, SourceInfo
from tes_nb.store.session.writer import SessionWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from tes_nb.model import Message
    from tes_nb.store.session.recorder_loop import RecorderState
    from tes_nb.store.session.writer import Committed

SHARE_OF_FREE = 0.8
"""Without a size limit of the user's, a recording takes at most this part of what is free when it begins."""


class Recorder:
    """A recording in progress. A context manager; `stop()` is idempotent and runs at exit too.

    Raises `SessionError` when the file exists, is being recorded by another process (named by its pid), or
    cannot be made. Both callbacks run on the writer's thread: hand over and return. `overwrite` replaces a session
    file of that name, once the new one is there.

    `wanted` is asked once, when the file is there: False = its caller has given up, and nothing is left of it.
    `size_limit` is in bytes; `None` = four fifths of what is free on the disk now. `facts` are noted in the file.
    `after` is the recorder whose work goes on here: nothing is written before that one has written all it has, so that
    whatever ends the process, what is in the files has no hole (decision 0038).
    """

    def __init__(
        self,
        path: Path,
        *,
        size_limit: int | None = None,
        overwrite: bool = False,
        facts: Mapping[str, Any] | None = None,
        on_state: OnState | None = None,
        on_commit: OnCommit | None = None,
        queue_messages: int = 200_000,
        queue_bytes: int = 64 * 2**20,
        wanted: Callable[[], bool] = lambda: True,
        after: Recorder | None = None,
    ) -> None:
        self.path = path
        self._pid = os.getpid()
        self._queue = MessageQueue(messages=queue_messages, size=queue_bytes)
        lock, writer = _open(_real(path), overwrite=overwrite, wanted=wanted)
        if size_limit is None:
            size_limit = int(shutil.disk_usage(writer.path.parent).free * SHARE_OF_FREE)
        self.size_limit = size_limit
        self._loop = RecorderLoop(
            self._queue, writer, lock, size_limit, on_state=on_state, on_commit=on_commit
        )
        for name, value in {**_facts_of_now(), **(facts or {})}.items():
            self.set_fact(name, value)
        self._thread = threading.Thread(
            target=self._run, args=(after,), name=f"tes_nb recorder {path.name}", daemon=True
        )
        self._thread.start()
        atexit.register(self.stop)

    def _run(self, after: Recorder | None) -> None:
        if after is not None:
            after.await_end()
        self._loop.run()

    def put(self, message: Message) -> bool:
        """Take a message to be recorded. Returns at once; False = it could not be kept, and is counted."""
        return self._queue.put(message)

    def add_source(self, name: str, *, stream: str, url: str | None = None) -> None:
        """Say what a source is, before its first message. Credentials are taken out of the URL."""
        self._queue.put_other(SourceInfo(name, stream, url))

    def set_fact(self, name: str, value: Any) -> None:
        """Note something JSON can say about the recording; a later value of the same name replaces it."""
        self._queue.put_other(Fact(name, msgspec.Raw(msgspec.json.encode(value))))

    def seal(self) -> None:
        """Take no messages any more, and end when all is written, however long the disk takes (`stop` gives up)."""
        self._queue.seal()

    def await_end(self) -> None:
        """Return when it has ended."""
        self._thread.join()
        atexit.unregister(self.stop)

    def stop(self, timeout: float = DISK_S) -> str:
        """Write what waits, close the file, and return the sentence that says how it ended.

        Does nothing in a forked child. Raises `SessionError` when the disk does not answer within `timeout`
        seconds.
        """
        if os.getpid() != self._pid:
            return self.text
        self._queue.close()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise SessionError(
                f"The disk has not taken the rest of {self.path.name} within {timeout:g} s: "
                "it is still being tried; call stop() again."
            )
        atexit.unregister(self.stop)
        return self.text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def committed(self) -> Mapping[str, Committed]:
        """Per source, how far it is safely in the file: the acknowledgement."""
        return self._loop.committed

    @property
    def state(self) -> RecorderState:
        """What it does now."""
        return self._loop.status.state

    @property
    def text(self) -> str:
        """The sentence that belongs to the state."""
        return self._loop.status.text

    @property
    def messages(self) -> int:
        """Messages safely in the file."""
        return sum(each.messages for each in self.committed.values())

    @property
    def lost(self) -> int:
        """Messages that were put but could not be kept."""
        return self._queue.lost + self._loop.lost

    @property
    def waiting(self) -> int:
        """Messages that were put and are neither in the file nor lost yet."""
        return self._queue.accepted - self.messages - self._loop.lost

    @property
    def size(self) -> int:
        """Bytes of the session file."""
        return self._loop.size

    def __repr__(self) -> str:
        lost = f", {self.lost:,} lost" if self.lost else ""
        return f"<Recorder {self.path.name}: {self.state}, {self.messages:,} messages, {self.size / 1e6:,.1f} MB{lost}>"


def _real(path: Path) -> Path:
    """Where a link leads: SQLite puts its log there, beside the file, and not beside the link."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise SessionError(f"{path} leads nowhere ({error}): choose another name.") from error


def _open(path: Path, *, overwrite: bool, wanted: Callable[[], bool]) -> tuple[WriterLock, SessionWriter]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(
            f"The folder {path.parent} cannot be made ({error.strerror}): choose one that you may write to."
        ) from error
    lock = WriterLock(path)
    try:
        with replacing(path) if overwrite else contextlib.nullcontext():
            writer = SessionWriter(path, time=(time.time_ns(), time.monotonic_ns()))
            if not wanted():
                _withdraw(writer)
            return lock, writer
    except BaseException:
        lock.release()
        raise


def _withdraw(writer: SessionWriter) -> NoReturn:
    writer.close()
    remove(writer.path)
    raise SessionError(f"{writer.path} was made too late, and is removed: nobody waits for it any more.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[None]:
    """Put a session file aside; it goes when the block has made another, and is back when that failed.

    Readers that have it open read on: it keeps its inode. A file that is no session stays.
    """
    if not path.is_file() or not path.stat().st_size:
        yield
        return
    with path.open("rb") as file:
        header = file.read(72)
    if header[68:] != APPLICATION_ID.to_bytes(4, "big"):  # where SQLite keeps it
        raise SessionError(f"{path} is no session file, and is not overwritten; choose another name.")
    names = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    aside = {name: name.with_name(f"{path.name}.replaced{name.name[len(path.name) :]}") for name in names}
    try:
        for name, other in aside.items():
            if name.exists():
                name.replace(other)
        yield
    except BaseException:
        for name, other in aside.items():
            if other.exists():
                other.replace(name)
        raise
    for other in aside.values():
        other.unlink(missing_ok=True)


def _facts_of_now() -> dict[str, Any]:
    return {
        "began": {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()},
        "recorder": {"pid": os.getpid(), "tes_nb": __version__, "python": platform.python_version()},
        "host": {"system": platform.system(), "machine": platform.machine(), "cores": os.cpu_count()},
    }
