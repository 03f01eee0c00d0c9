"""Keeps `results.json` and the table in `docs/performance.md`, which follows from it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Spread, machine, show

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def load() -> dict[str, Any]:
    """Return what is stored, or an empty form."""
    if not RESULTS.exists():
        return {"format": 1, "results": []}
    stored: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return stored


def store(benchmark: str, results: list[dict[str, Any]]) -> None:
    """Replace one benchmark's results; those of others stay as they are."""
    stored = load()
    day = dt.datetime.now(dt.UTC).date().isoformat()
    fresh = [{**result, "measured": day, "machine": machine()} for result in results]
    others = [result for result in stored["results"] if result["benchmark"] != benchmark]
    stored["results"] = sorted(others + fresh, key=_order)
    RESULTS.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _order(result: dict[str, Any]) -> tuple[str, int, str, str]:
    letters = result["id"].rstrip("0123456789")
    return letters, int(result["id"][len(letters) :] or 0), result["benchmark"], result["name"]


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    head = "| | what | value | goal | ours | reference |\n|---|---|---|---|---|---|\n"
    return head + "".join(_row(result) for result in results)


def _row(result: dict[str, Any]) -> str:
    value = show(Spread(**result["value"]), result["value_unit"])
    ours = show(Spread(**result["candidate"]), result["unit"])
    theirs = "-"
    if result["reference"]:
        theirs = f"{show(Spread(**result['reference']), result['unit'])}: {result['against']}"
    goal = f"{result['goal']} {'✓' if result['met'] else '✗'}"
    what = result["name"] + (f" ({result['note']})" if result["note"] else "")
    return f"| {result['id']} | {what} | {value} | {goal} | {ours} | {theirs} |\n"


def refresh_page() -> None:
    """Write the table between the page's markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    results = load()["results"]
    body = f"\n{_machines(results)}\n\n{table(results)}\n" if results else "\n\nNothing measured yet.\n\n"
    PAGE.write_text(before + BEGIN + body + END + after, encoding="utf-8")


def _machines(results: list[dict[str, Any]]) -> str:
    kinds = {
        f"{result['machine']['processor']}, {result['machine']['cores']} cores, "
        f"{result['machine']['system']}, Python {result['machine']['python']}"
        for result in results
    }
    return "Measured on: " + "; ".join(sorted(kinds)) + "."
