"""`tes-nb`: the same things as in a notebook, from the shell."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tes_nb._version import __version__
from tes_nb.errors import SessionError, TesError
from tes_nb.headless.command import record
from tes_nb.store.paths import user_path

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from tes_nb.session.feed import Feed
    from tes_nb.session.session import Session

INTERRUPTED = 130

app = typer.Typer(
    name="tes-nb",
    help="Watch TES streams: start a server beside your work, read its streams, write them to CSV.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    del context


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the files go.")] = Path("out/demo"),
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long to watch.")] = 15.0,
) -> None:
    """Watch this machine for some seconds and leave CSV files, a data dictionary and an HTML report."""
    files = [f"  {path}  ({path.stat().st_size:,} bytes)" for path in run_demo(out, seconds)]
    print("Wrote:", *files, sep="\n")
    print(f"Open the report in a browser: {(out / 'report.html').resolve().as_uri()}")


# `tes-nb demo`: watch this machine while a small process pool works, then leave files to look at.

POOL_SIZE = 2
POINTS = 40_000
"""Points one job draws: some tens of milliseconds of real work."""


def estimate_pi(seed: int) -> float:
    """A job of the pool: estimate π by drawing points."""
    import random  # noqa: PLC0415 - in the worker

    random.seed(seed)
    hits = sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(POINTS))  # noqa: S311 - no secret
    return 4 * hits / POINTS


def run_demo(folder: Path, seconds: float) -> list[Path]:
    """Watch for so long and export; return the files written. Everything it started is ended."""
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - for the demo alone
    from multiprocessing import get_context  # noqa: PLC0415

    from tes_nb.session.start import start  # noqa: PLC0415

    with start() as session, ProcessPoolExecutor(POOL_SIZE, mp_context=get_context("spawn")) as pool:
        print(f"The collector listens at {session.url}; watching this machine for {seconds:g} s.")
        _work_while_waiting(session, pool, seconds)
        session.to_csv(folder)
        session.report(folder / "report.html", title="tes_nb demo")
    return sorted(path for path in folder.iterdir() if path.is_file())


def _work_while_waiting(session: Session, pool: ProcessPoolExecutor, seconds: float) -> None:
    """Keep the pool about half busy, in bursts, so that workers are seen both idle and working."""
    began = time.monotonic()
    seed = 0
    estimates: list[float] = []

    def feed_pool(_message: object) -> None:
        nonlocal seed
        if int(time.monotonic() - began) % 6 < 4:  # four seconds of work, two of rest
            seed += 1
            pool.submit(estimate_pi, seed).add_done_callback(lambda done: estimates.append(done.result()))

    off = session.metrics.on_message(feed_pool)
    session.metrics.wait(seconds=seconds)
    off()
    if estimates:
        session.gauge("pi_estimate", sum(estimates) / len(estimates))


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Status port; 0 = any free one.")] = -1,
    workers_port: Annotated[int, typer.Option(help="Workers port; 0 = any free one.")] = -1,
    worktree: Annotated[
        str, typer.Option(help="tes-repo or tmux-sentinel: moves the default ports.")
    ] = "tes-repo",
    pid: Annotated[
        int | None, typer.Option(help="The process to observe; default: the server itself.")
    ] = None,
    worker: Annotated[
        list[int] | None, typer.Option(help="A pid to show as a worker; may be repeated.")
    ] = None,
    observe: Annotated[
        list[str] | None,
        typer.Option(help="A Dask scheduler to list, by its dashboard's address; may be repeated."),
    ] = None,
    cluster: Annotated[
        int | None, typer.Option(min=0, help="Run a Dask cluster of so many workers, which can be scaled.")
    ] = None,
    origin: Annotated[list[str] | None, typer.Option(help="A web origin to allow; may be repeated.")] = None,
) -> None:
    """Run the server by itself, until Ctrl-C. Notebooks read it with tes.attach()."""
    from tes_nb.serve import ServeRequest, serve_forever  # noqa: PLC0415

    request = ServeRequest(
        port,
        workers_port,
        worktree,
        pid,
        tuple(worker or ()),
        tuple(observe or ()),
        cluster,
        tuple(origin or ()),
    )
    asyncio.run(serve_forever(request))


@app.command()
def watch(
    url: Annotated[str, typer.Argument(help="A TES: host, host:port or any stream's address.")] = "localhost",
    workers: Annotated[str | None, typer.Option(help="Its workers port, if it is not the next one.")] = None,
    seconds: Annotated[float, typer.Option(help="Stop after so long; 0 = until Ctrl-C.")] = 0.0,
) -> None:
    """Print states and values of a running TES, a line per stream and second. Exit with 1 where nothing answers."""
    from tes_nb.session.start import attach  # noqa: PLC0415

    with attach(url, workers=workers) as session:
        _wait_for_peer(session, min(REACH_S, seconds or REACH_S))
        began = time.monotonic()
        before = {feed.name: feed.messages for feed in session.feeds.values()}
        while not seconds or time.monotonic() - began < seconds:
            time.sleep(1)
            for feed in session.feeds.values():
                rate = feed.messages - before[feed.name]
                before[feed.name] = feed.messages
                if feed.name != "kernel":
                    print(
                        f"{time.strftime('%H:%M:%S')}  {feed.name:10} {rate:4}/s  {feed.state}  {_newest(feed)}"
                    )


def _newest(feed: Feed) -> str:
    """What the newest row of a feed's main table says, its best columns first."""
    from tes_nb.views.html import amount  # noqa: PLC0415

    table = feed.stream.table(feed.stream.main)
    frame = feed.frame(last="10s")
    if frame.empty:
        return "no rows in 10 s"
    row = frame.iloc[-1].dropna()
    columns = {column.name: column for column in table.columns}
    names = [name for name in (*table.label, *(table.first or table.plot)) if name in row and name in columns]
    return ", ".join(
        f"{columns[name].caption} {amount(row[name], columns[name].unit)}"
        for name in list(dict.fromkeys(names))[:6]
    )


