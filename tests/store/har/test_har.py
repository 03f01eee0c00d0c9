"""HAR files in: whole, huge, broken, hostile, and full of secrets."""

from __future__ import annotations

import json
import random

import pytest

from tes_nb.errors import SessionError
from tes_nb.model import Direction, Opcode
from tes_nb.store.har import har as har_module
from tes_nb.store.har.har import HarReport, address_ahead, read_har
from tes_nb.store.har.har_message import CONTROL
from tes_nb.store.har.har_session import import_har
from tes_nb.store.session.check import check
from tes_nb.store.session.reader import SessionFile
from tests.support.child import in_child
from tests.support.hars import METRICS, STATUS, TIME, binary, entry, har, recognise, text, write, write_large

BASE = round(TIME * 1e6) * 1000


def read(path, **options):
    report = HarReport()
    return list(read_har(path, recognise, report=report, **options)), report


def test_text_and_binary_in_both_directions(tmp_path):
    messages = [text(0, '{"a":1}'), binary(1, b"\x78\x9c\0\xff"), text(2, '{"type":"ping"}', kind="send")]
    found, report = read(write(tmp_path / "a.har", entry(METRICS, messages)))
    assert [(each.direction, each.opcode, each.payload) for each in found] == [
        (Direction.IN, Opcode.TEXT, b'{"a":1}'),
        (Direction.IN, Opcode.BINARY, b"\x78\x9c\0\xff"),
        (Direction.OUT, Opcode.TEXT, b'{"type":"ping"}'),
    ]
    assert [each.t_wall_ns for each in found] == [BASE, BASE + 10**6, BASE + 2 * 10**6]
    assert [(each.source, each.conn, each.seq) for each in found] == [
        ("metrics", 1, number) for number in (1, 2, 3)
    ]
    assert (report.messages, report.connections, report.lossy) == (3, 1, False)
    assert report.urls == {"metrics": METRICS}


def test_each_entry_is_a_connection_of_its_source(tmp_path):
    found, report = read(
        write(
            tmp_path / "a.har",
            entry(METRICS, [text(0, "1"), text(1, "2")]),
            entry("https://x/page.js", None),
            entry(STATUS, [text(2, "3")]),
            entry(METRICS, [text(3, "4")]),
            entry("wss://elsewhere/chat?token=abc", [text(4, "5"), text(5, "6")]),
        )
    )
    assert [(each.source, each.conn, each.seq, each.payload) for each in found] == [
        ("metrics", 1, 1, b"1"),
        ("metrics", 1, 2, b"2"),
        ("status", 1, 1, b"3"),
        ("metrics", 2, 3, b"4"),
    ]
    assert report.unrecognised == {"wss://elsewhere/chat?token=REDACTED": 2}
    assert not report.lossy
    assert "2 messages of wss://elsewhere/chat?token=REDACTED belong to no known stream." in report.sentences


def test_the_address_may_come_first(tmp_path):
    late = entry(METRICS, [text(0, "1")])
    early = {"request": late["request"], **late}
    assert next(iter(early)) == "request"
    found, _ = read(write(tmp_path / "a.har", early, late))
    assert [(each.source, each.conn) for each in found] == [("metrics", 1), ("metrics", 2)]


@pytest.fixture
def impatient(monkeypatch):
    """Look ahead after a few bytes instead of megabytes."""
    monkeypatch.setattr(har_module, "_MEMORY", 1000)


@pytest.mark.usefixtures("impatient")
def test_an_address_far_behind_is_looked_for_ahead(tmp_path):
    data = '{"request":{"url":"ws://trap/"}}' * 3  # quotes are escaped in the file: no key
    many = [text(number, data) for number in range(2000)]
    found, report = read(write(tmp_path / "a.har", entry(METRICS, many), entry(STATUS, many)))
    assert [each.source for each in found] == ["metrics"] * 2000 + ["status"] * 2000
    assert [each.seq for each in found] == [*range(1, 2001)] * 2
    assert [each.payload for each in found] == [data.encode()] * 4000
    assert report.connections == 2


@pytest.mark.usefixtures("impatient")
def test_an_address_in_another_place_than_chromes_is_refused_not_mixed_up(tmp_path):
    many = [{**text(number, "x" * 100), "more": {"request": {"url": "ws://trap/"}}} for number in range(2000)]
    path = write(tmp_path / "a.har", entry(METRICS, many))
    with pytest.raises(SessionError, match="does not give the address of a connection where Chrome does"):
        read(path)


