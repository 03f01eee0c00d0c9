"""P1, P2: NowGoal's messages to rows and columns, against inflating and parsing alone.

The reference of JSON is msgspec into plain structs, that of XML is expat that collects the texts of the
records; for information also expat without handlers, which finds the end of the document and gives nothing.
Times are CPU times of this process: rounds are short, and a neighbour who takes the core would be counted.
"""

from __future__ import annotations

import json
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from xml.parsers import expat

import msgspec
import pandas as pd

from benchmarks.harness import Result, figure, interleave, ratio
from tes_nb.model import Message, Opcode
from tes_nb.store.memory.columns import Columns
from tes_nb.store.memory.frames import frame
from tes_nb.streams.nowgoal.stream import decode
from tes_nb.streams.nowgoal.tables import TICKS

RECEIVED = 1_578_551_400_000_000_000
"""2020-01-09 06:30 UTC."""
PACKAGES = ("msgspec", "numpy", "pandas")
JSON_AGAINST = "zlib.decompress + msgspec into structs"
FRAMES_BETWEEN = 333
"""Frames of 30 ticks between two DataFrames."""
SIZES = 3
XML_AGAINST = "zlib.decompress + expat that collects the records' texts"
BARE_AGAINST = "zlib.decompress + expat without handlers"


class Market(msgspec.Struct, rename="camel", gc=False):
    """As the reference reads it."""

    home_team: str
    away_team: str
    league: str


class Tick(msgspec.Struct, rename="camel", gc=False):
    """As the reference reads it."""

    game_id: str
    bookmaker_id: str
    odds_type: str
    old_value: float
    new_value: float
    timestamp: int
    market: Market


TICK_LIST = msgspec.json.Decoder(list[Tick])


