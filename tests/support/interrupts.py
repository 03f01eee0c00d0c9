"""Break a call off at any line, as Ctrl-C can."""

from __future__ import annotations

import linecache
import sys


def broken_off_after(lines: int, call, *, within: str):
    """Call it, and raise KeyboardInterrupt at the so manyeth line that it runs in files whose path has `within`.

    Lines with `with` are left out: there the tracer could break in between the block and the release of its lock,
    which the interpreter itself never does. So is a line that comes again in the same frame: Python 3.13.0 calls the
    tracer once more for the last line of such a block, before it releases the lock.
    """
    left = lines
    last: dict[int, int] = {}

    def trace(frame, event, _):
        nonlocal left
        path = frame.f_code.co_filename
        if within not in path:
            return None
        again = event == "line" and last.get(id(frame)) == frame.f_lineno
        last[id(frame)] = frame.f_lineno if event == "line" else 0
        if event == "line" and not again and "with " not in linecache.getline(path, frame.f_lineno):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call()
    finally:
        sys.settrace(before)
