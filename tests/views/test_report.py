"""Tables of a report: a head names the unit that the numbers below it have."""

from __future__ import annotations

import re

import pandas as pd

from tes_nb.streams import get
from tes_nb.views.report import write_report


def test_bytes_stand_in_the_unit_of_their_head_and_times_in_few_digits(tmp_path):
    table = get("kernel").table("cells")
    frame = pd.DataFrame(
        {
            "number": pd.array([3], "Int64"),
            "start": [pd.Timestamp("2026-03-14 12:00:01.25", tz="UTC")],
            "wall_s": [0.0361874],
            "total_peak": pd.array([256_000_000], "Int64"),
        }
    ).set_index("number")
    page = write_report(tmp_path / "r.html", [], title="t", cells=(frame, table)).read_text()
    body = page[page.index("<h2>Cells</h2>") :]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", body)
    cells = re.findall(r"<td>([^<]*)</td>", body)
    assert dict(zip(heads, cells, strict=True)) == {
        "cell": "3",
        "started [UTC]": "2026-03-14 12:00:01",
        "wall [s]": "0.03619",
        "memory peak [MB]": "256",
    }
