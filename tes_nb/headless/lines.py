"""What a recorder without a kernel says while it goes on: a line a period, for people or as JSON."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tes_nb.collector.logs import logger
from tes_nb.errors import counted
from tes_nb.model import Message, Opcode
from tes_nb.model.control import RecordingEnd
from tes_nb.wire.events import Gap, StateChange, decode_event


@dataclass(slots=True)
class Seen:
    """What came of one source."""

    messages: int = 0
    gaps: int = 0
    state: StateChange | None = None
    gap: Gap | None = None
    """The one that is open."""

    def note(self, message: Message) -> None:
        """One more."""
        self.messages += 1
        if message.opcode != Opcode.EVENT:
            return
        event = decode_event(message.payload)
        if isinstance(event, StateChange):
            self.state = event
        elif isinstance(event, Gap):
            same = self.gap is not None and self.gap.lost_at_ns == event.lost_at_ns
            self.gaps += not same
            self.gap = event if event.back_at_ns is None else None

    def facts(self, before: int, seconds: float) -> dict[str, Any]:
        """Return what a status line says of it: its messages, and their rate since there were so many."""
        return {
            "state": self.state.state if self.state else "OPEN",
            "text": self.state.text if self.state else "",
            "messages": self.messages,
            "rate": round((self.messages - before) / seconds, 1),
            "gaps": self.gaps,
        }

    @property
    def is_open(self) -> bool:
        """Whether it is read."""
        return self.state is not None and self.state.state in ("OPEN", "POLLING")


@dataclass(slots=True)
class FinishedFiles:
    """What is in the files before the one that is written."""

    files: int = 0
    messages: int = 0
    lost: int = 0

    def add(self, end: RecordingEnd) -> None:
        """One more."""
        self.files += 1
        self.messages += end.messages
        self.lost += end.lost


class StatusLines:
    """Prints status lines on standard output. A reader that goes away does not end the recording."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, text: str) -> None:
        """Say a sentence, to people."""
        if not self._as_json:
            self._print(text)

    def status(self, facts: dict[str, Any]) -> None:
        """Say how it is."""
        if self._as_json:
            self._print(msgspec.json.encode(facts).decode())
            return
        states = ", ".join(f"{name} {each['state']}" for name, each in facts["feeds"].items())
        parts = [
            f"{facts['time']}  {Path(facts['file']).name}  {facts['state']}  {counted(facts['messages'], 'message')}",
            f"{facts['bytes'] / 1e6:,.1f} MB  {facts['rate']:,.1f}/s  {counted(facts['gaps'], 'gap')}",
            states,
        ]
        self._print("  ".join(filter(None, parts)))

    def end(self, facts: dict[str, Any], several: bool) -> None:
        """Say how it ended."""
        if self._as_json:
            self.status(facts)
            return
        self._print(facts["text"])
        if several:
            lost = f", {facts['lost']:,} lost" if facts["lost"] else ""
            total = counted(facts["total_messages"], "message")
            self._print(f"In all {total} in {counted(facts['files'], 'file')}{lost}.")

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except (OSError, ValueError) as error:
            logger.warning("Nobody reads what this command says (%s); it goes on in silence.", error)
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
