"""Certificates for loopback from an authority of the tests' own, and a TLS peer that keeps what it can read."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl

import trustme

CASES = ("expired", "wrong host", "self-signed")
HOST = "localhost"


def authority(monkeypatch, folder):
    """Make an authority that this process trusts for the test, as a company's is: by SSL_CERT_FILE."""
    ca = trustme.CA()
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return ca


def server_context(ca, case=None):
    """The TLS side of a server at localhost; `case` says what is wrong with its certificate."""
    long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    if case == "expired":
        cert = ca.issue_cert(HOST, not_before=long_ago, not_after=long_ago + dt.timedelta(days=1))
    elif case == "wrong host":
        cert = ca.issue_cert("elsewhere.test")
    elif case == "self-signed":
        cert = trustme.CA().issue_cert(HOST)
    else:
        cert = ca.issue_cert(HOST, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


class TlsPeer:
    """Accepts TLS connections and keeps every byte that it could decrypt; answers nothing."""

    def __init__(self, context):
        self._context = context
        self.connections = 0
        self.received = b""
        self.port = None
        self._tasks = set()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        # A handshake that the client breaks off is what the tests are about.
        self._server = await loop.create_server(lambda: _Protocol(self), HOST, 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        self._counter = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port_counted = self._counter.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        for server in (self._server, self._counter):
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader, writer):
        """Count a TCP connection and pass it on to the TLS server."""
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, forth = await asyncio.open_connection(HOST, self.port)
            try:
                await asyncio.gather(_copy(reader, forth), _copy(back, writer))
            finally:
                forth.close()
                writer.close()


async def _copy(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
    with contextlib.suppress(OSError):
        writer.write_eof()


class _Protocol(asyncio.Protocol):
    def __init__(self, peer):
        self._peer = peer

    def data_received(self, data):
        self._peer.received += data
