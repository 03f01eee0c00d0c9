"""A stand-in for NowGoal on loopback, with made-up matches, faults on demand and a loss ledger.

    server = await serve(Options(speed=50))      # on a loop that runs
    child = start_child(Options(speed=50))       # in a process of its own, from a notebook
    run_forever(Options(port=9800))              # until Ctrl-C

All data are simulated, and say so: every team is called "Simulated …", every HTTP answer carries the header
`X-Simulated-Data`, every message the field `simulatedNumber`.
"""

from tes_nb.analysis.ledger import Ledger, number_in, received_in, reconcile
from tes_nb.simulate.faults import FAULTS, Fault
from tes_nb.simulate.faults import parse as parse_fault
from tes_nb.simulate.options import Options
from tes_nb.simulate.process import (
    Addresses,
    ChildServer,
    RunningServer,
    StandInClient,
    run_forever,
    serve,
    start_child,
)
from tes_nb.simulate.recorded import record_day
from tes_nb.simulate.service import GREETING, LABEL
from tes_nb.simulate.world import fixture

__all__ = [
    "FAULTS",
    "GREETING",
    "LABEL",
    "Addresses",
    "ChildServer",
    "Fault",
    "Ledger",
    "Options",
    "RunningServer",
    "StandInClient",
    "fixture",
    "number_in",
    "parse_fault",
    "received_in",
    "reconcile",
    "record_day",
    "run_forever",
    "serve",
    "start_child",
]