app.command()(record)


REACH_S = 5.0
"""A command that reads a peer gives it so long to answer. A notebook goes on trying, and shows that it does."""


def _wait_for_peer(session: Session, patience_s: float) -> None:
    """Wait until any stream of the peer is read. Raises `SessionError` where none is."""
    until = time.monotonic() + patience_s
    while True:
        states = {name: feed.look() for name, feed in session.feeds.items() if name != "kernel"}
        if any(state.word in ("OPEN", "POLLING", "STALE") for state in states.values()):
            return
        if time.monotonic() > until:
            why = "; ".join(f"{name} {state}" for name, state in states.items())
            raise SessionError(
                f"Nothing answers at {session.peer} ({why}): check the address, and that a TES runs there."
            )
        time.sleep(0.05)


@app.command()
def recordings(
    stop: Annotated[Path | None, typer.Option(help="End the recording of this file.")] = None,
    stop_all: Annotated[bool, typer.Option("--stop-all", help="End them all.")] = False,
) -> None:
    """List the recordings that run, also those that outlived their kernel (keep=True), or end them."""
    from tes_nb.session.recordings import recordings as find_recordings  # noqa: PLC0415

    running = find_recordings()
    named = None if stop is None else user_path(stop, SessionError).absolute()
    chosen = [one for one in running if stop_all or one.path == named]
    if named is not None and not chosen:
        names = ", ".join(str(one.path) for one in running) or "none"
        raise SessionError(f"Nothing is recorded into {named}; recordings that run: {names}.")
    for one in chosen:
        print(one.stop())
    if stop is None and not stop_all:
        print("\n".join(f"{one.path}: {repr(one)[1:-1]}" for one in running) or "Nothing is recorded now.")


@app.command()
def check(path: Annotated[Path, typer.Argument(help="A session file.")]) -> None:
    """Read a session file from end to end; exit with 0 = all readable, 3 = some, 1 = none."""
    from tes_nb.store.session.check import check as check_file  # noqa: PLC0415

    report = check_file(path)
    for sentence in report.sentences:
        print(sentence)
    raise typer.Exit(report.exit_code)


