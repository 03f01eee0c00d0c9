"""Tables of many sessions as Parquet, on a disk or anywhere that fsspec reads: what `many.to_parquet(folder)` wrote.

<folder or URL>/stream=metrics/table=metrics/session=friday/date=2026-03-01/part-0.parquet
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pandas as pd

from tes_nb.errors import SessionError, meant
from tes_nb.session.per_session import in_order

GAPS = "gaps"
"""The table of gaps of all feeds, in the stream "session"."""


@dataclass(frozen=True, slots=True)
class Lake:
    """A folder of Parquet datasets. It is sent to the workers of a cluster as it is."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """What fsspec needs to open it, such as keys; see its `storage_options`."""

    def system(self) -> tuple[Any, str]:
        """Return the file system and the path there. Raises `SessionError` where fsspec cannot open the URL."""
        import fsspec  # noqa: PLC0415 - comes with dask

        try:
            system, path = fsspec.core.url_to_fs(self.url, **self.options)
        except (ImportError, ValueError, OSError) as error:
            raise SessionError(f"'{self.url}' cannot be opened: {error}") from error
        return system, path.rstrip("/")

    def dataset(self, table: str) -> str:
        """Return the path of a table's dataset. Raises `SessionError` where there is none, or there are several."""
        system, path = self.system()
        try:
            found = sorted(system.glob(f"{path}/stream=*/table={quote(table, safe='')}"))
            if len(found) == 1:
                return str(found[0])
            there = {unquote(one.rpartition("table=")[2]) for one in system.glob(f"{path}/stream=*/table=*")}
        except OSError as error:
            raise SessionError(f"'{self.url}' cannot be listed ({error}): check the address.") from error
        if not there:
            raise SessionError(
                f"There is no Parquet of sessions at '{self.url}': write it with open_many(…).to_parquet(folder)."
            )
        if found:
            raise SessionError(
                f"Several streams of '{self.url}' have a table '{table}': make a folder of each."
            )
        raise SessionError(
            f"'{self.url}' has no table '{table}'; there are {', '.join(sorted(there))}.{meant(table, there)}"
        )

    def sessions(self, table: str) -> list[str]:
        """Return the names of the sessions that have a table, in the order of their names."""
        system, _ = self.system()
        folders = system.glob(f"{self.dataset(table)}/session=*")
        if not folders:
            raise SessionError(
                f"'{self.url}' is of one recording, without sessions: write it with open_many(…).to_parquet(folder)."
            )
        return sorted(unquote(one.rpartition("session=")[2]) for one in folders)


@dataclass(frozen=True, slots=True)
class LakeTables:
    """The tables of one session of a lake."""

    lake: Lake
    session: str

    def frame(self, table: str) -> pd.DataFrame | None:
        """Read all days and feeds of a table."""
        from pyarrow import parquet  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

        system, _ = self.lake.system()
        try:
            folder = f"{self.lake.dataset(table)}/session={quote(self.session, safe='')}"
        except SessionError:
            return None
        files = sorted(system.glob(f"{folder}/date=*/*.parquet"))
        frames = [
            parquet.read_table(file, filesystem=system, partitioning=None).to_pandas() for file in files
        ]
        return in_order([each for each in frames if len(each)] or frames[:1]) if frames else None

    def gaps(self) -> pd.DataFrame:
        """Return the gaps that were written beside the tables. Raises `SessionError` where none could be."""
        gaps = self.frame(GAPS)
        if gaps is None:
            raise SessionError(
                f"'{self.lake.url}' has no gaps of '{self.session}': an older version wrote it. Write it again, so "
                "that no tick is derived across a gap."
            )
        return gaps


def lake_of(data: Any, options: Mapping[str, Any] | None) -> Lake | None:
    """Return the lake that an address, or a folder with `stream=…` in it, names; `None` = those are recordings."""
    if isinstance(data, str) and "://" in data:
        return Lake(data, dict(options or {}))
    if isinstance(data, str | Path) and any(Path(data).expanduser().glob("stream=*")):
        return Lake(str(Path(data).expanduser().absolute()), dict(options or {}))
    return None
