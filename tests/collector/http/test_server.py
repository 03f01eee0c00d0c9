"""Ports: both or neither, loopback alone; and connections that never ask anything."""

from __future__ import annotations

import asyncio
import socket as sockets
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from tes_nb.collector.http.server import bind_ports
from tes_nb.errors import CollectorError
from tests.support.aio import run_async
from tests.support.collectors import (
    HANDSHAKE,
    STATUS,
    ask,
    collecting,
    open_socket,
    read_reply,
    receive,
    request,
    socket,
)


@contextmanager
def somebody(address="127.0.0.1", family=sockets.AF_INET):
    """Another program that listens on a port."""
    with sockets.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        yield listener.getsockname()[1]


@contextmanager
def bound(*args, **kwargs):
    ports = bind_ports(*args, **kwargs)
    try:
        yield ports
    finally:
        ports.close()


def free_port():
    with somebody() as port:
        return port


def test_free_ports_are_bound_as_asked():
    status, workers = free_port(), free_port()
    with bound(status, workers, required=True) as ports:
        assert ports.ports == (status, workers)
        assert ports.busy_ports == ()


def test_fault_48_only_loopback_is_bound():
    with bound(0, 0, required=False) as ports:
        addresses = {one.getsockname()[0] for one in (*ports.status, *ports.workers)}
        assert addresses <= {"127.0.0.1", "::1"}
        assert "127.0.0.1" in addresses


@pytest.mark.parametrize("which", ["status", "workers"])
def test_one_taken_port_moves_both(which):
    with somebody() as taken:
        wanted = (taken, free_port()) if which == "status" else (free_port(), taken)
        with bound(*wanted, required=False) as ports:
            assert set(ports.ports).isdisjoint(wanted)
            assert ports.busy_ports == (taken,)
        with pytest.raises(CollectorError, match=f"Port {taken} is in use .*choose other ports"):
            bind_ports(*wanted, required=True)
        other = wanted[1 - wanted.index(taken)]
        with bound(other, 0, required=True):  # neither: the free one was given back
            pass


def test_a_port_taken_on_the_other_loopback_alone_is_taken():
    try:
        with somebody("::1", sockets.AF_INET6) as taken, bound(taken, 0, required=False) as ports:
            assert ports.busy_ports == (taken,)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize("wanted", [(-1, 0), (0, 65536), (70000, 3003)])
def test_numbers_that_are_no_ports(wanted):
    with pytest.raises(CollectorError, match="is no port; use a number from 1 to 65535"):
        bind_ports(*wanted, required=False)


def test_one_port_for_both_is_none():
    port = free_port()
    with pytest.raises(CollectorError, match="two different ports"):
        bind_ports(port, port, required=False)


