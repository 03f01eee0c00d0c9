"""plotly's widget with what a saved notebook needs: a small front end, a picture of the end, a short text (0036)."""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import plotly
import plotly.graph_objects as go
import traitlets

from tes_nb.errors import SessionError
from tes_nb.views import html
from tes_nb.views.annotations import annotate
from tes_nb.views.clock import RepaintClock, clock
from tes_nb.views.figure import FigureContent, as_text, drawn_lines, range_of
from tes_nb.views.lines import plotted_columns
from tes_nb.views.live import packed_module
from tes_nb.views.pictures import pictures, without_browser
from tes_nb.views.zone import WallClock

logger = logging.getLogger("tes_nb.views")

_PLOTLY = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
_RENDER = """// it hides the picture below it while it is shown
async function render(made, context) {
  const picture = `.tes-picture-${context.model.get("uid")}`;
  const hiding = new CSSStyleSheet();
  hiding.replaceSync(`${picture}, .jp-OutputArea-child:has(${picture}) { display: none !important; }`);
  document.adoptedStyleSheets.push(hiding);
  const end = await made.render(context);
  return () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== hiding);
    end?.();
  };
}
export default async () => {
  const made = await widget();
  return { ...made, render: (context) => render(made, context) };
};
"""
_NOBODY = (
    "export default { render({ el }) { el.textContent = 'Run its cell in a browser to see it live.'; } };"
)
"""Where no browser can come, a program stores the front end with the notebook, for nobody."""


@cache
def _packed(path: Path) -> str:
    """Plotly's module as a smaller one that unpacks it: 2 MB of 5."""
    return packed_module("plotly's widget", path.read_bytes(), _RENDER)


def _shell() -> Any:
    from IPython import get_ipython  # noqa: PLC0415 - only where somebody displays

    return get_ipython()


class LiveFigure(go.FigureWidget):  # type: ignore[misc] # plotly's has no types
    """A figure that `Updater` keeps up to date. Display it."""

    uid = traitlets.Unicode().tag(sync=True)

    def __init__(self, content: FigureContent) -> None:
        """Draw it as it is now."""
        self.__dict__["_tes_content"] = content  # plotly takes every other way for a property of the figure
        super().__init__(content.live_figure())
        self.uid = uuid4().hex
        self._config = {"responsive": True}
        self.__dict__["_tes_whole"] = True
        self.open()

    def open(self) -> None:
        """Tell the browser of the widget when it is whole: what follows the first message may come too early for it."""
        if self.__dict__.get("_tes_whole"):
            super().open()

    __hash__ = object.__hash__

    @property
    def _esm(self) -> str:
        """Read once, when the widget begins."""
        shell = _shell()
        alone = shell is not None and without_browser(shell)
        return _NOBODY if alone else _packed(_PLOTLY)

    @property
    def seen(self) -> bool:
        """Whether a browser may show it."""
        return not without_browser(_shell())

    @property
    def over(self) -> bool:
        """Whether its feed has ended."""
        return self._tes_content.version() is None

    def picture(self) -> dict[str, Any] | None:
        """Return the output for those who cannot run it, as things are now; `None` = it cannot be made."""
        content = self._tes_content
        try:
            frame = content.frame()
            drawn = html.chart(frame, content.table, plotted_columns(frame, content.table, content.columns))
        except Exception:  # a static picture must never keep the live one from being shown
            logger.exception("The static picture of a figure failed")
            return None
        text = html.static_view("figure", content.title, drawn, over=self.over)
        return {"text/plain": f"<figure {content.title}>", "text/html": text}

    def _repr_mimebundle_(self, *given: Any, **options: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(*given, **options), **(self.picture() or {})}

    def _ipython_display_(self) -> None:
        pictures.display(self, self._repr_mimebundle_(), {})


UPDATE_S = 0.5
"""plotly redraws the whole figure at each update; more often costs a browser more than anybody sees."""


class Updater:
    """Keeps one figure up to date. Steps on the repaint clock's thread; ends with the widget, or with its feed."""

    def __init__(self, figure: go.FigureWidget, content: FigureContent) -> None:
        self._figure = figure
        self._content = content
        self._updated_at = time.monotonic()
        self._version: int | None = None

    def step(self) -> bool:
        """Draw what is new, if it is time to; False = nothing can change any more."""
        if self._figure.comm is None:
            return False
        if time.monotonic() - self._updated_at < UPDATE_S:
            return True
        version = self._content.version()
        if version is None or version != self._version:
            self._version, self._updated_at = version, time.monotonic()
            self._update()
        return version is not None

    def _update(self) -> None:
        content = self._content
        frame = content.frame()
        plotted, _ = drawn_lines(frame, content.table, content.columns)
        traces = self._figure.data
        if [line.name for line in plotted] != [trace.meta for trace in traces]:
            # other lines than before: a worker has come, or the first data
            new = content.live_figure()
            _keep_zoom(self._figure, new)
            self._figure.data = ()
            # to replace the layout would send a width of null, which plotly takes for 700 pixels, for good
            self._figure.update_layout(new.layout.to_plotly_json())
            self._figure.add_traces(list(new.data))
            return
        wall = WallClock(range_of(plotted))
        with self._figure.batch_update():
            for trace, line in zip(traces, plotted, strict=True):
                trace.update(x=as_text(wall.of(line.time)), y=line.values)
            annotate(self._figure, content.beside(), range_of(plotted), wall)


def _keep_zoom(old: go.Figure, new: go.Figure) -> None:
    """Let the new figure show the stretch of time that somebody has chosen in the old one."""
    for before, after in zip(old.select_xaxes(), new.select_xaxes(), strict=False):
        if before.range is not None and before.autorange is not True:
            after.range = before.range


def live_figure(content: FigureContent, *, repaint: RepaintClock = clock) -> go.FigureWidget:
    """Return a FigureWidget that goes on by itself. Raises `SessionError` where plotly cannot make widgets."""
    try:
        figure = LiveFigure(content)
    except ImportError as error:
        raise SessionError(
            f"A live figure needs plotly's widget, which cannot be loaded ({error}): pip install anywidget."
        ) from error
    updater = Updater(figure, content)
    figure._tes_updater = updater  # noqa: SLF001 - the clock holds no views; this one lives with its figure
    repaint.add(updater)
    return figure
