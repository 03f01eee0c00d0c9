"""HTTP by GET, one at a time, bounded in time and size: polls, and the answers of token sources."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from tes_nb._version import __version__
from tes_nb.net.endpoints import is_loopback
from tes_nb.net.failures import REDIRECTS, Redirect, failure_of, follow, status_failure
from tes_nb.net.proxies import proxy_for
from tes_nb.wire.lifecycle import Failure

_OK = 200
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer that is no redirect."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Of a 200: of one that is too long one byte more than is allowed. Else empty."""


class HttpClient:
    """Gets URLs of one host again and again over one kept connection."""

    def __init__(
        self,
        host: str,
        *,
        deadline_s: float,
        max_bytes: int,
        same_scheme: bool = False,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        """deadline_s: for all of a request: names, TLS, redirects, and a body that drips.

        same_scheme: a redirect to another scheme is refused, also one to TLS. tls: True = certificates are verified
        as usual.
        """
        self._host = host
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._same_scheme = same_scheme
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, url: str, headers: Mapping[str, str]) -> HttpReply | Failure:
        """GET the URL once; return the answer, or why there is none. `headers` stay at its origin."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await follow(url, headers, self._attempt, same_scheme=self._same_scheme)
        except aiohttp.ClientHttpProxyError as error:
            return Failure("network", f"the proxy answers http {error.status}")
        except aiohttp.ClientProxyConnectionError as error:
            failure = failure_of(error.os_error, self._deadline_s)
            return Failure(
                "network", f"the proxy: {'cannot connect' if failure is None else failure.sentence}"
            )
        except aiohttp.ClientConnectorError as error:
            return failure_of(error.os_error, self._deadline_s) or Failure("network", "cannot connect")
        except aiohttp.ClientError as error:
            return Failure("protocol", type(error).__name__)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            failure = failure_of(error, self._deadline_s)
            return failure or Failure("poll", "the address is not one of HTTP")

    async def close(self) -> None:
        """Close the kept connection. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _attempt(self, url: str, headers: Mapping[str, str]) -> HttpReply | Redirect | Failure:
        proxy = proxy_for(url)
        if isinstance(proxy, Failure):
            return proxy
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # What is not asked for in compressed form is not inflated either: no bomb can go off.
                headers={"User-Agent": f"tes_nb/{__version__}", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=not is_loopback(self._host),
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=1, ssl=self._tls),
            )
            # aiohttp asks twice where a connection is reset; how often is asked is for the backoff to say
            self._session._retry_connection = False  # noqa: SLF001 - it has no other switch
        async with self._session.get(url, headers=headers, proxy=proxy, allow_redirects=False) as response:
            if response.status in REDIRECTS and "Location" in response.headers:
                return Redirect(response.headers["Location"])
            body = bytearray()
            if response.status == _OK:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    body += chunk
                    if len(body) > self._max_bytes:
                        response.close()
                        break
            return HttpReply(response.status, response.headers, bytes(body[: self._max_bytes + 1]))


class Poller:
    """Fetches one URL again and again."""

    def __init__(self, url: str, *, deadline_s: float, max_bytes: int = 2**20) -> None:
        self._url = url
        self._max_bytes = max_bytes
        host = urlsplit(url).hostname or ""
        self._client = HttpClient(host, deadline_s=deadline_s, max_bytes=max_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch(self, headers: Mapping[str, str] | None = None) -> bytes | Failure:
        """GET the URL once; return the body of a 200, or why there is none. `headers` stay at its origin."""
        reply = await self._client.get(self._url, headers or {})
        if isinstance(reply, Failure):
            if reply.kind == "protocol":
                return Failure("poll", f"the poll failed: {reply.sentence}")
            return reply
        if reply.status != _OK:
            return status_failure(reply.status, reply.headers)
        if len(reply.body) > self._max_bytes:
            return Failure("poll", f"the answer is longer than {self._max_bytes} bytes")
        return reply.body

    async def close(self) -> None:
        """Close the kept connection. Idempotent."""
        await self._client.close()
