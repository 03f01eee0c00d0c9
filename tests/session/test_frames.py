from __future__ import annotations

import pandas as pd

from tes_nb.session.frames import gaps_frame, marks_frame, undecoded_frame
from tes_nb.store.memory.tables import Undecoded
from tes_nb.wire.events import Gap, Mark
from tests.support.messages import WALL, message


def test_gaps_open_and_closed():
    frame = gaps_frame(
        [
            Gap(1, WALL, WALL + 5, WALL + 9, "reset", 3),
            Gap(2, None, WALL + 20, None, "closed 1000 Idle timeout"),
        ]
    )
    assert list(frame["conn"]) == [1, 2]
    assert frame["lost_at"].iloc[0].value == WALL + 5
    assert pd.isna(frame["back_at"].iloc[1])
    assert pd.isna(frame["last_seen"].iloc[1])
    assert frame["missing"].isna().tolist() == [False, True]


def test_empty_frames_have_their_types():
    assert str(gaps_frame([]).dtypes["lost_at"]) == "datetime64[ns, UTC]"
    assert str(marks_frame([]).dtypes["label"]) == "str"
    assert str(undecoded_frame([]).dtypes["size"]) == "int64"


def test_undecoded_shows_first_bytes():
    frame = undecoded_frame([Undecoded(message(b"\x00\xff" * 40), "json", "Not JSON.")])
    assert frame["first_bytes"].iloc[0].startswith("00 ff 00")
    assert (frame["size"].iloc[0], frame["reason"].iloc[0]) == (80, "json")


def test_marks():
    assert list(marks_frame([Mark("deploy", WALL)])["label"]) == ["deploy"]
