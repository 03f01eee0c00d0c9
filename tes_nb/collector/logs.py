"""The collector's log: one line a record, at most ten lines a second and a few megabytes, and never a secret.

Whoever can reach the ports can provoke lines as fast as he likes, and can choose what some of them quote.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from tes_nb.net.logs import LINES_PER_S

MAX_BYTES = 5 * 2**20
"""A log file that has grown beyond this begins anew."""
MAX_LINE = 2000

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineLimit(logging.Filter):
    """Lets ten records a second pass; the first one after a flood says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = -1
        self._passed = 0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._passed = second, 0
        if self._passed >= LINES_PER_S:
            self._left_out += 1
            return False
        self._passed += 1
        if self._left_out:
            record.msg = f"{record.getMessage()} ({self._left_out} more lines before this one were left out)"
            record.args, self._left_out = None, 0
        return True


logger = logging.getLogger("tes_nb.collector")
logger.addFilter(LineLimit())  # inside a kernel (isolation="thread") the lines go to the user's own handlers
logging.getLogger("tes_nb").addHandler(logging.NullHandler())  # without any, nothing is printed into a cell


class OneLine(logging.Formatter):
    """A record as one line, its traceback included; control characters are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        line = text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the name of logging.Formatter
        """Return the error and where it happened, innermost last."""
        frames = traceback.extract_tb(ei[2])
        where = " > ".join(f"{os.path.basename(one.filename)}:{one.lineno}" for one in frames)  # noqa: PTH119 - short
        return f"{type(ei[1]).__name__}: {ei[1]} at {where}"


class FileHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream; when that is a file, it begins anew before it grows too big."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(OneLine())
        self.addFilter(LineLimit())

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line. Never raises: a full disk must not end the collector."""
        try:
            self._begin_anew_if_big()
            self.stream.write(self.format(record) + "\n")
            self.flush()
        except (OSError, ValueError):
            return

    def _begin_anew_if_big(self) -> None:
        descriptor = self.stream.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size > MAX_BYTES:
            os.ftruncate(descriptor, 0)


def log_to_stderr() -> None:
    """Send all logging of this process to its standard error, within the bounds of this module."""
    logging.basicConfig(level=logging.INFO, handlers=[FileHandler(sys.stderr)], force=True)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # its warnings quote clients' headers
