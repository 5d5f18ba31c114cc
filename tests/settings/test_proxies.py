"""Which proxy a host has, by the variables of the environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.settings.proxies import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("host", "environ", "variable"),
    [
        ("https://h", {}, None),
        ("https://h", {"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ("https://h", {"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, "https_proxy"),
        ("HTTPS://H:8443/x", {"https_proxy": PROXY}, "https_proxy"),
        ("https://h", {"HTTPS_PROXY": " "}, None),
        ("https://h", {"HTTPS_PROXY": PROXY, "https_proxy": ""}, "HTTPS_PROXY"),
        ("https://h", {"HTTPS_PROXY": PROXY, "no_proxy": " ", "NO_PROXY": "h"}, None),
        ("https://h", {"HTTP_PROXY": PROXY}, None),
        ("https://h", {"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other"}, "HTTPS_PROXY"),
        ("https://h", {"ALL_PROXY": PROXY}, "ALL_PROXY"),
        ("https://h", {"all_proxy": PROXY}, "all_proxy"),
        ("https://h", {"FTP_PROXY": PROXY, "NO_PROXY": "x", "PROXY": PROXY}, None),
        ("http://h", {"http_proxy": PROXY}, "http_proxy"),
        ("http://h", {"HTTP_PROXY": PROXY}, "HTTP_PROXY"),
        ("http://h", {"HTTPS_PROXY": PROXY}, None),
        ("http://h", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ("http://h", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": ""}, None),
        ("http://h", {"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http_proxy"),
        ("http://h", {"HTTP_PROXY": PROXY, "all_proxy": PROXY, "REQUEST_METHOD": "GET"}, "all_proxy"),
        ("https://h", {"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "HTTPS_PROXY"),
        ("http://localhost:8080", {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, None),
        ("http://127.0.0.1", {"HTTP_PROXY": PROXY}, None),
        ("https://[::1]:8443", {"HTTPS_PROXY": PROXY}, None),
        ("https://jobs.localhost", {"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ("http://0.0.0.0", {"HTTP_PROXY": PROXY}, "HTTP_PROXY"),
    ],
)
def test_the_proxy_of_the_scheme_comes_before_the_one_for_all(host, environ, variable):
    """Not for loopback; an empty variable is unset; a request header cannot set one (httpoxy)."""
    proxy = proxy_for(host, environ)
    assert (proxy and proxy.variable) == variable
    assert proxy is None or proxy.url == environ[variable]


def test_a_proxy_without_a_scheme_is_http():
    """As in curl and Go; its URL may hold a password and is not in the repr."""
    proxy = proxy_for("https://h", {"HTTPS_PROXY": " me:s3cret@proxy:3128 "})
    assert proxy.url == "http://me:s3cret@proxy:3128"
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize(
    ("host", "exempt", "direct"),
    [
        # Names
        ("https://nmp.example.com", "*", True),
        ("https://nmp.example.com", "nmp.example.com", True),
        ("https://NMP.example.com.", "nmp.Example.com", True),
        ("https://nmp.example.com", "nmp.example.com.", True),
        ("https://nmp.example.com", "example.com", True),
        ("https://nmp.example.com", ".example.com", True),
        ("https://nmp.example.com", "*.example.com", True),
        ("https://example.com", ".example.com", False),
        ("https://example.com", "*.example.com", False),
        ("https://nmpexample.com", "example.com", False),
        ("https://nmp.example.com", "other.example, example.com", True),
        ("https://nmp.example.com", "other.example example.com", True),
        ("https://nmp.example.com", "other.example", False),
        ("https://nmp.example.com", "", False),
        ("https://nmp.example.com", ",.,:,[],/,*.", False),
        ("https://bücher.example", "BÜCHER.example", True),
        ("https://bücher.example", "xn--bcher-kva.example", True),
        ("https://a.xn--bcher-kva.example", ".bücher.example", True),
        # Ports
        ("https://nmp.example.com", "nmp.example.com:443", True),
        ("http://nmp.example.com", "example.com:80", True),
        ("https://nmp.example.com:8443", "nmp.example.com:443", False),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3", "10.1.2.3:8443", False),
        ("https://[fd00::1]:8443", "[fd00::1]:8443", True),
        ("https://[fd00::1]", "[fd00::1]:8443", False),
        # Addresses and ranges
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.9.9.9/8", True),
        ("https://10.1.2.3", "0.0.0.0/0", True),
        ("https://10.1.2.3", "fd00::/8", False),
        ("https://10.1.2.3", "10.0.0.0/99, 10.0.0/8", False),
        ("https://10.1.2.3", "2.3", False),
        ("https://[fd00::1]", "fd00::1", True),
        ("https://[fd00::1]", "[fd00::1]", True),
        ("https://[FD00:0::1]", "fd00::1", True),
        ("https://[fd00::1]", "fd00::/8", True),
        ("https://[2001:db8::1]", "fd00::/8", False),
        ("https://[fd00::1]", "10.0.0.0/8", False),
        ("https://nmp.example.com", "10.0.0.0/8", False),
        ("https://[::ffff:10.1.2.3]", "10.0.0.0/8", True),
        ("https://[::ffff:10.1.2.3]", "10.1.2.3", True),
        ("https://10.1.2.3", "::ffff:10.1.2.3", True),
        ("https://[::ffff:11.1.2.3]", "10.0.0.0/8", False),
        # Entries for other hosts stop nothing
        ("https://nmp.example.com", "fd00::/8", False),
        ("https://nmp.example.com", "[::1]", False),
        ("https://nmp.example.com", "::1", False),
        ("https://nmp.example.com", "::1,[::1]:80,fd00::/8,10.0.0.0/8,nmp.example.com", True),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_exempts_names_suffixes_addresses_and_ranges(variable, host, exempt, direct):
    """By the rules of Go's httpproxy; blanks separate entries as in curl."""
    environ = {"http_proxy": PROXY, "https_proxy": PROXY, variable: exempt}
    assert (proxy_for(host, environ) is None) == direct


HOSTS = st.sampled_from(["h", "nmp.example.com", "10.1.2.3", "[fd00::1]", "bücher.example"])


@given(HOSTS, st.text() | st.text("0123456789abf.:/[]*, ", max_size=30))
def test_any_no_proxy_is_tolerated(host, exempt):
    """An invalid entry exempts nothing, and the host itself always does."""
    environ = {"https_proxy": PROXY, "no_proxy": exempt}
    assert proxy_for(f"https://{host}", environ) in {None, (PROXY, "https_proxy")}
    assert proxy_for(f"https://{host}", {**environ, "no_proxy": f"{exempt},{host}"}) is None
