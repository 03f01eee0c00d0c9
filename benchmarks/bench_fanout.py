"""P8: the CPU time that one message costs per client, against a bare `sock.send` of a ready frame."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable

from benchmarks.harness import Result, ratio
from tes_nb.collector.produced import Client, text_frame

MESSAGE = b'{"type":"metrics","pad":"' + b"x" * 600 + b'"}'


def run(*, quick: bool) -> Iterable[Result]:
    for clients in (64, 1000):
        ours, theirs = asyncio.run(measure(clients, rounds=5, messages=20 if quick else 60))
        yield ratio(
            "P8",
            f"one frame to {clients} clients, CPU per client and message",
            ours,
            theirs,
            unit="µs",
            against="sock.send of the ready frame",
            at_most=1.5,
            packages=("aiohttp", "websockets"),
        )


async def measure(count: int, rounds: int, messages: int) -> tuple[list[float], list[float]]:
    loop = asyncio.get_running_loop()
    near, far = pairs(count)
    transports = [(await loop.create_connection(asyncio.Protocol, sock=one))[0] for one in near]
    clients = [Client(transport, 2**20) for transport in transports]
    raw_near, raw_far = pairs(count)
    ours, theirs = [], []
    for turn in range(rounds + 1):
        figures = [ours_once(clients, far, messages), theirs_once(raw_near, raw_far, messages)]
        if turn:
            ours.append(figures[0])
            theirs.append(figures[1])
    for transport in transports:
        transport.abort()
    for one in (*far, *raw_near, *raw_far):
        one.close()
    await asyncio.sleep(0)
    return ours, theirs


def pairs(count: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """So many connected TCP sockets on loopback: (ours, the clients')."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=count)
    far = [socket.create_connection(listener.getsockname()) for _ in range(count)]
    near = [listener.accept()[0] for _ in range(count)]
    listener.close()
    for one in (*near, *far):
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def drain(sockets: list[socket.socket]) -> None:
    for one in sockets:
        try:
            while one.recv(65536):
                pass
        except BlockingIOError:
            continue


def ours_once(clients: list[Client], far: list[socket.socket], messages: int) -> float:
    spent = 0.0
    for _ in range(messages):
        began = time.process_time()
        frame = text_frame(MESSAGE)
        for client in clients:
            client.write(frame)
        spent += time.process_time() - began
        drain(far)
    return spent / messages / len(clients) * 1e6


def theirs_once(near: list[socket.socket], far: list[socket.socket], messages: int) -> float:
    frame = text_frame(MESSAGE)
    spent = 0.0
    for _ in range(messages):
        began = time.process_time()
        for one in near:
            one.send(frame)
        spent += time.process_time() - began
        drain(far)
    return spent / messages / len(near) * 1e6
