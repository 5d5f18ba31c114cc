"""The headers of `--header`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import response
from strategies import nearly

from nemo_jobs_cli.core.errors import ExitCode, UsageError
from nemo_jobs_cli.settings import _headers
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Request, Response

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-Team: research", ("X-Team", "research")),
        ("X-Team:research", ("X-Team", "research")),
        (" X-Team :\t research\t", ("X-Team", "research")),
        ("X-Url: https://h:1/?a=b", ("X-Url", "https://h:1/?a=b")),
        ("X-Empty:", ("X-Empty", "")),
        ("X-Tab: a\tb", ("X-Tab", "a\tb")),
        ("!#$%&'*+-.^_`|~09aZ: all", ("!#$%&'*+-.^_`|~09aZ", "all")),
        ("X" * 100 + ": long", ("X" * 100, "long")),
    ],
)
def test_a_header_is_split_at_its_first_colon(text, pair):
    """Spaces around both parts are removed; order and repeated names stay."""
    assert _headers.parse_headers(["B: 1", text, "B: 3"]) == (("B", "1"), pair, ("B", "3"))


def refusal(text):
    """Return the text of the error."""
    with pytest.raises(UsageError) as caught:
        _headers.parse_headers(["X-Good: 1", text])
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


@pytest.mark.parametrize(
    "text", ["", "X-Team", "X-Team=research", f"Authorization Bearer {SECRET}", f"X-Api-Key={SECRET}", SECRET]
)
def test_a_header_without_a_colon_is_never_quoted(text):
    """It may be a token."""
    error = refusal(text)
    assert "no colon" in error.message
    assert "X-Team: research" in error.hint
    assert SECRET not in f"{error.message}{error.hint}{error.pointer}"


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("", "''"),
        ("X Team", "'X Team'"),
        ("X-Tëam", "'X-Tëam'"),
        ("X-Team\r\nX-Evil", "\\r\\n"),
        ("X-Team\r\n", "\\r\\n"),
        ("\nX-Team", "\\n"),
        ("X\x00", "\\x00"),
        ("X\x1b[31m", "\\x1b"),
        ("X\u202e", "\\u202e"),
        ("X\udcff", "\\udcff"),
        ("(X)", "'(X)'"),
        (" ".join("X" * 100), "…"),
    ],
)
def test_an_invalid_name_is_escaped_and_its_value_is_not_shown(name, quoted):
    """A name must be a token of RFC 9110."""
    error = refusal(f"{name}: {SECRET}")
    output = f"{error.message}{error.hint}{error.pointer.line}"
    assert quoted in output
    assert output.isprintable()
    assert len(error.message) < 150
    assert SECRET not in output


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nX-Evil: 1",
        "a\nX-Evil: 1",
        "a\rb",
        "a\n",
        "a\r\n\r\nGET /evil HTTP/1.1",
        "\x00",
        "\x7f",
        "\x1b[31m",
        "München",
        "\u0080",
        "Ā",
        "日本",
        "\udcff",
    ],
)
def test_an_invalid_value_is_refused_without_quoting_it(value):
    """Line breaks could inject a header or a request; other characters cannot be sent."""
    error = refusal(f"X-Key: {SECRET}{value}")
    assert "--header X-Key" in error.message
    assert "ASCII" in error.message
    assert SECRET not in f"{error.message}{error.hint}{error.pointer}"


RESERVED = ["Authorization", "AUTHORIZATION", "proxy-authorization", "host", "Content-Length", "transfer-encoding"]


@pytest.mark.parametrize("name", [*RESERVED, "connection", "upgrade", "TE", "content-type", "traceparent"])
def test_a_reserved_name_is_refused_in_any_case(name):
    """Credentials come from settings, and the HTTP client sets the others: two lengths or hosts are an attack."""
    error = refusal(f"{name}: {SECRET}")
    assert error.message == f"cannot set {name} with --header"
    assert ("token" in error.hint) == ("authorization" in name.lower())
    assert SECRET not in f"{error.message}{error.hint}{error.pointer}"


@given(nearly("X-Team: research", "a:", "X-P :\tb c ", "!#$: \"'") | st.text(max_size=30))
def test_an_accepted_header_is_one_line_of_ascii(text):
    """Any other text is a usage error."""
    try:
        ((name, value),) = _headers.parse_headers([text])
    except UsageError as error:
        assert error.hint
        return
    assert f"{name}: {value}".isascii()
    assert not set(f"{name}{value}") & set("\r\n\x00")
    assert name
    assert ":" not in name


@pytest.mark.parametrize("text", ["X-Team: a\tb", "X-Empty:", "!#$%&'*+-.^_`|~: all", "X-P: (\"'\\~)"])
def test_an_accepted_header_reaches_the_server(raw_server, text):
    """The server receives the name and value."""
    server = raw_server([response(200)])
    ((name, value),) = headers = _headers.parse_headers([text])
    settings = Settings(host=Sourced(server.url, "--host"), headers=headers)
    assert isinstance(Client(settings, {}).send(Request("GET", "/"), 5), Response)
    rows = server.seen[0].decode().split("\r\n")
    assert [row.partition(":")[2].strip(" ") for row in rows if row.startswith(f"{name}:")] == [value]
