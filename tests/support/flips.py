"""Session files with changed bytes: everything that is read is held against what was recorded.

`python -m tests.support.flips COUNT SEED` writes the files, changes one byte after another, and prints a JSON line of
counts; each failure is printed with the seed that brings it back. Night runs call `night`.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tes_nb.errors import SessionError
from tes_nb.store.session.check import check
from tes_nb.store.session.files import wal_path
from tes_nb.store.session.reader import SessionFile
from tes_nb.store.session.schema import Fact, FileGap, SourceInfo
from tes_nb.store.session.tables import RecordedGap
from tes_nb.store.session.writer import SessionWriter
from tes_nb.wire.events import ClockJump, Gap, Mark, StateChange
from tests.support.sessions import SOURCES, STEP, WALL, event, numbered

PAGE = 4096
DAMAGED = "the file is damaged here"
KINDS = ("ended", "killed", "large", "old")
"""What becomes of the file: an old one has no checksums of tables, so that only a check finds all damage."""


def contents(kind: str) -> list[Any]:
    """Messages of three sources with gaps, marks, states, clock jumps and facts between them."""
    many = 900 if kind == "large" else 240
    items: list[Any] = [SourceInfo(name, name, f"ws://localhost/{name}") for name in SOURCES]
    items += [Fact("host", {"cores": 2}), Fact("peaks", {"rss": 5, "cpu_percent": 1.5})]
    counts = Counter[str]()
    for number in range(many):
        message = numbered(number, size=6000 if number % 90 == 0 else None)
        counts[message.source] += 1
        items.append(_renumbered(message, counts))
        for content in _events(number):
            counts["metrics"] += 1
            items.append(event(number, content, seq=counts["metrics"]))
        if number % 80 == 40:
            at = WALL + number * STEP
            items.append(
                FileGap(Gap(0, at, at, at + STEP // 2, "disk full: 3 messages could not be kept", 3))
            )
    if kind != "killed":
        items.append(Fact("ended", {"wall_ns": WALL, "text": "Stopped.", "messages": dict(counts)}))
    return items


def _renumbered(message: Any, counts: Counter[str]) -> Any:
    """Events take numbers of their source, too."""
    return msgspec.structs.replace(message, seq=counts[message.source])


def _events(number: int) -> list[Any]:
    at = WALL + number * STEP
    if number % 30 == 7:
        return [Mark(f"mark {number}", at)]
    if number % 30 == 12:
        return [
            Gap(1, at - STEP, at, None, "connection reset"),
            Gap(1, at - STEP, at, at + 9, "connection reset", 2),
        ]
    if number % 30 == 21:
        return [StateChange("WAITING", f"WAITING {number}", 1, at, 1, 2, 1006, at + 5), ClockJump(at, 77)]
    return []


def write(path: Path, kind: str) -> Path:
    """Write one of the files; that of a killed recorder has its log beside it."""
    running = path.with_name("running.tes")
    writer = SessionWriter(running)
    items = contents(kind)
    for start in range(0, len(items), 40):
        writer.append(items[start : start + 40])
    if kind == "killed":
        for name, copy in ((running, path), (wal_path(running), wal_path(path))):
            shutil.copy(name, copy)
        writer.close()
        running.unlink()
    else:
        writer.close()
        running.rename(path)
    if kind == "old":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE checksums")
    return path


@dataclass
class Reading:
    """Everything that can be read of a session."""

    messages: dict[tuple[str, int], Any]
    sources: dict[str, tuple[str, str | None, bool]]
    gaps: list[Any]
    marks: list[Any]
    states: dict[str, list[Any]]
    jumps: list[Any]
    facts: dict[str, Any]
    figures: dict[str, Any]
    ranges: list[list[tuple[str, int]]]
    damage_of_ranges: tuple[str, ...]
    """What was known when the ranges had been read, and before everything was."""
    damage: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, *, examine: bool = False) -> Reading:
        """Read small tables first, as people do; unless `examine`, nobody has checked the file before."""
        with SessionFile.open(path) as session:
            if examine:
                session.examine()
            sources = {one.name: (one.stream, one.url, one.ordered) for one in session.sources.values()}
            gaps, marks, jumps = list(session.gaps), list(session.marks), list(session.clock_jumps)
            states = {name: list(session.states(name)) for name in sources}
            info = session.info()
            figures = {
                name: (one.messages, one.bytes, one.first_ns, one.last_ns, one.connections)
                for name, one in info.sources.items()
            }
            ranges = [
                [
                    (one.source, one.seq)
                    for one in session.messages(start_ns=WALL + low * STEP, end_ns=WALL + high * STEP)
                ]
                for low, high in ((10, 60), (100, 190), (0, 5))
            ]
            damage_of_ranges = session.damage
            messages = {(one.source, one.seq): one for one in session.messages()}
            return cls(
                messages,
                sources,
                gaps,
                marks,
                states,
                jumps,
                dict(info.facts),
                figures,
                ranges,
                damage_of_ranges,
                session.damage,
            )


class Truth:
    """A whole session, and what its damaged copies must not say."""

    def __init__(self, path: Path, *, examine: bool = False) -> None:
        self.examine = examine
        self.files = [file for file in (path, wal_path(path)) if file.exists()]
        self.data = {file.name: file.read_bytes() for file in self.files}
        self.name = path.name
        self.whole = Reading.of(path)
        assert not self.whole.damage
        assert check(path).exit_code == 0

    def flip(self, folder: Path, seed: int) -> tuple[Path, str]:
        """Write a copy with one byte changed; each table of the file is as likely as the next."""
        chance = random.Random(seed)
        file = chance.choice(list(self.data))
        data = bytearray(self.data[file])
        page = chance.choice(self._pages(file))
        at = min(len(data) - 1, page * PAGE + chance.randrange(PAGE))
        new = data[at] ^ (1 << chance.randrange(8)) if chance.random() < 0.5 else chance.randrange(256)
        text = f"{file} byte {at}: {data[at]} -> {new}"
        data[at] = new
        folder.mkdir(parents=True, exist_ok=True)
        for name, old in self.data.items():
            (folder / name).write_bytes(data if name == file else old)
        for left in folder.glob("*-shm"):
            left.unlink()
        return folder / self.name, text

    def _pages(self, file: str) -> list[int]:
        """Pages by the table that they belong to: of one table, any; where that cannot be said, any."""
        count = len(self.data[file]) // PAGE
        with contextlib.closing(sqlite3.connect(f"file:{self.files[0]}?mode=ro", uri=True)) as connection:
            roots = [
                page - 1
                for (page,) in connection.execute("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
            ]
        return [*roots, *range(count)] if file == self.name else list(range(count))

    def judge(self, path: Path) -> list[str]:
        """Return what is wrong with how a damaged copy is read, in words; [] = nothing."""
        try:
            report = check(path)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return [f"check: {error!r}"]
        try:
            read = Reading.of(path, examine=self.examine)
        except SessionError as error:
            return [] if report.exit_code == 1 else [f"not readable, but check said {report}: {error}"]
        except Exception as error:  # noqa: BLE001
            return [f"reading: {error!r}"]
        wrong = list(self._compare(read))
        missing = len(self.whole.messages) - len(read.messages)
        expected = 0 if not missing else 3 if read.messages else 1
        if report.exit_code != expected:
            wrong.append(f"exit {report.exit_code} with {missing} missing: {report.sentences}")
        if missing and not any("missing" in one or "lost" in one for one in report.sentences):
            wrong.append(f"check does not say that {missing} are missing: {report.sentences}")
        return wrong

    def _compare(self, read: Reading) -> list[str]:
        whole, wrong = self.whole, []
        if not read.messages.items() <= whole.messages.items():
            wrong.append("a message is another")
        for what in ("sources", "gaps", "marks", "states", "jumps", "facts", "figures", "ranges"):
            before, now = getattr(whole, what), getattr(read, what)
            damage = read.damage_of_ranges if what == "ranges" else read.damage
            if before != now and not damage:
                wrong.append(f"{what} silently wrong: {_difference(before, now)}")
        wrong += [
            f"{what} made up: {extra}"
            for what, extra in (
                ("gaps", [one for one in read.gaps if not self._is_true(one, damaged=bool(read.damage))]),
                ("marks", [one for one in read.marks if one not in whole.marks]),
                ("jumps", [one for one in read.jumps if one not in whole.jumps]),
                ("facts", [name for name, value in read.facts.items() if whole.facts.get(name) != value]),
                (
                    "states",
                    [
                        one
                        for name in read.states
                        for one in read.states[name]
                        if one not in whole.states.get(name, [])
                    ],
                ),
                (
                    "sources",
                    [
                        name
                        for name, one in read.sources.items()
                        if whole.sources.get(name) != one and not name.startswith("source-")
                    ],
                ),
            )
            if extra
        ]
        return wrong

    def _is_true(self, one: RecordedGap, *, damaged: bool) -> bool:
        """Whether that gap was recorded, or is the one for what is damaged; the record of its end may be damaged."""
        open_ones = [
            (real.source, msgspec.structs.replace(real.gap, back_at_ns=None, missing=None))
            for real in self.whole.gaps
        ]
        return (
            one in self.whole.gaps
            or one.gap.cause == DAMAGED
            or (damaged and (one.source, one.gap) in open_ones)
        )


def _difference(before: Any, now: Any) -> str:
    return f"{str(before)[:300]} -> {str(now)[:300]}"


def night(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Change one byte so many times in each kind of file; return counts, and the first failures with their seeds."""
    result: dict[str, Any] = {"flips": 0, "wrong": 0, "failures": []}
    for kind in KINDS:
        truth = Truth(write(folder / f"{kind}.tes", kind), examine=kind == "old")
        for turn in range(seed, seed + count):
            path, text = truth.flip(folder / "flipped", turn)
            wrong = truth.judge(path)
            result["flips"] += 1
            result["wrong"] += bool(wrong)
            if wrong and len(result["failures"]) < 20:
                result["failures"].append(f"{kind} seed {turn}, {text}: {'; '.join(wrong)[:600]}")
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(night(Path(place), int(sys.argv[1]), int(sys.argv[2])), indent=1))  # noqa: T201
