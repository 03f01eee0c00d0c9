"""What a Python process does now: asked from outside, also while it is stuck. Functions, files and lines; no values.

Doors, best first: the process writes its stack itself when a signal comes (`tes_nb/jobs/dumps.py`), which takes a
millisecond; `py-spy`, where it is installed and the system lets it look.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from tes_nb.collector.samplers.worker_life import safe_name
from tes_nb.errors import CollectorError
from tes_nb.jobs.dumps import CELLS, FILE, caught_signals
from tes_nb.model import WorkerFacts
from tes_nb.model.work_control import GetStack, ProcessStack, StackFrame, ThreadStack

if TYPE_CHECKING:
    from tes_nb.collector.observer import Observer

WAIT_S = 2.0
"""A process that can run at all has written its stack by then."""
QUIET_S = 0.015
"""A stack is complete when its main thread is there, the last one, and nothing came for so long."""
SILENT_S = 0.3
"""The same where the main thread is not known."""
PY_SPY_S = 5.0
MOST_FRAMES = 200
_THREAD = re.compile(r"(Current thread|Thread) 0x([0-9a-f]+)(?: \[(.*)\])? \(most recent call first\):")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_CALL = re.compile(r"\s*(.*):(\d+) in (.*)")
_INPUT = re.compile(r"<ipython-input-(\d+)-")
_KERNEL_FILE = re.compile(r"[/\\]ipykernel_\d+[/\\]")
_OWN = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple(
    sorted(
        {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")},
        key=len,
        reverse=True,
    )
)
_PACKAGES = re.compile(r"[/\\](?:site|dist)-packages[/\\]")


class StackReader:
    """Asks processes for their stacks, one after the other."""

    def __init__(self, observed_pid: int, folder: str) -> None:
        """folder: where the observed process has prepared itself; "" = it has not."""
        self._observed_pid = observed_pid
        self._folder = folder
        self._turn = asyncio.Lock()

    async def read(self, pid: int, folders: Sequence[str] = ()) -> ProcessStack:
        """Return what a process does. folders: where else it may have prepared itself.

        Raises `CollectorError` with a sentence: why it cannot be seen, and what to do.
        """
        async with self._turn:
            began = time.perf_counter()
            try:
                threads = await self._from_faulthandler(pid, (*folders, self._folder))
                door = "faulthandler"
                if threads is None:
                    threads, door = await _from_py_spy(pid), "py-spy"
            except (
                OSError,
                msgspec.MsgspecError,
            ) as error:  # no descriptors, no memory; its folder was removed
                raise CollectorError(
                    f"The process {pid} cannot be asked now ({error}): try again in a moment."
                ) from error
            cells = self._cells()
            threads = [in_cells(thread, cells) for thread in threads]
            took_ms = round((time.perf_counter() - began) * 1000, 1)
            return ProcessStack(pid, door, took_ms, threads, place_of(threads))

    async def _from_faulthandler(self, pid: int, folders: Sequence[str]) -> list[ThreadStack] | None:
        """`None` = it is not prepared."""
        places = [Path(folder, f"{FILE}{pid}") for folder in folders if folder]
        # a fork has inherited the preparation of the observed process, and writes to that one's file
        places += [Path(self._folder, f"{FILE}{self._observed_pid}")] if self._folder else []
        for path in places:
            number, main = _preparation(path)
            caught = caught_signals(pid, ("SigCgt:",)) or 0
            if number and caught >> (number - 1) & 1:  # to any other process the signal would be the end
                text = await _dump(pid, number, path, f"0x{main:016x}".encode())
                return _parsed(text, main)
        return None

    def _cells(self) -> dict[str, int]:
        """The notebook's cells: file name → number of the execution."""
        try:
            lines = Path(self._folder, CELLS).read_text(errors="replace").splitlines()
        except OSError:
            return {}
        pairs = (line.partition("\t") for line in lines)
        return {name: int(number) for number, _, name in pairs if number.isdecimal()}


