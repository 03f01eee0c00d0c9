"""The kernel stream: what only the notebook's kernel knows. It travels over `/ws/control` into our relay.

    {"type": "gauge", "name": "loss", "value": 0.3, "unit": "", "timestamp": 1767225600000}
    {"type": "gauge", "name": "loss", "value": "Infinity", "unit": "", "timestamp": 1767225600500}
    {"type": "gauges", "gauges": [{"type": "gauge", "name": "loss", "value": 0.3}, …], "timestamp": 1767225600500}
    {"type": "cell", "number": 3, "start": 1767225600000000000, "wall_s": 4.2, "cpu_s": 4.1,
     "rss_peak": 123456789, "rss_mean": 120000000.0, "children_rss_peak": 0, "peak_source": "VmHWM",
     "outcome": "ok", "first_line": null, "children_cpu_s": 0.0, "children_peak": 0, "total_peak": 123456789}
    {"type": "activity", "cell": 4, "since": 1767225610000000000, "place": "inner, cell 4 line 11"}
    {"type": "held", "start": 1767225600000000000, "seconds": 4.1}

Only the cell's number is kept; its first line is opt-in, since code may hold secrets.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tes_nb.model import Decoded, Endpoint, Kind, Message, Opcode, Row, Stream, Table
from tes_nb.model.control import Cell, Gauge, Gauges, KernelActivity
from tes_nb.streams.describe import Field, Int, describe
from tes_nb.streams.tes_protocol import is_own, ms_to_ns
from tes_nb.wire.json_guard import decode_json


class Held(msgspec.Struct, tag="held"):
    """A time in which the kernel's threads could not run, for example a long call that holds the GIL."""

    start: Annotated[Int, Field("", "since when", "time", "datetime64[ns, UTC]", head="since")]
    seconds: Annotated[float, Field("s", "for how long", head="for")]
    place: Annotated[
        str | None,
        Field("", "where in the user's code, such as re.match, cell 7 line 3; NA = unknown", "text"),
    ] = None
    file: Annotated[str | None, Field("", "the innermost file of the user's, or cell", "label")] = None
    line: Annotated[Int | None, Field("", "the line there that ran", "label")] = None


_gauge_columns, _gauge_row = describe(Gauge)
_cell_columns, _cell_row = describe(Cell)
_held_columns, _held_row = describe(Held)
_activity_columns, _activity_row = describe(KernelActivity)
TABLES = (
    Table("gauges", "Numbers of the user's own.", _gauge_columns, key=("name",), unit_by="unit"),
    Table("cells", "What each executed cell cost.", _cell_columns),
    Table("held", "When the kernel was held.", _held_columns),
    Table(
        "activity",
        "One row when a cell begins, one each time it is seen elsewhere, one when it ends.",
        _activity_columns,
    ),
)
_decoder: msgspec.json.Decoder[Gauge | Gauges | Cell | Held | KernelActivity] = msgspec.json.Decoder(
    Gauge | Gauges | Cell | Held | KernelActivity
)


def decode(message: Message) -> Decoded:
    """One report of the kernel → one row; a cell that has ended also means that none runs now."""
    report = decode_json(message.payload, _decoder, check=not is_own(message))
    match report:
        case Gauge():
            return Decoded(Kind.DATA, {"gauges": (_row_of(report),)}, ms_to_ns(report.timestamp))
        case Gauges():
            return Decoded(
                Kind.DATA, {"gauges": tuple(map(_row_of, report.gauges))}, ms_to_ns(report.timestamp)
            )
        case Cell():
            idle = _activity_row(KernelActivity(None, report.start + round(report.wall_s * 1e9)))
            return Decoded(Kind.DATA, {"cells": (_cell_row(report),), "activity": (idle,)})
        case KernelActivity():
            return Decoded(Kind.DATA, {"activity": (_activity_row(report),)})
        case Held():
            return Decoded(Kind.DATA, {"held": (_held_row(report),)})


def _row_of(gauge: Gauge) -> Row:
    if isinstance(gauge.value, str):
        gauge.value = float(gauge.value)
    return _gauge_row(gauge)


def classify(message: Message) -> Kind:
    """Whatever the kernel reports is data."""
    return Kind.KEEPALIVE if message.opcode == Opcode.EVENT else Kind.DATA


KERNEL = "kernel"
"""The stream, and the source, of what a kernel reports of itself."""

STREAM = Stream(
    name=KERNEL,
    doc="What only the kernel knows: the user's gauges, executed cells, times in which it was held.",
    endpoint=Endpoint("none", ""),
    tables=TABLES,
    main="gauges",
    period_s=float("inf"),
    decode=decode,
    classify=classify,
)
