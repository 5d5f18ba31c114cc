"""Errors of requests: each response and failure has its class, facts and next step."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.core.errors import (
    AuthError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.settings.model import Credential, Proxy, Settings, Sourced
from nemo_jobs_cli.transport import explain as errors
from nemo_jobs_cli.transport.explain import Context
from nemo_jobs_cli.transport.messages import Failure, Response, SendResult

TOKEN = Credential("token", "s3cret", "NEMO_JOBS_TOKEN")


def explain(last, *, credential=TOKEN, expires_in=None, job="train-x", attempts=1, host=None, token=(), **more):
    """Return the error for a response or a failure; `token`: permission, scopes, and whether it is an access key."""
    settings = Settings(host=host or Sourced("https://nmp.example", "--host"), credential=credential, **more)
    context = Context(settings, "token from NEMO_JOBS_TOKEN", expires_in, "trace1", job, *token)
    return errors.explain(SendResult(last, attempts), context)


def answer(status, detail=None, **headers):
    """Return a response with a detail."""
    return Response(status, b"" if detail is None else json.dumps({"detail": detail}).encode(), headers)


@pytest.mark.parametrize(
    ("last", "kind", "message", "hint"),
    [
        (
            answer(401, "Unauthorized"),
            AuthError,
            "does not accept the token from NEMO_JOBS_TOKEN",
            "NEMO_JOBS_TOKEN",
        ),
        (
            answer(403, "Forbidden"),
            AuthError,
            "permission denied in workspace 'default' (403 Forbidden): not granted to the token from NEMO_JOBS_TOKEN",
            "ask its owner for the permission jobs.update (role Editor)",
        ),
        (
            answer(422, "Not allowed to list entities in workspace 'default'"),
            AuthError,
            "permission denied in workspace 'default' (422 Not allowed to list entities in workspace 'default'): not",
            "jobs.update",
        ),
        (
            answer(404, "Entity 'train-x' not found"),
            NotFoundError,
            "no job 'train-x' in workspace 'default' on https://nmp.example (404)",
            "nemo-jobs list",
        ),
        (answer(404, "Not Found"), SettingsError, "has no jobs API (404)", "path prefix"),
        (
            Response(404, b"<title>nginx</title>"),
            SettingsError,
            "a page titled 'nginx'",
            "check the host (--host)",
        ),
        (
            answer(409, "HTTP 409: Entity 'att-1' was modified by another request."),
            NotDeliveredError,
            "conflict: other writers changed job 'train-x' at each attempt (409, 1 attempt)",
            "--deadline 30",
        ),
        (
            answer(409, "Job 'train-x' is in status deletion_pending"),
            RejectedError,
            "https://nmp.example rejected the request (409 Job 'train-x' is in status deletion_pending)",
            "nemo-jobs show train-x",
        ),
        (
            answer(400, "There was an error parsing the body"),
            RejectedError,
            "(400 There was an error",
            "--dry-run",
        ),
        (Response(413, b"<title>413 Too Large</title>"), RejectedError, "413 Too Large", "--dry-run"),
        (answer(422, [{"loc": ["body"], "msg": "no"}]), RejectedError, "(422 no)", "--dry-run"),
        (answer(418), RejectedError, "rejected the request (418)", "--dry-run"),
        (
            answer(307, location="https://else.example/"),
            SettingsError,
            "redirects to https://else.example/",
            "--host",
        ),
        (answer(302), SettingsError, "unexpected response from https://nmp.example (302)", "--host"),
        (answer(304, location="/x"), SettingsError, "unexpected response from https://nmp.example (304)", "--host"),
        (answer(206, "x"), SettingsError, "unexpected response from https://nmp.example (206)", "base URL"),
        (answer(404, ["gone"]), NotFoundError, "on https://nmp.example (404)", "nemo-jobs list"),
        (answer(404, []), NotFoundError, "on https://nmp.example (404)", "nemo-jobs list"),
        (Response(200, b"<title>Log in</title>"), SettingsError, "a page titled 'Log in'", "base URL"),
        (Response(200, b"ok"), SettingsError, "unexpected response from https://nmp.example (200)", "base URL"),
        (
            answer(500, "An unexpected error occurred."),
            NotDeliveredError,
            "(500 An unexpected error occurred., 1 attempt)",
            "trace id",
        ),
        (
            Response(502, b"<title>502 Bad Gateway</title>"),
            NotDeliveredError,
            "502 502 Bad Gateway",
            "--deadline",
        ),
        (Response(503), NotDeliveredError, "(503, 1 attempt)", "--deadline"),
    ],
)
def test_each_response_has_its_error_and_its_next_step(last, kind, message, hint):
    """The facts have the status and the trace id, never the token."""
    error = explain(last)
    assert type(error) is kind
    assert message in error.message
    assert hint in error.hint
    assert error.facts["trace_id"] == "trace1"
    assert error.facts["status"] == last.status
    assert "s3cret" not in error.message + error.hint + repr(error.facts)


@pytest.mark.parametrize(
    ("kind", "error", "message", "hint"),
    [
        ("dns", NotDeliveredError, "cannot look up https://nmp.example", "check the host name (--host) and the"),
        ("refused", NotDeliveredError, "nothing listens on https://nmp.example", "check the host (--host), and that"),
        ("timeout", NotDeliveredError, "no response from", "wait longer: --deadline"),
        ("proxy", NotDeliveredError, "the proxy refused the connection", "NO_PROXY"),
        ("protocol", NotDeliveredError, "invalid HTTP response from", "port"),
        ("reset", NotDeliveredError, "the connection to https://nmp.example failed", "try again"),
        ("connect", NotDeliveredError, "the connection to https://nmp.example failed", "try again"),
        ("tls", SettingsError, "cannot establish TLS with", "--ca-file"),
        ("tls-settings", SettingsError, "said", "correct the path"),
        ("proxy-settings", SettingsError, "said", "NO_PROXY"),
    ],
)
def test_each_failure_has_its_error_and_its_next_step(kind, error, message, hint):
    """The message has the system's reason, without controls."""
    found = explain(Failure(kind, "said \x1b[31m so"), attempts=3)
    assert type(found) is error
    assert message in found.message
    assert hint in found.hint
    assert found.facts["failure"] == kind
    assert found.facts["attempts"] == 3
    assert "\x1b" not in found.message


