"""`%tes WORD`, `%%tes_record`, and `%%tes_observe`: what a cell cost, and what the streams did meanwhile.

What fails is an error of the cell, shown as its sentence.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from tes_nb.errors import ArgumentError, SessionError, TesError
from tes_nb.session.recordings import Recording
from tes_nb.session.session import Session
from tes_nb.session.start import attach, replay, sessions, start, stop
from tes_nb.streams import NAMES
from tes_nb.views.html import table_html

HELP = """%tes                 the session's state
%tes start           start a collector and read its streams
%tes attach [URL]    read a TES that runs already
%tes status          live cards; %tes workers, %tes metrics, %tes nowgoal: the usual view of that feed
%tes dashboard       everything, live, in tabs
%tes inspector       messages and connections, live
%tes export FOLDER   write everything to CSV files
%tes record [NAME] [--overwrite]  record every message into sessions/NAME.tes; night-{date} has today's date
%tes record stop     end what this session records
%tes replay FILE [SPEED]  serve a recording as if it were live
%tes mark LABEL      mark this moment on the time line
%tes nest            let asyncio.run work inside cells
%tes stop            stop every session

%%tes_observe        run the cell, then show what it cost and what the streams did meanwhile
%%tes_record [NAME] [--overwrite]  record every message while the cell runs"""

OVERWRITE = "--overwrite"
FREE_TEXT = ("mark",)
"""Words that take all that follows as one text."""
_WORD = re.compile(r""""([^"]*)"(?=\s|$)|'([^']*)'(?=\s|$)|(\S+)""")
USER_FRAME = 3
"""IPython looks names up in the frame of whoever used the magic: so far up from `_filled`."""


@magics_class
class TesMagics(Magics):
    """`%tes`; each word does what the function of that name does."""

    @no_var_expand
    @line_magic
    def tes(self, line: str) -> Any:
        """Start, look at, record, export and stop sessions. `%tes help` lists the words."""
        word, rest = (*self._filled(line).split(None, 1), "", "")[:2]
        word = word or "show"
        arguments = [rest] if rest and word in FREE_TEXT else _words(rest)
        with _as_sentence():
            action = self._actions().get(word) or self._view_of(word)
            if action is None:
                if word in NAMES:
                    self._session()  # says so where none runs
                raise ArgumentError(f"There is no '%tes {word}'; %tes help lists what there is.")
            try:
                inspect.signature(action).bind(*arguments)
            except TypeError:
                raise ArgumentError(f"'%tes {word}' does not take that; see %tes help.") from None
            return action(*arguments)

    @cell_magic
    def tes_observe(self, line: str, cell: str) -> Any:
        """Run the cell, then show its row of `s.cells()`, the messages of each stream, and a small chart."""
        with _as_sentence():
            if line.strip():
                raise ArgumentError("'%%tes_observe' takes nothing behind it; the cell was not run.")
            report, result = observe(self.shell, self._session_or_start(), cell)
        if not result.success:
            report._ipython_display_()  # the cell ends with its error, so it gives no result
            result.raise_error()
        return report

    @no_var_expand
    @cell_magic
    def tes_record(self, line: str, cell: str) -> None:
        """Record every message while the cell runs; the name behind it is that of a file in `sessions/`."""
        words = _words(self._filled(line))
        with _as_sentence():
            recording = self._record_as(self._session_or_start(), *words)
        result = run_cell(self.shell, cell)
        try:
            with _as_sentence():
                print(recording.stop())  # noqa: T201 - a magic speaks in the cell
        finally:
            result.raise_error()

    def words(self) -> list[str]:
        """Return what `%tes` takes now."""
        running = sessions()
        return [*self._actions(), *(running[-1].feeds if running else ())]

    def _filled(self, line: str) -> str:
        """Put the user's variables in, `{name}` and `$name`, as IPython does; the placeholders of names stay."""
        shell, text = self.shell, ""
        for part in re.split(r"(\{date\}|\{time\})", line.strip()):
            place = part in ("{date}", "{time}")
            # a text with a name that nobody has comes back as it is
            text += part if place or shell is None else shell.var_expand(part, depth=USER_FRAME)  # type: ignore[no-untyped-call]
        return text

    def _actions(self) -> dict[str, Callable[..., Any]]:
        return {
            "show": self._show,
            "start": lambda: self._as_s(start()),
            "attach": lambda url="localhost": self._as_s(attach(url)),
            "dashboard": lambda: self._session().dashboard(),
            "inspector": lambda: self._session().inspector(),
            "export": lambda folder: print(self._session().to_csv(folder)),  # noqa: T201
            "record": self._record,
            "replay": self._replay,
            "mark": lambda label="mark": self._session().mark(label),
            "nest": self._nest,
            "stop": self._stop,
            "help": lambda: print(HELP),  # noqa: T201
        }

    def _view_of(self, source: str) -> Callable[[], Any] | None:
        """The usual view of a feed of the newest session; `None` = no session has such a feed."""
        running = sessions()
        if running and source in running[-1].feeds:
            view: Callable[[], Any] = running[-1].feeds[source].view
            return view
        return None

    def _show(self) -> Session | None:
        running = sessions()
        if not running:
            print("No session runs. %tes start starts one.")  # noqa: T201
            return None
        return running[-1]

    def _as_s(self, session: Session) -> Session:
        """Give the session to the notebook as `s`, unless the user has an `s` of another kind."""
        shell = self.shell
        if shell is not None and isinstance(shell.user_ns.get("s", session), Session):
            shell.user_ns["s"] = session
        return session

    def _record(self, *words: str) -> Recording | None:
        session = self._session()
        if words != ("stop",):
            return self._record_as(session, *words)
        running = session.recordings()
        if not running:
            raise SessionError("Nothing is recorded by this session, so there is nothing to stop.")
        for recording in running:
            print(recording.stop())  # noqa: T201
        return None

    def _record_as(self, session: Session, *words: str) -> Recording:
        """Begin a recording. words: a name, if any, and `--overwrite`, if wanted."""
        names = [word for word in words if word != OVERWRITE]
        if len(names) > 1 or any(name.startswith("--") for name in names):
            raise ArgumentError(f"A recording takes one name and {OVERWRITE}; see %tes help.")
        return session.record(*names, overwrite=OVERWRITE in words)

    def _replay(self, path: str, speed: str = "1") -> Session:
        return self._as_s(replay(path, speed=speed if speed == "max" else _number(speed)))

    def _session(self) -> Session:
        running = sessions()
        if not running:
            raise SessionError("No session runs yet. %tes start starts one.")
        return running[-1]

    def _session_or_start(self) -> Session:
        """The newest session that measures cells: a replay shows what was, not this one."""
        live = [session for session in sessions() if session.measures_cells]
        return live[-1] if live else self._as_s(start())

    def _nest(self) -> None:
        from tes_nb.settings import nest  # noqa: PLC0415

        print(f"Nested loops work now ({nest()}).")  # noqa: T201

    def _stop(self) -> None:
        count = len(sessions())
        stop()
        print(f"Stopped {count} session{'' if count == 1 else 's'}.")  # noqa: T201


