"""When a produced stream pushes: at once, gathered, or not at all. A stream of the test's own, on a real loop."""

from __future__ import annotations

import asyncio
import itertools
import json

from tes_nb.collector.hub import Hub
from tes_nb.collector.produced import COALESCE_S, Channel
from tes_nb.model import Endpoint, Kind, Producer, Stream
from tests.support.aio import run_async
from tests.support.observations import observation


class Pages:
    """What a client's transport is given, without a transport."""

    def __init__(self, parts=()):
        self.parts = parts
        self.frames = []

    def write(self, frame):
        self.frames.append((asyncio.get_running_loop().time(), json.loads(frame[frame.index(b"{") :])))

    @property
    def values(self):
        return [message["value"] for _, message in self.frames]


class World:
    """One channel and what it observes: a value whose change pushes, and a noise that must not."""

    def __init__(self, *, pushes=True):
        self.value = 0
        self.noise = 0
        producer = Producer(
            build=self._build,
            period_s=1.0,
            changed=(lambda message: message["value"]) if pushes else None,
            select=lambda message, parts: {name: message[name] for name in parts},
        )
        stream = Stream(
            name="test",
            doc="",
            endpoint=Endpoint("status", "/test"),
            tables=(),
            main="",
            period_s=1.0,
            decode=lambda message: None,
            classify=lambda message: Kind.DATA,
            producer=producer,
        )
        self.hub = Hub(2**20)
        self.channel = Channel(stream, producer, self.hub, observation)
        self.client = Pages()
        self.channel.join(self.client)

    def _build(self, seen):
        self.noise += 1
        return {"value": self.value, "noise": self.noise}

    def change(self, value):
        self.value = value
        self.channel.touch()


@run_async
async def test_the_first_change_is_sent_in_the_same_turn():
    world = World()
    world.change(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.client.values == [0, 1]


@run_async
async def test_later_changes_of_a_burst_are_gathered():
    world = World()
    for value in range(1, 50):
        world.change(value)
        await asyncio.sleep(0.001)
    await asyncio.sleep(3 * COALESCE_S)
    pushed = world.client.frames[1:]
    assert pushed[0][1]["value"] == 1  # the first at once
    assert pushed[-1][1]["value"] == 49  # the last state always comes
    times = [at for at, _ in pushed]
    assert all(after - before > COALESCE_S * 0.9 for before, after in itertools.pairwise(times))


@run_async
async def test_what_always_moves_does_not_push():
    world = World()
    world.change(1)
    await asyncio.sleep(2 * COALESCE_S)
    for _ in range(20):
        world.channel.touch()
        await asyncio.sleep(0.002)
    await asyncio.sleep(2 * COALESCE_S)
    assert world.client.values == [0, 1]


@run_async
async def test_a_change_that_is_taken_back_within_the_burst_is_none():
    world = World()
    world.change(1)
    await asyncio.sleep(0.002)
    world.change(2)
    world.change(1)
    await asyncio.sleep(3 * COALESCE_S)
    assert world.client.values == [0, 1]


@run_async
async def test_a_tick_is_always_sent_and_counts_as_sent():
    world = World()
    await asyncio.sleep(3 * COALESCE_S)
    world.channel.tick()
    world.channel.tick()
    world.value = 1
    world.channel.tick()
    world.channel.touch()
    await asyncio.sleep(2 * COALESCE_S)
    assert world.client.values == [0, 0, 0, 1]


@run_async
async def test_what_a_client_was_greeted_with_is_not_pushed_to_it_again():
    world = World()
    await asyncio.sleep(3 * COALESCE_S)
    world.value = 1
    late = Pages()
    world.channel.join(late)
    world.channel.touch()
    await asyncio.sleep(0.5 * COALESCE_S)
    world.channel.tick()  # a grid point in the same moment
    assert (world.client.values, late.values) == ([0, 1, 1], [1])
    world.value = 2
    world.channel.tick()
    world.value = 1
    world.channel.tick()
    assert late.values == [1, 2, 1]
    world.channel.leave(late)


@run_async
async def test_a_stream_without_changes_never_pushes():
    world = World(pushes=False)
    world.change(1)
    await asyncio.sleep(2 * COALESCE_S)
    assert world.client.values == [0]


@run_async
async def test_parts_are_selected_for_each_client():
    world = World()
    narrow = Pages(parts=("value",))
    world.channel.join(narrow)
    await asyncio.sleep(3 * COALESCE_S)
    world.channel.tick()
    assert all(set(message) == {"value"} for _, message in narrow.frames)
    assert all(set(message) == {"value", "noise"} for _, message in world.client.frames)
    world.channel.leave(narrow)
    world.channel.tick()
    assert len(narrow.frames) == 2


@run_async
async def test_the_relay_gets_what_the_clients_get_and_nothing_else():
    world = World()
    world.channel.tick()
    world.change(3)
    await asyncio.sleep(2 * COALESCE_S)
    records = world.hub.topics["test"].log.after(0, 10**6)
    assert [json.loads(record[32:])["value"] for record in records] == [0, 3]


@run_async
async def test_a_closed_channel_forgets_its_plans():
    world = World()
    world.change(1)
    world.channel.close()
    await asyncio.sleep(2 * COALESCE_S)
    assert world.client.values == [0]