OVER_THE_LIMIT = 4


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A session file.")],
    b: Annotated[Path, typer.Argument(help="Another one, compared with it.")],
    fail_over: Annotated[
        list[str] | None,
        typer.Option(help='"memory_rss peak 10%": exit with 4 where B is above A, 1 if too little to tell.'),
    ] = None,
    on: Annotated[str, typer.Option(help='Compare from this mark on, or this cell ("cell 12").')] = "",
    report: Annotated[Path | None, typer.Option(help="Write what differs as one HTML file.")] = None,
) -> None:
    """Say what differs between two recordings; exit with 4 where a limit, or one of several, is exceeded."""
    from tes_nb.session.compare import compare as compare_sessions  # noqa: PLC0415

    comparison = compare_sessions(a, b, on=on or None)
    print(repr(comparison)[1:-1])
    for sentence in (*comparison.unmatched, *comparison.stray(*fail_over or ())):
        print(f"  {sentence}")
    if report is not None:
        print(f"Wrote {comparison.report(report)}.")
    code = 0
    for rule in fail_over or ():
        try:
            if (why := comparison.exceeds(rule)) is not None:
                print(why)
                code = OVER_THE_LIMIT
        except SessionError as error:
            print(f"tes-nb: {error}", file=sys.stderr)
            code = code or 1
    raise typer.Exit(code)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A session file.")],
    folder: Annotated[Path, typer.Argument(help="Where the files go; with --har the file.")],
    formulas: Annotated[
        str, typer.Option(help="neutralise, or keep for a faithful round trip.")
    ] = "neutralise",
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write Parquet datasets instead of CSV.")
    ] = False,
    har: Annotated[
        bool, typer.Option("--har", help="Write one HAR file, which Chrome's DevTools open, instead of CSV.")
    ] = False,
) -> None:
    """Write a recording as one CSV file per table, with a data dictionary, as Parquet datasets, or as a HAR file."""
    from tes_nb.session.open import open_session  # noqa: PLC0415

    if formulas not in ("neutralise", "keep"):
        raise typer.BadParameter("give 'neutralise' or 'keep'", param_hint="--formulas")
    with open_session(path) as session:
        if har:
            print(f"{session.to_har(folder)} messages are in {folder}.")
        elif parquet:
            print(session.to_parquet(folder))
        else:
            print(session.to_csv(folder, formulas="keep" if formulas == "keep" else "neutralise"))


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="A session file.")],
    speed: Annotated[
        float, typer.Option(min=0, help="Recorded seconds per second; 0 = as fast as it goes.")
    ] = 1.0,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end; the time line goes on.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Status port; 0 = any free one.")] = 0,
    workers_port: Annotated[int, typer.Option(min=0, max=65535, help="Workers port; 0 = any free one.")] = 0,
) -> None:
    """Serve a recording on TES's paths as if it were live, until Ctrl-C. Notebooks read it with tes.attach()."""
    from tes_nb.collector.options import ReplayOptions  # noqa: PLC0415
    from tes_nb.serve import ServeRequest, serve_forever  # noqa: PLC0415

    recording = ReplayOptions(str(user_path(path, SessionError).absolute()), speed or None, loop)
    asyncio.run(serve_forever(ServeRequest(port, workers_port, replay=recording)))


@app.command()
def simulate(
    speed: Annotated[
        float, typer.Option(help="Simulated seconds per second; 0 = as fast as possible.")
    ] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 9801,
    seed: Annotated[int, typer.Option(help="The same seed gives the same matches and prices.")] = 1,
    matches: Annotated[int, typer.Option(help="Football matches at a time.")] = 8,
    token_life: Annotated[float, typer.Option(help="Seconds that a token lives.")] = 60.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault in force, such as random:every=3 or token_dashes; may be repeated."),
    ] = None,
) -> None:
    """Serve simulated NowGoal data on this machine, until Ctrl-C: every team, goal and price is made up."""
    from tes_nb.session.nowgoal.stand_in import NowGoalStandIn, simulator  # noqa: PLC0415

    def announce(server: NowGoalStandIn) -> None:
        print(
            f"SIMULATED DATA at {server.http}/ (a stand-in for NowGoal; every team, goal and price is made up)."
        )
        print(
            f'In a notebook: s.watch(tes.NOWGOAL.with_endpoint(url="{server.url}", token_url="{server.token_url}"))'
        )
        print("Ctrl-C ends it.", flush=True)

    package = simulator()
    faults = tuple(package.parse_fault(one) for one in fault or ())
    options = package.Options(
        speed=speed or None, port=port, seed=seed, matches=matches, token_life_s=token_life, faults=faults
    )
    package.run_forever(options, announce)


@app.command()
def lab(
    folder: Annotated[Path, typer.Argument(help="The folder to open.")] = Path("notebooks"),
) -> None:
    """Open JupyterLab on the notebooks, with the first one."""
    folder = folder if folder.is_dir() else Path()
    first = folder / "01_quickstart.ipynb"
    # Lab is a server of its own with its own way to end; become it rather than watch it.
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(first if first.is_file() else folder)])  # noqa: S606 - fixed program


def main() -> None:
    """Run the command line. Errors of ours are one line; Ctrl-C ends with 130 and leaves nothing running."""
    try:
        app()
    except (TesError, ValueError) as error:
        print(f"tes-nb: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("Stopped.", file=sys.stderr)
        raise
    finally:
        _stop_all()


def _stop_all() -> None:
    """End sessions of commands that did not come to their end; only if any can have been started."""
    if "tes_nb.session.start" in sys.modules:
        from tes_nb.session.start import stop  # noqa: PLC0415

        stop()
