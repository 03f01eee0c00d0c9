"""Who works for the user: one source of workers a file, and the list of them.

A source more is one file that defines `SOURCE`, which takes a `SourceContext` and gives a `WorkerSource`, and one name
in `NAMES`: the registry, the stream, the page and the control socket follow.
"""

from __future__ import annotations

NAMES: tuple[str, ...] = ("processes", "executors", "dask")
"""In this order; what a later one says of a process that an earlier one lists is put together with it."""

__all__ = ["NAMES"]
