"""A session's views in tabs: one widget and one front end, however many views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

from tes_nb.errors import ArgumentError, SessionError, meant
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.controls import ControlWatch, Steering
from tes_nb.views.live import LiveView, silent_sentence
from tes_nb.views.push import Content, Sent
from tes_nb.views.zone import zone

Dock = Literal["right", "split-right", "split-left", "split-top", "split-bottom", "tab-before", "tab-after"]
"""Where in JupyterLab a dashboard is docked: in the right sidebar, or beside the notebook."""
EXTRA = 'pip install "tes-nb[lab]"'


@dataclass(frozen=True, slots=True)
class Part:
    """One view of a dashboard."""

    kind: Literal["chart", "table", "cards", "inspector", "lanes"]
    spec: Mapping[str, Any]
    content: Content
    on_request: Callable[[Mapping[str, Any], Callable[[Sent], None]], None] | None = None
    """(what the browser requests of this view, how to answer); `None` = it requests nothing."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A name, a sentence, and views."""

    title: str
    doc: str
    parts: Sequence[Part]


class DashboardContent:
    """The parts' contents under numbers. Only the open tab is sent, unless the kernel hears nobody (0010)."""

    def __init__(self, tabs: Sequence[Tab], steering: Steering | None, deaf: Callable[[], bool]) -> None:
        """deaf: whether the kernel cannot hear which tab is open; then all are sent."""
        self._titles = [tab.title for tab in tabs]
        self._parts = [(place, part) for place, tab in enumerate(tabs) for part in tab.parts]
        self._controls = None if steering is None else ControlWatch(steering)
        self._deaf = deaf
        self._current: set[int] = set()
        """Numbers of the parts that the browser is up to date with."""
        self.tab = 0
        """The place of the open tab."""

    def check(self) -> None:
        """Let every part look, also those of other tabs."""
        for _, part in self._parts:
            part.content.check()

    def everything(self) -> list[Sent]:
        """Return all of the open tab."""
        self._current.clear()
        return self._news([] if self._controls is None else self._controls.everything())

    def news(self) -> list[Sent]:
        """Return what is new in the open tab, all of it where the browser is not up to date."""
        return self._news([] if self._controls is None else self._controls.news())

    def _news(self, result: list[Sent]) -> list[Sent]:
        due = self._due()
        self._current &= due
        for number in sorted(due):
            content = self._parts[number][1].content
            messages = content.news() if number in self._current else content.everything()
            result += [_of_part(number, sent) for sent in messages]
        self._current |= due
        return result

    def state(self) -> dict[str, Any]:
        """Return what changed beside the data, by part."""
        states = {str(number): self._parts[number][1].content.state() for number in sorted(self._due())}
        changed = {number: state for number, state in states.items() if state}
        return {"parts": changed} if changed else {}

    def fallback(self) -> str:
        """Return the views of every tab under each other."""
        controls = "" if self._controls is None else self._controls.fallback()
        return controls + "".join(
            f"<div><b>{escape(self._titles[place])}</b>{part.content.fallback()}</div>"
            for place, part in self._parts
        )

    def _due(self) -> set[int]:
        everywhere = self._deaf()
        return {number for number, (place, _) in enumerate(self._parts) if everywhere or place == self.tab}

    def part(self, number: Any) -> Part | None:
        """Return the part of that number; `None` = there is none."""
        exists = isinstance(number, int) and 0 <= number < len(self._parts)
        return self._parts[number][1] if exists else None


def _of_part(number: int, sent: Sent) -> Sent:
    return Sent({**sent.content, "part": number}, sent.buffers)


class Dashboard(LiveView):
    """Live views in tabs, below buttons to mark, record and scale, or those of a replay. Display it."""

    def __init__(
        self,
        title: str,
        tabs: Sequence[Tab],
        *,
        url: str = "",
        steering: Steering | None = None,
        on_origin: Callable[[str], None] | None = None,
        repaint: RepaintClock = clock,
    ) -> None:
        """Show the tabs; without any the controls alone. steering: `None` = there is nothing to control."""
        self._steering = steering
        content = DashboardContent(tabs, steering, lambda: self._presence.deaf)
        self._content = content
        numbers = iter(range(sum(len(tab.parts) for tab in tabs)))
        spec = {
            "title": title,
            "silent": silent_sentence(url),
            "tz": zone.name,
            "control_port": None if steering is None else steering.port,
            "replay": steering is not None and steering.replay,
            "tabs": [
                {
                    "title": tab.title,
                    "doc": tab.doc,
                    "parts": [
                        {"part": next(numbers), "kind": part.kind, "spec": dict(part.spec)}
                        for part in tab.parts
                    ],
                }
                for tab in tabs
            ],
        }
        super().__init__(
            "dashboard",
            "dashboard" if tabs else "scrubber",
            spec,
            content,
            on_origin=on_origin,
            repaint=repaint,
        )
        self.panel: Any = None
        """The `Sidecar` that it is docked in; `None` = it is shown where it is displayed."""

    def dock(self, where: Dock) -> None:
        """Show it in a panel of JupyterLab beside the notebook.

        Raises `ArgumentError` for a place that is none, `SessionError` where the package `sidecar` is not installed.
        """
        if where not in get_args(Dock):
            places = ", ".join(map(repr, get_args(Dock)))
            raise ArgumentError(f"dock= takes one of {places}, not {where!r}.{meant(where, get_args(Dock))}")
        try:
            from sidecar import Sidecar  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SessionError(
                f"A docked dashboard needs the package sidecar: {EXTRA}, then reload JupyterLab's page."
            ) from error
        bundle = super()._repr_mimebundle_()
        assert bundle is not None
        data, metadata = bundle
        data.pop("text/html", None)  # the notebook's file needs no picture of what is beside it
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        # not `with Sidecar(): display(…)`: that works in a running cell alone, and a click may ask for it, too
        self.panel = Sidecar(title=str(self.spec["title"]), anchor=where, outputs=(output,))

    @property
    def panel_id(self) -> str | None:
        """What JupyterLab calls its panel; `None` = it is not docked, or JupyterLab has not said."""
        name: str | None = getattr(self.panel, "_widget_id", None)
        return name

    def close(self) -> None:
        """End it, and the panel that it is docked in."""
        if self.panel is not None:
            self.panel.close()
        super().close()

    def _ipython_display_(self) -> None:
        """Show it; where it is docked, only say so."""
        if self.panel is None:
            super()._ipython_display_()
        else:
            print("The dashboard is docked in JupyterLab, beside the notebook.")  # noqa: T201 - a cell's output

    def on_request(self, content: Mapping[str, Any]) -> None:
        """Called with which tab is open, what a view requests, and what the controls request through the kernel."""
        kind = content.get("type")
        if kind == "tab" and isinstance(content.get("place"), int):
            self._content.tab = content["place"]
        elif kind == "control" and self._steering is not None:
            self._steering.answer(content, self.send)
        elif "part" in content:
            part = self._content.part(content["part"])
            if part is not None and part.on_request is not None:
                part.on_request(content, lambda sent: self.send_message(_of_part(content["part"], sent)))
