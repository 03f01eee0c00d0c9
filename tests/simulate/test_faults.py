import pytest

from tes_nb.errors import DecodeError, TesError
from tes_nb.model import Kind, Message
from tes_nb.simulate import FAULTS, Fault, parse_fault
from tes_nb.simulate.fault_runner import BUILDERS, SAMPLE, bomb, malformed_frame, members
from tes_nb.simulate.faults import (
    CALM_S,
    CUTS,
    MOST_IN_A_BOUT,
    NUISANCES,
    REFUSALS,
    SERVED_S,
    ActiveFaults,
    Plan,
    check,
)
from tes_nb.simulate.world import chance
from tes_nb.streams.nowgoal.stream import STREAM
from tes_nb.wire.inflate import inflate


def test_a_fault_in_words():
    assert parse_fault("reset") == Fault("reset")
    assert parse_fault("handshake:status=429,retry_after=30") == Fault(
        "handshake", status=429, retry_after=30.0
    )
    assert parse_fault("random:every=0.5") == Fault("random", every=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("earthquake", "There is no fault 'earthquake'"),
        ("reset:times", "where key=value belongs"),
        ("reset:times=x", "This is no fault"),
        ("reset:times=0", "This is no fault"),
        ("reset:colour=red", "This is no fault"),
        ("close:code=1006", "No server can send the close code 1006"),
        ("close:code=2000", "No server can send the close code 2000"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_sentence(text, said):
    with pytest.raises(TesError, match=said):
        parse_fault(text)


@pytest.mark.parametrize("item", [None, 3, "reset", [], {}, {"fault": 3}])
def test_json_that_is_no_fault_is_refused(item):
    with pytest.raises(TesError):
        check(item)


def test_a_fault_acts_once_unless_asked_otherwise():
    faults = ActiveFaults([Fault("token_dashes"), Fault("handshake", times=2)], now=0)
    assert faults.use("token_dashes", 1)
    assert faults.use("token_dashes", 1) is None
    assert [bool(faults.use("handshake", 1)) for _ in range(3)] == [True, True, False]
    assert faults.counts == {"token_dashes": 1, "handshake": 2}


def test_a_state_lasts_until_cleared_or_its_seconds_are_over():
    faults = ActiveFaults([Fault("refuse_second"), Fault("only_ok", seconds=5)], now=10)
    assert faults.peek("only_ok", 14.9)
    assert faults.peek("only_ok", 15) is None
    assert all(faults.use("refuse_second", at) for at in range(20, 30))
    faults.clear()
    assert faults.active(30) == []


def test_seconds_let_a_fault_strike_any_number_of_times():
    faults = ActiveFaults([Fault("token_html", seconds=5)], now=0)
    assert all(faults.use_any("token", at) for at in (0, 1, 4.9))
    assert faults.use_any("token", 5) is None


def test_seconds_of_a_hang_are_its_length():
    faults = ActiveFaults([Fault("token_hang", seconds=5)], now=0)
    assert faults.use("token_hang", 100).seconds == 5
    assert faults.use("token_hang", 100) is None


def test_every_place_of_faults_is_known():
    assert {place for place, _ in FAULTS.values()} == {"token", "handshake", "connection", "message", "plan"}
    assert set(BUILDERS) <= {name for name, (place, _) in FAULTS.items() if place == "message"}


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("half_frame", {"truncated"}),
        ("twice_deflated", {"twice compressed"}),
        ("trailing_junk", {"trailing bytes"}),
        ("bad_crc", {"corrupt"}),
        ("preset_dictionary", {"preset dictionary"}),
        ("random_bytes", {"not text", "corrupt", "truncated"}),
    ],
)
def test_junk_is_what_it_is_called(name, reasons):
    for seed in range(20):
        frame = malformed_frame(Fault(name), chance(seed))
        with pytest.raises(DecodeError) as caught:
            inflate(frame.payload)
        assert caught.value.reason in reasons


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_no_junk_decodes(name):
    frame = malformed_frame(Fault(name, size=2 << 20 if name == "bomb" else None), chance(1))
    decoded = STREAM.decode(Message("nowgoal", 0, 1 if frame.text else 2, frame.payload, 0, 0, 1, 1))
    assert decoded.kind is Kind.UNDECODED
    assert len(decoded.notes) == 1


@pytest.mark.parametrize("form", ["zlib", "gzip", "raw"])
def test_a_bomb_is_small_and_refused(form):
    packed = bomb(64 << 20, form)
    assert len(packed) < 1 << 17
    with pytest.raises(DecodeError) as caught:
        inflate(packed)
    assert caught.value.reason == "too large"


def test_gzip_members_hold_the_whole_message():
    packed = members(SAMPLE.encode())
    assert packed.count(b"\x1f\x8b\x08") == 1000
    assert inflate(packed) == SAMPLE.encode()


def drawn(seed, served_s=100.0, *, waiting=False, count=2000):
    plan = Plan(seed, every=2.0)
    return [(plan.wait(), plan.next(served_s, waiting)) for _ in range(count)]


def test_the_plan_is_the_same_for_a_seed_and_keeps_its_mean():
    first = drawn(3)
    assert first == drawn(3)
    assert first != drawn(4)
    waits = [wait for wait, _ in first]
    assert min(waits) >= 0.2
    assert 1.8 < sum(waits) / len(waits) < 2.3
    every = {fault.fault for _, fault in (*CUTS, *REFUSALS, *NUISANCES)}
    assert {fault.fault for _, fault in first} == every
    assert every <= set(FAULTS)


def test_the_plan_acts_nobody_who_is_not_there():
    assert {fault for _, fault in drawn(3, None)} == {None}


def test_the_plan_lets_one_refusal_wait_at_a_time():
    refusals = {fault.fault for _, fault in REFUSALS}
    assert not refusals & {fault.fault for _, fault in drawn(3, waiting=True)}


def test_the_plan_cuts_in_bouts_and_leaves_a_calm_between_them():
    plan = Plan(3, every=2.0)
    nuisances = [fault for _, fault in NUISANCES]

    def cuts(served_s):
        dealt = [plan.next(served_s, waiting=False) for _ in range(200)]
        return sum(fault.times or 1 for fault in dealt if fault not in nuisances)

    assert cuts(SERVED_S / 2) == 0
    assert MOST_IN_A_BOUT <= cuts(SERVED_S) <= MOST_IN_A_BOUT + 1
    assert cuts(CALM_S - 1) == 0
    plan.next(CALM_S, waiting=False)
    assert cuts(SERVED_S) >= MOST_IN_A_BOUT - 1
