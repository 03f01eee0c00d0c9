"""HTTP polling: one GET at a time, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from tes_nb._version import __version__
from tes_nb.net.endpoints import is_loopback
from tes_nb.net.failures import MOST_REDIRECTS, REDIRECTS, failure_of, redirect, status_failure
from tes_nb.wire.lifecycle import Failure

_OK = 200
_CHUNK = 65536


class Poller:
    """Fetches one URL again and again over one kept connection."""

    def __init__(self, url: str, *, deadline_s: float, max_bytes: int = 2**20) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch(self, headers: Mapping[str, str] | None = None) -> bytes | Failure:
        """GET the URL once; return the body of a 200, or why there is none. `headers` stay at its origin."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._follow(headers or {})
        except aiohttp.ClientConnectorError as error:
            return failure_of(error.os_error, self._deadline_s) or Failure("network", "cannot connect")
        except aiohttp.ClientError as error:
            return Failure("poll", f"the poll failed: {type(error).__name__}")
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            return failure_of(error, self._deadline_s) or Failure("poll", "the address is not one of HTTP")

    async def close(self) -> None:
        """Close the kept connection. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, headers: Mapping[str, str]) -> bytes | Failure:
        url = self._url
        for _ in range(MOST_REDIRECTS + 1):
            async with self._client().get(url, headers=headers, allow_redirects=False) as response:
                if response.status in REDIRECTS and "Location" in response.headers:
                    hop = redirect(url, response.headers["Location"], headers)
                    if isinstance(hop, Failure):
                        return hop
                    url, headers = hop
                    continue
                if response.status != _OK:
                    return status_failure(response.status, response.headers)
                return await self._body(response)
        return Failure("redirect", f"the peer redirects more than {MOST_REDIRECTS} times")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes | Failure:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                response.close()
                return Failure("poll", f"the answer is longer than {self._max_bytes} bytes")
        return bytes(body)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # What is not asked for in compressed form is not inflated either: no bomb can go off.
                headers={"User-Agent": f"tes_nb/{__version__}", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=not is_loopback(urlsplit(self._url).hostname or ""),
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=1),
            )
        return self._session
