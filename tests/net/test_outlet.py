"""The outlet: one book of gaps, and nothing that its reader does harms the one who reads the socket."""

from __future__ import annotations

import msgspec
import pytest

from tes_nb.model import Direction, Kind, Message, Opcode
from tes_nb.model.message import FLAG_DUPLICATE
from tes_nb.net.outlet import Outlet
from tes_nb.wire.events import Gap
from tests.support.aio import problems, run_async


def message(*, direction=Direction.IN, flags=0):
    return Message("feed", direction, Opcode.TEXT, b"x", 0, 0, 1, 0, flags)


class World:
    """An outlet, what came out of it in order, and a clock that goes on with each look."""

    def __init__(self):
        self.out = []
        self.now = 0
        self.outlet = Outlet("feed", self.out.append, self.out.append, wall_ns=self.clock)

    def clock(self):
        self.now += 1
        return self.now


@pytest.fixture
def world():
    return World()


def test_a_gap_that_data_end_is_reported_before_them(world):
    world.outlet.append(message(), Kind.DATA)
    world.outlet.begin_gap(1, "the connection was lost", until_data=True)
    for kind, flags in ((Kind.KEEPALIVE, 0), (Kind.UNDECODED, 0), (Kind.DATA, FLAG_DUPLICATE)):
        world.outlet.append(message(flags=flags), kind)
    assert world.outlet.gap is not None
    world.outlet.append(message(), Kind.DATA)
    _, begun, _, _, _, gap, data = world.out
    assert (gap.cause, gap.conn, gap.last_seen_ns, gap.lost_at_ns) == ("the connection was lost", 1, 1, 2)
    assert gap.back_at_ns is not None
    assert begun == msgspec.structs.replace(gap, back_at_ns=None)
    assert data == message()


def test_a_gap_of_a_supervisor_is_ended_by_it_alone(world):
    """Data on a connection that is about to be closed are no end of a gap."""
    world.outlet.begin_gap(1, "no data")
    world.outlet.append(message(), Kind.DATA)
    assert world.outlet.gap is not None
    world.outlet.end_gap()
    begun, _, ended = world.out
    assert (begun.cause, ended) == ("no data", msgspec.structs.replace(begun, back_at_ns=ended.back_at_ns))
    world.outlet.end_gap()
    assert len(world.out) == 3


def test_a_loss_explains_a_gap_that_silence_began(world):
    world.outlet.begin_gap(1, "no data for 3 s", by_silence=True)
    world.outlet.begin_gap(1, "no data for 3 s", by_silence=True)
    world.outlet.begin_gap(1, "connection reset")
    world.outlet.begin_gap(1, "connection refused")
    world.outlet.end_gap()
    assert [one.cause for one in world.out] == ["no data for 3 s", "connection reset", "connection reset"]
    assert len({one.lost_at_ns for one in world.out}) == 1


def test_of_a_gap_that_is_open_the_first_cause_counts_and_the_last_who_began_it_ends_it(world):
    world.outlet.begin_gap(1, "reset", until_data=True)
    world.outlet.begin_gap(2, "refused")  # the supervisor of the connection that took over has lost it, too
    world.outlet.append(message(), Kind.DATA)
    assert world.outlet.gap is not None
    world.outlet.end_gap()
    gaps = [one for one in world.out if isinstance(one, Gap)]
    assert [(one.conn, one.cause) for one in gaps] == [(1, "reset")] * 2


def test_what_nothing_ends_any_more_stays_open_in_the_record(world):
    world.outlet.begin_gap(1, "reset", until_data=True)
    world.outlet.close()
    (gap,) = world.out
    assert gap.back_at_ns is None
    world.outlet.append(message(), Kind.DATA)
    assert world.out == [gap, message()]


def test_what_we_send_is_no_sign_of_the_peer(world):
    world.outlet.append(message(direction=Direction.OUT), Kind.ECHO)
    world.outlet.begin_gap(1, "reset")
    assert world.outlet.gap.last_seen_ns is None


@run_async
@problems(3)
async def test_what_is_done_with_messages_and_events_harms_nobody():
    def broken(_):
        raise OSError("disk full")

    outlet = Outlet("feed", broken, broken)
    outlet.append(message(), Kind.DATA)
    outlet.begin_gap(1, "reset")
    outlet.end_gap()
    assert outlet.gap is None
