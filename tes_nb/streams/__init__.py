"""What travels: one stream a file, and the list of them.

A stream of your own is one file that defines `STREAM` and one name in `NAMES`; readers, frames, views, CSV,
docs and the contract tests follow from it (see CONTRIBUTING.md).
"""

from __future__ import annotations

from importlib import import_module

from tes_nb.model import Stream

NAMES = ("status", "workers", "metrics", "kernel", "nowgoal")


def get(name: str) -> Stream:
    """Return the stream called `name`. Raises KeyError with a sentence for an unknown one."""
    if name not in NAMES:
        raise KeyError(f"there is no stream '{name}'; known are {', '.join(NAMES)}")
    stream: Stream = import_module(f"tes_nb.streams.{name}").STREAM
    return stream


def all_streams() -> tuple[Stream, ...]:
    """Return every stream, in the order of `NAMES`."""
    return tuple(get(name) for name in NAMES)


__all__ = ["NAMES", "all_streams", "get"]
