"""What comes out of a session, live or recorded: frames of several feeds, files, a report, views of all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tes_nb.errors import SessionError, TesError, meant
from tes_nb.session.feed import Feed
from tes_nb.session.frames import gaps_frame, in_time, marks_frame
from tes_nb.store.memory.grid import Fill, How, align
from tes_nb.streams.kernel import KERNEL

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tes_nb.session.events import WalkEvent
    from tes_nb.store.export.csv_text import Formulas
    from tes_nb.store.export.export import ExportResult, TableExport
    from tes_nb.views.controls import Steering
    from tes_nb.views.dashboard import Dashboard, Dock
    from tes_nb.views.inspector import Inspector
    from tes_nb.wire.events import Gap, Mark


class SessionOutputs(ABC):
    """Needs the feeds, and errors of the background raised in the caller."""

    feeds: Mapping[str, Feed]
    """Source name → feed."""

    @abstractmethod
    def _raise_pending(self) -> None:
        """Raise what went wrong in the background."""

    @abstractmethod
    def _settle(self) -> None:
        """Wait until what was reported just now has come back."""

    def frame(
        self,
        sources: Sequence[str] | None = None,
        *,
        every: str = "1s",
        last: Any = None,
        fill: Fill | None = None,
        how: Mapping[str, How] | None = None,
    ) -> pd.DataFrame:
        """Return several sources on one grid of `every`, columns `source_column`; silent intervals stay NA.

        sources: names of `s.feeds`, or of tables ("odds", "simulated.odds" where several feeds have one); `None` = the
        main tables of all feeds. fill="latest" carries values on, but across no gap. how: name of a source → "ohlc",
        "mean", "min", "max", "sum" or "first" of the numbers of an interval; the last value where none is named.
        """
        self._raise_pending()
        names = list(self.feeds) if sources is None else list(sources)
        tables = {name: self.feed_and_table(name) for name in names}
        return align(
            {name: feed.frame(table, last=last) for name, (feed, table) in tables.items()},
            every=every,
            fill=fill,
            how=how,
            gaps={name: feed.origin.gaps() for name, (feed, _) in tables.items()},
        )

    def feed_and_table(self, name: str) -> tuple[Feed, str | None]:
        """Return what a name of a feed, of a table, or of both ("feed.table") means. Raises `SessionError`."""
        if name in self.feeds:
            return self.feeds[name], None
        source, _, table = name.rpartition(".")
        feeds = (
            [self._feed(source)] if source else [one for one in self.feeds.values() if table in one.tables]
        )
        if len(feeds) > 1:
            both = ", ".join(f"'{one.name}.{table}'" for one in feeds)
            raise SessionError(f"Several feeds have a table '{table}': say which, {both}.")
        return (feeds[0], table) if feeds else (self._feed(name), None)

    def as_of(self, t: Any, *, across_gaps: bool = False) -> dict[str, pd.DataFrame]:
        """Return how the main table of each feed stood at a moment: feed name → the newest row of each key by then.

        t and across_gaps as in `Feed.as_of`, which gives other tables, too.
        """
        self._raise_pending()
        return {name: feed.as_of(t, across_gaps=across_gaps) for name, feed in self.feeds.items()}

    def walk(self, feeds: Sequence[str] | None = None, **options: Any) -> Iterator[WalkEvent]:
        """Yield what came of several feeds, step by step, in the order received; see `tes_nb.session.events`.

        feeds: names of `s.feeds`, `None` = all there are now. options are those of `Feed.walk`: tables, start, end,
        last, delay, live, and what chooses rows. Marks and cells come whatever is chosen.
        """
        from tes_nb.session.live_walk import begin_walk  # noqa: PLC0415 - only when somebody walks

        self._raise_pending()
        names = list(self.feeds) if feeds is None else [feeds] if isinstance(feeds, str) else list(feeds)
        chosen = {name: self._feed(name) for name in names}
        if KERNEL in self.feeds:
            chosen[KERNEL] = self.feeds[KERNEL]
        return begin_walk(chosen, names, **options)

    def to_csv(
        self, folder: str | Path, *, formulas: Formulas = "neutralise", progress: bool = True
    ) -> ExportResult:
        """Write one CSV per table and `datapackage.json` into `folder`; return what was written.

        Live, this is what memory holds, and the result says how many rows were dropped before; a recording is
        written whole, with flat memory. formulas="keep" leaves text alone that a spreadsheet would run. Raises
        `ExportError`; nothing half-written is left.
        """
        from tes_nb.store.export.export import write_folder  # noqa: PLC0415 - only when somebody exports

        return write_folder(
            folder, [*self._exports(), self._marks_export()], formulas=formulas, progress=progress
        )

    export = to_csv

    def to_parquet(self, folder: str | Path, *, progress: bool = True) -> ExportResult:
        """Write the same as Parquet datasets (needs pyarrow: `pip install "tes-nb[parquet]"`)."""
        from tes_nb.store.export.parquet import write_parquet  # noqa: PLC0415

        return write_parquet(folder, [*self._exports(), self._marks_export()], progress=progress)

    def to_har(self, path: str | Path, *, redact: bool = True) -> int:  # noqa: ARG002 - a recording's takes it
        """Write what was on the wire as a HAR file, from a recording: see `RecordedSession.to_har`.

        Live, memory holds rows and no payloads: raises `SessionError`.
        """
        self._raise_pending()
        raise SessionError(
            f"{path} needs a recording, because a session's memory holds no payloads: rec = s.record(), then "
            "rec.to_har(…); of a file, tes.open(…).to_har(…)."
        )

    @property
    def marks(self) -> pd.DataFrame:
        """What was marked: time, label; once, though it stands in every source."""
        return marks_frame(in_time(self._all_marks()))

    @property
    def gaps(self) -> pd.DataFrame:
        """Every hole: source (NA = it touches all), conn, last_seen, lost_at, back_at, cause, missing."""
        named = self._all_gaps()
        frame = gaps_frame(gap for _, gap in named)
        frame.insert(0, "source", pd.Series([source for source, _ in named], dtype="str"))
        return frame

    def _all_marks(self) -> list[Mark]:
        return [mark for feed in self.feeds.values() for mark in feed.mark_list()]

    def _all_gaps(self) -> list[tuple[str | None, Gap]]:
        return [(source, gap) for source, feed in self.feeds.items() for gap in feed.store.gaps]

    def _marks_export(self) -> TableExport:
        from tes_nb.store.export.export import marks_export  # noqa: PLC0415 - only when somebody exports

        return marks_export(in_time(self._all_marks()))

    def _exports(self) -> list[TableExport]:
        self._raise_pending()
        self._settle()
        return [one for feed in self.feeds.values() for one in feed.origin.exports()]

    def report(self, path: str | Path, *, title: str | None = None) -> Path:
        """Write one self-contained HTML file: what it cost, plots and tables; it opens without a network.

        title: `None` = the session's own.
        """
        from tes_nb.session.report import cell_rows, cost_facts, in_order_of_worth  # noqa: PLC0415
        from tes_nb.views.report import write_report  # noqa: PLC0415

        self._raise_pending()
        self._settle()
        facts = cost_facts(self.feeds, self.gaps, live=self._is_live())
        return write_report(
            path,
            in_order_of_worth(self.feeds, notebook=self._is_notebook()),
            title=title or self._title_and_page()[0],
            facts=facts,
            cells=cell_rows(self.feeds),
        )

    def dashboard(self, *, dock: Dock | None = None) -> Dashboard:
        """Return all of it, live, in tabs, with buttons to mark, record and scale; display it.

        Over a replay's tabs are play, pause, speed and the track, as `replay.scrubber()` has them alone.

        dock: "right" puts it into JupyterLab's right sidebar at once, "split-right" beside the notebook; it needs the
        extra `lab`. `None` = it is shown where it is displayed. Raises `ArgumentError` for another place,
        `SessionError` without the extra.
        """
        self._raise_pending()
        from tes_nb.views.build import dashboard  # noqa: PLC0415

        title, url = self._title_and_page()
        view = dashboard(
            list(self.feeds.values()),
            title=title,
            url=url,
            steering=self._steering(),
            notebook=self._is_notebook(),
        )
        if dock is not None:
            try:
                view.dock(dock)
            except TesError:
                view.close()
                raise
        return view

    def _is_notebook(self) -> bool:
        """Whether the feeds show a notebook's own process; else they are a TES's."""
        return "kernel" in self.feeds

    def timeline(self, *, last: Any = None) -> go.Figure:
        """Return lanes of what happened, as it is now: cells, workers, jobs and feeds, marks and held times across.

        last: only the newest, for example "5min"; `None` = all that memory, or the recording, holds.
        """
        from tes_nb.session.lanes import lanes  # noqa: PLC0415 - plotly takes its time
        from tes_nb.views.annotations import Beside  # noqa: PLC0415
        from tes_nb.views.source import KernelNotes  # noqa: PLC0415
        from tes_nb.views.timeline import timeline_figure  # noqa: PLC0415

        self._raise_pending()
        self._settle()
        kernel = self.feeds.get(KERNEL)
        spans = {} if kernel is None else KernelNotes(lambda: kernel.store)()
        beside = Beside(in_time(self._all_marks()), {"held": spans.get("held", ())})
        return timeline_figure(lanes(self.feeds, last), beside=beside, title=self._title_and_page()[0])

    @abstractmethod
    def _title_and_page(self) -> tuple[str, str]:
        """Return a title, and the page that shows the same while the kernel is held ("" = there is none)."""

    @abstractmethod
    def _steering(self) -> Steering | None:
        """How the controls of a view reach the collector; `None` = there is nothing to control."""

    def _is_live(self) -> bool:
        """Whether it shows what is, and not what was."""
        return self._steering() is not None

    def inspector(self, sources: Sequence[str] | None = None) -> Inspector:
        """Return a live list of messages and connections of these sources (`None` = all); display it."""
        self._raise_pending()
        from tes_nb.views.build import live_inspector  # noqa: PLC0415

        names = list(self.feeds) if sources is None else list(sources)
        return live_inspector([self._feed(name) for name in names], "messages")

    def _feed(self, name: str) -> Feed:
        if name not in self.feeds:
            raise SessionError(
                f"There is no feed '{name}'; there are {', '.join(self.feeds)}.{meant(name, self.feeds)}"
            )
        return self.feeds[name]
