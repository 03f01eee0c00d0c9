"""Every operation of the control protocol: it travels as it is, and what does not fit is a sentence."""

from __future__ import annotations

import json
import typing

import msgspec
import pytest
from msgspec import Raw

from tes_nb.model.control import KernelReport, ListRecordings, PutMark, WatchSource, operations
from tes_nb.model.operation import Operation, Reply, Request, decode_operation, decode_request, phrase
from tes_nb.model.table import Field

EXAMPLES = {
    "kernel": {
        "heartbeat": 5,
        "starved": 7,
        "exit": {"pid": 7, "code": -9},
        "origin": "http://[::1]:8888",
        "row": {"type": "gauge", "name": "loss", "value": 0.5, "unit": "", "timestamp": 1},
        "between": [1, 2],
    },
    "cost": {},
    "mark": {"label": "deploy"},
    "scale": {"count": 2},
    "observe_dask": {
        "address": "tcp://127.0.0.1:8786",
        "http": "http://127.0.0.1:8787",
        "name": "mine",
        "tasks": True,
        "scales": True,
    },
    "unobserve_dask": {"id": "dask-scheduler-1"},
    "cluster": {"count": 2, "path": ["/home/me/lib"]},
    "await_scale": {"id": "dask-scheduler-1"},
    "answer_scale": {"id": "dask-scheduler-1", "created": 1, "terminated": 2, "refusal": "It adapts."},
    "pool": {"folder": "/tmp/pool-1", "name": "load", "kind": "thread"},
    "stack": {"worker": "4711-1"},
    "snapshot": {"worker": "4711-1"},
    "watch": {
        "stream": "nowgoal",
        "source": "ng",
        "url": "wss://example.org/ws",
        "token_url": "https://example.org/token",
        "auth": "query",
        "token": "abc.def",
        "channels": ["odds"],
        "note": "simulated data",
    },
    "unwatch": {"watch": 1},
    "subscribe": {"source": "nowgoal", "names": ["odds"]},
    "record": {
        "path": "/tmp/a.tes",
        "sources": ["metrics"],
        "size_limit": 1000,
        "keep": True,
        "overwrite": True,
    },
    "recordings": {},
    "stop": {"path": "/tmp/a.tes"},
    "controls": {},
    "track": {},
    "replay": {"do": "pause", "speed": 2.0, "seek_ns": 5, "seek_share": 0.5},
}
ALL = operations()
FIELDS = [(op, field) for op, kind in ALL.items() for field in msgspec.structs.fields(kind)]


def decoded(op, args):
    return decode_operation(Request(op=op, args=Raw(json.dumps(args).encode())), ALL)


def refusal(op, args):
    with pytest.raises(ValueError) as refused:
        decoded(op, args)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert "msgspec" not in sentence
    assert "$" not in sentence
    return sentence


def required(op):
    fields = msgspec.structs.fields(ALL[op])
    return {field.name: EXAMPLES[op][field.name] for field in fields if field.required}


