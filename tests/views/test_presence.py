"""Who looks at a view, and how long the kernel could hear them."""

from __future__ import annotations

import asyncio
import threading
import time

from tes_nb.views.push import SILENCE_S, UNHEARD_S, Listening, Presence


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def presence() -> tuple[Presence, Clock]:
    clock = Clock()
    return Presence(clock), clock


def say(one: Presence, kind: str, client: str = "a", **more: object) -> None:
    one.note_message({"type": kind, "client": client, **more})


def test_a_new_view_counts_as_seen_until_somebody_could_have_spoken():
    one, clock = presence()
    assert one.watched
    clock.now = UNHEARD_S - 1
    assert one.watched
    clock.now = UNHEARD_S + 1
    assert not one.watched
    say(one, "hello")
    assert one.watched


def test_hidden_views_are_not_watched_and_one_that_is_seen_suffices():
    one, _ = presence()
    say(one, "hello")
    say(one, "visible", value=False)
    assert not one.watched
    say(one, "hello", "b")
    assert one.watched
    say(one, "bye", "b")
    assert (one.watched, one.clients) == (False, 1)
    say(one, "visible", value=True)
    assert one.watched
    say(one, "visible", value="yes")
    assert not one.watched


def test_a_browser_that_falls_silent_is_gone():
    one, clock = presence()
    say(one, "hello")
    clock.now = SILENCE_S - 1
    say(one, "alive")
    clock.now = 2 * SILENCE_S - 2
    assert one.watched
    clock.now = 3 * SILENCE_S
    assert (one.watched, one.clients) == (False, 0)


def test_closed_pages_do_not_pile_up():
    one, clock = presence()
    for n in range(50):
        say(one, "visible", f"c{n}", value=False)
    clock.now = 13 * 3600
    assert not one.watched
    assert one.clients == 0


def test_what_is_not_ours_is_ignored():
    one, _ = presence()
    one.note_message({"type": "nonsense", "client": "a"})
    one.note_message({"type": "hello"})
    assert not one.confirmed


def test_without_a_loop_time_simply_passes():
    clock = Clock()
    listening = Listening(clock)
    clock.now = 5.0
    assert listening.seconds() == 5.0


async def listened(busy_s: float) -> tuple[float, float]:
    """Seconds that counted while the loop was held, and afterwards."""
    listening = Listening()
    end = time.monotonic() + busy_s
    while time.monotonic() < end:
        await asyncio.to_thread(lambda: None) if busy_s == 0 else time.sleep(0.05)
        listening.seconds()
    held = listening.seconds()
    for _ in range(26):
        await asyncio.sleep(0.1)
        listening.seconds()
    return held, listening.seconds()


def test_a_loop_that_is_held_does_not_count():
    held, after = asyncio.run(listened(2.5))
    assert held == 0
    assert 0.9 <= after <= 3.0


def test_a_view_made_in_a_subshell_watches_the_loop_that_cells_keep_from_hearing():
    async def main() -> None:
        Listening()  # as each kernel's first view does
        made: list[Listening] = []

        async def in_a_subshell() -> None:
            made.append(Listening())

        subshell = threading.Thread(target=lambda: asyncio.run(in_a_subshell()))
        subshell.start()
        subshell.join()
        before = made[0].seconds()
        time.sleep(1.2)  # a cell: this loop hears nobody
        assert made[0].seconds() == before
        time.sleep(0.2)
        assert made[0].seconds() == before

    asyncio.run(main())
