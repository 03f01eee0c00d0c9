from __future__ import annotations

from collections.abc import Iterator

import pytest

import tes_nb as tes
from tes_nb.session import start as starts


@pytest.fixture(scope="module")
def session() -> Iterator[tes.Session]:
    """A running session that the tests of a module share; each leaves it running."""
    with tes.start(ports=(0, 0)) as running:
        running.metrics.wait(rows=2, timeout=20)
        yield running


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tes.start()` in this test gives a session of its own, which it may end: the shared one is out of its sight."""
    monkeypatch.setattr(starts, "_sessions", {})
