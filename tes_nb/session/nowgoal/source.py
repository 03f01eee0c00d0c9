"""NowGoal as a source: `tes.NOWGOAL`, `tes.SIMULATED`, and what its stream adds to a session."""

from __future__ import annotations

from urllib.parse import urlsplit

from tes_nb.session.extras import Extras
from tes_nb.session.nowgoal.feed import NowGoalFeed
from tes_nb.session.nowgoal.stand_in import StandIns
from tes_nb.session.source import Source
from tes_nb.streams.nowgoal.stream import QUERY_ENDPOINT

NOWGOAL: Source[NowGoalFeed] = Source(
    stream="nowgoal", name="nowgoal", query_path=urlsplit(QUERY_ENDPOINT.path).path
)
"""NowGoal's own endpoint, or the one in the environment (`TES_NOWGOAL_URL`, `TES_NOWGOAL_TOKEN_URL`,
`TES_NOWGOAL_TOKEN`). The form of the site's own page takes the token in the query."""

SIMULATED: Source[NowGoalFeed] = Source(stream="nowgoal", name="simulated", simulated=True)
"""A stand-in for NowGoal that the session starts and ends: every team, goal and price is made up.

`s.watch(tes.SIMULATED, …)` takes the options of `tes-nb simulate`: `speed=50`, `faults=["random:every=3"]` and others.
Channels are "scores", "odds", "basketball_scores", "basketball_odds" or names of the wire; `None` = football scores
and odds.
"""

EXTRAS = Extras(
    feed=NowGoalFeed,
    source=NOWGOAL,
    names=("'nowgoal'", "tes.NOWGOAL", "tes.SIMULATED"),
    stand_ins=StandIns(),
    opened=NowGoalFeed.opened,
)