class StackRoutes:
    """Answers requests for what a worker, or the observed process, does."""

    def __init__(self, observer: Observer, stacks: StackReader) -> None:
        self._observer = observer
        self._stacks = stacks

    async def stack(self, operation: GetStack) -> ProcessStack:
        """Raises `CollectorError` with a sentence: no such worker, or why it cannot be seen."""
        registry, pid = self._observer.workers, self._observer.observed_pid
        if operation.worker is None:
            return await self._stacks.read(pid)
        owner, worker = registry.owner(operation.worker), registry.find(operation.worker)
        if worker is None or worker.status == "terminated" or worker.ended_at_ms is not None:
            raise CollectorError("That worker has ended; its last job stands in its row.")
        content = await owner.stack(worker)
        if content is not None:
            return _of_text(worker, content)
        if worker.role == "pool thread":
            return await self._stacks.read(pid)
        if worker.pid is None:
            raise CollectorError(f"{worker.name} is no process of this machine that could be asked.")
        folders = [folder for source in registry.sources for folder in source.stack_folders()]
        return await self._stacks.read(worker.pid, folders)


def _of_text(worker: WorkerFacts, text: str) -> ProcessStack:
    heading, *lines = text.splitlines()
    calls = [match for line in reversed(lines) if (match := _CALL.fullmatch(line))]
    frames = [stack_frame(match[3], match[1], int(match[2])) for match in calls]
    thread = ThreadStack(safe_name(heading), frames)
    return ProcessStack(worker.pid or 0, worker.kind, 0.0, [thread], place_of([thread]))


def _preparation(path: Path) -> tuple[int, int]:
    """(signal, the main thread's identity) as the process has written it; (0, 0) = it has not."""
    try:
        with path.open("rb") as file:
            number, main = file.readline().split()
            return int(number), int(main)
    except (OSError, ValueError):
        return 0, 0


async def _dump(pid: int, number: int, path: Path, last: bytes) -> str:
    """Let the process write, and return that. last: how the thread is called that comes last."""
    size = _size(path)
    try:
        os.kill(pid, number)
    except OSError as error:
        raise CollectorError(f"The process {pid} cannot be asked ({error.strerror}).") from error
    now = changed = time.monotonic()
    end, text = now + WAIT_S, b""
    while now < end and (not text or now - changed < (QUIET_S if last in text else SILENT_S)):
        await asyncio.sleep(0.002)
        now, grown = time.monotonic(), _from(path, size)
        if grown != text:
            text, changed = grown, now
    if not text:
        raise CollectorError(
            f"The process {pid} did not answer within {WAIT_S:g} s: it is stopped, or cannot run."
        )
    if size > 2**20:
        with contextlib.suppress(OSError):
            os.truncate(path, len(f"{number} {_preparation(path)[1]}\n"))
    return text.decode("utf-8", "replace")


def _size(path: Path) -> int:
    return path.stat().st_size


def _from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def _parsed(text: str, main: int) -> list[ThreadStack]:
    """Read faulthandler's words; the main thread comes first, where it is known, else the one that was interrupted."""
    threads: list[tuple[int, ThreadStack]] = []
    for line in text.splitlines():
        head, call = _THREAD.match(line), _FRAME.match(line)
        if head is not None:
            identity = int(head[2], 16)
            name = "main" if identity == main else safe_name(head[3] or f"thread {identity:#x}")
            threads.append(
                (0 if identity == main else 1 if head[1] == "Current thread" else 2, ThreadStack(name, []))
            )
        elif call is not None and threads and len(threads[-1][1].frames) < MOST_FRAMES:
            threads[-1][1].frames.append(
                stack_frame(call[3], call[1], int(call[2]) if call[2].isdecimal() else 0)
            )
    return [thread for _, thread in sorted(threads, key=lambda one: one[0])]


