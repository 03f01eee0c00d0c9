"""`tes.start(cells="first_line")`: what is kept of a cell, and what never is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tes_nb.session.kernel import FIRST_LINE_CHARACTERS, CellWatch


class Shell:
    """As much of IPython as a cell watch uses."""

    execution_count = 2
    displayhook = SimpleNamespace(prompt_count=1)

    def __init__(self) -> None:
        self.events = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)


def first_line(code: str) -> str | None:
    cells: list[Any] = []
    watch = CellWatch(Shell(), lambda report, *_: cells.append(report.row), "first_line")
    watch._end(SimpleNamespace(info=SimpleNamespace(raw_cell=code)), 1)
    line: str | None = cells[-1].first_line
    return line


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("\n fit(model)\nrest()", "fit(model)"),
        ("s.watch(url, token='my-own-secret')\nx", "s.watch(url, token='REDACTED')"),
        ("connect('wss://h/s?token=my-own-secret')", "connect('wss://h/s?token=REDACTED')"),
        ("os.environ['API_KEY'] = \"my-own-secret\"", "os.environ['API_KEY'] = \"REDACTED\""),
    ],
)
def test_a_first_line_holds_no_credentials(code, kept):
    assert first_line(code) == kept


def test_a_secret_that_the_cut_would_split_is_gone_before():
    line = first_line("x" * (FIRST_LINE_CHARACTERS - 12) + " token = 'my-own-secret'")
    assert line is not None
    assert len(line) == FIRST_LINE_CHARACTERS
    assert "my" not in line
