"""Base URLs and origins."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.settings import urls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://nmp.example.com", "https://nmp.example.com"),
        ("https://nmp.example.com/", "https://nmp.example.com"),
        ("https://nmp.example.com///", "https://nmp.example.com"),
        ("https://nmp.example.com/team/a/", "https://nmp.example.com/team/a"),
        ("HTTPS://NMP.Example.com", "HTTPS://NMP.Example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://h:1", "http://h:1"),
        ("http://h:65535", "http://h:65535"),
        ("http://10.0.0.1:80/x", "http://10.0.0.1:80/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]"),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:1.2.3.4]"),
        ("http://nemo_jobs.svc", "http://nemo_jobs.svc"),
        ("https://h/users/me@example.com", "https://h/users/me@example.com"),
        ("https://bücher.example", "https://bücher.example"),
    ],
)
def test_a_base_url_loses_only_its_trailing_slashes(text, expected):
    """A path prefix stays."""
    assert urls.base_url(text, "--host") == expected


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@nmp.example.com",
        f"https://{SECRET}@nmp.example.com/path",
        f"https://me:{SECRET}/x@nmp.example.com",
        f"https://me?{SECRET}@nmp.example.com",
        f"https://me#{SECRET}@nmp.example.com",
        f"https:/me:{SECRET}@nmp.example.com",
        f"https:\\\\me:{SECRET}@nmp.example.com",
        f"me:{SECRET}@nmp.example.com",
        f"{SECRET}@nmp.example.com:8080",
        f"ftp://me:{SECRET}@nmp.example.com",
        f" https://me:{SECRET}@nmp.example.com",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_quoted(text):
    """Messages end up in logs; also if the URL has other errors, and if it is the host of a credential."""
    for call, words in ((urls.base_url, (text, "NEMO_JOBS_HOST")), (urls.origin_of, (text,))):
        with pytest.raises(SettingsError) as caught:
            call(*words)
        error = caught.value
        output = f"{error.message} {error.hint} {error.pointer} {error.facts}"
        assert SECRET not in output
        assert "me:" not in output


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "invalid URL in NEMO_JOBS_HOST: ''", "write it as https://nmp.example.com"),
        ("nmp.example.com", "invalid URL in", "did you mean https://nmp.example.com?"),
        ("nmp.example.com:8443/team", "invalid URL in", "did you mean https://nmp.example.com:8443/team?"),
        ("localhost:8080", "invalid URL in", "did you mean http://localhost:8080?"),
        ("LOCALHOST", "invalid URL in", "did you mean http://LOCALHOST?"),
        ("localhost/team", "invalid URL in", "did you mean http://localhost/team?"),
        ("127.0.0.1", "invalid URL in", "did you mean http://127.0.0.1?"),
        ("[::1]", "invalid URL in", "did you mean http://[::1]?"),
        ("[::1]:8080", "invalid URL in", "did you mean http://[::1]:8080?"),
        ("foo:bar", "invalid URL in", "write it as"),
        ("nmp.example.com?x=1", "invalid URL in", "? and # are not"),
        ("ftp://nmp.example.com", "invalid URL in", "write it as"),
        ("https:/nmp.example.com", "invalid URL in", "write it as"),
        ("https://", "invalid URL in", "write it as"),
        ("https:///path", "invalid URL in", "write it as"),
        ("https://:8080", "invalid URL in", "write it as"),
        ("https://h?workspace=a", "invalid URL in", "? and # are not"),
        ("https://h/#jobs", "invalid URL in", "? and # are not"),
        ("https://h:port", "invalid URL in", "write it as"),
        ("https://h:", "invalid URL in", "write it as"),
        ("https://h:123456", "invalid URL in", "write it as"),
        ("https://h:0", "invalid port in NEMO_JOBS_HOST: 0", "1 to 65535"),
        (f"https://me:99999/{SECRET}@nmp.example.com", "invalid port in NEMO_JOBS_HOST: 99999", "1 to 65535"),
        ("https://h:65536/x", "invalid port in NEMO_JOBS_HOST: 65536", "1 to 65535"),
        ("http://::1", "invalid URL in", "write it as"),
        ("http://[::1", "invalid URL in", "write it as"),
        ("http://[:::::]", "invalid host in NEMO_JOBS_HOST: '[:::::]'", "hyphens"),
        ("http://[1.2.3.4]", "invalid host in NEMO_JOBS_HOST: '[1.2.3.4]'", "hyphens"),
        ("http://my_jöb.example", "invalid host in NEMO_JOBS_HOST: 'my_jöb.example'", "IDNA 2008"),
        ("my_jöb.example", "invalid URL in", "write it as"),
        ("http://-jöb.example", "invalid host", "hyphens"),
        ("http://a..example", "invalid host", "hyphens"),
        ("http://ⅷ.example", "invalid host", "hyphens"),
        (f"http://{'a' * 64}.example", "invalid host", "hyphens"),
        ("http://127.999.0.1", "invalid host in NEMO_JOBS_HOST: '127.999.0.1'", "hyphens"),
        ("http://1234567", "invalid host", "hyphens"),
        ("http://[::1]x", "invalid URL in", "write it as"),
        ("https://nmp example.com", "invalid URL in", "write it as"),
        (" https://nmp.example.com", "invalid URL in", "write it as"),
        ("https://nmp.example.com\n", "invalid URL in", "write it as"),
        ("https://h/a b", "invalid URL in", "write it as"),
        ("https://h\u00a0", "invalid URL in", "write it as"),
        ("https://h/\x00", "invalid URL in", "write it as"),
        ("https://h/\u202e", "invalid URL in", "write it as"),
        ("https://h/\udcff", "invalid URL in", "write it as"),
        ("h\u200b", "invalid URL in", "write it as"),
        ("https://$HOST", "invalid URL in", "write it as"),
        ("https://{host}/", "invalid URL in", "write it as"),
        ("https://good.example\\.evil.example", "invalid URL in", "write it as"),
        ("https://good.example%2f.evil.example", "invalid URL in", "write it as"),
    ],
)
def test_an_invalid_base_url_is_refused_with_a_hint(text, message, hint):
    """Before a request is sent, and without control characters."""
    with pytest.raises(SettingsError) as caught:
        urls.base_url(text, "NEMO_JOBS_HOST")
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    assert f"{error.message}{error.hint}{error.pointer}".isprintable()


def test_a_long_invalid_url_is_truncated():
    """A variable may contain a whole file."""
    with pytest.raises(SettingsError) as caught:
        urls.base_url("x?" * 10_000, "--host")
    assert len(caught.value.message) < 200
    assert len(caught.value.pointer.line) <= 100


SCHEMES = st.sampled_from(["http", "https", "HTTP", "Https"])
HOSTS = st.sampled_from(["localhost", "H", "nmp.Example.com", "10.0.0.1", "a_b", "[::1]", "[2001:DB8::1]", "bücher.de"])
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format), st.sampled_from([":80", ":443", ":0080"]))
PATHS = st.one_of(st.just(""), st.text("/ab@:%\\[]", max_size=6).map("/{}".format))
URLS = st.builds("{}://{}{}{}".format, SCHEMES, HOSTS, PORTS, PATHS)


def seen_by_httpx(url):
    """Return the origin that httpx would connect to."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host.lower(), parsed.port or {"http": 80, "https": 443}[parsed.scheme]


