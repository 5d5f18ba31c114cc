"""The token that options give: where it stays and what is stored."""

from __future__ import annotations

import io
import os
import sys
import threading
import time

import pytest

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.settings.model import Flags
from nemo_jobs_cli.setup import token_options
from nemo_jobs_cli.setup.questions import Token

SECRET = "tok-123456789"


@pytest.fixture
def file(tmp_path):
    """Return a private file with a token."""
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def given(command=None, *, no_token=False, asked=False, **flags):
    """Return what the options give."""
    return token_options.given(Flags(**flags), command, no_token=no_token, asked=asked)


def stdin(monkeypatch, data):
    """Put bytes on stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_without_an_option_it_is_open():
    """Somebody may be asked."""
    assert given() is None


@pytest.mark.parametrize("words", [{"no_token": True}, {"anonymous": True}])
def test_no_token_is_an_answer(words):
    """In two words."""
    assert given(**words).kind == "none"


def test_a_command_is_stored_as_it_is():
    """And run when it is needed."""
    assert given("nemo auth token --x 'a b'") == Token("command", "nemo auth token --x 'a b'", "--token-command")


def test_a_regular_file_is_referred_to(file, monkeypatch):
    """By a path that holds in any folder; its token may be changed at any time."""
    monkeypatch.chdir(file.parent)
    assert given(token_file="token") == Token("file", str(file), "--token-file")


def test_a_file_of_the_home_is_found(file, monkeypatch):
    """Where the shell has not done so already: --token-file=~/token."""
    monkeypatch.setenv("HOME", str(file.parent))
    assert given(token_file="~/token").secret == str(file)


def test_a_pipe_is_read_once_and_stored(tmp_path):
    """<(pass show nemo) is gone afterwards."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_text(f"{SECRET}\n")).start()
    assert given(token_file=str(pipe)) == Token("text", SECRET, "--token-file")


def test_stdin_is_read_and_stored(monkeypatch):
    """Without the line break."""
    stdin(monkeypatch, f"{SECRET}\n".encode())
    assert given(token_file="-") == Token("text", SECRET, "stdin")


def test_a_person_is_asked_in_place_of_stdin(monkeypatch):
    """Their keyboard would show it."""
    stdin(monkeypatch, SECRET.encode())
    assert given(token_file="-", asked=True) is None


def test_a_keyboard_that_nobody_may_ask_at_is_refused(monkeypatch):
    """-y with stdin on a terminal: the token would show."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(UsageError, match="where a token would show"):
        given(token_file="-")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"token_file": "x", "no_token": True}, "one token or none"),
        ({"token_file": "x", "command": "y"}, "one token or none"),
        ({"command": "x", "anonymous": True}, "one token or none"),
        ({"command": ""}, "empty"),
        ({"command": " "}, "empty"),
        ({"command": "a 'b"}, "can't be understood"),
        ({"command": "\udcff"}, "not UTF-8"),
        ({"token_file": ""}, "empty"),
        ({"token_file": "\udcff"}, "not UTF-8"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error(words, message):
    """At once."""
    with pytest.raises(UsageError, match=message):
        given(**words)


@pytest.mark.parametrize("data", [b"", b"\n", b"tok-123456789 tok", "tök-123456789".encode()])
def test_what_is_no_token_is_a_usage_error(monkeypatch, file, data):
    """From stdin and from a file; it is not quoted."""
    stdin(monkeypatch, data)
    file.write_bytes(data)
    for name in ("-", str(file)):
        with pytest.raises(UsageError) as caught:
            given(token_file=name)
        assert "tok-123456789" not in caught.value.message


@pytest.mark.parametrize("name", ["/nowhere/token", "/"])
def test_a_file_that_can_not_be_read_is_an_error(name):
    """Exit code 3, as everywhere."""
    with pytest.raises(SettingsError, match="can't be read"):
        given(token_file=name)


def test_a_file_that_others_can_read_is_warned_of(file):
    """It stays as it is: it's the user's."""
    token = given(token_file=str(file))
    assert token_options.warnings(token) == []
    file.chmod(0o644)
    assert token_options.warnings(token) == [f"others can read {file}: chmod 600 it"]
    file.unlink()
    assert token_options.warnings(token) == []


@pytest.mark.parametrize(("seconds", "says"), [(3630, "expires in 1 h"), (-7230, "expired 2 h ago")])
def test_a_token_that_ends_is_told_of(seconds, says):
    """A stored one is renewed by nobody."""
    import base64

    claims = base64.urlsafe_b64encode(f'{{"exp": {time.time() + seconds}}}'.encode()).decode().rstrip("=")
    (warning,) = token_options.warnings(Token("text", f"e30.{claims}.x"))
    assert says in warning
    assert "--token-command" in warning


@pytest.mark.parametrize("token", [Token("text", "abc"), Token("none"), Token("present"), Token("command", "x")])
def test_of_others_nothing_is_known(token):
    """No guess is told."""
    assert token_options.warnings(token) == []