def test_looking_ahead_finds_keys_and_not_texts(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b'"request" : "no object", {"request" : {"method":"GET", "url" : "ws:\\/\\/a\\"b"}}')
    with path.open("rb") as file:
        assert address_ahead(file) == 'ws://a"b'
        assert file.tell() == 0
        file.seek(30)
        assert address_ahead(file) is None
    path.write_bytes(b" " * (2**20 - 5) + b'"request":{"url":"ws://over-the-edge"}')
    with path.open("rb") as file:
        assert address_ahead(file) == "ws://over-the-edge"


BAD = [
    ({**text(0, "x"), "opcode": 3}, "unknown opcode"),
    ({**text(0, "x"), "opcode": "1"}, "unknown opcode"),
    ({**text(0, "x"), "opcode": None}, "a field is missing or of another type"),
    ({**binary(0, b"x"), "data": "no base64!"}, "bad base64"),
    ({**binary(0, b"x"), "data": "eHh4eA"}, "bad base64"),
    ({**binary(0, b"x"), "data": "eHh4eA==\n"}, "bad base64"),
    ({**text(0, "x"), "time": None}, "a field is missing or of another type"),
    ({**text(0, "x"), "time": "1"}, "bad time"),
    ({**text(0, "x"), "time": -5}, "bad time"),
    ({**text(0, "x"), "time": 1e300}, "bad time"),
    ({**text(0, "x"), "time": 1e12}, "bad time"),
    ({**text(0, "x"), "type": "neither"}, "a field is missing or of another type"),
    ({**text(0, "x"), "data": 5}, "a field is missing or of another type"),
    ({**text(0, "x"), "data": ["x"]}, "a field is missing or of another type"),
    ({}, "a field is missing or of another type"),
    ({"type": "receive", "opcode": 1, "time": TIME}, "a field is missing or of another type"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_fault_65_a_bad_message_is_counted_and_the_others_are_imported(tmp_path, bad, reason):
    found, report = read(write(tmp_path / "a.har", entry(METRICS, [text(0, "1"), bad, text(2, "2")])))
    assert [each.payload for each in found] == [b"1", b"2"]
    assert report.bad == {reason: 1}
    assert report.lossy
    assert f"1 message left out: {reason}." in report.sentences


@pytest.mark.parametrize("opcode", [-1, 8, 9, 10])
def test_fault_65_control_frames_are_no_loss(tmp_path, opcode):
    odd = {"type": "error", "time": TIME, "opcode": opcode, "data": ""}
    found, report = read(write(tmp_path / "a.har", entry(METRICS, [odd, text(0, "1")])))
    assert len(found) == 1
    assert report.bad == {CONTROL: 1}
    assert not report.lossy


def test_fault_65_odd_shapes_inside_messages_do_no_harm(tmp_path):
    deep = json.loads("[" * 500 + "]" * 500)
    odd = [
        {**text(0, "1"), "nested": {"data": "not this", "opcode": 9, "list": [{"time": 5}]}},
        "no object",
        7,
        None,
        [text(1, "inside a list")],
        {"more": deep, **text(2, "2")},
        {**text(3, "\ud83d\ude00 \u202e \0"), "extra": True},
    ]
    found, _ = read(write(tmp_path / "a.har", entry(METRICS, odd)))
    assert [each.payload for each in found] == [b"1", b"2", "\U0001f600 \u202e \0".encode()]


def test_fault_65_nesting_of_a_hundred_thousand(tmp_path):
    path = write(tmp_path / "a.har", entry(METRICS, [text(0, "1"), {"deep": 0, **text(1, "2")}]))
    whole = path.read_text()
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(whole.replace('"deep": 0', f'"deep": {deep}').replace('"cache": {}', f'"cache": {deep}'))
    found, _ = read(path)
    assert [each.payload for each in found] == [b"1", b"2"]


def test_fault_65_times_that_go_back_do_not_move_the_monotonic_clock(tmp_path):
    found, _ = read(write(tmp_path / "a.har", entry(METRICS, [text(number, "x") for number in (5, 2, 9)])))
    assert [each.t_wall_ns - BASE for each in found] == [5 * 10**6, 2 * 10**6, 9 * 10**6]
    assert [each.t_mono_ns - BASE for each in found] == [5 * 10**6, 5 * 10**6, 9 * 10**6]


def test_fault_65_a_million_entries_cost_no_memory(tmp_path):
    path = tmp_path / "a.har"
    one = json.dumps({"request": {"url": "ws://n/%d"}, "_webSocketMessages": [text(0, "x")]})
    with path.open("w") as file:
        file.write('{"log":{"entries":[')
        for number in range(60_000):
            file.write(("," if number else "") + one.replace("%d", str(number)))
        file.write("]}}")
    _, report = read(path)
    assert len(report.unrecognised) == har_module._ADDRESSES + 1
    assert sum(report.unrecognised.values()) == 60_000


def test_fault_65_a_truncated_file_gives_what_is_whole(tmp_path):
    messages = [text(number, f"message {number}") for number in range(400)]
    whole = json.dumps(
        har(entry(STATUS, [text(0, "s")]), {"request": {"url": METRICS}, **entry(METRICS, messages)})
    )
    chance = random.Random(65)
    for cut in sorted(chance.sample(range(3000, len(whole) - 400), 12)):
        path = tmp_path / "cut.har"
        path.write_text(whole[:cut])
        found, report = read(path)
        metrics = [each for each in found if each.source == "metrics"]
        assert [each.payload.decode() for each in metrics] == [
            f"message {number}" for number in range(len(metrics))
        ]
        assert len(metrics) >= whole[:cut].count('"message ') - 1
        assert report.lossy
        assert report.broken.startswith("The file breaks off (")


def test_fault_65_what_follows_a_break_is_counted(tmp_path):
    path = write(tmp_path / "a.har", entry(METRICS, [text(number, "x") for number in range(30)]))
    broken = path.read_text().replace(str(TIME + 10 / 1000), "NaN")
    assert broken != path.read_text()
    path.write_text(broken)
    report = HarReport()
    found = list(read_har(path, lambda _: "any", report=report))
    assert len(found) == 10
    assert "about 20 more messages cannot be read" in report.broken


def test_fault_65_messages_whose_address_was_cut_off_are_offered_without_one(tmp_path):
    whole = json.dumps(har(entry(METRICS, [text(number, "x") for number in range(30)])))
    path = tmp_path / "a.har"
    path.write_text(whole[: whole.index('"cache"')])
    found = list(read_har(path, lambda url: "metrics" if url == "" else None))
    assert len(found) == 30


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04....", "is a compressed archive: unpack it"),
        (b"\x1f\x8b....", "is a compressed archive: unpack it"),
        (b"", "is no HAR file"),
        (b"hello", "is no HAR file"),
        (b"[]", "is no HAR file (it has no log of entries)"),
        (b'{"log":{"entries":{}}}', "has no WebSocket messages"),
        (
            b'{"log":{"entries":[]}}',
            "has no WebSocket messages: open Chrome's DevTools before the page connects",
        ),
    ],
)
def test_what_holds_nothing_is_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "a.har"
    path.write_bytes(content)
    with pytest.raises(SessionError) as caught:
        import_har(path, tmp_path / "a.tes", recognise)
    assert sentence in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["a.har"]