@given(URLS)
def test_the_origin_is_that_of_httpx(url):
    """A token is bound to the origin that requests are sent to."""
    accepted = urls.base_url(url, "--host")
    origin = urls.origin_of(accepted)
    scheme, host, port = seen_by_httpx(accepted + "/apis/x")
    assert (origin.scheme, origin.host.strip("[]"), origin.port) == (scheme, host, port)


@given(st.text("htps:/@?#[]\\ \n\x00.a0%1", max_size=14))
def test_httpx_reads_each_accepted_url_alike(rest):
    """Any other text is refused with a hint."""
    try:
        accepted = urls.base_url(f"http://{rest}", "--host")
    except SettingsError as error:
        assert error.hint
        return
    origin = urls.origin_of(accepted)
    assert (origin.scheme, origin.host.strip("[]"), origin.port) == seen_by_httpx(accepted)


@given(st.text(st.characters(categories=["L", "N", "M", "Pc", "Pd"], include_characters="."), min_size=1, max_size=12))
@example("ß.de")
@example("BÜCHER.de.")
@example("1a2b3c4")
@example("1.2.3.4")
def test_each_accepted_host_has_the_name_that_httpx_looks_up(host):
    """In any script (IDNA 2008); what httpx would refuse is refused when it is set."""
    try:
        accepted = urls.base_url(f"http://{host}", "--host")
    except SettingsError:
        return
    assert urls.to_ascii(urls.origin_of(accepted).host) == httpx.URL(accepted).raw_host.decode()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h", "https://h:443", True),
        ("http://h", "http://h:80", True),
        ("HTTP://NMP.Example.com", "http://nmp.example.COM:80/prefix", True),
        ("https://h/a", "https://h/b", True),
        ("https://h:8443", "https://h:08443", True),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]:80", True),
        ("https://h", "http://h", False),
        ("https://h:80", "http://h:80", False),
        ("https://h", "https://h:8443", False),
        ("https://h", "https://h.", False),
        ("https://h", "https://a.h", False),
        ("http://localhost", "http://127.0.0.1", False),
        ("https://nmp.example.com", "https://nmp.example.com.evil.example", False),
    ],
)
def test_origins_are_equal_if_scheme_host_and_port_are(one, other, same):
    """Case and the default port make no difference (RFC 6454)."""
    assert (urls.origin_of(one) == urls.origin_of(other)) is same


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTPS://H:443/x", "https://h"),
        ("http://h:80", "http://h"),
        ("http://h:443", "http://h:443"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
    ],
)
def test_an_origin_is_shown_as_a_url(url, expected):
    """Without the default port; the URL has the same origin."""
    assert str(urls.origin_of(url)) == expected
    assert urls.origin_of(expected) == urls.origin_of(url)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("jobs.localhost", False),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("127.0.0.256", False),
        ("127.999.0.1", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("nmp.example.com", False),
    ],
)
@pytest.mark.parametrize("form", ["http://{}", "https://{}:8080/x"])
def test_loopback_is_this_machine(form, host, loopback):
    """Tokens may go there over plain http, and proxies are not used."""
    assert urls.is_loopback(form.format(host)) is loopback


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://NMP.Example.com:443/Prefix", "https://nmp.example.com/Prefix"),
        ("http://h:80", "http://h"),
        ("http://h:8080/a", "http://h:8080/a"),
        ("http://[FD00::1]", "http://[fd00::1]"),
    ],
)
def test_one_server_has_one_spelling(url, normal):
    """The case of scheme and host and a default port do not matter; that of the path does."""
    assert urls.normalize(url) == normal