async def _from_py_spy(pid: int) -> list[ThreadStack]:
    """Raises `CollectorError` where it is not installed or may not look."""
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        raise CollectorError(
            f"The process {pid} has not prepared itself to be asked, and py-spy, which could look from outside, is not "
            'installed: pip install "tes-nb[inspect]".'
        )
    process = await asyncio.create_subprocess_exec(
        program,
        "dump",
        "--json",
        "--pid",
        str(pid),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PY_SPY_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CollectorError(f"py-spy could not read the process {pid} within {PY_SPY_S:g} s.") from None
    if process.returncode != 0:
        raise CollectorError(_refusal(pid, errors.decode("utf-8", "replace")))
    dump: list[dict[str, Any]] = msgspec.json.decode(output)
    threads = [
        ThreadStack(
            "main"
            if one.get("thread_id") == pid or one.get("os_thread_id") == pid
            else str(one.get("thread_name") or "thread"),
            [
                stack_frame(call["name"], call["filename"], call["line"])
                for call in one["frames"][:MOST_FRAMES]
            ],
        )
        for one in dump
    ]
    return sorted(threads, key=lambda thread: thread.name not in ("main", "MainThread"))


def _refusal(pid: int, errors: str) -> str:
    """Say why py-spy may not look, and what changes that."""
    words = errors.lower()
    if "permission" in words or "operation not permitted" in words:
        if sys.platform == "darwin":
            return f"macOS lets only the administrator look into the process {pid}: start the collector with sudo."
        with contextlib.suppress(OSError, ValueError):
            scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
            if scope > 0:
                return (
                    f"The system lets no process look into another one (Yama, ptrace_scope {scope}): "
                    "sysctl kernel.yama.ptrace_scope=0 changes that, and the capability SYS_PTRACE in a container."
                )
        return (
            f"This user may not look into the process {pid}: it is another user's, or SYS_PTRACE is missing."
        )
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["it did not say why"]
    cause = next((line for line in lines if line.startswith("Reason:")), lines[0])
    return f"py-spy could not read the process {pid}: {safe_name(cause.partition(': ')[2] or cause)}."


def stack_frame(function: str, file: str, line: int) -> StackFrame:
    """Return a call with whose code it is."""
    return StackFrame(safe_name(function), file, line, is_users(file))


def is_users(file: str) -> bool:
    """Whether a file is the user's own: no library's, nothing of Python's and nothing of ours."""
    if file.startswith("<frozen") or _PACKAGES.search(file):
        return False
    return not file.startswith((*_LIBRARIES, _OWN))


def in_cells(thread: ThreadStack, cells: dict[str, int]) -> ThreadStack:
    """Name the files of a notebook's cells by the cells' numbers."""
    return ThreadStack(thread.name, [_in_cell(frame, cells) for frame in thread.frames])


def _in_cell(frame: StackFrame, cells: dict[str, int]) -> StackFrame:
    inner = _INPUT.match(frame.file)
    number = int(inner[1]) if inner else cells.get(frame.file)
    if number is not None:
        return msgspec.structs.replace(frame, file=f"cell {number}")
    if _KERNEL_FILE.search(frame.file):
        return msgspec.structs.replace(frame, file="a cell")
    return frame


def innermost(threads: Sequence[ThreadStack]) -> StackFrame | None:
    """Return the first thread's innermost call of the user's own code; `None` = there is none."""
    return next((frame for frame in threads[0].frames if frame.mine), None) if threads else None


def place_of(threads: Sequence[ThreadStack]) -> str | None:
    """Say where the first thread is: "re.match in scan, cell 7 line 3"; `None` = nowhere in the user's own code."""
    own = innermost(threads)
    if own is None:
        return None
    frames = threads[0].frames
    file = own.file if own.file.startswith(("cell ", "a cell")) else PurePath(own.file).name
    words = [] if own.function == "<module>" else [own.function]
    if frames[0] is not own:
        words = [" in ".join([_of_library(frames[0]), *words])]
    return ", ".join([*words, f"{file} line {own.line}"])


def _of_library(frame: StackFrame) -> str:
    """A library's function with its module: "re.match"."""
    return ".".join([*_module(frame.file), frame.function])


def _module(file: str) -> Iterator[str]:
    for base in _LIBRARIES:
        if file.startswith(base):
            parts = PurePath(file).relative_to(base).with_suffix("").parts
            yield from (part for part in parts if part != "__init__")
            return
    yield PurePath(file).stem
