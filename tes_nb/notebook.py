"""The notebook's face: `%load_ext tes_nb`, then `%tes`."""

from __future__ import annotations

import shlex
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from tes_nb.errors import SessionError, TesError
from tes_nb.session import Recording, Session, attach, replay, sessions, start, stop

HELP = """%tes                 the session's state
%tes start           start a collector and read its streams
%tes attach [URL]    read a TES that runs already
%tes export FOLDER   write everything to CSV files
%tes record [NAME]   record every message into sessions/NAME.tes, until %tes stop
%tes replay FILE     serve a recording as if it were live
%tes mark LABEL      mark this moment on the time line
%tes nest            let asyncio.run work inside cells
%tes stop            stop every session"""


@magics_class
class TesMagics(Magics):
    """`%tes`; each word does what the function of that name does."""

    @line_magic
    def tes(self, line: str) -> Any:
        """Start, look at, export and stop sessions. `%tes help` lists the words."""
        words = shlex.split(line)
        action = getattr(self, f"_{words[0]}" if words else "_show", None)
        if action is None:
            print(f"There is no '%tes {words[0]}'.\n{HELP}")  # noqa: T201 - a magic speaks in the cell
            return None
        try:
            return action(*words[1:])
        except TypeError:
            print(f"'%tes {words[0]}' does not take that.\n{HELP}")  # noqa: T201
        except TesError as error:
            print(error)  # noqa: T201 - a sentence reads better than a traceback
        return None

    def _show(self) -> Session | None:
        running = sessions()
        if not running:
            print("No session runs. %tes start starts one.")  # noqa: T201
            return None
        return running[-1]

    def _help(self) -> None:
        print(HELP)  # noqa: T201

    def _start(self) -> Session:
        return self._named(start())

    def _attach(self, url: str = "localhost") -> Session:
        return self._named(attach(url))

    def _named(self, session: Session) -> Session:
        """Give the session to the notebook as `s`, unless the user has an `s` of another kind."""
        shell = self.shell
        if shell is not None and isinstance(shell.user_ns.get("s", session), Session):
            shell.user_ns["s"] = session
        return session

    def _export(self, folder: str) -> None:
        print(self._newest().to_csv(folder))  # noqa: T201

    def _record(self, name: str | None = None) -> Recording:
        return self._newest().record(name)

    def _replay(self, path: str, speed: str = "1") -> Session:
        return self._named(replay(path, speed=speed if speed == "max" else _number(speed)))

    def _mark(self, *label: str) -> None:
        self._newest().mark(" ".join(label))

    def _newest(self) -> Session:
        running = sessions()
        if not running:
            raise SessionError("No session runs yet. %tes start starts one.")
        return running[-1]

    def _nest(self) -> None:
        from tes_nb.nesting import nest  # noqa: PLC0415

        print(f"Nested loops work now ({nest()}).")  # noqa: T201

    def _stop(self) -> None:
        count = len(sessions())
        stop()
        print(f"Stopped {count} session{'' if count == 1 else 's'}.")  # noqa: T201


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SessionError(
            f"'{text}' is no speed; %tes replay FILE 20 replays twenty times as fast."
        ) from None


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext tes_nb`."""
    shell.register_magics(TesMagics)
    shell.set_hook("complete_command", _complete, str_key="%tes")


def _complete(_shell: Any, event: Any) -> list[str]:
    words = ("start", "attach", "export", "record", "replay", "mark", "nest", "stop", "help")
    return [word for word in words if word.startswith(event.symbol)]


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext tes_nb`: stops everything."""
    stop()
    shell.magics_manager.magics["line"].pop("tes", None)
