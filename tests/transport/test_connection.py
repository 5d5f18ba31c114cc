"""The target of a request: the host name that is looked up, or a proxy."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport import connection


def at(url, **more):
    """Return settings for a host."""
    return Settings(host=Sourced(url, "--host"), **more)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://nmp.example.com/prefix", ("nmp.example.com", 443)),
        ("HTTP://NMP.example.com", ("nmp.example.com", 80)),
        ("http://[::1]:8080", ("::1", 8080)),
        ("https://bücher.example:1", ("xn--bcher-kva.example", 1)),
    ],
)
def test_a_host_is_looked_up_as_a_request_would(url, target):
    """It has no brackets, is ASCII, and has the scheme's default port."""
    assert connection.host_and_port(at(url)) == target


@pytest.mark.parametrize(
    ("variables", "proxied"),
    [
        ({"https_proxy": "http://127.0.0.1:3128"}, True),
        ({"all_proxy": "http://127.0.0.1:3128"}, True),
        ({"http_proxy": "http://127.0.0.1:3128"}, False),
        ({"https_proxy": "http://127.0.0.1:3128", "no_proxy": "example.com"}, False),
        ({"https_proxy": "http://127.0.0.1:3128", "no_proxy": "other.example"}, True),
        ({"https_proxy": "ftp://nonsense"}, True),
    ],
)
def test_a_proxy_is_detected_as_httpx_uses_it(monkeypatch, variables, proxied):
    """NO_PROXY is respected; an invalid proxy is reported by the request."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert connection.is_proxied(at("https://nmp.example.com", proxies=True)) is proxied


def test_without_proxy_variables_no_proxy_is_used():
    """This creates no TLS context."""
    assert not connection.is_proxied(at("https://nmp.example.com"))
