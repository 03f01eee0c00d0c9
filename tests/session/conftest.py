from __future__ import annotations

from collections.abc import Iterator

import pytest

import tes_nb as tes


@pytest.fixture(scope="module")
def session() -> Iterator[tes.Session]:
    """A running session that the tests of a module share; each leaves it running."""
    with tes.start(ports=(0, 0)) as running:
        running.metrics.wait(rows=2, timeout=20)
        yield running
