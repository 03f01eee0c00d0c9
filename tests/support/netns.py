"""Two network namespaces joined by a cable that can be cut without a word: real packet loss, no proxy."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
CLIENT_ADDRESS, SERVER_ADDRESS = "10.99.0.1", "10.99.0.2"
_NOBODY = "02:00:00:00:00:99"  # a MAC address that no interface has
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace that lives as long as this object's file descriptor."""

    def __init__(self):
        self._fd = _in_thread(_new_namespace)

    def run(self, fn):
        """Run `fn` on a new thread inside; return what it returns, raise what it raises."""

        def inside():
            _check(_libc.setns(self._fd, CLONE_NEWNET))
            return fn()

        return _in_thread(inside)

    def ip(self, arguments):
        """Run the command `ip` inside; return its output."""
        command = ["ip", *arguments.split()]
        done = self.run(lambda: subprocess.run(command, check=True, capture_output=True, text=True))
        return done.stdout

    def close(self):
        os.close(self._fd)


class Cable:
    """Two namespaces, `client` and `server`, and the cable between them."""

    def __init__(self):
        self.client, self.server = Namespace(), Namespace()
        self.client.ip("link add tes_a type veth peer name tes_b")
        # The command names the goal by a thread that lives there.
        self.server.run(lambda: self.client.ip(f"link set tes_b netns {threading.get_native_id()}"))
        self._bring_up(self.client, "tes_a", CLIENT_ADDRESS)
        self._bring_up(self.server, "tes_b", SERVER_ADDRESS)
        self._macs = _mac(self.client, "tes_a"), _mac(self.server, "tes_b")
        self.mend()

    def cut(self):
        """From now on every packet of both sides goes to nobody: no FIN, no RST, no ICMP."""
        self._point(_NOBODY, _NOBODY)

    def mend(self):
        self._point(*self._macs)

    def close(self):
        self.client.close()
        self.server.close()

    def _bring_up(self, side, name, address):
        side.ip("link set lo up")
        side.ip(f"address add {address}/24 dev {name}")
        side.ip(f"link set {name} up")

    def _point(self, client_mac, server_mac):
        self.client.ip(f"neigh replace {SERVER_ADDRESS} lladdr {server_mac} dev tes_a nud permanent")
        self.server.ip(f"neigh replace {CLIENT_ADDRESS} lladdr {client_mac} dev tes_b nud permanent")


def try_cable():
    """Return a `Cable`, or a line that says why there can be none here."""
    if not hasattr(_libc, "unshare"):
        return "network namespaces need Linux"
    try:
        return Cable()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces need root and iproute2 here: {error}"


def _new_namespace():
    _check(_libc.unshare(CLONE_NEWNET))
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


def _check(result):
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _mac(side, name):
    return side.ip(f"-o link show {name}").split("link/ether ")[1].split()[0]


def _in_thread(fn):
    """Run `fn` on a thread of its own: namespaces belong to threads, and ours must not leave its own."""
    outcome = {}

    def main():
        try:
            outcome["result"] = fn()
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome["error"] = error

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