@contextlib.contextmanager
def _as_sentence() -> Iterator[None]:
    """Let IPython show an error of ours as its sentence: it is an error, but its traceback is of our own code."""
    try:
        yield
    except TesError as error:
        lines = [f"{type(error).__name__}: {error}"]
        vars(error)["_render_traceback_"] = lambda: lines  # what IPython asks for
        raise


def _words(text: str) -> list[str]:
    """Split at spaces; quotes hold a word together, and nothing else is special: paths of Windows stay whole."""
    return [double or single or plain for double, single, plain in _WORD.findall(text)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(
            f"'{text}' is no speed; %tes replay FILE 20 replays twenty times as fast."
        ) from None


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext tes_nb`."""
    magics = TesMagics(shell)
    shell.register_magics(magics)

    def complete(_shell: Any, event: Any) -> list[str]:
        return [word for word in magics.words() if word.startswith(event.symbol)]

    shell.set_hook("complete_command", complete, str_key="%tes")


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext tes_nb`, which stops everything, and by `%reload_ext tes_nb`, which does not."""
    shell.magics_manager.magics["line"].pop("tes", None)
    for name in ("tes_observe", "tes_record"):
        shell.magics_manager.magics["cell"].pop(name, None)
    if not _reloading():
        stop()


def _reloading() -> bool:
    """Whether IPython unloads us only to load us again: it says that to nobody, but its call is on the stack."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "reload_extension":
            return True
        frame = frame.f_back
    return False


def run_cell(shell: Any, code: str) -> Any:
    """Run the code in the user's namespace, top-level `await` included; return IPython's result of it.

    What the code raises is not shown here: `result.raise_error()` raises it where the magic's own cell shows it.
    """
    showtraceback = shell.showtraceback
    shell.showtraceback = lambda *_args, **_options: None
    try:
        return shell.run_cell(code, store_history=False)
    finally:
        shell.showtraceback = showtraceback


FEED, COLUMNS = "metrics", ("memory_rss", "cpu_percent")
LEAST_CHART_S = 5.0
"""The chart shows at least this much before the cell's end."""


class CellReport:
    """What `%%tes_observe` shows: the cell's row of `s.cells()`, messages per stream, and a small chart."""

    def __init__(self, cell: pd.Series, counts: pd.DataFrame, figure: Any) -> None:
        self.cell = cell
        """Its row of `s.cells()`."""
        self.costs = _costs(cell)
        """A row each for CPU time and peak memory, in words: of the kernel, of its children, of both together."""
        self.counts = counts
        """A row per stream: messages, per_second."""
        self.figure = figure
        """A plotly figure of the observed process meanwhile; `None` = nothing came that could be drawn."""

    def _head(self) -> str:
        return f"cell {self.cell['number']}: {self.cell['outcome']}, took {_seconds(self.cell['wall_s'])}"

    def __repr__(self) -> str:
        costs = " · ".join(
            f"{what}: " + ", ".join(f"{who} {value}" for who, value in zip(WHO, values, strict=True))
            for what, *values in self.costs
        )
        streams = " · ".join(f"{name} {count}" for name, count in self.counts["messages"].items())
        return f"<{self._head()} · {costs} · messages: {streams}>"

    def _html(self) -> str:
        cost = table_html(self._head(), ("", *WHO), self.costs)
        rows = [(name, count, f"{rate:.1f}") for name, count, rate in self.counts.itertuples(name=None)]
        streams = table_html("Messages meanwhile", ("stream", "messages", "per second"), rows)
        return f'<div style="display:flex;gap:2em;flex-wrap:wrap">{cost}{streams}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - there is a shell

        display({"text/plain": repr(self), "text/html": self._html()}, raw=True)  # type: ignore[no-untyped-call]
        if self.figure is not None:
            display(self.figure)  # type: ignore[no-untyped-call]


COST_S = 10.0
"""A busy machine may take a while to say what a cell cost."""
WHO = ("kernel", "children", "together")


def _costs(cell: pd.Series) -> list[tuple[str, str, str, str]]:
    """What the cell cost, in words: peaks together are those of one moment, so they may be less than the sum."""
    cpu, children_cpu = cell["cpu_s"], cell["children_cpu_s"]
    return [
        ("CPU time", _seconds(cpu), _seconds(children_cpu), _seconds(cpu + children_cpu)),
        ("peak memory", _size(cell["rss_peak"]), _size(cell["children_peak"]), _size(cell["total_peak"])),
    ]


def _seconds(value: float) -> str:
    return "not known" if pd.isna(value) else f"{value:.3f} s"


def _size(value: float) -> str:
    return "not known" if pd.isna(value) else f"{value / 1e6:,.1f} MB"


def observe(shell: Any, session: Session, code: str) -> tuple[CellReport, Any]:
    """Run the cell; return what it cost, and IPython's result, which has what it raised."""
    before = {name: feed.messages for name, feed in session.feeds.items()}
    results = []

    def run() -> Any:
        results.append(run_cell(shell, code))
        return results[0]

    cell = _cost(session, session.measure_cell(run))
    seconds = max(float(cell["wall_s"]), 1e-9)
    rows = []
    for name, feed in session.feeds.items():
        messages = feed.messages - before.get(name, 0)
        rows.append((name, messages, messages / seconds))
    counts = pd.DataFrame(rows, columns=["stream", "messages", "per_second"]).set_index("stream")
    return CellReport(cell, counts, _figure(session, seconds)), results[0]


def _cost(session: Session, number: int) -> pd.Series:
    """Return what a cell cost, when the collector has said it."""
    deadline = time.monotonic() + COST_S
    while (own := session.cells().query("number == @number")).empty:
        if time.monotonic() > deadline:
            raise SessionError(
                f"Cell {number} has run, and the collector has not said within {COST_S:g} s what it cost: "
                "s.cells() has it when it comes."
            )
        time.sleep(0.05)
    return own.iloc[-1]


def _figure(session: Session, seconds: float) -> Any:
    """The observed process during the cell; `None` = the session does not show it."""
    feed = session.feeds.get(FEED)
    if feed is None:
        return None
    return feed.figure(COLUMNS, last=max(seconds, LEAST_CHART_S) + 1)
