"""NowGoal's tables, and the words behind its numbers (states, companies)."""

from __future__ import annotations

from typing import Final

from tes_nb.model import Column, ColumnKind, Difference, Table

STATES: Final = {
    0: "not started",
    1: "first half",
    2: "half-time",
    3: "second half",
    4: "extra time",
    5: "penalties",
    -1: "finished",
    -10: "cancelled",
    -11: "to be announced",
    -12: "abandoned",
    -13: "interrupted",
    -14: "postponed",
}
"""What a football match is doing. Basketball's states are numbers whose words nobody has confirmed."""

COMPANIES: Final = {
    "3": "Crown",
    "8": "Bet365",
    "17": "M88",
    "23": "188Bet",
    "31": "Sbobet",
    "47": "Pinnacle",
    "50": "1xBet",
}
"""Who quotes the odds."""

MARKETS: Final = (
    ("asian_handicap", "Asian handicap"),
    ("over_under", "Over/under"),
    ("asian_handicap_half", "Asian handicap, first half"),
    ("over_under_half", "Over/under, first half"),
)
"""(market, what views call it)."""

CHANNEL: Final = Column(
    "channel",
    "category",
    "",
    "label",
    "The channel the message names, by a key or a value of an envelope; else the one channel of its kind that the "
    "connection asked for; NA where that is none or several. Where nothing is known of the connection, the usual "
    "one of its kind (change_xml, nba_change_xml, ch_goal8_xml, ch_nbaGoal8_xml).",
)


def _number(name: str, doc: str, unit: str = "", quantity: str = "") -> Column:
    return Column(name, "Int64", unit, "gauge", doc, quantity=quantity)


def _price(name: str, doc: str) -> Column:
    return Column(name, "float64", "", "gauge", doc, quantity="Prices")


def _text(name: str, doc: str, kind: ColumnKind = "text") -> Column:
    return Column(name, "str", "", kind, doc)


def _word(name: str, doc: str, kind: ColumnKind = "label", title: str = "") -> Column:
    """Text of which few different ones occur: a frame then shares them instead of copying each."""
    return Column(name, "category", "", kind, doc, title=title)


def _time(name: str, doc: str) -> Column:
    return Column(name, "datetime64[ns, UTC]", "", "time", doc)


def _flag(name: str, doc: str) -> Column:
    return Column(name, "boolean", "", "flag", doc)


REFRESH: Final = _flag("refresh", "The message says: forget what you know and reload everything.")


def _sides(what: str, suffix: str) -> tuple[Column, Column]:
    quantity = suffix.replace("_", " ").capitalize()
    return (
        _number(f"home_{suffix}", f"{what}, home side.", quantity=quantity),
        _number(f"away_{suffix}", f"{what}, away side.", quantity=quantity),
    )


SCORES: Final = Table(
    name="scores",
    doc="Football: one row per match in a message of change_xml.",
    columns=(
        CHANNEL,
        _text("match_id", "NowGoal's match id; text.", "label"),
        _number(
            "state",
            "0 to 5 while it lasts, -1 finished, -10 and below not played to the end.",
            quantity="State",
        ),
        _word("state_word", "The state in words; NA for a state nobody has explained.", title="state"),
        *_sides("Goals", "goals"),
        *_sides("Goals at half-time; NA before", "half_goals"),
        *_sides("Red cards", "red"),
        *_sides("Yellow cards", "yellow"),
        *_sides("Corners, as sent: see corners_known", "corners"),
        _flag("corners_known", "Whether the corners are counted at all."),
        _time(
            "kick_off",
            "Kick-off. The sister site sends month, day and time without year and time zone: the year is "
            "the one nearest to the receive time, the zone is taken for UTC.",
        ),
        _time("half_start", "Start of the current half (UTC; the sister site names no time zone)."),
        _number(
            "minute",
            "Minute of play at the receive time, 1 to 45 in the first half, from 46 in the second, higher in "
            "stoppage time. From state and half_start; NA in other states, or when a half would be older "
            "than 90 minutes.",
            "min",
            "Minute",
        ),
        REFRESH,
    ),
    key=("match_id",),
    plot=("home_goals", "away_goals"),
    first=(
        *("match", "score", "minute", "state_word", "last_price", "home_red", "away_red"),
        *("home_corners", "away_corners", "league", "kick_off", "home_goals", "away_goals", "match_id"),
    ),
)

