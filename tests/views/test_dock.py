"""A dashboard in a panel of JupyterLab: what its output holds, and what is said where it cannot be docked."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tes_nb.errors import ArgumentError, SessionError
from tes_nb.views.dashboard import Dashboard


@pytest.fixture
def board() -> Iterator[Dashboard]:
    one = Dashboard("tes_nb session", [])
    yield one
    one.close()


def test_the_panel_holds_the_view_and_no_picture_and_ends_with_it(board, capsys):
    board.dock("split-right")
    assert (board.panel.title, board.panel.anchor) == ("tes_nb session", "split-right")
    (output,) = board.panel.outputs
    view = output["data"]["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == board.model_id
    assert "text/html" not in output["data"]
    board._ipython_display_()
    assert capsys.readouterr().out == "The dashboard is docked in JupyterLab, beside the notebook.\n"
    panel = board.panel
    board.close()
    assert panel.comm is None


def test_a_place_that_is_none_is_named(board):
    with pytest.raises(
        ArgumentError, match=r"dock= takes one of 'right', .*not 'rigth'\. Did you mean 'right'\?"
    ):
        board.dock("rigth")


def test_without_sidecar_a_sentence_has_the_line_for_pip(board, monkeypatch):
    monkeypatch.setitem(sys.modules, "sidecar", None)
    with pytest.raises(SessionError, match=r'needs the package sidecar: pip install "tes-nb\[lab\]"'):
        board.dock("right")
    assert board.panel is None
