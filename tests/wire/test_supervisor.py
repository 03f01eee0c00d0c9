"""The life of a connection in virtual time: peers of every kind, and any order of events."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tes_nb.model import Kind
from tes_nb.wire import lifecycle as life
from tes_nb.wire.lifecycle import (
    Abandon,
    Authorize,
    Close,
    Connect,
    Failure,
    GapBegins,
    GapEnds,
    Heartbeat,
    Lost,
    NotAuthorized,
    NotOpened,
    Opened,
    Poll,
    Received,
    Start,
    Stop,
    Subscribe,
    Tick,
)
from tes_nb.wire.profile import PROFILE
from tes_nb.wire.retry import CLOSE_CODES
from tes_nb.wire.supervisor import TRANSITIONS, State, Supervisor
from tests.support.world import World


def good_peer(every=1.0, kind=Kind.DATA):
    def peer(world, connect):
        world.opens(connect.attempt)
        world.stream(connect.attempt, every, until=700, kind=kind)

    return peer


def refusing_peer(**failure):
    return lambda world, connect: world.fails(connect.attempt, **failure)


def accept_then(code, *, after=0.002, first_data=False):
    def peer(world, connect):
        world.opens(connect.attempt)
        if first_data:
            world.says(connect.attempt, after / 2)
        world.loses(connect.attempt, after, code)

    return peer


# The good case ---------------------------------------------------------------------------------------


def test_a_good_peer_is_connected_once_and_stays_open():
    world = World(good_peer(), poll=lambda world: None).start().run(600)
    assert len(world.given(Connect)) == 1
    assert str(world.view()) == "OPEN"
    assert [command for _at, command in world.commands if not isinstance(command, (Connect, Subscribe))] == []


def test_the_subscription_is_sent_once_after_each_open_at_once():
    world = World(accept_then(1001, after=3)).start().run(60)
    assert len(world.given(Subscribe)) == world.supervisor.view(0).reconnects + 1
    opened = [at for at, text in world.states if text.startswith("OPEN")]
    sent = [at + world.started for at in world.times(Subscribe)]
    assert all(any(0 <= at - open_at <= 1 for open_at in opened) for at in sent)


def test_heartbeats_keep_their_interval():
    world = World(good_peer(), heartbeat_s=10.0).start().run(605)
    assert len(world.given(Heartbeat)) == 60


def test_without_a_heartbeat_none_is_sent():
    assert World(good_peer()).start().run(600).given(Heartbeat) == []


# Attempts stay under the curve -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1006, 1011])
@pytest.mark.parametrize("first_data", [False, True])
def test_fault_13_accept_then_close_gets_few_attempts(code, first_data):
    for seed in range(50):
        world = (
            World(accept_then(code, first_data=first_data), seed=seed, poll=lambda world: None)
            .start()
            .run(300)
        )
        tries = world.times(Connect)
        assert sum(at <= 60 for at in tries) <= 8
        assert len(tries) <= 17
        assert len(tries) >= 9  # and it does not give up either


def test_fault_13_an_open_socket_without_data_is_no_success_however_long_it_lasts():
    world = World(accept_then(1000, after=40), seed=3).start().run(900)
    waits = [float(text.split()[1]) for _at, text in world.states if text.startswith("WAITING")]
    assert waits[-1] >= 30  # the backoff was never reset


def test_the_backoff_starts_anew_after_30_healthy_seconds_with_data():
    world = World(accept_then(1000, after=31, first_data=True), seed=3).start().run(900)
    waits = [float(text.split()[1]) for _at, text in world.states if text.startswith("WAITING")]
    assert len(waits) > 20
    assert max(waits) <= 1.0


@pytest.mark.parametrize("kind", ["refused", "dns", "timeout", "tls", "network", "protocol", "redirect"])
def test_fault_11_failures_on_the_way_are_never_final(kind):
    world = World(refusing_peer(kind=kind, sentence="name not found")).start().run(3600)
    tries = world.times(Connect)
    assert sum(at <= 60 for at in tries) <= 8
    assert 60 <= len(tries) <= 130  # the cap: one try in 30 to 60 s
    assert str(world.view()).startswith("WAITING ")
    assert str(world.view()).endswith(" s: name not found")


# What peers answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_fault_14_a_refused_token_is_replaced_at_once_but_only_once(status):
    world = World(refusing_peer(status=status), token=lambda world, attempt: None).start().run(60)
    tries = world.times(Connect)
    assert len(world.given(Authorize)) == len(tries)
    assert tries[1] - tries[0] < 0.1
    assert tries[2] - tries[1] >= 0.5
    assert len(tries) <= 8


def test_fault_14_without_a_token_source_there_is_nothing_new_to_try_at_once():
    tries = World(refusing_peer(status=401)).start().run(60).times(Connect)
    assert tries[1] - tries[0] >= 0.5


def test_a_token_that_cannot_be_had_shows_its_sentence_and_makes_no_handshake():
    def token(world, attempt):
        return NotAuthorized(attempt, "the token endpoint gave dashes")

    world = World(good_peer(), token=token).start().run(300)
    assert world.given(Connect) == []
    assert str(world.view()).endswith(": the token endpoint gave dashes")
    assert 9 <= len(world.given(Authorize)) <= 17


@pytest.mark.parametrize("status", [429, 503])
def test_fault_15_retry_after_is_honoured(status):
    for seed in range(20):
        world = World(refusing_peer(status=status, retry_after_s=30.0), seed=seed).start().run(600)
        tries = world.times(Connect)
        assert all(later - sooner >= 30 for sooner, later in itertools.pairwise(tries))
        assert len(tries) > 9


def test_a_retry_after_of_a_year_keeps_us_away_for_an_hour():
    world = World(refusing_peer(status=503, retry_after_s=3.15e7)).start().run(3 * 3600)
    assert len(world.given(Connect)) in (3, 4)


@pytest.mark.parametrize("status", [400, 404])
def test_fault_16_five_times_not_found_is_a_visible_failure_that_is_still_tried(status):
    world = World(refusing_peer(status=status, sentence="not found"), paths=2).start().run(600)
    texts = [text for _at, text in world.states]
    assert texts[-1].startswith(f"FAILED {status}: not found")
    tries = world.times(Connect)
    shown = next(at for at, text in world.states if text.startswith("FAILED")) - world.started
    assert sum(at <= shown for at in tries) == 5
    late = [at for at in tries if at >= shown]
    assert all(later - sooner >= 60 for sooner, later in itertools.pairwise([shown, *late]))
    assert len(late) >= 7


def test_fault_16_the_aliases_are_walked_through():
    world = World(refusing_peer(status=404), paths=3).start().run(300)
    assert [command.path for command in world.given(Connect)][:7] == [0, 1, 2, 0, 1, 2, 0]


def test_an_alias_that_works_is_kept_after_a_loss():
    def peer(world, connect):
        if connect.path == 0:
            world.fails(connect.attempt, status=404)
        else:
            world.opens(connect.attempt)
            world.says(connect.attempt, 0.1)
            world.loses(connect.attempt, 5)

    world = World(peer, paths=2).start().run(120)
    assert {command.path for command in world.given(Connect)[1:]} == {1}


def test_a_failure_of_another_kind_takes_the_failed_sign_away():
    answers = [{"status": 404}] * 5 + [{"kind": "refused"}] * 99

    def peer(world, connect):
        world.fails(connect.attempt, **answers[connect.attempt - 1])

    world = World(peer).start().run(30)
    assert str(world.view()).startswith("FAILED 404")
    world.run(120)
    assert str(world.view()).startswith("WAITING")


@pytest.mark.parametrize("code", [*sorted(CLOSE_CODES), 4000, 4500, 4999])
def test_fault_24_every_close_code_leads_to_another_try_at_its_pace(code):
    world = World(accept_then(code, after=40, first_data=True)).start().run(400)
    tries = world.times(Connect)
    assert len(tries) >= 3
    slow = code in CLOSE_CODES and CLOSE_CODES[code].slow
    assert min(b - a for a, b in itertools.pairwise(tries)) >= 40 + (30 if slow else 0.4)
    assert world.view().close_code == code


# Greetings, silence, polling -------------------------------------------------------------------------


def greeting_peer(echoing=True):
    """Path 1 greets and echoes; path 0 streams."""

    def peer(world, connect):
        world.opens(connect.attempt)
        if connect.path == 0:
            world.says(connect.attempt, 0.01, Kind.GREETING)
            if echoing:
                world.stream(connect.attempt, 1.0, until=100, kind=Kind.ECHO)
        else:
            world.stream(connect.attempt, 0.5, until=300)

    return peer


def test_a_greeting_without_data_leads_to_the_next_path():
    world = World(greeting_peer(), paths=2).start().run(60)
    assert [command.path for command in world.given(Connect)] == [0, 1]
    assert world.times(Connect)[1] <= 6
    assert world.view().word == "OPEN"


def test_with_a_single_path_a_greeting_is_lived_with():
    def peer(world, connect):
        world.opens(connect.attempt)
        world.says(connect.attempt, 0.01, Kind.GREETING)
        world.stream(connect.attempt, 5, until=500, kind=Kind.REPLY)

    world = World(peer, poll=lambda world: None).start().run(300)
    assert len(world.given(Connect)) == 1
    assert world.view().word == "POLLING"


def silent_after_one(world, connect):
    world.opens(connect.attempt)
    world.says(connect.attempt, 0.01)
    world.stream(connect.attempt, 10, until=700, kind=Kind.REPLY)


def test_a_silent_push_is_polled_beside_the_open_socket_until_pushes_come():
    world = World(silent_after_one, poll=lambda world: None).start().run(60)
    assert world.given(Close) == []
    assert str(world.view()) == "POLLING: every 1 s over HTTP, no push for 2.5 s"
    polls = world.times(Poll)
    assert 2.5 <= polls[0] <= 2.7
    assert 55 <= len(polls) <= 59
    assert {command.conn for command in world.given(Poll)} == {2}
    world.says(1, 0.1)
    world.run(1)
    assert world.view().word == "POLLING"  # one push alone proves nothing
    world.says(1, 0.1)
    world.run(1)
    assert world.view().word == "OPEN"
    before = len(world.given(Poll))
    world.run(1.4)
    assert len(world.given(Poll)) == before
    assert world.given(GapBegins) == []


def test_fault_86_a_silent_socket_that_is_opened_again_interrupts_no_polls():
    def peer(world, connect):
        world.opens(connect.attempt)
        world.says(connect.attempt, 0.01)  # an original TES: its status comes once, when one connects

    world = World(peer, poll=lambda world: None).start().run(300)
    assert len(world.given(Connect)) >= 4  # the watchdog looks whether it pushes by now
    polls = world.times(Poll)
    assert max(later - earlier for earlier, later in itertools.pairwise(polls)) < 1.5
    assert world.given(GapBegins) == []


def test_fault_86_silence_on_an_open_connection_is_a_gap_from_three_periods_on():
    def peer(world, connect):
        world.opens(connect.attempt)
        world.stream(connect.attempt, 0.5, until=10.5)  # the last one at 10 s

    world = World(peer, period_s=0.5).start().run(11.4)
    assert world.given(GapBegins) == []
    world.run(0.2)
    assert world.given(GapBegins) == [GapBegins(1, "no data for 1.5 s", by_silence=True)]
    world.run(5)
    assert len(world.given(GapBegins)) == 1
    world.says(1, 0.1)
    world.run(0.2)
    assert len(world.given(GapEnds)) == 1


def test_what_a_peer_says_of_its_own_accord_shows_that_nothing_is_missing():
    calm = World(good_peer(every=10, kind=Kind.KEEPALIVE), period_s=6.0).start().run(120)
    assert calm.given(GapBegins) == []
    deaf = World(good_peer(every=10, kind=Kind.REPLY), period_s=6.0).start().run(120)
    assert deaf.given(GapBegins) == [GapBegins(1, "no data for 18 s", by_silence=True)]


def test_fault_86_polls_that_hang_are_a_gap_too():
    def peer(world, connect):
        world.fails(connect.attempt, status=404, sentence="not found")

    polls = iter([None] * 20)
    world = World(peer, poll=lambda world: next(polls, ...)).start().run(60)
    assert [command.cause for command in world.given(GapBegins)] == ["not found", "no data for 3 s"]


def test_a_peer_without_the_websocket_is_polled_at_once_and_still_tried():
    world = (
        World(refusing_peer(status=404, sentence="not found"), poll=lambda world: None, paths=2)
        .start()
        .run(300)
    )
    assert world.times(Poll)[0] < 0.1
    assert len(world.given(Poll)) >= 290
    assert str(world.view()) == "POLLING: every 1 s over HTTP, not found"
    assert len(world.given(Connect)) >= 8
    assert world.view().conn == 0


def test_an_unreachable_peer_is_not_polled():
    assert World(refusing_peer(kind="refused"), poll=lambda world: None).start().run(300).given(Poll) == []


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_peer_that_refuses_us_is_not_polled(status):
    assert World(refusing_peer(status=status), poll=lambda world: None).start().run(300).given(Poll) == []


def test_polls_that_fail_back_off_and_are_not_called_polling():
    failure = Failure("poll", "HTTP 404")
    world = (
        World(refusing_peer(status=404, sentence="not found"), poll=lambda world: failure).start().run(300)
    )
    assert len(world.given(Poll)) <= 17
    assert "POLLING" not in " ".join(text for _at, text in world.states)
    assert world.view().word == "FAILED"


def test_polling_fills_the_time_of_a_connection_that_hangs():
    def hanging(world, connect):
        world.fails(connect.attempt, 5, kind="timeout", sentence="no answer")

    world = World(hanging, poll=lambda world: None).start().run(30)
    assert world.view().word == "POLLING"
    assert len(world.given(Poll)) >= 25


def test_a_stream_of_long_periods_is_not_polled_too_soon():
    world = World(good_peer(every=10), poll=lambda world: None, period_s=10.0).start().run(300)
    assert world.given(Poll) == []


def test_stale_shows_after_three_periods_without_data_and_goes_with_data():
    world = World(silent_after_one, period_s=0.5).start().run(1.4)
    assert str(world.view()) == "OPEN"
    world.run(0.2)
    assert str(world.view()) == "OPEN · stale: no data for 3 periods"
    world.says(1, 0.1)
    world.run(0.2)
    assert str(world.view()) == "OPEN"


def test_keepalives_and_replies_are_no_data():
    for kind in (Kind.KEEPALIVE, Kind.REPLY, Kind.ECHO, Kind.ERROR, Kind.UNDECODED, Kind.GREETING):
        world = World(good_peer(kind=kind), poll=None).start().run(300)
        assert world.view().stale
        assert len(world.given(Connect)) == 1  # and no storm of reconnects


def test_the_watchdog_leaves_a_peer_that_says_nothing_at_all_within_a_minute():
    world = World(lambda world, connect: world.opens(connect.attempt)).start().run(200)
    tries = world.times(Connect)
    assert tries[1] - tries[0] <= 60
    assert any("no message for 57 s" in text for _at, text in world.states)


# Gaps ------------------------------------------------------------------------------------------------


def test_a_gap_reaches_from_the_loss_to_the_next_data():
    def peer(world, connect):
        if connect.attempt in (2, 3):
            world.fails(connect.attempt)
            return
        world.opens(connect.attempt)
        world.stream(connect.attempt, 0.5, until=10.1 if connect.attempt == 1 else 100)
        if connect.attempt == 1:
            world.loses(connect.attempt, 10.1, 1000, "closed 1000 Idle timeout")

    world = World(peer).start().run(40)
    assert world.given(GapBegins) == [GapBegins(1, "closed 1000 Idle timeout")]
    assert len(world.given(GapEnds)) == 1
    assert world.times(GapBegins)[0] < world.times(GapEnds)[0]


def test_polled_data_ends_a_gap_too():
    world = World(refusing_peer(status=404), poll=lambda world: None).start().run(5)
    assert len(world.given(GapBegins)) == len(world.given(GapEnds)) >= 1
    assert world.given(GapBegins)[0].conn == 0


# Clocks and sleep ------------------------------------------------------------------------------------


@pytest.mark.parametrize("still_s", [8.0, 25.0, 7200.0])
def test_fault_76_a_suspended_process_does_not_blame_its_peer(still_s):
    world = World(silent_after_one, period_s=1.0, profile=PROFILE).start().run(2)
    world.stand_still(still_s)
    world.run(0.5)
    assert world.given(Close) == []
    assert not world.view().stale


def test_fault_76_a_retry_that_came_due_in_the_sleep_happens_on_waking():
    world = World(refusing_peer()).start().run(100)
    before = len(world.given(Connect))
    world.stand_still(7200)
    world.run(1.1)
    assert len(world.given(Connect)) == before + 1


def test_a_clock_that_goes_backwards_changes_nothing():
    world = World(good_peer()).start().run(10)
    world.now -= 5
    world.feed(Tick())
    world.run(20)
    assert world.view().word == "OPEN"
    assert not world.view().stale


# The end ---------------------------------------------------------------------------------------------


def test_stop_closes_an_open_connection_and_nothing_follows():
    world = World(good_peer()).start().run(5)
    world.stop()
    assert world.given(Close) == [Close(1, "done")]
    world.run(300)
    assert len(world.given(Connect)) == 1
    assert str(world.view()) == "CLOSED"
    assert world.supervisor.deadline() == float("inf")


def test_stop_gives_up_an_attempt_under_way():
    world = World(lambda world, connect: None).start().run(1)
    world.stop()
    assert world.given(Abandon) == [Abandon(1)]


def test_stop_while_waiting_or_before_the_start_asks_for_nothing():
    world = World(refusing_peer()).start().run(0.2)
    world.stop()
    assert world.given(Abandon) == world.given(Close) == []
    idle = World(good_peer())
    idle.stop()
    assert idle.commands == []
    assert str(idle.view()) == "CLOSED"


def test_an_attempt_that_was_given_up_and_opens_after_all_is_closed():
    world = World(lambda world, connect: None).start().run(1)
    world.stop()
    world.feed(Opened(1))
    assert world.given(Close) == [Close(1, "superseded")]


def test_late_words_about_an_old_attempt_are_ignored():
    world = World(accept_then(1000, after=5)).start().run(20)
    attempts = len(world.given(Connect))
    world.feed(Lost(1, 1006, "late"))
    world.feed(NotOpened(1, Failure("refused", "late")))
    world.feed(Received(1, Kind.DATA))
    assert len(world.given(Connect)) == attempts
    assert "late" not in str(world.view())


def test_the_table_speaks_of_states_and_events_that_exist():
    events = set(life.Event.__args__)
    assert {state for state, _event in TRANSITIONS} <= set(State)
    assert {event for _state, event in TRANSITIONS} <= events
    assert {event for _state, event in TRANSITIONS} == events  # and none is dead


# Any order of events ---------------------------------------------------------------------------------

attempts = st.integers(0, 4)
failures = st.builds(
    Failure,
    st.sampled_from(["refused", "status", "timeout", "dns"]),
    st.just("no"),
    st.none() | st.integers(100, 599),
    st.none() | st.floats(0, 1e9),
)
any_event = st.one_of(
    st.builds(Start),
    st.builds(Stop),
    st.builds(Tick),
    st.builds(life.Authorized, attempts),
    st.builds(NotAuthorized, attempts, st.just("no token")),
    st.builds(Opened, attempts),
    st.builds(NotOpened, attempts, failures),
    st.builds(Received, attempts, st.sampled_from(list(Kind))),
    st.builds(Lost, attempts, st.integers(0, 5000), st.just("gone")),
    st.builds(life.Polled, st.none() | failures),
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(any_event, st.floats(-5, 5000)), max_size=60),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
)
def test_no_order_of_events_crashes_it(script, can_poll, authorizes, paths):
    supervisor = Supervisor(
        period_s=1.0,
        random=lambda: 0.5,
        can_poll=can_poll,
        authorizes=authorizes,
        paths=paths,
        heartbeat_s=10.0,
    )
    now = 0.0
    for event, step in script:
        now += step
        for command in supervisor.handle(event, now):
            if isinstance(command, Connect):
                assert 0 <= command.path < paths
        assert str(supervisor.view(now))
        assert supervisor.deadline() == supervisor.deadline()  # a number, or infinity


class Shell(RuleBasedStateMachine):
    """A shell that answers each command at a time of its own choosing, in any order that is possible."""

    def __init__(self):
        super().__init__()
        self.supervisor = Supervisor(
            period_s=1.0, random=lambda: 0.3, can_poll=True, authorizes=True, heartbeat_s=10, paths=2
        )
        self.now = 0.0
        self.authorizing, self.connecting, self.open, self.closing = set(), set(), set(), set()
        self.polls = 0
        self.stopped = False
        self.feed(Start())

    def feed(self, event):
        for command in self.supervisor.handle(event, self.now):
            match command:
                case Authorize(attempt):
                    self.authorizing.add(attempt)
                case Connect(attempt):
                    self.connecting.add(attempt)
                case Abandon(attempt):
                    self.authorizing.discard(attempt)
                    self.connecting.discard(attempt)
                case Close(attempt):
                    assert attempt in self.open, "closes what is not open"
                    self.open.discard(attempt)
                    self.closing.add(attempt)
                case Subscribe(attempt) | Heartbeat(attempt):
                    assert attempt in self.open, "sends on what is not open"
                case Poll():
                    self.polls += 1

    @rule(step=st.floats(0.001, 70))
    def tick(self, step):
        self.now = min(max(self.now, self.supervisor.deadline()), self.now + step)
        self.feed(Tick())

    @precondition(lambda self: self.authorizing)
    @rule(works=st.booleans())
    def token(self, works):
        attempt = self.authorizing.pop()
        self.feed(life.Authorized(attempt) if works else NotAuthorized(attempt, "dashes"))

    @precondition(lambda self: self.connecting)
    @rule(failure=st.none() | failures)
    def handshake(self, failure):
        attempt = self.connecting.pop()
        if failure is not None:
            self.feed(NotOpened(attempt, failure))
            return
        self.open.add(attempt)
        self.feed(Opened(attempt))

    @precondition(lambda self: self.open)
    @rule(kind=st.sampled_from(list(Kind)))
    def message(self, kind):
        self.feed(Received(next(iter(self.open)), kind))

    @precondition(lambda self: self.open or self.closing)
    @rule(code=st.sampled_from([1000, 1006, 1008, 1013, 4401]))
    def loss(self, code):
        attempt = (self.closing or self.open).pop()
        self.feed(Lost(attempt, code, "gone"))

    @precondition(lambda self: self.polls)
    @rule(works=st.booleans())
    def poll_ends(self, works):
        self.polls -= 1
        self.feed(life.Polled(None if works else Failure("poll", "no")))

    @rule()
    @precondition(lambda self: self.now > 500)
    def stop(self):
        self.stopped = True
        self.feed(Stop())

    @invariant()
    def never_two_connections(self):
        assert len(self.authorizing | self.connecting | self.open | self.closing) <= 1

    @invariant()
    def never_two_polls(self):
        assert self.polls <= 1

    @invariant()
    def always_going_on(self):
        """It waits for an answer, for the clock, or for nothing because it was stopped."""
        if not self.stopped:
            waits = self.authorizing | self.connecting | self.open | self.closing
            assert waits or self.supervisor.deadline() < float("inf")


TestShell = Shell.TestCase
TestShell.settings = settings(max_examples=60, stateful_step_count=50)
