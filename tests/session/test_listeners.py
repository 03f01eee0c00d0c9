from __future__ import annotations

import asyncio
import threading

import pytest

from tes_nb.errors import BackgroundError
from tes_nb.session import listeners
from tes_nb.session.listeners import Listeners
from tests.support.messages import message


def publish_from_a_thread(to: Listeners, numbers: range) -> None:
    def run() -> None:
        for number in numbers:
            to.publish(message({}, seq=number))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_an_iteration_gets_every_message_and_ends():
    listening = Listeners()

    async def read() -> list[int]:
        got = []
        reading = listening.iterate()
        first = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0)
        await asyncio.to_thread(publish_from_a_thread, listening, range(100))
        got.append((await first).seq)
        listening.close()
        got += [one.seq async for one in reading]
        return got

    assert asyncio.run(read()) == list(range(100))


def test_a_slow_iteration_loses_the_oldest_and_they_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listeners, "BUFFER", 10)
    listening = Listeners()

    async def read() -> list[int]:
        reading = listening.iterate()
        first = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0)
        publish_from_a_thread(listening, range(25))
        listening.close()
        return [(await first).seq, *[one.seq async for one in reading]]

    assert asyncio.run(read()) == list(range(15, 25))
    assert listening.dropped == 15


def test_an_iteration_left_early_is_forgotten():
    listening = Listeners()

    async def read() -> None:
        reading = listening.iterate()
        first = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0)
        listening.publish(message({}))
        await first
        await reading.aclose()

    asyncio.run(read())
    listening.publish(message({}))  # nobody there, nothing happens
    assert listening._iterations == []


def test_a_closed_loop_does_not_disturb_the_publisher():
    listening = Listeners()
    loop = asyncio.new_event_loop()
    listening._iterations.append(listeners._Iteration(loop))
    loop.close()
    listening.publish(message({}))


def test_callbacks_come_off_and_errors_come_out_once():
    listening = Listeners()
    seen: list[int] = []

    def good(one):
        seen.append(one.seq)

    def bad(one):
        raise KeyError("x")

    off_good, off_bad = listening.on_message(good), listening.on_message(bad)
    listening.publish(message({}, seq=1))
    with pytest.raises(BackgroundError, match="'bad' raised KeyError"):
        listening.raise_pending()
    listening.raise_pending()
    off_bad()
    off_good()
    off_good()
    listening.publish(message({}, seq=2))
    listening.raise_pending()
    assert seen == [1]


def test_an_iteration_that_begins_when_nothing_can_come_any_more_ends_at_once():
    listening = Listeners()
    listening.close()

    async def read() -> list[object]:
        async with asyncio.timeout(5):
            return [one async for one in listening.iterate()]

    assert asyncio.run(read()) == []
