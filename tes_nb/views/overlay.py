"""Two runs on top of each other: a panel per column, the clock of the one below, that of the other above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

Line = tuple[str, str, npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Title, unit, values of the one, values of the other, both at even distances."""

PANEL = 240
MARGIN = 100
SHARE = 0.68
"""How much of its place a panel takes; the rest is for its two clocks."""
COLOURS = ("#0969da", "#bc4c00")
DASHES = ("solid", "dot")


def overlay(
    lines: Sequence[Line], names: tuple[str, str], began: tuple[int, int], step_s: float
) -> go.Figure:
    """Return the figure. began: when each run began, Unix ns; step_s: seconds between two values.

    Both runs lie on one width: what happened after the same time stands below each other.
    """
    figure = go.Figure()
    count = max(len(lines), 1)
    legends = [
        f"{name}, from {np.datetime64(at, 's')} UTC" for name, at in zip(names, _seconds(began), strict=True)
    ]
    for number, (title, unit, *values) in enumerate(lines, 1):
        middle = 1 - (number - 0.5) / count
        label = f"{title}, {unit}" if unit else title
        panel = {"title": {"text": label}, "domain": [middle - SHARE / count / 2, middle + SHARE / count / 2]}
        figure.update_layout({_axis("y", number): panel})
        for side in (0, 1):
            axis = 2 * number - 1 + side
            times = began[side] + (np.arange(len(values[side])) * step_s * 1e9).astype(np.int64)
            figure.add_scatter(
                x=times.view("M8[ns]"),
                y=values[side],
                name=legends[side],
                xaxis=_reference("x", axis),
                yaxis=_reference("y", number),
                line={"color": COLOURS[side], "dash": DASHES[side]},
                legendgroup=names[side],
                showlegend=number == 1,
            )
            figure.update_layout({_axis("x", axis): _clock(side, number, axis)})
    figure.update_layout(
        height=PANEL * count + MARGIN,
        margin={"t": MARGIN // 2, "b": MARGIN // 2},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
        template="plotly_white",
    )
    return figure


def _seconds(began: tuple[int, int]) -> list[int]:
    return [at // 10**9 for at in began]


def _clock(side: int, number: int, axis: int) -> dict[str, Any]:
    """Return a time axis: below its panel for the one, above it for the other."""
    shape: dict[str, Any] = {
        "type": "date",
        "anchor": _reference("y", number),
        "side": ("bottom", "top")[side],
        "tickformat": "%H:%M:%S",
        "tickfont": {"color": COLOURS[side]},
        "showgrid": not side,
    }
    return {**shape, "overlaying": _reference("x", axis - 1)} if side else shape


def _axis(letter: str, number: int) -> str:
    return f"{letter}axis{number if number > 1 else ''}"


def _reference(letter: str, number: int) -> str:
    return f"{letter}{number if number > 1 else ''}"
