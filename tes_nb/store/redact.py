"""Take credentials out of what is about to be kept: addresses, sentences, and payloads of imported files."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

REDACTED = "REDACTED"

_AUTH = r"(?:[\w-]{0,32}[_-])?auth(?:orization|entication)?(?:[_-][\w-]{0,32})?"
_WORDS = r"token|passw|secret|cookie|credential|api[_-]?key|jwt|signature|session[_-]?id"
_NAME = rf"(?:[\w-]{{0,32}}?(?:{_WORDS})[\w-]{{0,32}}|{_AUTH})"
_JWT = r"eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]*+(?:\.[\w-]*+)?"
_CUT_JWT = r"eyJ(?<![\w-]eyJ)[\w-]{8,}+(?:\.[\w-]*+){0,2}"
"""Also where only its beginning is quoted; in payloads, which are data, a JWT is one with a dot."""
_SCHEME = r"B(?:earer|asic)[ ]{1,4}(?=[\w+/=.~-]{6})"
_VALUE = r"[\w+/=.~-]*+"
# All repetitions are possessive or bounded: hostile text must cost linear time.

_PARAMETER = re.compile(rf"{_NAME}|sid|sig|key|pass|pwd", re.IGNORECASE | re.ASCII)
_IN_TEXT = re.compile(
    rf"(?P<jwt>{_CUT_JWT})|(?P<scheme>{_SCHEME}){_VALUE}"
    rf"|(?P<pair>(?<![\w-])(?=[\w-]{{2,64}}+=){_NAME}=)[^\s&;,\"'\\]++|(?P<user>://)[^/\s@:]{{0,128}}+(?::[^/\s@]{{0,128}}+)?@",
    re.IGNORECASE | re.ASCII,
)
_ASSIGNED = r"""(?:["']\]?\s{0,8}+[=:,]|\s{0,8}+=)\s{0,8}+"""
_IN_CODE = re.compile(
    rf"""(?P<name>(?<![\w-])(?=[\w-]{{2,64}}+{_ASSIGNED}){_NAME}{_ASSIGNED}[rbuf]{{0,2}})"""
    r"""(?:(?P<quote>"{3}|'{3}|["'])(?:(?!(?P=quote))(?:\\.|[^\\]))*+(?:(?P=quote))?|\([^)]*+\)?)""",
    re.IGNORECASE | re.ASCII,
)
_COLON = r"\s{0,8}+:\s{0,8}+"
_IN_PAYLOAD = re.compile(
    rf'(?P<name>"(?=[\w-]{{2,64}}+"{_COLON}"){_NAME}"{_COLON})"(?:[^"\\]|\\.)*+"'
    rf'|(?P<inner>\\"(?=[\w-]{{2,64}}+\\"{_COLON}\\"){_NAME}\\"{_COLON})\\"(?:[^"\\]|\\\\\\?.)*+\\"'
    rf"|(?P<jwt>{_JWT})|(?P<scheme>{_SCHEME}){_VALUE}".encode(),
    re.IGNORECASE,
)
"""`inner`: JSON that travels as a string inside JSON."""
_HINT = re.compile(b"token|passw|secret|cookie|credential|api|jwt|signature|session|auth|eyj|bearer|basic")
"""Looked for in lower case: ten times cheaper than the above, and most payloads have none."""


def redact_url(url: str) -> str:
    """Return the address without user, password and the values of parameters that look like credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return redact_text(url)
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(_redact_parameter(each) for each in parts.query.split("&"))
    fragment = REDACTED if "=" in parts.fragment else parts.fragment
    return redact_text(urlunsplit((parts.scheme, host, parts.path, query, fragment)))


def redact_text(text: str) -> str:
    """Return a sentence without tokens, `Authorization` values, and credentials in addresses."""
    return _IN_TEXT.sub(_replace_in_text, text)


def redact_code(line: str) -> str:
    """Return a line of code without tokens, and without the texts that are given to names of credentials."""

    def replaced(match: re.Match[str]) -> str:
        quote = match["quote"] or ""
        return f"{match['name']}{quote}{REDACTED}{quote}"

    return redact_text(_IN_CODE.sub(replaced, line))


class PayloadRedactor:
    """Replaces the values of credentials in text payloads; JSON stays JSON.

    A stream's messages differ in little but their numbers, so what remains of a payload without its digits is
    remembered once it proved harmless: most messages then cost one look-up instead of a search.
    """

    CACHE = 4096
    """So many shapes of at most `SHAPE` bytes are remembered."""
    SHAPE = 2048

    def __init__(self) -> None:
        self._harmless: set[bytes] = set()

    def __call__(self, payload: bytes) -> bytes:
        """Return the payload without credentials: the same object when it has none."""
        shape = payload.translate(None, b"0123456789.-")
        if shape in self._harmless:
            return payload
        if _HINT.search(payload.lower()):
            redacted, count = _IN_PAYLOAD.subn(_replace_in_payload, payload)
            if count:
                return redacted
        if len(shape) <= self.SHAPE:
            if len(self._harmless) >= self.CACHE:
                self._harmless.clear()
            self._harmless.add(shape)
        return payload


def _redact_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if equals and value and _PARAMETER.fullmatch(name):
        return f"{name}={REDACTED}"
    return parameter


def _replace_in_text(match: re.Match[str]) -> str:
    if match["user"]:
        return match["user"]
    return (match["scheme"] or match["pair"] or "") + REDACTED


def _replace_in_payload(match: re.Match[bytes]) -> bytes:
    word = REDACTED.encode()
    if match["name"]:
        return match["name"] + b'"' + word + b'"'
    if match["inner"]:
        return match["inner"] + b'\\"' + word + b'\\"'
    return (match["scheme"] or b"") + word
