"""An original TES server as people still run them, with real content, in a process of its own.

`python -m tests.support.original_tes` prints its port and serves until its input ends. It greets where it has no
stream, pushes no status after the first message, closes workers sockets that say nothing for 30 s, and leaves out
what old servers leave out.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp import WSMsgType, web

IDLE_S = 30.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def status() -> dict[str, object]:
    return {
        "timestamp": "2026-01-01T00:00:00.000Z",
        "vector": {
            "sessions": {"tmux": 2, "activeWorkers": 1, "apiSessions": 0, "websocketConnections": 3},
            "directions": {
                "primaryRegion": "us-east-1",
                "trafficMode": "normal",
                "requestFlow": {
                    "totalRoutes": 9,
                    "activeRoutes": 4,
                    "avgLatency": 1.5,
                    "requestsPerSecond": 2.0,
                },
            },
            "others": {"memory": 41_000_000, "cpu": 2.5, "errorRate": 0.0, "uptime": time.monotonic()},
        },
        "meta": {"totalEndpoints": 9, "telemetryStatus": "healthy", "statusVersion": "2.0"},
    }


async def status_live(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    flat = {
        "cpu": 2.5,
        "memory": {"heapUsed": 41_000_000, "rss": 60_000_000},
        "uptime": 5.0,
        "timestamp": now_ms(),
    }
    await socket.send_json({"type": "status", "data": flat})
    async for message in socket:
        ping = message.type is WSMsgType.TEXT and '"ping"' in message.data
        await socket.send_json(
            {"type": "pong", "timestamp": now_ms()} if ping else {"error": "Invalid message format"}
        )
    return socket


async def echo_live(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_json({"type": "connected", "message": "Server metrics stream"})
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def push(socket: web.WebSocketResponse, period: float, build, *, first_at_once: bool) -> None:
    if not first_at_once:
        await asyncio.sleep(period)
    while not socket.closed:
        await socket.send_json(build())
        await asyncio.sleep(period)


def metrics() -> dict[str, object]:
    return {
        "type": "metrics",
        "timestamp": now_ms(),
        "http": {"pendingRequests": 0, "totalRequests": 7},
        "websockets": {
            "pendingConnections": 1,
            "subscribers": {"chat": 0, "status": 0, "workers": 0, "spline": 0},
        },
        "memory": {"heapUsed": 41_000_000, "rss": 60_000_000},
    }


async def metrics_live(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    pushing = asyncio.create_task(push(socket, 0.5, metrics, first_at_once=True))
    async for _ in socket:
        pass
    pushing.cancel()
    return socket


def telemetry() -> dict[str, object]:
    worker = {
        "id": "007",
        "status": "idle",
        "created_at": now_ms() - 60_000,
        "resource_usage": {"rss_mb": 12.5},
    }
    return {"timestamp": now_ms(), "workers": {"007": worker}, "summary": {"total": 1, "idle": 1}}


async def workers_live(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    pushing = asyncio.create_task(push(socket, 1.0, telemetry, first_at_once=False))
    while not socket.closed:
        try:
            message = await socket.receive(timeout=IDLE_S)
        except TimeoutError:
            await socket.close(code=1000, message=b"Idle timeout")
            break
        if message.type is not WSMsgType.TEXT:
            break
    pushing.cancel()
    return socket


async def main() -> None:
    app = web.Application()
    app.router.add_get("/api/dev/status/live", status_live)
    app.router.add_get("/api/dev/server-metrics/live", echo_live)
    app.router.add_get("/ws/server-metrics/live", metrics_live)
    app.router.add_get("/ws/workers/telemetry", workers_live)
    app.router.add_get("/api/dev/status", lambda _request: answer(status()))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def answer(body: dict[str, object]) -> web.Response:
    return web.json_response(body)


if __name__ == "__main__":
    asyncio.run(main())
