"""No test sees the collectors, the token or the ports of the user who runs it."""

from __future__ import annotations

import sys

import pytest

OF_THE_USER = ("TES_DEV_TOKEN", "BUN_PORT", "WORKER_API_PORT", "TES_PRIMARY_REGION", "PRIMARY_REGION")


@pytest.fixture(autouse=True)
def own_runtime_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "run" / "tes_nb"


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