@run_async
async def test_fault_48_the_running_collector_listens_on_loopback_alone():
    async with collecting() as collector:
        listening = [
            one.laddr
            for one in psutil.Process().net_connections(kind="tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr.port in collector.ports
        ]
        assert {one.port for one in listening} == set(collector.ports)
        assert {one.ip for one in listening} <= {"127.0.0.1", "::1"}
        for address in other_addresses():
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection(address, collector.ports[0])


def other_addresses():
    """This machine's addresses beside loopback."""
    found = [
        one.address
        for every in psutil.net_if_addrs().values()
        for one in every
        if one.family == sockets.AF_INET
    ]
    return [address for address in found if not address.startswith("127.")]


FROM_OUTSIDE = """
import json, socket, sys
address, *ports = json.loads(sys.argv[1])
for port in ports:
    try:
        socket.create_connection((address, port), timeout=2).close()
        print("connected")
    except OSError as error:
        print("refused")
"""


@run_async
async def test_fault_48_another_machine_is_refused():
    """A network namespace of its own stands for another machine on a wire."""
    with another_machine() as (address, enter):
        if address is None:
            pytest.skip("network namespaces cannot be made here")
        async with collecting() as collector:
            reported_ports = f'["{address}", {collector.ports[0]}, {collector.ports[1]}]'
            outcome = await asyncio.to_thread(
                subprocess.run,
                [*enter, sys.executable, "-S", "-c", FROM_OUTSIDE, reported_ports],
                capture_output=True,
                text=True,
                timeout=15,
            )
            assert outcome.stdout.split() == ["refused", "refused"], outcome


@contextmanager
def another_machine():
    """A namespace with a wire to here: (our address on it, the command prefix that runs something there)."""
    name, here, there = "tesnbtest", "tesnbt0", "tesnbt1"
    steps = [
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name {there} netns {name}",
        f"ip addr add 10.213.77.1/30 dev {here}",
        f"ip link set {here} up",
        f"ip -n {name} addr add 10.213.77.2/30 dev {there}",
        f"ip -n {name} link set {there} up",
    ]
    try:
        made = all(run(step) for step in steps)
        yield ("10.213.77.1" if made else None), ["ip", "netns", "exec", name]
    finally:
        run(f"ip link del {here}")
        run(f"ip netns del {name}")


def run(command):
    try:
        return subprocess.run(command.split(), capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# Silent connections -------------------------------------------------------------------------------------------


async def cut_after(reader, patience_s=5.0):
    """Seconds until the server ends the connection."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(patience_s):
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    return loop.time() - began


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: x",
        b"POST /x HTTP/1.1\r\n",
        b"\r\n",
        b"G",
    ],
    ids=repr,
)
@run_async
async def test_who_does_not_finish_a_request_is_cut(said):
    async with collecting(limits={"request_timeout": 0.4}) as collector:
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.ports[0])
        writer.write(said)
        assert 0.2 < await cut_after(reader) < 2
        writer.close()


@run_async
async def test_who_drips_bytes_is_cut_too():
    async with collecting(limits={"request_timeout": 0.4}) as collector:
        reader, writer = await asyncio.open_connection("127.0.0.1", collector.ports[0])

        async def drip():
            for byte in b"GET /health HTTP/1.1\r\nX: " + b"y" * 100:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await cut_after(reader) < 2
        dripping.cancel()
        writer.close()


@run_async
async def test_who_falls_silent_after_a_request_is_cut_and_who_goes_on_is_not():
    async with collecting(limits={"request_timeout": 0.4}) as collector:
        port = collector.ports[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(8):  # longer than the limit in all
            writer.write(request(port, "/health", close=False))
            assert (await read_reply(reader)).status == 200
            await asyncio.sleep(0.1)
        writer.write(b"GET /hea")  # half of one more
        assert await cut_after(reader) < 2
        writer.close()


@run_async
async def test_an_open_websocket_may_be_silent():
    async with (
        collecting(limits={"request_timeout": 0.2}) as collector,
        socket(collector.ports[0], STATUS) as client,
    ):
        await asyncio.sleep(0.8)
        await receive(client)
        await client.send('{"type":"ping"}')
        await receive(client)


@run_async
async def test_a_refused_websocket_does_not_keep_its_connection():
    async with collecting(limits={"clients": 1}) as collector:
        _, writer = await open_socket(collector.ports[0], STATUS)
        refused = await asyncio.open_connection("127.0.0.1", collector.ports[0])
        sent = request(collector.ports[0], STATUS, headers=HANDSHAKE, close=False)
        refused[1].write(sent)
        assert (await read_reply(refused[0])).status == 503
        assert await cut_after(refused[0]) < 1
        for one in (writer, refused[1]):
            one.close()


@run_async
async def test_a_port_that_stops_is_free_at_once():
    async with collecting() as collector:
        idle = await asyncio.open_connection("127.0.0.1", collector.ports[0])
        ports = collector.ports
    with bound(*ports, required=True) as again:
        assert again.ports == ports
    idle[1].close()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await ask(ports[0], "/health")
