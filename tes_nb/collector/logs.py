"""The collector's log: one line a record, at most ten lines a second and a few megabytes, and never a secret.

Whoever can reach the ports can provoke lines as fast as he likes, and can choose what some of them quote.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import traceback
from types import TracebackType
from typing import TextIO

from aiohttp.http_exceptions import HttpProcessingError

from tes_nb.net.logs import RecentLog

MAX_BYTES = 5 * 2**20
"""A log file that has grown beyond this begins anew."""
MAX_LINE = 2000

logger = logging.getLogger("tes_nb.collector")
# Inside a kernel (isolation="thread") the lines go to the user's own handlers, within the same bounds; without
# any, nothing is printed into a cell.
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(RecentLog(parent=logging.getLogger("tes_nb")))
logging.getLogger("tes_nb").addHandler(logging.NullHandler())

http_logger = logging.getLogger("tes_nb.collector.http")
"""What aiohttp says about connections."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def _is_ours(record: logging.LogRecord) -> bool:
    """False for malformed requests: aiohttp would quote them, with whatever token stands in them."""
    told = record.exc_info[1] if record.exc_info else None
    return not isinstance(told, HttpProcessingError)


http_logger.addFilter(_is_ours)


class OneLine(logging.Formatter):
    """A record as one line, its traceback included; control characters are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        shown = text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"
        return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in shown)

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the name of logging.Formatter
        """Return the error and where it happened, innermost last."""
        frames = traceback.extract_tb(ei[2])
        where = " > ".join(f"{os.path.basename(one.filename)}:{one.lineno}" for one in frames)  # noqa: PTH119 - short
        return f"{type(ei[1]).__name__}: {ei[1]} at {where}"


class FileHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream; when that is a file, it begins anew before it grows too big."""

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
        told = os.fstat(descriptor)
        if stat.S_ISREG(told.st_mode) and told.st_size > MAX_BYTES:
            os.ftruncate(descriptor, 0)


def log_to_stderr() -> None:
    """Send all logging of this process to its standard error, within the bounds of this module."""
    target = logging.getLogger("tes_nb_file")  # beside the root: what passes the bounds goes here, by hand
    target.propagate = False
    handler = FileHandler(sys.stderr)
    handler.setFormatter(OneLine())
    target.addHandler(handler)
    logging.basicConfig(level=logging.INFO, handlers=[RecentLog(parent=target, keep=100)], force=True)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # its warnings quote clients' headers
