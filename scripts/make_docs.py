"""Write the tables of docs/*.md from what describes streams, operations and faults.

`--check` says whether they are fresh.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from tes_nb.model import Stream, Table
from tes_nb.model.control import operations
from tes_nb.model.operation import Operation, phrase
from tes_nb.model.table import BASE_COLUMNS, Field
from tes_nb.streams import all_streams

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
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


def operations_text() -> str:
    """Every operation of the control protocol: what it takes, and what it answers."""
    described: dict[type[Struct], str] = {}
    texts = []
    for op, operation in operations().items():
        takes = struct_text(operation) or "It takes nothing.\n"
        texts.append(f"### `{op}`\n\n{operation.__doc__}\n\n{takes}\n{answer_text(op, operation, described)}")
    return "\n".join(texts)


def answer_text(op: str, operation: type[Operation[Any]], described: dict[type[Struct], str]) -> str:
    """What an operation answers; a type that another one answers as well is described there."""
    kind = operation.result_type()
    if kind is type(None):
        return "The answer is null.\n"
    struct = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Struct))
    form = "A list; each of them" if get_origin(kind) is list else "The answer"
    form += ", if any" if get_origin(kind) is UnionType else ""
    if struct in described:
        return f"{form} is like that of `{described[struct]}`.\n"
    described[struct] = op
    return f"{form}: {struct.__doc__}\n\n{struct_text(struct)}"


def struct_text(struct: type[Struct]) -> str:
    """The fields of a struct in Markdown; "" = it has none."""
    hints = get_type_hints(struct, include_extras=True)
    rows = []
    for field in fields(struct):
        about = next(one for one in hints[field.name].__metadata__ if isinstance(one, Field))
        value = phrase(field.type) + ("" if field.required else "; may be left out")
        rows.append(f"| `{field.encode_name}` | {value} | {about.unit} | {about.doc} |")
    return "\n".join(["| field | value | unit | meaning |", "|---|---|---|---|", *rows, ""]) if rows else ""


FAULT_TEST = re.compile(r"def test_fault((?:_\d\d)+)_")
NIGHTS_SHOWN = 5


def faults_text() -> str:
    """Every fault, what is promised, and the files of tests that hold it."""
    places: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for rows in FAULT_TEST.findall(path.read_text()):
            for row in rows.strip("_").split("_"):
                places[str(int(row))].add(f"`{path.relative_to(ROOT)}`")
    lines = []
    for chapter, rows in tomllib.loads((ROOT / "tests/faults.toml").read_text()).items():
        lines += [f"### {chapter}", "", "| # | fault | promise | tests |", "|---|---|---|---|"]
        lines += [
            f"| {row} | {fault} | {promise} | {'<br>'.join(sorted(places[row])) or 'none yet'} |"
            for row, (fault, promise) in rows.items()
        ]
        lines.append("")
    return "\n".join(lines)


def nights_text() -> str:
    """The newest nights: one line of counts each, and a table of each part as it went last."""
    kept = DOCS / "nights.jsonl"
    nights = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if not nights:
        return "There was none yet.\n"
    lines = ["| part | rows | night, seed | rounds | went wrong | counts |", "|---|---|---|---|---|---|"]
    newest = {part: night for night in nights for part in night["parts"]}
    for part, night in newest.items():
        counts = night["parts"][part]
        rest = ", ".join(f"{name} {value:,}" for name, value in counts["counts"].items())
        rows, when = ", ".join(map(str, counts["rows"])), f"{night['date']}, {night['seed']}"
        lines.append(f"| {part} | {rows} | {when} | {counts['rounds']} | {counts['wrong']} | {rest} |")
    shown = "\n".join(json.dumps(night) for night in nights[-NIGHTS_SHOWN:])
    return "\n".join([*lines, "", "```json", shown, "```", ""])


def rewritten(text: str) -> str:
    """The page with fresh tables."""
    fresh = {stream.name: tables_of(stream) for stream in all_streams()} | {
        "base": base_text(),
        "operations": operations_text(),
        "faults": faults_text(),
        "nights": nights_text(),
    }
    return MARK.sub(lambda match: f"{match[1]}{fresh[match[2]]}{match[3]}", text)


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