@pytest.mark.parametrize(
    ("permission", "is_sent", "is_shown"),
    [("jobs.update", True, True), ("jobs.update", False, False), ("jobs.read", True, False)],
)
def test_only_a_sent_update_may_still_arrive(permission, is_sent, is_shown):
    """Not one without a connection, nor a request that reads."""
    error = explain(Failure("timeout", "no response came", is_sent=is_sent), token=(permission,))
    assert ("the update may still arrive" in error.hint) is is_shown


@pytest.mark.parametrize("kind", ["dns", "refused", "timeout", "protocol", "reset", "connect"])
def test_a_failure_on_the_way_names_the_proxy(kind):
    """Either may be at fault; the hint names the variable."""
    error = explain(Failure(kind, "said so"), proxy=Proxy("http://proxy:1", "HTTPS_PROXY"))
    assert "the proxy or https://nmp.example" in error.message
    assert error.hint.startswith("check HTTPS_PROXY, ")


@pytest.mark.parametrize(
    ("detail", "hint"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "use http:// if the host has no TLS; or trust its CA: "),
        ("self-signed certificate", "trust its CA: --ca-file FILE; or use http://"),
    ],
)
def test_a_tls_failure_has_the_likelier_cause_first(detail, hint):
    """OpenSSL reports a plain HTTP port as a wrong version number."""
    assert explain(Failure("tls", detail)).hint.startswith(hint)


@pytest.mark.parametrize("kind", ["dns", "refused"])
def test_behind_a_proxy_the_message_names_both(kind):
    """Either may be unknown or closed; the hint names the variable that was used."""
    error = explain(Failure(kind, "no"), proxy=Proxy("http://me:s3cret@p", "ALL_PROXY"))
    assert "the proxy or https://nmp.example" in error.message
    assert "check ALL_PROXY" in error.hint
    assert "s3cret" not in str(error.as_dict())
    assert "proxy" not in explain(Failure(kind, "no")).message


