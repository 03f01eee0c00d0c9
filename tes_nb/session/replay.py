"""A replay: a session whose collector serves a recording, with the recording's own times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from tes_nb.errors import SessionError
from tes_nb.model import Stream
from tes_nb.model.view_control import ReplayPlace, ReplayStatus, SteerReplay
from tes_nb.session.origin import ReplayOrigin
from tes_nb.session.session import Session
from tes_nb.store.memory.timespec import instant_ns
from tes_nb.streams.kernel import KERNEL

if TYPE_CHECKING:
    from tes_nb.net.relay_client import RelayReader
    from tes_nb.session.backend import Backend
    from tes_nb.session.recorded import RecordedSession
    from tes_nb.views.dashboard import Dashboard

STEP_S = 0.02
CONNECT_TIMEOUT_S = 10.0
"""It begins when all feeds listen, so that none misses the beginning."""
SEEK_TIMEOUT_S = 600.0


class Replay(Session):
    """What `tes.replay()` gives: a session that shows a recording as if it were live. Stop it like any other.

    Frames always hold exactly what lies before the position: going forward delivers what lies between at once,
    going back begins anew and delivers everything up to there.
    """

    def __init__(
        self, backend: Backend, token: str, recording: RecordedSession, *, speed: float | None
    ) -> None:
        self._recording = recording
        self.path: Path = recording.path
        """The recording."""
        self._past = f"replay of {recording.path.name}"
        sources = {
            name: slowed(feed.stream, speed) for name, feed in recording.feeds.items() if name != KERNEL
        }
        super().__init__(backend, token, sources, peer=f"replay of {recording.path}")
        self._wait_until(
            lambda _: all(feed.store.playback for feed in self.feeds.values()), CONNECT_TIMEOUT_S
        )

    def _new_origin(self, stream: Stream, source: str, **options: Any) -> ReplayOrigin:
        return ReplayOrigin(stream, source, newest_ns=self._newest_ns, **options)

    def _newest_ns(self) -> int | None:
        times = (feed.store.newest_ns for feed in self.feeds.values())
        return max((at for at in times if at is not None), default=None)

    # Controls ------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Hold the position."""
        self._call(SteerReplay(do="pause"))

    def resume(self) -> None:
        """Go on; from the beginning when it has come to the end."""
        self._call(SteerReplay(do="resume"))

    @property
    def speed(self) -> float:
        """Recorded seconds a second; `math.inf` = as fast as it goes. Set it to change it."""
        speed = self._call(SteerReplay()).speed
        return speed or math.inf

    @speed.setter
    def speed(self, speed: float | str) -> None:
        self._call(SteerReplay(speed=speed_of(speed) or 0.0))

    @property
    def position(self) -> pd.Timestamp:
        """When the newest message that was played was received, in UTC."""
        return pd.Timestamp(self._call(SteerReplay()).at_ns, unit="ns", tz="UTC")

    @property
    def progress(self) -> float:
        """How much of the recording's time was played, 0 to 1; of the running round when it loops."""
        return self._call(SteerReplay()).share

    @property
    def done(self) -> bool:
        """Whether everything was played and has arrived here. A replay that loops is never done."""
        status = self._call(SteerReplay())
        return status.word == "ENDED" and self._has_arrived(status)

    def seek(self, where: str | float | pd.Timestamp) -> None:
        """Go to a place of the recording; returns when the frames hold what lies before it.

        where: a moment ("2026-01-01 10:15:03", a Timestamp; naive is UTC), a time of the recording's first day
        ("10:15:03"), seconds from its beginning, or a share of its time ("50%"). Beyond its ends it goes to them.
        Raises `ArgumentError` or `SessionError` for what is none of these.
        """
        self._call(self._target(where))
        self._wait_until(lambda status: status.settled and self._has_arrived(status), SEEK_TIMEOUT_S)

    def _target(self, where: str | float | pd.Timestamp) -> SteerReplay:
        if isinstance(where, str) and where.strip().endswith("%"):
            try:
                return SteerReplay(seek_share=float(where.strip()[:-1]) / 100)
            except ValueError:
                raise SessionError(
                    f"'{where}' is no share of the recording; write for example '50%'."
                ) from None
        began = self._recording.info().began_ns or 0
        if isinstance(where, int | float) and not isinstance(where, bool):
            return SteerReplay(seek_ns=began + round(where * 1e9))
        if isinstance(where, str) and len(where) <= len("10:15:03.123456789") and where[1:3].count(":"):
            where = f"{pd.Timestamp(began, unit='ns'):%Y-%m-%d} {where}"
        return SteerReplay(seek_ns=instant_ns(where, name="where"))

    def wait(self, timeout: float | None = None) -> None:
        """Wait, with a progress bar, until everything was played.

        Raises `SessionError` when it is paused or loops, or when `timeout` seconds pass.
        """
        with tqdm(total=100, desc=self.path.name, unit="%", leave=False) as bar:

            def at_end(status: ReplayStatus) -> bool:
                if status.word == "PAUSED" or status.loop:
                    what = "is paused: resume() it" if status.word == "PAUSED" else "loops, and has no end"
                    raise SessionError(f"The replay {what}.")
                bar.update(round(status.share * 100) - bar.n)
                return status.word == "ENDED" and self._has_arrived(status)

            self._wait_until(at_end, timeout)

    def _wait_until(self, reached: Callable[[ReplayStatus], bool], timeout: float | None) -> None:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not reached(self._call(SteerReplay())):
            if time.monotonic() > deadline:
                raise SessionError(
                    f"The replay did not come there within {timeout:g} s; look at its position."
                )
            time.sleep(STEP_S)

    def _has_arrived(self, status: ReplayStatus) -> bool:
        """Whether everything that the collector has played is in the feeds."""

        def is_there(reader: RelayReader, there: ReplayPlace) -> bool:
            return reader.round == there.round and reader.last_seq >= there.seq

        return all(
            is_there(reader, status.sources[source])
            for source, reader in self._readers.items()
            if source in status.sources
        )

    @property
    def damage(self) -> tuple[str, ...]:
        """What of the recording is damaged, a sentence each; () = nothing that was read."""
        return tuple(self._call(SteerReplay()).damage)

    def scrubber(self) -> Dashboard:
        """Return play, pause, speed and a track to drag along, with the marks and gaps of the recording; display it.

        It answers also while a cell is busy, where the browser is on this machine. `dashboard()` has it above its tabs.
        """
        self._raise_pending()
        from tes_nb.views.build import scrubber  # noqa: PLC0415

        title, url = self._title_and_page()
        return scrubber(list(self.feeds.values()), title=title, url=url, steering=self._steering())

    # What differs from a live session --------------------------------------------------------------------------

    def _title_and_page(self) -> tuple[str, str]:
        return self._past, self.url

    def _is_live(self) -> bool:
        return False

    def _settle(self) -> None:
        """What this kernel does is no part of a replay."""

    def cells(self) -> pd.DataFrame:
        """Return what the cells cost that were executed while it was recorded."""
        return self.kernel.frame("cells").drop(columns=["sent_at", "seq", "conn", "source"])

    def stop_now(self, *, leave: bool = False) -> None:
        """End it, in the caller's own thread."""
        super().stop_now(leave=leave)
        self._recording.close()

    def _head(self) -> str:
        if self._owner.elsewhere:
            return super()._head()
        if not self.running:
            return f"{self._past}, stopped"
        status = self._call(SteerReplay())
        speed = f"{status.speed:g} x" if status.speed else "as fast as it goes"
        at = pd.Timestamp(status.at_ns, unit="ns")
        return (
            f"{self._past}, {status.word.lower()}, {speed}, at {at:%Y-%m-%d %H:%M:%S} UTC, "
            f"{status.share:.0%}, ports {self.ports[0]} and {self.ports[1]}"
        )


def speed_of(speed: float | str) -> float | None:
    """Return the speed as a collector takes it; `None` = as fast as it goes. Raises `SessionError` for none."""
    if speed in ("max", math.inf):
        return None
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < math.inf:
        raise SessionError(f"speed must be a number above 0, or 'max', not {speed!r}.")
    return float(speed)


def slowed(stream: Stream, speed: float | None) -> Stream:
    """Return the stream with its normal silence as long as it is at this speed."""
    return stream if speed is None or speed >= 1 else replace(stream, period_s=stream.period_s / speed)
