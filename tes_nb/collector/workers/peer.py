"""Scaling the TES that an attached collector reads: its own HTTP endpoint does it, with its own token."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from tes_nb.collector.discovery import running
from tes_nb.collector.workers.source import ScaleRefused
from tes_nb.errors import CollectorError
from tes_nb.model.control import ScaleResult
from tes_nb.model.operation import TOKEN_HEADER
from tes_nb.net.endpoints import is_loopback

TIMEOUT_S = 4.5
_MOST_BYTES = 16 * 1024
_REFUSED = (401, 403)
_REDIRECT = 300


class PeerScaler:
    """Asks a peer to scale its workers."""

    def __init__(self, stream_url: str, environ: Mapping[str, str] = os.environ) -> None:
        """stream_url: the WebSocket address of the peer's workers stream; the endpoint is at the same port."""
        parts = urlsplit(stream_url)
        scheme = {"ws": "http", "wss": "https"}[parts.scheme]
        prefix = parts.path.removesuffix("/ws/workers/telemetry")
        self._url = urlunsplit((scheme, parts.netloc, f"{prefix}/api/workers/scale", "", ""))
        self._host, self._port = parts.hostname or "", parts.port
        self._environ = environ

    async def scale(self, count: int) -> ScaleResult:
        """Scale the peer. Raises `ScaleRefused` where it does not let us, `CollectorError` where it does not answer."""
        token = self._token()
        if token is None:
            raise ScaleRefused(
                f"Scaling {self._host}:{self._port} needs the token of that TES: set TES_DEV_TOKEN to it before "
                "tes.attach(). Nothing is started here."
            )
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                aiohttp.ClientSession(
                    trust_env=not is_loopback(self._host), cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(
                    self._url, json={"count": count}, headers={TOKEN_HEADER: token}, allow_redirects=False
                ) as response,
            ):
                return _read(response.status, await response.content.read(_MOST_BYTES))
        except TimeoutError:
            raise CollectorError(f"{self._url} has not answered within {TIMEOUT_S:g} s; try again.") from None
        except aiohttp.ClientError as error:
            raise CollectorError(f"{self._url} cannot be reached ({type(error).__name__}).") from None

    def _token(self) -> str | None:
        """Return the token of a collector of this user at that port, else what the environment says."""
        if is_loopback(self._host):
            ours = (one.token for one in running() if self._port in (one.workers_port, one.status_port))
            token = next(ours, None)
            if token is not None:
                return token
        return self._environ.get("TES_DEV_TOKEN", "").strip() or None


def _read(status: int, body: bytes) -> ScaleResult:
    """Read the peer's answer, or say why it is none."""
    if status < _REDIRECT:
        try:
            return msgspec.json.decode(body, type=ScaleResult)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise CollectorError("The peer's answer to the scale request is not understood.") from None
    if status in _REFUSED:
        raise ScaleRefused(
            f"The peer refuses the token (HTTP {status}): set TES_DEV_TOKEN to that of the TES before tes.attach()."
        )
    try:
        content = msgspec.json.decode(body)
        text = str(content.get("error") or content.get("message"))[:500] if isinstance(content, dict) else ""
    except (msgspec.MsgspecError, RecursionError, ValueError):
        text = ""
    raise ScaleRefused(f"The peer does not scale (HTTP {status}){': ' + text if text else '.'}")
