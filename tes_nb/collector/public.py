"""Where the page is for a browser on another machine: behind a hub, through jupyter-server-proxy.

TES_PUBLIC_URL             https://hub.example.org, where browsers find the hub; else JUPYTERHUB_PUBLIC_URL
TES_ALLOWED_HOSTS          further host names that may stand in the Host header, separated by commas
JUPYTERHUB_SERVICE_PREFIX  /user/me/, which the hub sets by itself
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

PUBLIC = ("TES_PUBLIC_URL", "JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL")
USUAL_PORTS = {"http": 80, "https": 443}


def allowed_hosts(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the Host headers allowed beside the loopback ones: `TES_ALLOWED_HOSTS`, and the public host."""
    named = [name.strip() for name in environ.get("TES_ALLOWED_HOSTS", "").split(",")]
    origin = public_origin(environ)
    if origin is not None:
        named.append(origin.partition("://")[2])
    return tuple(dict.fromkeys(name for name in named if name))


def public_origins(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the origins of pages that come through the hub; a host without a scheme counts as https."""
    origin = public_origin(environ)
    named = [f"https://{host}" for host in allowed_hosts(environ)]
    if origin is not None:
        named = [origin, *(one for one in named if one.partition("://")[2] != origin.partition("://")[2])]
    return tuple(named)


def public_origin(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the hub's own origin, as a browser writes it; `None` = nobody has said where browsers find it."""
    for name in PUBLIC:
        try:
            parts = urlsplit(environ.get(name, "").strip())
            port = parts.port
        except ValueError:
            continue
        if parts.scheme in USUAL_PORTS and parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            usual = port in (None, USUAL_PORTS[parts.scheme])
            return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"
    return None


def page_url(port: int, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address at which a browser opens the page of the collector on this port.

    Behind a hub this is `…/user/me/proxy/3002/`, from the hub's own origin if that is known, else as a path of
    it; without jupyter-server-proxy the page can be reached on the machine alone.
    """
    prefix = environ.get("JUPYTERHUB_SERVICE_PREFIX", "").strip()
    if not prefix.startswith("/") or not has_proxy():
        return f"http://127.0.0.1:{port}/"
    return f"{public_origin(environ) or ''}{prefix.rstrip('/')}/proxy/{port}/"


def has_proxy() -> bool:
    """Whether jupyter-server-proxy is installed beside this kernel, which is where the hub's server usually is."""
    return importlib.util.find_spec("jupyter_server_proxy") is not None