def test_there_is_an_example_of_each():
    assert EXAMPLES.keys() == ALL.keys()
    for op, kind in ALL.items():
        assert EXAMPLES[op].keys() == {field.name for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("op", ALL)
def test_an_operation_travels_as_it_is(op):
    operation = decoded(op, EXAMPLES[op])
    assert type(operation) is ALL[op]
    request = decode_request(json.dumps({"id": 1, "op": op, "args": operation.args()}))
    assert decode_operation(request, ALL) == operation
    assert json.loads(json.dumps(operation.args())) == EXAMPLES[op]
    assert decoded(op, required(op)).args() == required(op)  # what was not given does not travel


@pytest.mark.parametrize("value", [0.5, None, "Infinity", "-Infinity", "NaN"])
def test_a_gauge_is_a_number_or_the_word_for_one_that_json_lacks(value):
    report = decoded("kernel", {"row": {"type": "gauge", "name": "loss", "value": value}})
    assert report.row.value == value
    assert json.loads(json.dumps(report.args()))["row"].get("value") == value
    refusal("kernel", {"row": {"type": "gauge", "name": "loss", "value": "seven"}})


@pytest.mark.parametrize("op", ALL)
def test_an_unknown_field_is_named_beside_those_there_are(op):
    sentence = refusal(op, {**EXAMPLES[op], "nonsense": 1})
    fields = ", ".join(EXAMPLES[op]) or "none"
    assert sentence == f"'{op}' has no field 'nonsense'; its fields are {fields}."


@pytest.mark.parametrize(("op", "field"), FIELDS, ids=lambda one: getattr(one, "name", one))
def test_a_wrong_type_is_reported_by_field(op, field):
    wrong = {"of": {"another": "type"}} if field.name != "row" else 7
    assert refusal(op, {**EXAMPLES[op], field.name: wrong}) == f"'{field.name}' must be {phrase(field.type)}."


@pytest.mark.parametrize(
    ("op", "field"), [one for one in FIELDS if one[1].required], ids=lambda one: getattr(one, "name", one)
)
def test_a_missing_field_is_reported(op, field):
    args = {name: value for name, value in EXAMPLES[op].items() if name != field.name}
    assert refusal(op, args) == f"'{op}' needs '{field.name}', {phrase(field.type)}."


@pytest.mark.parametrize(("op", "field"), FIELDS, ids=lambda one: getattr(one, "name", one))
def test_no_text_may_be_longer_than_said(op, field):
    example = EXAMPLES[op][field.name]
    if isinstance(example, str):
        assert f"'{field.name}' must be" in refusal(op, {**EXAMPLES[op], field.name: "x" * 5000})
    elif isinstance(example, list) and isinstance(example[0], str):
        assert f"'{field.name}' must be" in refusal(op, {**EXAMPLES[op], field.name: ["x" * 5000]})


@pytest.mark.parametrize(
    ("op", "args", "sentence"),
    [
        (
            "dance",
            {},
            "There is no such operation; known are answer_scale, await_scale, cluster, controls, cost, kernel, mark, ",
        ),
        ("mark", [], "'args' must be a JSON object."),
        ("mark", {"label": ""}, "'label' must be a text of 1 to 200 characters."),
        ("mark", {"label": "x" * 201}, "'label' must be a text of 1 to 200 characters."),
        ("scale", {"count": -1}, "'count' must be a whole number of at least 0."),
        ("scale", {"count": True}, "'count' must be a whole number of at least 0."),
        ("record", {"size_limit": 0}, "'size_limit' must be a number of bytes."),
        ("kernel", {"exit": {"pid": 1}}, "'exit' must be a JSON object with 'pid' and 'code'."),
        ("kernel", {"row": {"type": "cell"}}, "'row' must be a gauge or a gauges or a cell or an activity."),
        ("kernel", {"between": [1]}, "'between' must be a list of 2, each a whole number."),
        ("kernel", {"origin": "http://a\n"}, "'origin' must be a web origin such as http://localhost:8888."),
        ("kernel", {"origin": "http://A"}, "'origin' must be a web origin such as http://localhost:8888."),
        ("replay", {"do": "stop"}, "'do' must be 'pause' or 'resume'."),
        ("watch", {"stream": "n", "x" * 500: 1}, f"'watch' has no field '{'x' * 40}'; its fields are "),
    ],
)
def test_what_is_wrong_is_said(op, args, sentence):
    assert refusal(op, args).startswith(sentence)


def test_a_value_is_never_repeated():
    assert "s3cret" not in refusal("watch", {"stream": 5, "token": "s3cret"})
    assert "s3cret" not in refusal("watch", {"stream": "nowgoal", "token": ["s3cret"]})
    assert "s3cret" not in repr(WatchSource(stream="nowgoal", token="s3cret"))


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 5000, '{"args":', b'{"op":"\xff"}', '{"id":1e999}'])
def test_what_is_no_request_is_reported(text):
    with pytest.raises(ValueError, match="must be a JSON object with 'id', 'op' and 'args'"):
        decode_request(text)


@pytest.mark.parametrize("args", ["[" * 5000 + "]" * 5000, '{"label":"\\ud800"}', b'{"label":"\xff"}'])
def test_arguments_that_cannot_be_read_are_reported(args):
    text = args if isinstance(args, bytes) else args.encode()
    with pytest.raises(ValueError, match=r"\.$"):
        decode_operation(decode_request(b'{"id":1,"op":"mark","args":' + text + b"}"), ALL)


def test_each_says_what_it_is_for():
    for op, kind in ALL.items():
        assert kind.__doc__, op
        assert kind.__doc__ != Operation.__doc__, op
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if typing.get_origin(hint) is typing.ClassVar:
                continue  # how long a caller waits does not travel
            assert any(isinstance(one, Field) for one in getattr(hint, "__metadata__", ())), (op, name)


def test_the_results_have_types():
    assert PutMark.result_type().__name__ == "MarkTime"
    assert typing.get_origin(ListRecordings.result_type()) is list
    assert msgspec.json.decode(b'{"seq":3}', type=KernelReport.result_type()).seq == 3
    assert msgspec.json.decode(b"null", type=KernelReport.result_type()) is None


def test_a_reply_has_a_result_or_an_error():
    assert msgspec.json.encode(Reply(1, True, Raw(b"null"))) == b'{"id":1,"ok":true,"result":null}'
    assert msgspec.json.encode(Reply(None, error="No.")) == b'{"id":null,"ok":false,"error":"No."}'
