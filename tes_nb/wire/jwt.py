"""Tokens: whether a token source answered a JWT, what else it answered, and how long the token lives.

Nothing is verified, only read: the peer judges its own tokens. This machine's wall clock plays no part:
whether a token has expired already is judged by the `Date` of the very answer that brought it, and how long
it still lives is counted on the monotonic clock from the fetch. So a wrong local clock changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from tes_nb.errors import AuthenticationError, DecodeError
from tes_nb.wire.json_guard import parse_json

MAX_BODY: Final = 64 * 1024
"""Bytes of a token source's answer; more is no token."""

VISIBLE: Final = 8
"""So many characters of a token may be seen by people."""

REASONS: Final = ("too large", "empty", "dashes", "html", "not a JWT", "expired")
"""What an answer is that is no token: the `reason` of the error."""

LONGEST_LIFE_S: Final = 10 * 366 * 86_400.0
"""A token that says that it lives longer is taken to live so long: times stay representable."""

_JWT: Final = re.compile(rb"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")

_WHY: Final = {
    "too large": f"sent more than {MAX_BODY} bytes",
    "empty": "sent nothing",
    "dashes": "sent dashes, which is how it says that it gives no token",
    "html": "sent a web page",
    "not a JWT": "sent something that is not a JWT with an expiry",
    "expired": "sent a token that had expired already by the server's own clock",
}


class Token:
    """A bearer token and its life. Shows at most its first 8 characters; the whole is `reveal()` alone.

    It cannot be pickled, copied or made into JSON, so that it does not end up in a file by accident.
    """

    __slots__ = ("_fetched_at_s", "_lifetime_s", "_secret")

    def __init__(self, secret: str, *, fetched_at_s: float, lifetime_s: float | None) -> None:
        """Take the text, when it was fetched (monotonic) and its life in seconds (`None` = unknown)."""
        self._secret = secret
        self._fetched_at_s = fetched_at_s
        self._lifetime_s = lifetime_s

    def reveal(self) -> str:
        """Return the whole token, for the request that needs it and for nothing else."""
        return self._secret

    @property
    def lifetime_s(self) -> float | None:
        """Seconds from the fetch to the expiry; `None` = the source did not say."""
        return self._lifetime_s

    def age_s(self, now_s: float) -> float:
        """Return the seconds since the fetch; `now_s` is the monotonic clock."""
        return now_s - self._fetched_at_s

    def remaining_s(self, now_s: float) -> float | None:
        """Return the seconds to the expiry, negative after it, or `None`; `now_s` is monotonic."""
        return None if self._lifetime_s is None else self._lifetime_s - self.age_s(now_s)

    def due_s(self, ahead_s: float = 5.0) -> float | None:
        """Return when the next token is due (monotonic), `ahead_s` before the expiry; `None` = unknown.

        A token that lives less than twice as long is due in the middle of its life.
        """
        if self._lifetime_s is None:
            return None
        return self._fetched_at_s + max(self._lifetime_s - ahead_s, self._lifetime_s / 2)

    def __repr__(self) -> str:
        life = "unknown life" if self._lifetime_s is None else f"{self._lifetime_s:.0f} s"
        return f"<Token {self._secret[:VISIBLE]}…, {life}>"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("A token is a secret: it is neither pickled nor copied.")


def read_token(body: bytes, *, fetched_at_s: float, server_date_s: float | None = None) -> Token:
    """Return the token in a token source's answer.

    `fetched_at_s` is the monotonic clock at the fetch, `server_date_s` the answer's `Date` header as Unix
    seconds (`None` = it had none). Raises `AuthenticationError`, whose `reason` is one of `REASONS`, for what
    is no token.
    """
    text = body.strip()
    match = _JWT.fullmatch(text) if len(body) <= MAX_BODY else None
    claims = _claims(match[1]) if match else None
    expires = _seconds(claims, "exp") if claims else None
    if expires is None or claims is None:
        raise _no_token(_what_else(body))
    if server_date_s is not None and expires <= server_date_s:
        raise _no_token("expired")
    issued = _seconds(claims, "iat")
    begin = issued if issued is not None and issued < expires else server_date_s
    lifetime = None if begin is None else min(expires - begin, LONGEST_LIFE_S)
    return Token(text.decode("ascii"), fetched_at_s=fetched_at_s, lifetime_s=lifetime)


def _no_token(reason: str) -> AuthenticationError:
    return AuthenticationError(
        f"The token source {_WHY[reason]}: no connection is tried with it, and it is asked again later.",
        reason=reason,
    )


def _what_else(body: bytes) -> str:
    """Name a body that is no JWT."""
    if len(body) > MAX_BODY:
        return "too large"
    text = body.strip()
    if not text:
        return "empty"
    if not text.strip(b"-"):
        return "dashes"
    return "html" if text.startswith(b"<") else "not a JWT"


def _claims(part: bytes) -> dict[str, Any] | None:
    try:
        claims = parse_json(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (binascii.Error, DecodeError):
        return None
    return claims if isinstance(claims, dict) else None


def _seconds(claims: dict[str, Any], name: str) -> float | None:
    """Return a claim that is a time in Unix seconds; `None` = it is missing or none."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


SHORTEST_SECRET: Final = 6
PIECE: Final = 8
"""So many characters of a secret give it away; as many of a token may be seen."""


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with "…" in place of each secret of 6 characters and more, and of each piece of one from 8 on.

    Takes time in proportion to the text and the secrets; capitals and small letters are the same.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = _without_pieces(text, secret, min(PIECE, len(secret)))
    return text


def _small(text: str) -> str:
    """The text in small letters, and of the same length: some letters become two."""
    small = text.lower()
    return (
        small
        if len(small) == len(text)
        else "".join(one if len(one.lower()) > 1 else one.lower() for one in text)
    )


def _without_pieces(text: str, secret: str, size: int) -> str:
    low, within = _small(secret), _small(text)
    pieces = {low[start : start + size] for start in range(len(low) - size + 1)}
    parts: list[str] = []
    done = at = 0
    while at <= len(text) - size:
        if within[at : at + size] not in pieces:
            at += 1
            continue
        end = at + size
        while end < len(text) and within[end - size + 1 : end + 1] in pieces:
            end += 1
        parts += (text[done:at], "…")
        done = at = end
    return "".join((*parts, text[done:]))