GAMES: Final = Table(
    name="games",
    doc="Basketball: one row per game in a message of nba_change_xml.",
    columns=(
        CHANNEL,
        _text("game_id", "NowGoal's game id; text.", "label"),
        _number("state", "As sent; what the numbers mean is not confirmed.", quantity="State"),
        _text("remaining_time", "Time left in the part, as sent, for example 10:35."),
        *_sides("Points", "score"),
        *(column for part in range(1, 5) for column in _sides(f"Points in quarter {part}", f"q{part}")),
        _number("overtimes", "Number of overtimes."),
        *(column for part in range(1, 4) for column in _sides(f"Points in overtime {part}", f"ot{part}")),
        _number("parts", "Part count, as sent."),
        _text("live_text", "Live text, as sent."),
        _text("odds_text", "Odds text, as sent."),
        _text("stats_text", "Technical statistics, as sent."),
        _text("win_odds", "Win odds, as sent."),
        REFRESH,
    ),
    key=("game_id",),
    plot=("home_score", "away_score"),
    first=("game_id", "home_score", "away_score", "state", "remaining_time", "live_text"),
)

ODDS: Final = Table(
    name="odds",
    doc="Odds: one row per match and market in a message of ch_goal8_xml (football) or ch_nbaGoal8_xml.",
    columns=(
        CHANNEL,
        _text("match_id", "NowGoal's match or game id; text.", "label"),
        _word("company_id", "The company, from the channel's name; NA where that is not known."),
        _word("company", "The company's name; NA for an id nobody has explained."),
        Column(
            "market",
            "category",
            "",
            "label",
            "asian_handicap, 1x2 or over_under; basketball's first half: asian_handicap_half, over_under_half.",
            words=MARKETS,
        ),
        _text("odds_id", "NowGoal's id of this price; text.", "label"),
        Column(
            "line",
            "float64",
            "",
            "gauge",
            "Handicap or total, sign as sent: which side a minus favours is not confirmed.",
            quantity="Line",
        ),
        _word("line_raw", "The line as sent.", "text"),
        _price("home", "Home wins (against the line): decimal price."),
        _price("draw", "Draw: decimal price."),
        _price("away", "Away wins (against the line): decimal price."),
        _price("over", "More than the line: decimal price."),
        _price("under", "Less than the line: decimal price."),
        *(
            _word(f"{side}_raw", f"{side.capitalize()} as sent.", "text")
            for side in ("home", "draw", "away", "over", "under")
        ),
        _word(
            "price_format", "How prices were sent: decimal (stake included) or hong_kong (decimal minus 1)."
        ),
        REFRESH,
    ),
    key=("match_id", "company_id", "market"),
    plot=("home", "draw", "away", "over", "under"),
    label=("match_id", "company"),
    panel_by="market",
    first=(
        *("match", "market", "line", "home", "draw", "away", "over", "under"),
        *("move", "line_move", "company", "match_id"),
    ),
    moves=(
        Difference(
            _price("move", "How far home (else over) is from its first price in memory."), ("home", "over")
        ),
        Difference(_price("line_move", "How far the line is from the first one in memory."), ("line",)),
    ),
)

TICKS: Final = Table(
    name="ticks",
    doc="Single moves of a price in TES's own normal form, as received.",
    columns=(
        CHANNEL,
        _text("game_id", "The game; text, 007 is not 7.", "label"),
        _word("bookmaker_id", "Who quotes; nowgoal-ws where the message does not say."),
        _word("odds_type", "moneyline, spread, total or player_prop."),
        _price("old_value", "The price before."),
        _price("new_value", "The price after."),
        _time("timestamp", "When the price moved, by the sender."),
        _word("home_team", "Home team.", "text"),
        _word("away_team", "Away team.", "text"),
        _word("league", "WNCAAB, NBA, EuroLeague, else as sent in lower-case letters."),
        _word("player_id", "The player of a prop; text."),
        _word("player_name", "The player's name.", "text"),
        _word("stat_type", "What of the player is counted."),
    ),
    key=("game_id", "bookmaker_id", "odds_type"),
    plot=("new_value",),
    label=("game_id", "bookmaker_id"),
    panel_by="odds_type",
    first=(
        *("home_team", "away_team", "odds_type", "old_value", "new_value", "timestamp", "bookmaker_id"),
        *("league", "player_name", "stat_type", "game_id"),
    ),
)

RAW: Final = Table(
    name="raw",
    doc="What did not decode, one row per fault, and remarks, one a connection; the bytes are in the recording.",
    columns=(
        CHANNEL,
        _word("reason", "One of a few fixed words, for counting."),
        _text("note", "What could not be read, as a sentence."),
        Column("size", "int64", "bytes", "gauge", "Size of the message as received."),
        _word("opcode", "text or binary."),
        _text("head", "The first 32 bytes of the message as received, in hexadecimal."),
    ),
)

TABLES: Final = (SCORES, GAMES, ODDS, TICKS, RAW)
