"""Where the page is from outside, and under which names the collector then answers."""

from __future__ import annotations

import pytest

from tes_nb.collector.http import pages
from tes_nb.collector.http.pages import allowed_hosts, page_url, public_origin, public_origins

HUB = {"JUPYTERHUB_SERVICE_PREFIX": "/user/me/"}


@pytest.fixture
def proxy(monkeypatch):
    monkeypatch.setattr(pages, "has_proxy", lambda: True)


def test_hosts_behind_a_proxy():
    assert allowed_hosts({}) == ()
    named = {"TES_ALLOWED_HOSTS": "hub.example, lab.example:8888,,"}
    assert allowed_hosts(named) == ("hub.example", "lab.example:8888")
    assert public_origins(named) == ("https://hub.example", "https://lab.example:8888")


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ("https://hub.example", "https://hub.example"),
        ("https://Hub.Example:443/path?x#y", "https://hub.example"),
        ("http://hub.example:8000/", "http://hub.example:8000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://me:secret@hub.example/", "https://hub.example"),
        ("", None),
        ("hub.example", None),
        ("javascript:alert(1)", None),
        ("https://hub:99999", None),
        ("https://", None),
    ],
)
def test_the_public_origin_is_written_as_browsers_write_it(said, origin):
    environ = {"TES_PUBLIC_URL": said}
    assert public_origin(environ) == origin
    assert public_origins(environ) == (() if origin is None else (origin,))
    assert allowed_hosts(environ) == (() if origin is None else (origin.partition("://")[2],))


def test_the_hub_s_own_variable_serves_where_ours_is_not_set():
    environ = {"JUPYTERHUB_PUBLIC_URL": "https://me.hub.example/user/me/"}
    assert public_origin(environ) == "https://me.hub.example"
    assert public_origin({**environ, "TES_PUBLIC_URL": "http://other"}) == "http://other"


def test_the_page_of_a_notebook_on_this_machine(proxy):
    assert page_url(3002, {}) == "http://127.0.0.1:3002/"


def test_the_page_behind_a_hub(proxy):
    assert page_url(3002, HUB) == "/user/me/proxy/3002/"
    public_url = {"TES_PUBLIC_URL": "https://hub.example/anything"}
    assert page_url(3002, {**HUB, **public_url}) == "https://hub.example/user/me/proxy/3002/"


def test_without_the_proxy_the_page_is_for_the_machine_alone(monkeypatch):
    monkeypatch.setattr(pages, "has_proxy", lambda: False)
    assert page_url(3002, HUB) == "http://127.0.0.1:3002/"
