"""Test the description of a request: its facts, and a curl command that sends the same."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw import CHILD_ENVIRONMENT

from nemo_jobs_cli.delivery import dry_run
from nemo_jobs_cli.fields import compose
from nemo_jobs_cli.settings.model import Attempt, Credential, Settings, Sourced
from nemo_jobs_cli.transport.route_memory import RouteMemory

SETTINGS = Settings(host=Sourced("https://nmp.example.com/pre", "--host"), workspace=Sourced("ws", "-w"))
TOKEN = Credential("token", "s3cret", "NEMO_JOBS_TOKEN")
JOB = "https://nmp.example.com/pre/apis/jobs/v2/workspaces/ws/jobs/x1"


def composed(*words, configured=SETTINGS):
    """Compose an update from words."""
    return compose.compose(["x1", *words], [], configured)


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("auto", "/status-details"),
        ("jobs", "/status-details"),
        ("attempts", "/attempts/current/status-details"),
    ],
)
def test_the_url_is_that_of_the_first_request(api, path):
    """The path prefix of the host stays, and `api` chooses the route."""
    assert dry_run.url(composed("a=1"), SETTINGS._replace(api=Sourced(api, "profile lab"))) == JOB + path


def test_the_url_is_that_of_the_remembered_route_and_the_own_attempt(tmp_path):
    """As an update would be sent: curl too."""
    RouteMemory(SETTINGS.host.value, str(tmp_path)).learn("attempts")
    remembered = SETTINGS._replace(cache_dir=str(tmp_path))
    assert dry_run.url(composed("a=1"), remembered) == f"{JOB}/attempts/current/status-details"
    inside = remembered._replace(attempt=Attempt("ws", "x1", "platform-job-attempt-1"))
    assert dry_run.url(composed("a=1"), inside) == f"{JOB}/attempts/platform-job-attempt-1/status-details"
    assert f"{JOB}/attempts/platform-job-attempt-1/status-details" in dry_run.curl(composed("a=1"), inside)


def test_the_facts_contain_the_source_of_each_value(tmp_path):
    """Each field with its kind and location, each setting with its source."""
    file = tmp_path / "m.json"
    file.write_text('{"a": {"b": 1}}', encoding="utf-8")
    update = compose.compose(
        ["x1", "progress=45", "message=hi"], [str(file)], SETTINGS, stamp=Sourced("now", "--stamp")
    )
    assert dry_run.facts(update, SETTINGS, "no token") == {
        "request": {
            "method": "PATCH",
            "url": f"{JOB}/status-details",
            "body": {"a": {"b": 1}, "lastUpdated": "now", "progress": 45, "message": "hi"},
        },
        "job": "x1",
        "settings": {
            "host": {"value": "https://nmp.example.com/pre", "origin": "--host"},
            "workspace": {"value": "ws", "origin": "-w"},
            "credential": "no token",
        },
        "fields": [
            {"key": "a", "value": {"b": 1}, "kind": "JSON object", "where": f"{file}:1:7"},
            {"key": "lastUpdated", "value": "now", "kind": "text", "where": "--stamp"},
            {"key": "progress", "value": 45, "kind": "number", "where": "argument 2"},
            {"key": "message", "value": "hi", "kind": "text", "where": "argument 3"},
        ],
    }


def test_the_output_contains_no_secret():
    """Neither the facts nor the command."""
    configured = SETTINGS._replace(credential=TOKEN)
    assert "s3cret" not in dry_run.curl(composed("a=1"), configured)
    assert "s3cret" not in json.dumps(dry_run.facts(composed("a=1"), configured, "token from NEMO_JOBS_TOKEN"))


def shell(command):
    """Return the arguments that a real shell passes to curl."""
    script = (
        f"curl() {{ {shlex.quote(sys.executable)} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$@\"; }}\n"
    )
    result = subprocess.run(
        ["/bin/sh", "-c", script + command],
        env={**CHILD_ENVIRONMENT, dry_run.TOKEN_VARIABLE: "t0k en'"},
        capture_output=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_a_shell_parses_the_command_to_the_same_words():
    """Quotes, dollars, back-ticks and line breaks are data; only the token is expanded."""
    configured = SETTINGS._replace(
        credential=TOKEN,
        ca_file=Sourced("/my certs/it's.pem", "--ca-file"),
        headers=(("X-Team", "a \"b\" 'c' $HOME `id`"),),
    )
    update = composed('message=it\'s $HOME `id` \\ "x"\né!', "step=5", configured=configured)
    *options, body = shell(dry_run.curl(update, configured))
    assert options == [
        *("--fail-with-body", "-X", "PATCH", f"{JOB}/status-details"),
        *("--cacert", "/my certs/it's.pem"),
        *("-H", "Content-Type: application/json"),
        *("-H", "X-Team: a \"b\" 'c' $HOME `id`"),
        *("-H", "Authorization: Bearer t0k en'"),
        "--data-binary",
    ]
    assert json.loads(body) == update.update.fields
    assert body.isascii()


@pytest.mark.parametrize("credential", [None, Credential("principal", '{"id": "me"}', "NMP_PRINCIPAL")])
def test_without_a_token_there_is_no_authorization_header(credential):
    """A principal is sent inside jobs only."""
    assert "Authorization" not in dry_run.curl(composed("a=1"), SETTINGS._replace(credential=credential))


def test_curl_sends_an_empty_header():
    """`Name:` would remove the header; `Name;` is how curl writes an empty one."""
    assert "-H 'X-Team;'" in dry_run.curl(composed("a=1"), SETTINGS._replace(headers=(("X-Team", ""),)))


@settings(max_examples=2 * settings().max_examples)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_the_quoting(text):
    """By the rules of POSIX quoting (running a shell for each would take too long)."""
    update = composed(f"message={text}")
    words = shlex.split(dry_run.curl(update, SETTINGS).replace(" \\\n  ", " "))
    assert json.loads(words[-1]) == {"message": text}
