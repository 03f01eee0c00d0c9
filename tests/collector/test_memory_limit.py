"""A collector whose memory has a limit: what it keeps for readers that come back gives way, and nothing else."""

from __future__ import annotations

import resource

import psutil
import pytest

from tes_nb.collector.options import Upstream
from tes_nb.model import Opcode
from tes_nb.net.relay_client import RelayReader
from tes_nb.wire.events import Gap, decode_event
from tests.support.aio import run_async
from tests.support.collectors import TOKEN, child
from tests.support.peers import NumberedPeer
from tests.support.waiting import eventually_async

ROOM = 24 * 2**20
"""Address space that is left when the limit comes; the relay's log would take 64 MiB."""


@pytest.mark.timeout(100)
@run_async
async def test_fault_72_at_the_limit_of_its_memory_a_collector_loses_no_socket():
    gaps, sizes, errors = [], [], []

    def note(message):
        if message.opcode is Opcode.EVENT:
            event = decode_event(message.payload)
            gaps.extend([event] if isinstance(event, Gap) else [])
        else:
            sizes.append(len(message.payload))

    async with NumberedPeer(every_s=0.004, padding=100_000) as peer:
        upstream = Upstream("metrics", "metrics", f"{peer.url}/ws/server-metrics/live")
        with child(produce=False, upstreams=(upstream,)) as collector:
            url = f"ws://127.0.0.1:{collector.ports[0]}/ws/relay/metrics"
            reader = RelayReader(url, "metrics", token=TOKEN, on_message=note)
            await reader.start()
            await eventually_async(lambda: len(sizes) > 5, 20)
            size = psutil.Process(collector.pid).memory_info().vms
            resource.prlimit(collector.pid, resource.RLIMIT_AS, (size + ROOM, size + ROOM))
            # three times the room that there is
            await eventually_async(lambda: sum(sizes) > 3 * ROOM, 60)
            errors = [line for line in collector.log_path.read_text().splitlines() if "rror" in line]
            assert "cut to a half" in collector.log_path.read_text()
            assert psutil.Process(collector.pid).memory_info().vms <= size + ROOM
            assert (reader.state.conn, reader.lost) == (1, 0)
            await reader.stop()
        assert len(peer.handshakes) == 1
    assert gaps == []
    assert errors == []
