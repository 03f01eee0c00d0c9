"""The words every room speaks: messages, streams, tables, columns, and what samplers observe."""

from tes_nb.model.message import Decoded, Direction, Kind, Message, Opcode
from tes_nb.model.observation import (
    HostFacts,
    HttpFacts,
    Observation,
    ProcessFacts,
    SocketFacts,
    TmuxFacts,
    TreeFacts,
    WorkerFacts,
)
from tes_nb.model.stream import (
    Answer,
    Endpoint,
    FeedDecoder,
    HttpHalf,
    Producer,
    Stream,
    TokenSource,
)
from tes_nb.model.table import Column, ColumnKind, Doubles, Dtype, Move, Row, RowBatch, Same, Table, Values

__all__ = [
    "Answer",
    "Column",
    "ColumnKind",
    "Decoded",
    "Direction",
    "Doubles",
    "Dtype",
    "Endpoint",
    "FeedDecoder",
    "HostFacts",
    "HttpFacts",
    "HttpHalf",
    "Kind",
    "Message",
    "Move",
    "Observation",
    "Opcode",
    "ProcessFacts",
    "Producer",
    "Row",
    "RowBatch",
    "Same",
    "SocketFacts",
    "Stream",
    "Table",
    "TmuxFacts",
    "TokenSource",
    "TreeFacts",
    "Values",
    "WorkerFacts",
]
