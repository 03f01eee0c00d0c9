"""From snapshots to records: the fields of NowGoal's XML and the attributes of TES's ticks, as text.

The start of a half is sent as if the match had always run at the speed 1, counted back from the instant of the
message: so a reader's "minute" is right at every speed, and at the speed 1 the time does not move. The kick-off
never moves: it is what `Instant.kick_off` said for the first message of the match.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from tes_nb.analysis.ledger import NUMBER
from tes_nb.simulate.world import TICKS, GamePrice, GameScore, Move, Price, Score

# Every data message carries its number under the name `simulatedNumber`: an attribute of the XML's root, a
# field of a JSON object. Readers of NowGoal look at neither, and `ledger.number_in` finds it again. The name
# also says in each message that the data are simulated.

COMPRESSIONS = ("zlib", "gzip", "raw", "text", "binary")
SHAPES = ("xml", "envelope", "array", "json")
WINDOW_BITS = {"zlib": 15, "gzip": 31, "raw": -15}
TYPE_WORDS = {
    "moneyline": ("moneyline", "ml"),
    "spread": ("spread", "line"),
    "total": ("total", "overunder", "ou"),
    "player_prop": ("player_prop", "prop"),
}
"""How peers spell the odds types."""


class Frame(NamedTuple):
    """One WebSocket message."""

    text: bool
    payload: bytes


def is_score(channel: str) -> bool:
    """Whether the channel carries scores (records in `<h>`), not odds (records in `<m>`)."""
    return channel.endswith("change_xml")


def document(channel: str, records: Sequence[str], number: int | None, refresh: int = 0) -> str:
    """Return NowGoal's XML of these records. A number of `None` leaves it out, as malformed messages do."""
    mark = "" if number is None else f' {NUMBER}="{number}"'
    if is_score(channel):
        inside = "".join(f"<h><![CDATA[{record}]]></h>" for record in records)
        return f'<c refresh="{refresh}"{mark}>{inside}</c>'
    inside = "".join(f"<m>{record}</m>" for record in records)
    again = f' refresh="{refresh}"' if refresh else ""
    return f"<c{again}{mark}><match>{inside}</match></c>"


def wrapped(channel: str, xml: str, number: int | None, shape: str) -> str:
    """Return the XML as it is (`xml`), or as a string in a JSON object, alone or in an array."""
    if shape in {"xml", "json"}:
        return xml
    envelope: dict[str, Any] = {"channel": channel, "data": xml}
    if number is not None:
        envelope[NUMBER] = number
    return json.dumps([envelope] if shape == "array" else envelope)


def ticks_document(ticks: Sequence[dict[str, Any]], number: int, shape: str, rng: Random) -> str:
    """Return ticks as XML or JSON, in one of the spellings that peers use."""
    if shape in {"xml", "envelope"}:
        return wrapped(TICKS, _ticks_xml(ticks, number, rng), number, shape)
    objects = [_tick_object(tick, number, rng) for tick in ticks]
    return json.dumps(objects[0] if shape == "json" and len(objects) == 1 else objects)


def _tick_object(tick: dict[str, Any], number: int, rng: Random) -> dict[str, Any]:
    fields = tick | {"oddsType": rng.choice(TYPE_WORDS[tick["oddsType"]])}
    if rng.choice((True, False)):
        fields["id"] = fields.pop("gameId")
    wrapper = rng.choice(("oddsChange", "odds", "change", None))
    return {NUMBER: number} | (fields if wrapper is None else {wrapper: fields})


def _ticks_xml(ticks: Sequence[dict[str, Any]], number: int, rng: Random) -> str:
    if len(ticks) == 1:
        return _tick_xml(ticks[0], f' {NUMBER}="{number}"', rng)
    inside = "".join(_tick_xml(tick, "", rng) for tick in ticks)
    return f'<oddsChanges {NUMBER}="{number}">{inside}</oddsChanges>'


def _tick_xml(tick: dict[str, Any], mark: str, rng: Random) -> str:
    market = tick["market"]
    names = {"home": market["homeTeam"], "away": market["awayTeam"], "league": market["league"]}
    inside = f"<market {_attributes(names)}/>"
    if "playerId" in tick:
        player = {"id": tick["playerId"], "name": tick["playerName"], "stat": tick["statType"]}
        inside += f"<player {_attributes(player)}/>"
    fields = {
        "gameId": tick["gameId"],
        "type": rng.choice(TYPE_WORDS[tick["oddsType"]]),
        "old": tick["oldValue"],
        "new": tick["newValue"],
        "time": tick["timestamp"],
    }
    return f"<oddsChange{mark} {_attributes(fields)}>{inside}</oddsChange>"


def _attributes(fields: dict[str, Any]) -> str:
    return " ".join(f"{name}={quoteattr(str(value))}" for name, value in fields.items())


def encode(text: str, compression: str) -> Frame:
    """Return the message as it travels in one of the `COMPRESSIONS`."""
    data = text.encode()
    if compression in {"text", "binary"}:
        return Frame(compression == "text", data)
    return Frame(text=False, payload=deflate(data, compression))


def deflate(data: bytes, compression: str) -> bytes:
    """Return `data` deflated with a zlib, a gzip or no header (`raw`)."""
    packer = zlib.compressobj(6, zlib.DEFLATED, WINDOW_BITS[compression])
    return packer.compress(data) + packer.flush()


def websocket_frame(frame: Frame) -> bytes:
    """Return the bytes on the wire: one unfragmented, unmasked WebSocket frame, as a server sends it."""
    opcode, size = (1 if frame.text else 2), len(frame.payload)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + frame.payload


