"""Steam as it comes equals steam over all that came."""

from __future__ import annotations

import random

import pandas as pd

from tes_nb.analysis.steam import detect_all
from tes_nb.model import Direction, Message, Opcode
from tes_nb.session.frames import gaps_frame
from tes_nb.session.nowgoal.steam import SteamWatch
from tes_nb.store.memory.frames import frame
from tes_nb.store.memory.tables import StreamStore
from tes_nb.streams.nowgoal.stream import STREAM
from tes_nb.wire.events import Gap

SECOND = 10**9
START = 1_800_000_000 * SECOND


def message(text, at_ns):
    return Message("nowgoal", Direction.IN, Opcode.TEXT, text.encode(), at_ns, at_ns, 1, 1)


def odds(rng, match):
    """A row of three markets whose prices moved a little or a lot, or not at all."""
    hong_kong = [rng.choice((0.90, 0.93, 0.97, 1.10)) for _ in range(4)]
    decimal = [rng.choice((2.0, 2.05, 2.3)) for _ in range(3)]
    line = rng.choice((0, 0, 0, 0.25))
    fields = [match, 11, line, *hong_kong[:2], 12, *decimal, 13, 2.5, *hong_kong[2:]]
    return f"<c><match><m>{','.join(map(str, fields))}</m></match></c>"


def tick(rng, match, at_ns):
    new = rng.choice((1.9, 1.95, 2.2))
    return (
        f'{{"gameId": "{match}", "oddsType": "moneyline", "oldValue": 1.9, "newValue": {new}, '
        f'"timestamp": {at_ns // 10**6}}}'
    )


def score(refresh):
    return f'<c refresh="{refresh}"><h><![CDATA[1^1^1^0^^^0^0^0^0^2026-03-01 15:00:00]]></h></c>'


def fill(store, rng, watch):
    """Receive a few minutes of messages, looked at now and then."""
    at = START
    for _ in range(300):
        at += rng.randrange(SECOND // 50, SECOND // 2)
        kind = rng.random()
        if kind < 0.75:
            text = odds(rng, rng.choice((1, 2, 3)))
        elif kind < 0.97:
            text = tick(rng, rng.choice((1, 2)), at)
        else:
            text = score(rng.choice((0, 0, 1)))
        store.receive(message(text, at))
        if rng.random() < 0.01:
            store.add_event(Gap(1, at, at + 1, at + 2, "connection reset"))
            at += 3
        if rng.random() < 0.1:
            watch.look()
    watch.look()


def test_every_steam_tick_is_reported_once_and_as_it_is_judged_later():
    for seed in range(3):
        rng = random.Random(seed)
        store, said = StreamStore(STREAM), []
        fill(store, rng, SteamWatch(store, said.append))
        frames = {name: frame(store.tables[name]) for name in ("odds", "ticks", "scores")}
        judged = detect_all(
            frames["ticks"], frames["odds"], gaps=gaps_frame(store.gaps), scores=frames["scores"]
        )
        steam = judged[judged["steam"]]
        live = pd.concat(said)
        assert len(live) > 50
        assert set(live["rule"]) == {"LARGE_SINGLE", "MULTI_RAPID"}
        assert rows(live) == rows(steam)


def rows(ticks):
    columns = ["game_id", "odds_type", "market", "side", "old_value", "new_value", "rule", "steam_index"]
    ticks = ticks[columns].round({"steam_index": 9})  # sums may differ by rounding
    return sorted(map(str, ticks.astype("object").itertuples()))


def test_prices_known_before_are_what_the_first_new_ones_are_compared_with():
    store, said = StreamStore(STREAM), []
    row = "<c><match><m>1,11,0,{price},0.90,12,2.0,3.0,4.0</m></match></c>"
    store.receive(message(row.format(price=0.90), START))
    watch = SteamWatch(store, said.append)
    watch.look()
    assert said == []
    store.receive(message(row.format(price=1.40), START + SECOND))
    watch.look()
    watch.look()
    (steam,) = said
    assert steam[["side", "old_value", "new_value", "rule"]].to_numpy().tolist() == [
        ["home", 1.90, 2.40, "LARGE_SINGLE"]
    ]