def test_the_default_host_that_refuses_is_a_missing_setting():
    """No host is set, so this is not an outage."""
    error = explain(Failure("refused", "connection refused"), host=Sourced("http://localhost:8080", "default"))
    assert type(error) is SettingsError
    assert "--host" in error.hint


@pytest.mark.parametrize(
    ("credential", "hint"),
    [
        (None, "nemo auth login"),
        (Credential("principal", "{}", "NMP_PRINCIPAL"), "NMP_PRINCIPAL"),
        (Credential("token", "x", "context staging (~/.config/nmp/config.yaml)"), "nemo auth login"),
        (Credential("token", "x", "NMP_ACCESS_TOKEN"), "nemo auth login"),
        (Credential("file", "x", "--token-file"), "--token-file"),
    ],
)
def test_a_401_says_how_to_renew_the_credential(credential, hint):
    """The next step depends on the source of the token."""
    assert hint in explain(answer(401, "Invalid or expired token"), credential=credential).hint


def test_a_401_for_anonymous_requests_names_the_flag():
    """With --anonymous no other token would be sent either."""
    found = explain(answer(401, "Unauthorized"), credential=None, anonymous=True)
    assert found.hint == "remove --anonymous"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-7200, "which expired 2 h"), (600, "valid for another 10 min"), (None, "NEMO_JOBS_TOKEN (401")],
)
def test_a_401_says_if_the_token_has_expired(seconds, words):
    """A JWT has its expiry in `exp`."""
    assert words in explain(answer(401, "Invalid or expired token"), expires_in=seconds).message


@pytest.mark.parametrize(("last", "detail"), [(answer(403, "Forbidden"), "Forbidden"), (Response(503), None)])
def test_the_facts_have_the_reason_that_the_server_gives(last, detail):
    """Or null."""
    assert explain(last).facts["detail"] == detail


def test_a_404_without_a_job_is_about_the_workspace():
    """The list of jobs belongs to a workspace."""
    error = explain(answer(404, "Workspace 'default' not found"), job=None)
    assert "no workspace 'default'" in error.message
    assert "job" not in error.facts


@pytest.mark.parametrize(("number", "facts"), [(1, {}), (100, {}), (101, {"problems_total": 101})])
def test_many_validation_errors_are_cut_and_counted(number, facts):
    """A hundred are kept; the total is a fact if there are more."""
    error = explain(answer(422, [{"loc": ["body", n], "msg": "no"} for n in range(number)]))
    assert len(error.problems) == min(number, 100)
    assert {name: value for name, value in error.facts.items() if name == "problems_total"} == facts


@pytest.mark.parametrize(
    ("token", "message", "hint"),
    [
        (
            ("jobs.update", ("jobs:read",)),
            "the token from NEMO_JOBS_TOKEN lacks the scope jobs:write (it has only jobs:read)",
            "get a token with the scope jobs:write, or one without scopes: nemo auth login",
        ),
        (
            ("jobs.list", ("files:read", "files:write"), True),
            "the token from NEMO_JOBS_TOKEN lacks the scope jobs:read (it has only files:read files:write)",
            "create an access key with it: nemo auth access-keys create --scope jobs",
        ),
        (("jobs.update", ("platform:write",)), "not granted to", "permission jobs.update (role Editor)"),
        (("jobs.read", ("jobs:read",)), "not granted to", "permission jobs.read (role Viewer)"),
        (("jobs.list", ()), "not granted to", "permission jobs.list (role Viewer)"),
    ],
)
def test_a_403_names_the_missing_scope_or_permission(token, message, hint):
    """No role helps a token that is limited to other scopes."""
    error = explain(answer(403, "Forbidden"), token=token)
    assert message in error.message
    assert hint in error.hint
    assert error.facts["permission"] == token[0]
    assert ("scope" in error.facts) == ("scope" in message)


