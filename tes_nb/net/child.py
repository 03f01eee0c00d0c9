"""A program of ours as a child process: options in on its first line, one answer out on its first line.

Both sides are here, for the collector and for the simulated NowGoal. The child gets a session of its own: Ctrl-C in
the terminal and "Interrupt kernel" are for the parent. It ends when its input does, or at the parent's death, which
it has to look for itself: a pool forked by the parent keeps the pipe open (decisions/0001).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import msgspec

T = TypeVar("T")

# The parent's side.


def launch(module: str, *, log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start `python -m module`. log: where its errors go; `None` = where ours go. Raises OSError."""
    # The child finds the same tes_nb as its parent, wherever that was imported from.
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    path = os.pathsep.join(dict.fromkeys(paths))
    return subprocess.Popen(
        # -P: no module in the notebook's folder may stand in for one of the standard library
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
    )


def handshake(
    child: subprocess.Popen[bytes],
    options: object,
    answer: type[T],
    *,
    timeout_s: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> T | None:
    """Give the child its options and return its answer; `None` = it gave none that is one in time.

    meanwhile: what the caller does while the child's interpreter starts, on the other core.
    """
    assert child.stdin is not None  # `launch` made the pipes
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(msgspec.json.encode(options) + b"\n")
        child.stdin.flush()
    meanwhile()
    try:
        return msgspec.json.decode(_first_line(child.stdout, timeout_s), type=answer)
    except msgspec.MsgspecError:
        return None
    finally:
        close_pipe(child.stdout)


def _first_line(pipe: IO[bytes], timeout_s: float) -> bytes:
    """Read one line without waiting longer than that; empty = none came."""
    deadline = time.monotonic() + timeout_s
    line = b""
    with selectors.DefaultSelector() as selector:  # select() itself refuses descriptors above 1023
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            wait = deadline - time.monotonic()
            if wait <= 0 or not selector.select(wait):
                return b""
            piece = os.read(pipe.fileno(), 65536)
            if not piece:
                return b""
            line += piece
    return line


def how_it_failed(child: subprocess.Popen[bytes], timeout_s: float) -> str:
    """Say what became of a child that gave no answer."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return f"ended while it started, with exit code {child.wait(0.2)}"
    return f"did not start within {timeout_s:.0f} s"


def end(child: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Close its input and wait for its end; insist if it takes too long. May be called twice."""
    close_pipe(child.stdin)
    close_pipe(child.stdout)
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def close_pipe(pipe: IO[bytes] | None) -> None:
    """Close it, also where the other end is gone."""
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


# The child's side.


def read_options(options: type[T]) -> T:
    """Return what the parent wrote. Raises `msgspec.MsgspecError` when it is none of that."""
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=options)


def give_answer(answer: object) -> None:
    """Tell the parent that we run, or why we cannot."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def input_ended() -> None:
    """Return when standard input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
