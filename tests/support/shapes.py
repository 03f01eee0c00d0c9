"""The canonical shapes of what our server sends: names and types."""

from __future__ import annotations

STATUS_SHAPE = {
    "timestamp": str,
    "vector": {
        "sessions": {
            "tmux": int,
            "activeWorkers": int,
            "apiSessions": int,
            "websocketConnections": int,
            "websocketSubscribers": int,
        },
        "directions": {
            "primaryRegion": str,
            "trafficMode": str,
            "activeRoutes": int,
            "requestFlow": {
                "totalRoutes": int,
                "activeRoutes": int,
                "avgLatency": float,
                "requestsPerSecond": float,
            },
        },
        "others": {"memory": int, "cpu": float, "errorRate": float, "uptime": float},
    },
    "meta": {"totalEndpoints": int, "telemetryStatus": str, "statusVersion": str, "tmux": str},
}
METRICS_SHAPE = {
    "timestamp": int,
    "http": {"pendingRequests": int, "totalRequests": int},
    "websockets": {
        "pendingConnections": int,
        "subscribers": {"status": int, "workers": int, "metrics": int},
        "totalSubscribers": int,
    },
    "memory": {"heapUsed": int, "heapTotal": int, "rss": int, "external": int, "arrayBuffers": int},
    "cpu": {"percent": float, "cores": float, "user_ms": float, "system_ms": float},
    "limits": {"memory": int, "cores": float},
    "total": {"cores": float, "memory": int},
}
SUMMARY_SHAPE = dict.fromkeys(("total", "idle", "working", "error", "total_queue_depth"), int)
WORKER_SHAPE = {
    "id": str,
    "status": str,
    "created_at": int,
    "messages_processed": int,
    "errors": int,
    "resource_usage": {"rss_mb": float, "heap_used_mb": float, "heap_total_mb": float, "external_mb": float},
    "queue_depth": int,
    "pid": int,
    "name": str,
    "kind": str,
    "cpu_percent": float,
    "threads": int,
    "role": str,
    "disk_read_mb": float,
    "disk_write_mb": float,
    "descriptors": int,
}


def shape(value):
    """The names and types of a message; a whole number is a float's, too."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value)


def fits(value, shape, *, optional=()) -> bool:
    if isinstance(shape, dict):
        extra = set(value) - set(shape)
        return extra <= set(optional) and all(
            name in value and fits(value[name], inner) for name, inner in shape.items()
        )
    return type(value) is shape or (shape is float and type(value) is int)