def test_a_missing_file_and_unknown_addresses_are_sentences(tmp_path):
    with pytest.raises(SessionError, match=r"cannot be read \(No such file or directory\)"):
        import_har(tmp_path / "none.har", tmp_path / "a.tes", recognise)
    path = write(tmp_path / "a.har", entry("wss://elsewhere/", [text(0, "x")]))
    with pytest.raises(
        SessionError, match=r"of no stream known here \(wss://elsewhere/\): say what each carries"
    ):
        import_har(path, tmp_path / "a.tes", recognise)
    bad = write(tmp_path / "b.har", entry(METRICS, [{**binary(0, b"x"), "data": "!"}]))
    with pytest.raises(
        SessionError, match=r"no WebSocket message that can be read: .* 1 message left out: bad base64"
    ):
        import_har(bad, tmp_path / "a.tes", recognise)
    assert not (tmp_path / "a.tes").exists()


def test_an_import_is_a_session_like_a_recording(tmp_path):
    messages = [text(number, f"{number}") for number in range(50)]
    path = write(
        tmp_path / "a.har", entry(METRICS, messages), entry(METRICS, messages), entry(STATUS, messages[:3])
    )
    report = import_har(path, tmp_path / "a.tes", recognise)
    assert report.messages == 103
    assert check(tmp_path / "a.tes").exit_code == 0
    with SessionFile.open(tmp_path / "a.tes") as session:
        info = session.info()
        assert {name: each.messages for name, each in info.sources.items()} == {"metrics": 100, "status": 3}
        assert info.sources["metrics"].connections == 2
        assert info.sources["metrics"].url == METRICS
        assert info.ending == "Imported from a.har."
        times = [message.t_mono_ns for message in session.messages()]
        assert times == sorted(times), "though the connections ran side by side"
        expected = list(read_har(path, recognise))
        assert sorted(session.messages(), key=str) == sorted(expected, key=str)


