"""`%tes WORD`, and the cell magics."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from tes_nb.errors import SessionError, TesError
from tes_nb.notebook.observe import run_cell
from tes_nb.session.recordings import Recording
from tes_nb.session.session import Session
from tes_nb.session.start import attach, replay, sessions, start, stop

HELP = """%tes                 the session's state
%tes start           start a collector and read its streams
%tes attach [URL]    read a TES that runs already
%tes status          live cards; %tes workers, %tes metrics, %tes nowgoal: the usual view of that feed
%tes dashboard       everything, live, in tabs
%tes inspector       messages and connections, live
%tes export FOLDER   write everything to CSV files
%tes record [NAME]   record every message into sessions/NAME.tes, until %tes stop
%tes replay FILE [SPEED]  serve a recording as if it were live
%tes mark LABEL      mark this moment on the time line
%tes nest            let asyncio.run work inside cells
%tes stop            stop every session

%%tes_observe        run the cell, then show what it cost and what the streams did meanwhile
%%tes_record [NAME]  record every message while the cell runs"""


@magics_class
class TesMagics(Magics):
    """`%tes`; each word does what the function of that name does."""

    @line_magic
    def tes(self, line: str) -> Any:
        """Start, look at, record, export and stop sessions. `%tes help` lists the words."""
        word, *arguments = shlex.split(line) or ["show"]
        action = self._actions().get(word) or self._view_of(word)
        if action is None:
            print(f"There is no '%tes {word}'.\n{HELP}")  # noqa: T201 - a magic speaks in the cell
            return None
        try:
            inspect.signature(action).bind(*arguments)
        except TypeError:
            print(f"'%tes {word}' does not take that.\n{HELP}")  # noqa: T201
            return None
        return _with_sentence(lambda: action(*arguments))

    @cell_magic
    def tes_observe(self, line: str, cell: str) -> Any:
        """Run the cell, then show its row of `s.cells()`, the messages of each stream, and a small chart."""
        from tes_nb.notebook.observe import observe  # noqa: PLC0415 - plotly only when somebody observes

        if line.strip():
            print("'%%tes_observe' takes nothing behind it; the cell was not run.")  # noqa: T201
            return None
        session = _with_sentence(self._session_or_start)
        return None if session is None else observe(self.shell, session, cell)

    @cell_magic
    def tes_record(self, line: str, cell: str) -> None:
        """Record every message while the cell runs; the name behind it is that of a file in `sessions/`."""
        words = shlex.split(line)
        if len(words) > 1:
            print("'%%tes_record' takes one name; the cell was not run.")  # noqa: T201
            return
        recording = _with_sentence(lambda: self._session_or_start().record(*words))
        if recording is None:
            return
        result = run_cell(self.shell, cell)
        print(recording.stop())  # noqa: T201
        result.raise_error()

    def words(self) -> list[str]:
        """Return what `%tes` takes now."""
        running = sessions()
        return [*self._actions(), *(running[-1].feeds if running else ())]

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
            "mark": lambda *label: self._session().mark(" ".join(label) or "mark"),
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

    def _record(self, name: str | None = None) -> Recording:
        return self._session().record(name)

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


def _with_sentence(act: Callable[[], Any]) -> Any:
    """Do it; an error of ours is a sentence in the cell, which reads better than a traceback."""
    try:
        return act()
    except TesError as error:
        print(error)  # noqa: T201
        return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SessionError(
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
    """Called by `%unload_ext tes_nb`: stops everything."""
    stop()
    shell.magics_manager.magics["line"].pop("tes", None)
    for name in ("tes_observe", "tes_record"):
        shell.magics_manager.magics["cell"].pop(name, None)
