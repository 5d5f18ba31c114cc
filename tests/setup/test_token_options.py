"""The token that options give to a profile: referred to or stored."""

from __future__ import annotations

import base64
import io
import os
import sys
import threading
import time

import pytest

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.settings.model import Flags
from nemo_jobs_cli.setup import token_options
from nemo_jobs_cli.setup.interview import Token

SECRET = "tok-123456789"


@pytest.fixture
def file(tmp_path):
    """Return a private file with a token."""
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def parse(command=None, *, no_token=False, interactive=False, **flags):
    """Return the token of these options."""
    return token_options.parse(Flags(**flags), command, no_token=no_token, interactive=interactive)


def stdin(monkeypatch, data):
    """Put bytes on stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("options", "token"),
    [
        ({}, None),
        ({"no_token": True}, Token("none", source="--no-token")),
        ({"anonymous": True}, Token("none", source="--no-token")),
        ({"command": "nemo auth --x 'a b'"}, Token("command", "nemo auth --x 'a b'", "--token-command")),
    ],
)
def test_options_give_a_token(options, token):
    """Or no token, or nothing."""
    assert parse(**options) == token


@pytest.mark.parametrize("name", ["token", "~/token"])
def test_a_regular_file_is_referred_to(file, monkeypatch, name):
    """By its absolute path; its content may change later."""
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("HOME", str(file.parent))
    assert parse(token_file=name) == Token("file", str(file), "--token-file")


def test_a_pipe_is_read_and_stored(tmp_path):
    """<(pass show nemo) is gone afterwards."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_text(f"{SECRET}\n", encoding="utf-8")).start()
    assert parse(token_file=str(pipe)) == Token("text", SECRET, "--token-file")


def test_stdin_is_read_and_stored(monkeypatch):
    """Without the line break; on a terminal the hidden question asks instead."""
    stdin(monkeypatch, f"{SECRET}\n".encode())
    assert parse(token_file="-", interactive=True) is None
    assert parse(token_file="-") == Token("text", SECRET, "stdin")


def test_a_terminal_on_stdin_is_refused_without_questions(monkeypatch):
    """With -y, a token that is typed would show."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(UsageError, match="cannot read a token from a terminal"):
        parse(token_file="-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_file": "x", "no_token": True}, "cannot combine --token-file"),
        ({"token_file": "x", "command": "y"}, "cannot combine --token-file"),
        ({"command": "x", "anonymous": True}, "cannot combine --token-file"),
        ({"command": ""}, "empty"),
        ({"command": " "}, "empty"),
        ({"command": "a 'b"}, "invalid --token-command"),
        ({"command": "\udcff"}, "not UTF-8"),
        ({"token_file": ""}, "empty"),
        ({"token_file": "\udcff"}, "not UTF-8"),
    ],
)
def test_invalid_options_are_a_usage_error(options, message):
    """Before anything is asked or sent."""
    with pytest.raises(UsageError, match=message):
        parse(**options)


@pytest.mark.parametrize("data", [b"", b"\n", b"tok-123456789 tok", "tök-123456789".encode()])
def test_an_invalid_token_is_a_usage_error(monkeypatch, file, data):
    """From stdin and from a file; it is not quoted."""
    stdin(monkeypatch, data)
    file.write_bytes(data)
    for name in ("-", str(file)):
        with pytest.raises(UsageError) as caught:
            parse(token_file=name)
        assert SECRET not in caught.value.message


@pytest.mark.parametrize("name", ["/nowhere/token", "/"])
def test_an_unreadable_file_is_a_settings_error(name):
    """Exit code 3, as for other commands."""
    with pytest.raises(SettingsError):
        parse(token_file=name)


def test_a_file_that_others_can_read_is_warned_about(file):
    """Its mode is the user's to change."""
    token = parse(token_file=str(file))
    assert token_options.warnings(token) == []
    file.chmod(0o644)
    assert token_options.warnings(token) == [f"{file} is readable by other users: run chmod 600 on it"]
    file.unlink()
    assert token_options.warnings(token) == []


@pytest.mark.parametrize(("seconds", "text"), [(3630, "expires in 1 h"), (-7230, "expired 2 h ago")])
def test_a_stored_token_that_expires_is_warned_about(seconds, text):
    """Nothing renews it; nothing is known about others."""
    assert [token_options.warnings(Token(kind, "abc")) for kind in ("text", "none", "current", "command")] == [[]] * 4
    claims = base64.urlsafe_b64encode(f'{{"exp": {time.time() + seconds}}}'.encode()).decode().rstrip("=")
    (warning,) = token_options.warnings(Token("text", f"e30.{claims}.x"))
    assert text in warning
    assert "--token-command" in warning
