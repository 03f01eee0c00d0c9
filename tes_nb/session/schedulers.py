"""Which Dask scheduler computes: one by its address, the current client's, or a cluster on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from tes_nb.errors import ArgumentError, SessionError

if TYPE_CHECKING:
    from distributed import Client

CONNECT = "5s"
BAR_AFTER_S = 1.0


class ChosenScheduler:
    """The scheduler of `tes.options.scheduler`."""

    address: str | None = None
    """`None` = the current client's, else a cluster of this machine."""


chosen = ChosenScheduler()


class SchedulerConnection:
    """A client of a scheduler. `close()` closes what it has opened itself, and nothing else."""

    def __init__(self, client: Client, opened: Sequence[Any]) -> None:
        self.client = client
        self._opened = list(opened)

    def close(self) -> None:
        """Close client and cluster, if they were opened here. May be called twice."""
        while self._opened:
            self._opened.pop(0).close()

    def results(self, lazy: Any, *, progress: bool) -> list[Any]:
        """Compute the partitions of a lazy frame and return them in their order; a bar shows how far it is.

        A partition of a worker that dies is computed anew by another. Raises `SessionError` where the scheduler is
        gone, or workers died of the same partition again and again; what a partition raised comes as it is.
        """
        from distributed import as_completed  # noqa: PLC0415 - an extra
        from tqdm.auto import tqdm  # noqa: PLC0415 - it loads the notebook's widgets

        with _explained(self.client), self.client.as_current():
            futures = self.client.compute(lazy.to_delayed())
            with tqdm(
                total=len(futures), desc="partitions", unit="", disable=not progress, delay=BAR_AFTER_S
            ) as bar:
                for future in as_completed(futures):
                    if future.status != "finished":
                        future.result()  # raises
                    bar.update()
            return list(self.client.gather(futures))


def connection(scheduler: str | Client | None = None) -> SchedulerConnection:
    """Return a connection to a scheduler.

    scheduler: an address ("tcp://host:8786") or a client; `None` = `tes.options.scheduler`, else the current client's,
    else a new cluster on this machine, a worker for each core, which listens on loopback only. Raises
    `SessionError` where nobody answers.
    """
    from distributed import Client, LocalCluster, get_client  # noqa: PLC0415 - an extra

    if isinstance(scheduler, Client):
        return SchedulerConnection(scheduler, ())
    address = chosen.address if scheduler is None else scheduler
    if address is not None:
        if not isinstance(address, str):
            raise ArgumentError(
                f"scheduler={address!r} is none: give an address such as 'tcp://host:8786', or a dask Client."
            )
        try:
            client = Client(address, timeout=CONNECT)
        except (OSError, ValueError) as error:
            raise SessionError(
                f"No Dask scheduler answers at {address} ({type(error).__name__}): start it with 'dask scheduler' and "
                "its workers with 'dask worker', or leave scheduler= out for a cluster on this machine."
            ) from error
        return SchedulerConnection(client, [client])
    with contextlib.suppress(ValueError):  # there is no current client
        return SchedulerConnection(get_client(), ())
    cluster = LocalCluster(
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # None is Dask's own choice: all interfaces
        worker_dashboard_address="127.0.0.1:0",
    )
    client = Client(cluster)
    return SchedulerConnection(client, [client, cluster])


@contextlib.contextmanager
def _explained(client: Client) -> Iterator[None]:
    """Raise `SessionError` for what is not of the user's function but of the cluster."""
    from distributed import KilledWorker  # noqa: PLC0415 - an extra

    address = getattr(client.scheduler, "address", "?")
    try:
        yield
    except KilledWorker as error:
        raise SessionError(
            f"Workers of {address} died of the same partition again and again ({error.task}): it may need more memory "
            "than they have. Start fewer or larger workers."
        ) from error
    except (CancelledError, OSError) as error:
        if client.status == "running" and not isinstance(error, CancelledError):
            raise
        raise SessionError(
            f"The Dask scheduler at {address} is gone, and with it what was not computed yet: start it again, and "
            "make the frame anew."
        ) from error
