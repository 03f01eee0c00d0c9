"""What can be done with one row of a live table, and why not with some: buttons of the browser follow from this.

A row says by its own columns whether something makes no sense with it. Whatever else keeps it from being done, such as
a process of another user, the collector's answer says, below the row.
"""

from __future__ import annotations

from typing import Any

from tes_nb.model import RowAction, RowRefusal, Table

_ENDED = (
    RowRefusal({"status": ("terminated",)}, "It has ended; its last job stands in its row."),
    RowRefusal(
        {"status": ("error",), "threads": (None,), "kind": ("process", "executor"), "pid": ...},
        "It has ended; the reason stands in its row.",
    ),
)
_NO_PROCESS = (
    RowRefusal(
        {"role": ("dask task group",)}, "It is the tasks of one function: ask a worker that runs one."
    ),
    RowRefusal({"role": ("process pool", "thread pool")}, "A pool is no process: ask one of its workers."),
    RowRefusal(
        {"kind": ("dask",), "pid": (None,), "current_job_id": (None,)},
        "It runs on another machine, or nobody knows its process. Observed with tasks=True it can be asked while it "
        "runs a task.",
    ),
)
WORKER_ACTIONS = (
    RowAction(
        op="stack",
        title="Stack",
        doc="what it does now: functions, files and lines",
        argument="worker",
        refusals=(*_ENDED, *_NO_PROCESS),
    ),
    RowAction(
        op="snapshot",
        title="Snapshot",
        doc="what it holds and does, once in 10 s",
        argument="worker",
        refusals=_ENDED,
    ),
)
"""What the table of workers has."""


def actions_spec(table: Table) -> list[dict[str, Any]]:
    """Return what a browser must know of a table's actions."""
    return [
        {
            "op": action.op,
            "title": action.title,
            "doc": action.doc,
            "argument": action.argument,
            "refusals": [
                {
                    "where": {
                        name: None if values is ... else list(values)
                        for name, values in refusal.where.items()
                    },
                    "why": refusal.why,
                }
                for refusal in action.refusals
            ],
        }
        for action in table.actions
    ]
