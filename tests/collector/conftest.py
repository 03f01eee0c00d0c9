"""Listening to what the interpreter audits, and the folder where collectors publish themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def own_runtime_dir():
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "tes_nb"


_listeners: list = []


def _audit(event, args):
    for wanted, heard in _listeners:
        if event == wanted:
            heard.append(args[0])


@pytest.fixture(scope="session")
def _audited():
    sys.addaudithook(_audit)  # there is no way to take it off again


@pytest.fixture
def audit(_audited):
    """`yield from audit("open")` gives a list that fills with the first argument of each such event."""

    def listen(event):
        heard: list = []
        _listeners.append((event, heard))
        yield heard
        _listeners.remove((event, heard))

    return listen