MARKET_FIELDS = (5, 9, 13)
"""Where a football odds record may stop: after the handicap, the 1x2 or the total."""
FLAGS = ("1", "0", "0", "0", "3", "3", "3", "", "", "", "")
ODDS_ID = {"handicap": 17_000_000, "1x2": 156_000_000, "total": 20_000_000}
LEAGUE_WORDS = {"NBA": "nba", "WNCAAB": "ncaab", "EuroLeague": "Euro"}
"""The leagues as peers spell them; readers bring them to one spelling."""


class Instant(NamedTuple):
    """When a record is sent: the same instant on both clocks."""

    wall_s: float
    """Unix seconds."""
    simulated_s: float

    def wall(self, simulated_s: float) -> datetime:
        """Return the time of day at which something simulated happened."""
        return datetime.fromtimestamp(self.wall_s - (self.simulated_s - simulated_s), tz=UTC)

    def kick_off(self, simulated_s: float, speed: float | None) -> datetime:
        """Return the time of day of a kick-off: one that is to come is reached at the speed of the match day."""
        ahead_s = simulated_s - self.simulated_s
        return datetime.fromtimestamp(
            self.wall_s + (ahead_s / speed if speed and ahead_s > 0 else ahead_s), tz=UTC
        )


def football_score(score: Score, instant: Instant, kick_off: datetime | None = None) -> str:
    """Return the record of `change_xml`; a match that has not started stops after its kick-off.

    kick_off: what earlier messages of the match said; `None` = there were none.
    """
    half_at = None if score.half_at is None else instant.wall(score.half_at)
    fields = [
        *_score_head(score),
        *_pair(score.yellow),
        _stamp(kick_off or instant.wall(score.kickoff_at)),
        "" if half_at is None else _stamp(half_at),
    ]
    if half_at is not None:
        fields += ["", "", "", "", *_pair(score.corners), "1", ""]
    return "^".join(fields)


def sister_score(score: Score, instant: Instant, kick_off: datetime | None = None) -> str:
    """Return the same record in the older sister-site form, whose months count from 0."""
    kick_off = kick_off or instant.wall(score.kickoff_at)
    half = "" if score.half_at is None else instant.wall(score.half_at)
    if isinstance(half, datetime):
        parts = (half.year, half.month - 1, half.day, half.hour, half.minute, half.second)
        half = ",".join(str(part) for part in parts)
    fields = [
        *_score_head(score),
        *(f"{kick_off:%H:%M}", half, "Simulated", "1"),
        *_pair(score.yellow),
        *(f"{kick_off:%m-%d}", ""),
        *_pair(score.corners),
        "1",
    ]
    return "^".join(fields)


def _score_head(score: Score) -> list[str]:
    """Return fields 0-7, which both forms share."""
    half = ["" if goals is None else str(goals) for goals in (score.half_home, score.half_away)]
    return [score.match_id, str(score.state), str(score.home), str(score.away), *half, *_pair(score.red)]


def football_odds(price: Price) -> str:
    """Return the record of `ch_goal8_xml`."""
    number = int(price.match_id) % 1_000_000 * 100 + price.company
    fields = [
        price.match_id,
        *(str(ODDS_ID["handicap"] + number), _line(price.handicap), *_prices(price.handicap_hk)),
        *(str(ODDS_ID["1x2"] + number), *_prices(price.decimal)),
        *(str(ODDS_ID["total"] + number), _line(price.total), *_prices(price.total_hk)),
    ]
    quotes = fields[: MARKET_FIELDS[price.markets - 1]]
    return ",".join(quotes if price.markets < len(MARKET_FIELDS) else [*quotes, *FLAGS])


def basketball_score(score: GameScore) -> str:
    """Return the record of `nba_change_xml`."""
    quarters = [_pair(part) for part in score.parts[:4]]
    overtimes = [_pair(part) for part in score.parts[4:7]]
    home, away = (sum(part[side] for part in score.parts) for side in (0, 1))
    fields = [
        *(score.game_id, str(score.state), f"{score.remaining_s // 60:02d}:{score.remaining_s % 60:02d}"),
        *(str(home), str(away)),
        *_filled(quarters, 4),
        *(str(len(overtimes)), "Simulated", "4"),
        *_filled(overtimes, 3),
        *("", "", ""),
    ]
    return "^".join(fields)


def basketball_odds(price: GamePrice) -> str:
    """Return the record of `ch_nbaGoal8_xml`."""
    return ",".join([price.game_id, _line(price.line), *_prices(price.hk)])


def tick(move: Move, at_ms: int) -> dict[str, Any]:
    """Return a TES tick with the names of its JSON form; the league is spelled as peers spell it."""
    fixture = move.fixture
    fields: dict[str, Any] = {
        "gameId": fixture.match_id,
        "oddsType": move.odds_type,
        "oldValue": move.old,
        "newValue": move.new,
        "timestamp": at_ms,
        "market": {
            "homeTeam": fixture.home_team,
            "awayTeam": fixture.away_team,
            "league": LEAGUE_WORDS.get(fixture.league, fixture.league),
        },
    }
    if move.player is not None:
        fields |= dict(zip(("playerId", "playerName", "statType"), move.player, strict=True))
    return fields


def _pair(numbers: tuple[int, int]) -> tuple[str, str]:
    return str(numbers[0]), str(numbers[1])


def _filled(pairs: list[tuple[str, str]], count: int) -> list[str]:
    return [text for pair in pairs + [("", "")] * (count - len(pairs)) for text in pair]


def _prices(prices: tuple[float, ...]) -> list[str]:
    return [f"{price:.2f}" for price in prices]


def _line(value: float) -> str:
    return f"{value:g}"


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
