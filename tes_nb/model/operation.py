"""What an operation of `/ws/control` is, how its request and its reply travel, and the sentences that refuse one.

{"type": "auth", "token": "…"}                                    first of all, from the owner
{"id": 1, "op": "mark", "args": {"label": "deploy"}}              an operation
{"id": 1, "ok": true, "result": {"at_ns": 1767225600000000000}}   its result, or
{"id": 1, "ok": false, "error": "'mark' needs 'label', a text of 1 to 200 characters."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType, inspect

R = TypeVar("R")


TOKEN_HEADER = "X-TES-Dev-Token"  # noqa: S105 - the header's name, not a token
"""The header with the token. A browser cannot set one on a WebSocket: it sends a `Greeting`."""
START_HEADER = "X-TES-Start"
"""In the answer to each WebSocket handshake: the id of the collector's start, no secret. Who was connected before knows
by it whether the same collector answers (decisions/0017)."""
POLICY_VIOLATION = 1008
"""The code with which a socket closes whose client has not shown the token."""


class Greeting(msgspec.Struct, kw_only=True):
    """The first message of a client that must show the token."""

    type: Literal["auth"]
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return "<the token>"


class Request(msgspec.Struct):
    """One request. `args` stays as it is until the operation is known."""

    id: Any = None
    op: Any = None
    args: Raw = Raw(b"{}")


class Reply(msgspec.Struct):
    """What comes back: a result, or a sentence that says why there is none."""

    id: int | str | None = None
    ok: bool = False
    result: Raw | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Operation(
    msgspec.Struct,
    Generic[R],
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
):
    """What the owner asks a collector to do; `R` is what the collector answers."""

    patience_s: ClassVar[float] = 5.0
    """How long a client waits for the answer, in seconds."""

    @classmethod
    def op(cls) -> str:
        """Return the operation's name on the wire."""
        return str(cls.__struct_config__.tag)

    @classmethod
    def result_type(cls) -> Any:
        """Return the type of the answer."""
        (base,) = cls.__orig_bases__  # type: ignore[attr-defined]  # set by Generic
        return get_args(base)[0]

    def args(self) -> dict[str, Any]:
        """Return the fields that were given, as JSON has them."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        del fields["op"]
        return fields


class Call(Protocol):
    """Lets a collector carry out an operation and returns its result."""

    def __call__(self, operation: Operation[R], /) -> R:
        """Raise `CollectorError` with the collector's sentence when it refuses."""
        ...


def decode_request(text: str | bytes) -> Request:
    """Return a request. Raises ValueError with a sentence for what is none."""
    try:
        request = msgspec.json.decode(text, type=Request)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise ValueError("A request must be a JSON object with 'id', 'op' and 'args'.") from None
    if request.id is not None and not isinstance(request.id, int | str):
        raise ValueError("'id' must be a text or a whole number; the answer carries the same.")
    return request


def decode_operation(request: Request, among: Mapping[str, type[Operation[Any]]]) -> Operation[Any]:
    """Return what is asked for. Raises ValueError with a sentence: which field is wrong, which there are."""
    operation = among.get(request.op) if isinstance(request.op, str) else None
    if operation is None:
        raise ValueError(f"There is no such operation; known are {', '.join(sorted(among))}.")
    try:
        decoded: Operation[Any] = msgspec.json.decode(request.args, type=operation)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise ValueError(_refusal(operation, request.args)) from None
    return decoded


def _refusal(operation: type[Operation[Any]], text: Raw) -> str:
    """Say what is wrong with arguments that do not fit. Values are never repeated: one may be a secret."""
    try:
        args = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        args = None
    if not isinstance(args, dict):
        return "'args' must be a JSON object."
    fields = {field.encode_name: field for field in msgspec.structs.fields(operation)}
    for name in args:
        if name not in fields:
            names = ", ".join(fields) or "none"
            return f"'{operation.op()}' has no field '{name[:40]}'; its fields are {names}."
    for name, field in fields.items():
        if name in args and not _fits(args[name], field.type):
            return f"'{name}' must be {phrase(field.type)}."
        if name not in args and field.required:
            return f"'{operation.op()}' needs '{name}', {phrase(field.type)}."
    return f"The arguments of '{operation.op()}' do not belong together."


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


def phrase(kind: Any) -> str:
    """Return a type in words, as refusals and docs/control.md have it: "a text of 1 to 200 characters"."""
    return _in_words(inspect.type_info(kind))


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=schema):
            words = (schema or {}).get("title") or _in_words(inner)
        case inspect.UnionType(types=types):
            words = " or ".join(_in_words(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.LiteralType(values=values):
            words = " or ".join(map(repr, values))
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            words = f"a list, each {_in_words(item)}"
        case inspect.TupleType(item_types=items):
            words = f"a list of {len(items)}, each {_in_words(items[0])}"
        case inspect.DictType(value_type=value):
            words = f"a JSON object, each value {_in_words(value)}"
        case inspect.StructType(tag=str(tag)):
            words = f"{'an' if tag[0] in 'aeiou' else 'a'} {tag}"
        case inspect.StructType(fields=fields):
            words = f"a JSON object with {' and '.join(repr(one.encode_name) for one in fields)}"
        case _:
            words = _scalar_in_words(kind)
    return str(words)


def _scalar_in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.AnyType():
            return "anything"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(min_length=None, max_length=None):
            return "a text"
        case inspect.StrType(min_length=None, max_length=most):
            return f"a text of at most {most} characters"
        case inspect.StrType(min_length=least, max_length=most):
            return f"a text of {least} to {most} characters"
        case inspect.IntType(ge=least) | inspect.FloatType(ge=least):
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            return noun if least is None or least < 0 else f"{noun} of at least {least:g}"
        case _:
            raise TypeError(f"no words for {kind!r}; add them here")
