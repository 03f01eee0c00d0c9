"""Talking to the collector: requests with answers, and reports that wait while there is no connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from tes_nb.errors import ArgumentError, AuthenticationError, CollectorError, ConnectionFailed
from tes_nb.model import Opcode
from tes_nb.model.control import KernelReport
from tes_nb.model.operation import POLICY_VIOLATION, TOKEN_HEADER, Greeting, Operation, Reply
from tes_nb.net.collector_connection import LocalConnection
from tes_nb.net.logs import note
from tes_nb.net.transport import Closed, Link
from tes_nb.wire.lifecycle import ReaderState

MOST_BYTES = 64 * 1024
"""What a collector takes in one message."""
REPORT_LIMIT = 1000
"""Reports that wait for a connection; beyond it the oldest is dropped."""
_LAST_WORDS_S = 0.5

R = TypeVar("R")


class ControlClient:
    """One connection to `/ws/control`. Everything but the constructor belongs on the loop of `start()`."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        start_id: str = "",
    ) -> None:
        """`url` is `ws://127.0.0.1:PORT/ws/control`. The token goes into header and first message, never into a URL.

        The header makes the collector count it among its owner's connections, for which it keeps places free.
        start_id: that of the collector which may have it; "" = whichever answers.
        """
        self._token = token
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[Operation[Any], asyncio.Future[Any]]] = {}
        self._reports: deque[KernelReport] = deque(maxlen=REPORT_LIMIT)
        self._unanswered: set[int] = set()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._link: Link | None = None
        self._ready = asyncio.Event()
        self.dropped = 0
        """Reports that were lost: too many waited, or the connection ended before they were answered."""
        self._connection = LocalConnection(
            "control",
            lambda: url,
            self._serve,
            headers={TOKEN_HEADER: token},
            start_id=start_id,
            on_state=self._note_state,
        )

    def __repr__(self) -> str:
        """Without the token."""
        return f"<ControlClient {self.state}>"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent at once."""
        return self._link is not None

    @property
    def is_replaced(self) -> bool:
        """Whether another collector answers where ours did; a call says so."""
        return self._connection.is_replaced

    @property
    def state(self) -> ReaderState:
        """The state of the connection."""
        return self._connection.state

    async def start(self) -> None:
        """Begin to connect; returns at once. Raises `SessionError` when it was started or stopped before."""
        self._connection.start()

    async def stop(self) -> None:
        """Send what is queued, if that goes quickly, and close for good. Idempotent."""
        if self.connected:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.drain(), _LAST_WORDS_S)
        await self._connection.stop()
        self._fail_all("the session stopped")
        self._ready.set()  # wakes the calls that still wait for a connection: `check` raises

    async def call(self, operation: Operation[R], *, timeout_s: float | None = None) -> R:
        """Let the collector carry out an operation and return its result.

        Waits for the connection if there is none. Raises `CollectorError` with the collector's sentence when it
        refuses, and when no answer came within `timeout_s` (`None` = the operation's own patience);
        `AuthenticationError` for a wrong token.
        """
        op = operation.op()
        timeout_s = operation.patience_s if timeout_s is None else timeout_s
        number = next(self._ids)
        request = _encode(number, operation)
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._connected(op)
                self._waiting[number] = (operation, answer)
                await link.send(request)
                return await answer
        except TimeoutError:
            raise CollectorError(
                f"The collector did not answer '{op}' within {timeout_s:g} s ({self.state}); "
                "if it has ended, start a new session."
            ) from None
        except ConnectionFailed as error:
            if isinstance(error, AuthenticationError):
                raise
            raise CollectorError(f"'{op}' could not be sent to the collector: {error}") from error
        finally:
            self._waiting.pop(number, None)

    def report(self, report: KernelReport) -> None:
        """Report something that only the kernel knows; the answer is not waited for.

        While there is no connection reports queue up, the oldest are dropped, and a mere heartbeat is left out,
        since it is only true now. Raises `ArgumentError` for what does not fit into one message.
        """
        _encode(0, report)
        if self._link is None and report.is_heartbeat:
            return
        if len(self._reports) == REPORT_LIMIT:
            self.dropped += 1
        self._reports.append(report)
        self._idle.clear()
        self._news.set()

    async def drain(self) -> None:
        """Wait until every report was answered."""
        await self._idle.wait()

    def check(self, op: str) -> None:
        """Raise `CollectorError`, or `AuthenticationError`, where there will be no connection any more."""
        state = self.state
        if self._connection.is_replaced:
            raise CollectorError(f"'{op}' cannot be asked any more: {state.reason}.")
        if state.word == "FAILED":
            raise AuthenticationError(f"The collector refuses this session: {state.reason}.")
        if state.word == "CLOSED":
            raise CollectorError(f"'{op}' cannot be asked any more: the session is stopped.")

    async def _connected(self, op: str) -> Link:
        """Wait for a connection, unless there will be none."""
        while self._link is None:
            self.check(op)
            await self._ready.wait()
        return self._link

    # The connection ---------------------------------------------------------------------------------------

    def _note_state(self, state: ReaderState) -> None:
        if state.word == "FAILED":
            self._ready.set()  # wakes the calls that wait for a connection: `check` raises
        elif state.word == "CONNECTING":
            self._ready.clear()

    async def _serve(self, link: Link) -> Closed:
        with contextlib.suppress(ConnectionFailed):  # `receive` returns how it ended
            await link.send(msgspec.json.encode(Greeting(type="auth", token=self._token)))
        self._link = link
        self._ready.set()
        sender = asyncio.create_task(self._send_reports(link), name="reports to the collector")
        closed = Closed(1006, "the connection was given up")
        try:
            closed = await link.receive(self._receive)
        finally:
            self._link = None
            self._ready.clear()
            self._lose(closed)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionFailed):
                await sender
        return closed

    async def _send_reports(self, link: Link) -> None:
        while True:
            while self._reports:
                number = next(self._ids)
                request = _encode(number, self._reports.popleft())
                self._unanswered.add(number)
                await link.send(request)
            self._news.clear()
            await self._news.wait()

    def _receive(self, _opcode: Opcode, text: bytes) -> None:
        try:
            reply = _decode(text)
        except (msgspec.MsgspecError, ValueError):
            note(logging.WARNING, "control: the collector's answer is not understood")
            return
        if reply.id in self._unanswered:
            self._unanswered.discard(reply.id)
            if not reply.ok:
                note(logging.WARNING, f"control: a report was refused: {reply.error or 'without a reason'}")
            self._look_idle()
        elif reply.id in self._waiting:
            operation, future = self._waiting[reply.id]
            if not future.done():
                _settle(future, operation, reply)

    def _look_idle(self) -> None:
        if not self._reports and not self._unanswered:
            self._idle.set()

    def _lose(self, closed: Closed) -> None:
        self.dropped += len(self._unanswered)
        self._unanswered.clear()
        self._look_idle()
        if closed.code == POLICY_VIOLATION:
            error: Exception = AuthenticationError(f"The collector refuses this session: {closed.sentence}.")
            self._fail_with(lambda _op: error)
        else:
            self._fail_all(closed.sentence)

    def _fail_all(self, why: str) -> None:
        self._fail_with(
            lambda op: CollectorError(
                f"The connection to the collector ended while '{op}' was under way ({why}); "
                "it may or may not have been done."
            )
        )

    def _fail_with(self, error: Callable[[str], Exception]) -> None:
        for operation, future in self._waiting.values():
            if not future.done():
                future.set_exception(error(operation.op()))


_decode = msgspec.json.Decoder(Reply).decode


def _encode(number: int, operation: Operation[Any]) -> bytes:
    op = operation.op()
    try:
        request = msgspec.json.encode({"id": number, "op": op, "args": operation.args()})
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"The arguments of '{op}' cannot be sent as JSON: {error}.") from error
    if len(request) > MOST_BYTES:
        raise ArgumentError(
            f"'{op}' with {len(request)} bytes is too long: at most {MOST_BYTES} can be sent."
        )
    return request


def _settle(future: asyncio.Future[Any], operation: Operation[Any], reply: Reply) -> None:
    op = operation.op()
    if not reply.ok:
        future.set_exception(CollectorError(reply.error or f"The collector refused '{op}' without a reason."))
        return
    try:
        result = msgspec.json.decode(
            b"null" if reply.result is UNSET else reply.result, type=operation.result_type()
        )
    except (msgspec.MsgspecError, ValueError):
        future.set_exception(
            CollectorError(f"The collector's answer to '{op}' is of another form than expected.")
        )
    else:
        future.set_result(result)