def run(*, quick: bool) -> Iterator[Result]:
    """Yield the results."""
    times = 50 if quick else 500
    for events in (1, 30):
        yield json_rows(events, times * 30 // events)
        yield json_columns(events, times * 30 // events)
    for events in (1, 50):
        yield from xml_rows(events, times * 30 // events)
    yield from many(30_000 if quick else 1_000_000)


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    start = time.process_time()
    outcome = call()
    spent = time.process_time() - start
    del outcome
    return spent * 1e3


def compare(
    id: str,  # noqa: A002 - the word of the results file
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    against: str,
    at_most: float | None = None,
    at_least: float | None = None,
    rounds: int = 11,
    note: str = "",
) -> Result:
    """As `harness.compare`, in CPU time."""
    samples = interleave(lambda: cpu_ms(ours), lambda: cpu_ms(theirs), rounds=rounds)
    return ratio(
        id,
        name,
        *samples,
        unit="ms",
        against=against,
        at_most=at_most,
        at_least=at_least,
        packages=PACKAGES,
        note=note,
    )


def some_ticks(count: int, seed: int = 1) -> list[dict[str, object]]:
    """Ticks of a few games in the normal form."""
    chance = random.Random(seed)
    return [
        {
            "gameId": str(3_000_000 + chance.randrange(40)),
            "bookmakerId": "nowgoal-ws",
            "oddsType": chance.choice(("moneyline", "spread", "total")),
            "oldValue": round(chance.uniform(1.2, 5), 2),
            "newValue": round(chance.uniform(1.2, 5), 2),
            "timestamp": 1_767_225_600_000 + number * 137,
            "market": {"homeTeam": "Simulated Home", "awayTeam": "Simulated Away", "league": "nba"},
        }
        for number in range(count)
    ]


def message(text: str, number: int = 1) -> Message:
    """A binary message, deflated as the site does it."""
    payload = zlib.compress(text.encode())
    return Message("nowgoal", 0, Opcode.BINARY, payload, RECEIVED, RECEIVED, 1, number)


def frame_of(ticks: list[dict[str, object]]) -> Message:
    """One frame with these ticks."""
    return message(json.dumps(ticks, separators=(",", ":")))


def _reference(sent: Message) -> list[Tick]:
    return TICK_LIST.decode(zlib.decompress(sent.payload))


def json_rows(events: int, times: int) -> Result:
    """P1 without the store: one deflated frame decoded; its rows are made only for who looks at them."""
    sent = frame_of(some_ticks(events))
    assert len(decode(sent).rows["ticks"]) == len(_reference(sent)) == events
    return compare(
        "P1",
        f"one deflated JSON frame of {events} ticks decoded",
        repeated(lambda: decode(sent), times),
        repeated(lambda: _reference(sent), times),
        against=JSON_AGAINST,
        at_most=1.6,
        note=f"each round {times} times",
    )


def json_columns(events: int, times: int) -> Result:
    """P1: the same into columns."""
    sent = frame_of(some_ticks(events))

    def ours() -> None:
        columns = Columns(TICKS)
        for number in range(times):
            store(columns, decode(sent).rows["ticks"], number)
        columns.snapshot()

    return compare(
        "P1",
        f"one deflated JSON frame of {events} ticks to columns",
        ours,
        repeated(lambda: _reference(sent), times),
        against=JSON_AGAINST,
        at_most=1.6,
        note=f"each round {times} frames into a new table",
    )


def store(columns: Columns, rows: list[tuple[object, ...]], number: int) -> None:
    """Append one message's rows as a feed does."""
    columns.append(rows, time_ns=RECEIVED + number, seq=number + 1, conn=1, source="nowgoal")


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    """Return a function that calls so many times."""

    def loop() -> None:
        for _ in range(times):
            call()

    return loop


# --- XML


def scores(count: int) -> str:
    """A message of change_xml."""
    records = (
        f"{1828723 + n}^{n % 4}^{n % 3}^0^^^0^0^{n % 5}^0^2020-01-09 06:15:00^2020-01-09 06:16:{n:02d}^^^^^{n % 9}^0^1^"
        for n in range(count)
    )
    return '<c refresh="0">' + "".join(f"<h><![CDATA[{record}]]></h>" for record in records) + "</c>"


def odds(count: int) -> str:
    """A message of ch_goal8_xml, three markets a record."""
    records = (
        f"{3018359 + n},{17535243 + n},0,1.{n:02d},0.63,{156460524 + n},3.03,3.24,2.{n:02d},"
        f"{20216243 + n},2.25,0.83,0.90,1,0,0,0,3,3,3,,,,"
        for n in range(count)
    )
    return "<c>" + "".join(f"<match><m>{record}</m></match>" for record in records) + "</c>"


def texts_by_expat(payload: bytes) -> list[str]:
    """The records of a deflated message as texts: the least that a use of expat must do."""
    texts: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda _tag, _attributes: None
    parser.EndElementHandler = lambda _tag: None
    parser.CharacterDataHandler = texts.append
    parser.Parse(zlib.decompress(payload), True)
    return texts


def bare_expat(payload: bytes) -> None:
    """Find out that a deflated message is well-formed, and nothing else."""
    expat.ParserCreate().Parse(zlib.decompress(payload), True)


def xml_rows(records: int, times: int) -> Iterator[Result]:
    """P1 for XML: rows of one deflated message."""
    for kind, text in (("scores", scores(records)), ("odds", odds(records))):
        sent = message(text)
        payload = sent.payload
        assert len(decode(sent).rows[kind]) == records * (1 if kind == "scores" else 3)
        assert len(texts_by_expat(payload)) == records
        name = f"one deflated XML message of {records} {kind} records to rows"
        ours = repeated(partial(decode, sent), times)
        yield compare(
            "P1",
            name,
            ours,
            repeated(partial(texts_by_expat, payload), times),
            against=XML_AGAINST,
            at_most=2.5,
            note=f"each round {times} times",
        )
        yield compare(
            "P1",
            name + ", for information",
            ours,
            repeated(partial(bare_expat, payload), times),
            against=BARE_AGAINST,
            rounds=9,
        )


# --- a million


def many(events: int) -> Iterator[Result]:
    """P2: ticks into columns with a frame on demand every 10,000, and against a list of dicts."""
    payloads = [zlib.decompress(frame_of(some_ticks(30, seed)).payload) for seed in range(100)]
    sent = [Message("nowgoal", 0, Opcode.TEXT, one, RECEIVED, RECEIVED, 1, 1) for one in payloads]
    frames = events // 30
    yield compare(
        "P2",
        f"{frames * 30:,} ticks in frames of 30 to columns, a DataFrame on demand every 10,000",
        lambda: fill(Columns(TICKS, cap=events), sent, frames),
        repeated_over(payloads, frames),
        against="msgspec into structs alone",
        at_most=2.0,
        rounds=5,
    )
    yield memory(sent, frames)
    yield against_dicts(sent, frames)


def repeated_over(payloads: list[bytes], frames: int) -> Callable[[], None]:
    """Return the reference of P2."""

    def loop() -> None:
        for number in range(frames):
            TICK_LIST.decode(payloads[number % len(payloads)])

    return loop


def fill(columns: Columns, sent: list[Message], frames: int) -> Columns:
    """Decode and store so many frames of 30, with a DataFrame at about every 10,000 ticks."""
    for number in range(frames):
        store(columns, decode(sent[number % len(sent)]).rows["ticks"], number)
        if number % FRAMES_BETWEEN == FRAMES_BETWEEN - 1:
            frame(columns, copy=False)
    return columns


def memory(sent: list[Message], frames: int) -> Result:
    """P2: what a million ticks take, text (dictionary included) and all."""
    snapshot = fill(Columns(TICKS, cap=frames * 30), sent, frames).snapshot()
    size = snapshot.time.nbytes + sum(
        piece.values.nbytes  # noqa: PD011 - a piece of a column, not a Series
        + (0 if piece.mask is None else piece.mask.nbytes)
        + sum(map(sys.getsizeof, piece.words or ()))
        for piece in snapshot.cells.values()
    )
    return figure(
        "P2", "memory of a million ticks in columns", [size / frames / 30], unit="MB", packages=PACKAGES
    )


def against_dicts(sent: list[Message], frames: int) -> Result:
    """P2: the way people write it: json, a list of dicts, a DataFrame of them all at every 10,000.

    Its cost grows with the square. So its DataFrames are made at three sizes only, each standing for a third of
    them, and its dicts are shared by repeated messages, which spares it most of the memory.
    """
    several = [json.loads(one.payload) for one in sent]
    rows = [tick for number in range(frames) for tick in several[number % len(sent)]]
    standing_for = frames / FRAMES_BETWEEN / SIZES

    def dicts() -> float:
        decoding = cpu_ms(
            lambda: [json.loads(sent[number % len(sent)].payload) and None for number in range(frames)]
        )
        sizes = [(2 * place + 1) * len(rows) // (2 * SIZES) for place in range(SIZES)]
        return decoding + standing_for * sum(cpu_ms(partial(pd.DataFrame, rows[:size])) for size in sizes)

    samples = interleave(
        dicts, lambda: cpu_ms(lambda: fill(Columns(TICKS, cap=len(rows)), sent, frames)), rounds=3, warmup=0
    )
    return ratio(
        "P2",
        f"{frames * 30:,} ticks as a list of dicts, a DataFrame at every 10,000",
        *samples,
        unit="ms",
        against="ours",
        at_least=50,
        packages=PACKAGES,
        note="the list of dicts is what is slower here; its DataFrames are sampled at three sizes",
    )
