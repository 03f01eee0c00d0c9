"""Which proxy leads to an address, as the environment has it, and one sentence where that cannot be used.

The two libraries below each read the environment in their own way: one takes `HTTP_PROXY=proxy:3128` for the scheme
"proxy", one passes over what it does not understand, and both over `ALL_PROXY`. Here it is read once for both.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tes_nb.net.endpoints import is_loopback
from tes_nb.wire.lifecycle import Failure

_KINDS = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "all"),
    "http": ("http", "all"),
}
"""Scheme of an address → the proxies that are looked for, in this order."""


def proxy_for(url: str) -> str | Failure | None:
    """Return the URL of the proxy for `url`, `None` = it is reached directly, or why the one that is set is of no use.

    This machine is always reached directly, and so is what NO_PROXY names.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    kind = next((kind for kind in _KINDS.get(parts.scheme, ()) if proxies.get(kind)), None)
    if kind is None:
        return None
    value = proxies[kind].strip()
    why = _objection(value, websocket=parts.scheme.startswith("ws"))
    if why is None:
        return value
    sentence = (
        f"the proxy {without_password(value)} of {_variable(kind)} cannot be used: {why}; set it to http://HOST:PORT, "
        f"or name {host} in NO_PROXY to go there directly"
    )
    return Failure("network", sentence)


def without_password(proxy: str) -> str:
    """Return the proxy without a user's name and password."""
    head, sign, rest = proxy.partition("://") if "://" in proxy else ("", "", proxy)
    return f"'{head}{sign}{rest.rpartition('@')[2]}'"


def _objection(value: str, *, websocket: bool) -> str | None:
    """Return why a proxy cannot be used; `None` = it can."""
    if "://" not in value:
        return "it has no scheme"
    parts = urlsplit(value)
    if parts.scheme.startswith("socks"):
        if not websocket:
            return "it speaks SOCKS, which is not understood here"
        return None if find_spec("python_socks") else "it speaks SOCKS, which needs the package python-socks"
    if parts.scheme not in ("http", "https"):
        return f"its scheme {parts.scheme} is none of a proxy"
    try:
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    rest = parts.path.strip("/") or parts.query or parts.fragment
    half = parts.username is not None and parts.password is None
    if not whole or rest:
        return "it is no address of a host and a port"
    return "it has a user name and no password" if half else None


def _variable(kind: str) -> str:
    """The variable that says so, as it is spelt; the system's settings where none does."""
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's settings")
