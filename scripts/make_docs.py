"""Write the tables of docs/*.md from the stream descriptions. `--check` only says whether they are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tes_nb.model import Stream, Table
from tes_nb.model.table import BASE_COLUMNS
from tes_nb.streams import all_streams

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARK = re.compile(r"(<!-- tables: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables_of(stream: Stream) -> str:
    """The stream's endpoint and tables in Markdown."""
    endpoint = stream.endpoint
    where = [f"`{endpoint.path}`" if endpoint.path else "our relay only"]
    where += [f"`{alias}` (alias)" for alias in endpoint.aliases]
    where += [f"`GET {endpoint.poll}`" for _ in range(endpoint.poll is not None)]
    head = f"{stream.doc}\n\nServed at {', '.join(where)}. Main table: `{stream.main}`.\n"
    return head + "".join(f"\n{table_text(table)}" for table in stream.tables)


def table_text(table: Table) -> str:
    """One table's columns in Markdown."""
    lines = [
        f"#### `{table.name}`: {table.doc}",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.doc} |" for c in table.columns]
    return "\n".join(lines) + "\n"


def base_text() -> str:
    """What every frame begins with."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{c.name}` | {c.dtype} | {c.doc} |" for c in BASE_COLUMNS)]) + "\n"


def rewritten(text: str) -> str:
    """The page with fresh tables."""
    fresh = {stream.name: tables_of(stream) for stream in all_streams()} | {"base": base_text()}
    return MARK.sub(lambda found: f"{found[1]}{fresh[found[2]]}{found[3]}", text)


def main() -> int:
    """Rewrite, or with --check return 1 when something is out of date."""
    stale = [path for path in sorted(DOCS.glob("*.md")) if rewritten(path.read_text()) != path.read_text()]
    for path in stale:
        print(f"{'out of date' if '--check' in sys.argv else 'rewritten'}: {path.name}")
        if "--check" not in sys.argv:
            path.write_text(rewritten(path.read_text()))
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