@pytest.mark.parametrize(
    ("expires_in", "hint"), [(60.0, "access-keys list"), (None, "access-keys list"), (-60.0, "put a new token into")]
)
def test_a_refused_access_key_may_be_suspended(expires_in, hint):
    """The platform says only "Invalid or expired token"; one that has expired needs no search."""
    error = explain(answer(401, "Invalid or expired token"), expires_in=expires_in, token=("jobs.update", (), True))
    assert hint in error.hint


@pytest.mark.parametrize(
    ("kind", "source", "hint"),
    [
        ("token", "NEMO_JOBS_TOKEN", "put a new token into NEMO_JOBS_TOKEN (nemo auth token prints one)"),
        ("file", "--token-file", "put a new token into the file of --token-file (nemo auth token prints one)"),
        ("command", "profile lab", "correct the token_command of profile lab: its token must be valid"),
        ("token", "context lab", "log in again: nemo auth login"),
    ],
)
def test_a_refused_token_is_renewed_where_it_comes_from(kind, source, hint):
    """A command prints its tokens itself."""
    assert explain(answer(401), credential=Credential(kind, "s3cret", source)).hint.startswith(hint)


def test_a_job_without_an_attempt_is_not_a_missing_job():
    """It may have one soon: the update is worth keeping."""
    error = explain(answer(404, "Job 'train-x' has no current attempt."), attempts=4)
    assert isinstance(error, NotDeliveredError)
    assert error.message == ("job 'train-x' has no attempt yet (404 Job 'train-x' has no current attempt., 4 requests)")
    assert "--outbox" in error.hint


@pytest.mark.parametrize(
    "last",
    [
        answer(409, "Attempt 'att-7' is not the current attempt of job 'train-x'."),
        answer(404, "Attempt 'att-7' not found for job 'train-x'."),
        answer(404, "Entity 'att-7' not found in workspace 'default'"),
        answer(409, "A newer attempt has replaced it"),
    ],
)
def test_a_superseded_attempt_is_a_rejection_with_a_way_out(last):
    """Whatever the words: the attempt's id or the word attempt in a 404 or 409."""
    context = Context(Settings(), "no token", None, "trace1", "train-x", attempt="att-7")
    error = errors.explain(SendResult(last), context)
    assert isinstance(error, SupersededAttemptError)
    assert error.exit_code == 6
    assert error.message.startswith("att-7 is no longer the current attempt of job 'train-x' (4")
    assert "unset NEMO_JOB_ATTEMPT_ID" in error.hint


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (answer(404, "Job 'train-x' not found in workspace 'default'."), NotFoundError),
        (answer(409, "Entity 'att-7' was modified by another request"), NotDeliveredError),
        (answer(409, "Job 'train-x' is in status deletion_pending"), RejectedError),
    ],
)
def test_other_errors_of_an_attempt_stay_what_they_are(last, kind):
    """A missing job, a write race, a job that is being deleted."""
    context = Context(Settings(), "no token", None, "trace1", "train-x", attempt="att-7")
    assert type(errors.explain(SendResult(last), context)) is kind


@pytest.mark.parametrize("api", ["jobs", "attempts"])
def test_a_fixed_route_that_the_server_lacks_names_the_setting(api):
    """The host may be the right one."""
    error = explain(answer(404, "Not Found"), api=Sourced(api, "NEMO_JOBS_API"))
    assert isinstance(error, SettingsError)
    assert error.message == f"https://nmp.example does not take updates of {api} (404)"
    reading = explain(answer(404, "Not Found"), api=Sourced(api, "NEMO_JOBS_API"), token=("jobs.read",))
    assert "has no jobs API" in reading.message
    assert "set api to auto (NEMO_JOBS_API)" in error.hint


@pytest.mark.parametrize(("seconds", "suggested"), [(0.0, "30"), (9.0, "30"), (20.0, "60")])
def test_after_a_conflict_a_longer_deadline_is_suggested(seconds, suggested):
    """Three times as long, at least half a minute."""
    error = explain(answer(409), deadline=Sourced(seconds, "--deadline"))
    assert error.hint == f"retry longer: --deadline {suggested}"
