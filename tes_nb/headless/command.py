"""What `tes-nb record` takes on the command line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tes_nb.errors import ArgumentError


def record(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="The file; default: a new one in sessions/. {date} and {time} are those of now (UTC). "
            "With --rotate what the files are called."
        ),
    ] = None,
    duration: Annotated[
        str, typer.Option("--for", help="How long, for example 10m; empty = until Ctrl-C or SIGTERM.")
    ] = "",
    url: Annotated[str, typer.Option("--attach", "--url", help="A TES to read; empty = this machine.")] = "",
    workers: Annotated[str | None, typer.Option(help="Its workers port, if it is not the next one.")] = None,
    watch: Annotated[
        list[str] | None, typer.Option(help="An external feed to read, such as nowgoal; may be repeated.")
    ] = None,
    channels: Annotated[str, typer.Option(help="Its channels, with commas; empty = the usual ones.")] = "",
    rotate: Annotated[
        list[str] | None,
        typer.Option(help="Begin a new file: 1d, 6h, 500MB; may be repeated, what comes first counts."),
    ] = None,
    compress: Annotated[
        bool, typer.Option("--compress", help="Compress finished files with zstd: FILE.tes.zst.")
    ] = False,
    keep: Annotated[str, typer.Option(help="Remove finished files older than so, for example 30d.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a session file of that name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Status lines in JSON, one object each.")] = False,
    every: Annotated[str, typer.Option(help="How often there is a status line.")] = "1min",
) -> None:
    """Record every message, crash-safe, for as long as you like. `tes.open(FILE)` reads it.

    Exit with 0 when it was ended (SIGTERM, --for, tes-nb recordings), 130 by Ctrl-C, 1, and no file, where it cannot
    begin, such as where nothing answers.
    """
    from tes_nb.headless.recorder import RecordRequest, record_until_end  # noqa: PLC0415 - it takes a moment

    rotate_bytes, rotate_ns = _limits(rotate or [])
    request = RecordRequest(
        path=path,
        seconds=_span(duration, "--for") / 1e9 if duration else float("inf"),
        peer=url,
        workers=workers,
        watch=tuple(watch or ()),
        channels=tuple(filter(None, (name.strip() for name in channels.split(",")))),
        rotate_bytes=rotate_bytes,
        rotate_ns=rotate_ns,
        compress=compress,
        keep_ns=_span(keep, "--keep") if keep else None,
        overwrite=overwrite,
        json=as_json,
        every_s=_span(every, "--every") / 1e9,
    )
    asyncio.run(record_until_end(request))


UNITS = {
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
LEAST_BYTES = 10**6
LEAST_NS = 10**9


def _limits(rotate: Sequence[str]) -> tuple[int | None, int | None]:
    """Return (bytes, nanoseconds) after which a file is full; `None` = that does not count."""
    sizes, spans = list[int](), list[int]()
    for text in rotate:
        if (amount := re.fullmatch(r"\s*([\d.]+)\s*([kmgt]i?b)\s*", text, re.IGNORECASE)) is None:
            spans.append(_span(text, "--rotate"))
            if spans[-1] < LEAST_NS:
                raise ArgumentError(f"--rotate {text}: a file takes at least a second.")
            continue
        try:
            sizes.append(int(float(amount[1]) * UNITS[amount[2].lower()]))
        except ValueError as error:
            raise ArgumentError(f"--rotate {text} is no size: give one such as 500MB.") from error
        if sizes[-1] < LEAST_BYTES:
            raise ArgumentError(f"--rotate {text}: a file takes at least 1MB.")
    return min(sizes, default=None), min(spans, default=None)


_NS = {"s": 10**9, "min": 60 * 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


def _span(text: str, option: str) -> int:
    plain = re.fullmatch(r"\s*(\d{1,6})\s*(s|min|m|h|d)\s*", text)
    if plain is not None and int(plain[1]):
        return int(plain[1]) * _NS[plain[2]]
    from tes_nb.store.memory.timespec import span_ns  # noqa: PLC0415 - it loads pandas

    return span_ns(text, name=option)