def test_an_import_that_is_broken_off_leaves_nothing(tmp_path, monkeypatch):
    path = write_large(tmp_path / "a.har", messages=9000)

    def interrupted(url: str) -> str:
        interrupted.calls = getattr(interrupted, "calls", 0) + 1
        if interrupted.calls == 3:
            raise KeyboardInterrupt
        return "metrics"

    with pytest.raises(KeyboardInterrupt):
        import_har(path, tmp_path / "a.tes", interrupted)
    assert [each.name for each in tmp_path.iterdir()] == ["a.har"]


def test_fault_64_a_large_file_takes_little_memory(tmp_path):
    path = write_large(tmp_path / "large.har", messages=100_000)
    size = path.stat().st_size
    assert size > 40e6
    result = in_child(
        f"""
        import sys
        from tes_nb.store.har.har import read_har
        from tes_nb.store.har.har_session import import_har
        began = time.monotonic()
        count = sum(1 for _ in read_har({str(path)!r}, lambda url: "metrics"))
        took, read = time.monotonic() - began, peak_memory()
        imported = import_har({str(path)!r}, {str(tmp_path / "large.tes")!r}, lambda url: "metrics").messages
        print(json.dumps([count, took, read, imported, peak_memory(), "pandas" in sys.modules]))
        """
    )
    count, took, reading, imported, importing, pandas = result
    assert count == imported == 100_000
    assert reading < 64 * 2**20
    assert importing < 64 * 2**20
    assert took < 12, "a second on a quiet machine"
    assert not pandas


SECRETS = (
    "planted-cookie",
    "planted-bearer",
    "planted-query",
    "planted-payload",
    "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln",
)


def full_of_secrets(path):
    headers = [
        {"name": "Authorization", "value": f"Bearer {SECRETS[1]}"},
        {"name": "Cookie", "value": SECRETS[0]},
    ]
    secret = entry(
        f"{METRICS}?channels=a&&token={SECRETS[2]}#access_token={SECRETS[2]}",
        [
            text(0, json.dumps({"type": "auth", "token": SECRETS[3], "user": "kept"}), kind="send"),
            text(1, json.dumps({"inner": json.dumps({"Authorization": f"Bearer {SECRETS[3]}"})})),
            text(2, f"token is {SECRETS[4]} and Bearer {SECRETS[1]}"),
            binary(3, json.dumps({"session_id": SECRETS[3]}).encode()),
            text(4, '{"value": 1}'),
        ],
    )
    secret["request"]["headers"] = headers
    secret["response"]["headers"] = headers
    return write(path, secret)


def test_fault_66_no_secret_of_a_har_file_gets_into_a_session(tmp_path):
    path = full_of_secrets(tmp_path / "a.har")
    report = import_har(path, tmp_path / "a.tes", recognise)
    data = (tmp_path / "a.tes").read_bytes()
    assert report.messages == 5
    for secret in SECRETS:
        assert secret.encode() not in data, secret
        assert secret not in str(report)
    found = [message.payload for message in read_har(path, recognise)]
    assert json.loads(found[0]) == {"type": "auth", "token": "REDACTED", "user": "kept"}
    assert json.loads(json.loads(found[1])["inner"]) == {"Authorization": "REDACTED"}
    assert found[4] == b'{"value": 1}'


def test_fault_66_who_asks_for_everything_gets_it(tmp_path):
    path = full_of_secrets(tmp_path / "a.har")
    found = b"".join(message.payload for message in read_har(path, recognise, redact=False))
    for secret in (SECRETS[1], SECRETS[3], SECRETS[4]):
        assert secret.encode() in found
