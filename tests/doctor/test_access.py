"""What one may do: judged by answers that were measured on NeMo Platform 0.6.0."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline, identifiers, names
from nemo_jobs_cli.doctor import access
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Response

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"
WHERE = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"))


def said(status, detail):
    """Return a refusal."""
    return Response(status, json.dumps({"detail": detail}).encode())


UNAUTHORISED, FORBIDDEN, NO_ROUTE = said(401, "Unauthorized"), said(403, "Forbidden"), said(404, "Not Found")
NO_JOB = said(404, "Entity 'nemo-jobs--doctor' not found in workspace 'ws'")
NO_WORKSPACE = said(404, "Workspace 'ws' not found")
PAGE = Response(200, b'{"data":[],"pagination":{"total_results":12}}')


@pytest.fixture
def talk(fake_time):
    """Return a function that opens a session with a server of given answers; it remembers what was asked."""

    def open_session(*answers, **more):
        asked = []

        class Server:
            trace_id = "trace1"

            def send(self, request, timeout):
                asked.append((request.method, request.path, request.body))
                return answers[min(len(asked), len(answers)) - 1]

        once = deadline.start(10, fake_time.now, fake_time.clock)._replace(once=True)
        settings = WHERE._replace(credential=Credential("token", "t", "NEMO_JOBS_TOKEN"), **more)
        return Session(settings, Server(), once), asked

    return open_session


def test_no_job_can_have_the_name_that_is_written_to():
    """And what is sent would change none that had it: two locks on one door."""
    assert not identifiers.is_name(access.NOBODY)
    assert not names.is_job_id(access.NOBODY)


def test_a_missing_job_means_that_updates_are_allowed(talk):
    """Permissions are looked at before the job is; the body is empty."""
    session, asked = talk(NO_JOB)
    made = access.write(session)
    assert (made.level, made.says, made.facts) == ("ok", "allowed in workspace ws", {"api": "jobs"})
    assert asked == [("PATCH", f"{JOBS}/nemo-jobs--doctor/status-details", b"{}")]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (UNAUTHORISED, 4, "does not accept the token from NEMO_JOBS_TOKEN"),
        (FORBIDDEN, 4, "ask the owner of workspace ws for the role Editor"),
        (NO_ROUTE, 3, "has no jobs API"),
        (Response(503, b"busy"), 7, "could not serve"),
        (Response(302, headers={"location": "https://sso"}), 3, "redirects to https://sso"),
        (Failure("reset", "peer"), 7, "broke"),
        (Response(200, b"null"), 6, "not the platform"),
        (Response(200, b"<html>"), 3, "not as NeMo Platform does"),
    ],
)
def test_what_keeps_updates_out_is_named(talk, answer, code, words):
    """With the exit code that an update would have; nothing is tried twice but the other route."""
    session, asked = talk(answer)
    made = access.write(session)
    assert (made.level, made.code) == ("fail", code)
    assert words in f"{made.says}; {made.fix}"
    assert len(asked) == (2 if answer is NO_ROUTE else 1)


def test_the_route_of_attempts_is_found(talk):
    """As an update would find it."""
    session, asked = talk(NO_ROUTE, NO_JOB)
    made = access.write(session)
    assert (made.level, made.facts) == ("ok", {"api": "attempts"})
    assert "on the route of attempts" in made.says
    assert asked[1][1] == f"{JOBS}/nemo-jobs--doctor/attempts/current/status-details"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PAGE, "allowed in workspace ws, 12 jobs"),
        (Response(200, b'{"pagination":{"total_results":1}}'), "allowed in workspace ws, 1 job"),
        (Response(200, b'{"pagination":[]}'), "allowed in workspace ws"),
        (Response(200, b"null"), "allowed in workspace ws"),
    ],
)
def test_a_list_means_that_jobs_may_be_read(talk, answer, says):
    """However odd what it says."""
    made = access.read(talk(answer)[0])
    assert (made.level, made.says) == ("ok", says)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (UNAUTHORISED, 4, "NEMO_JOBS_TOKEN"),
        (FORBIDDEN, 4, "a misspelt one is forbidden too; else ask its owner for the role Viewer"),
        (NO_WORKSPACE, 5, "check the workspace's name"),
        (NO_ROUTE, 3, "has no jobs API"),
        (Response(500, b"{}"), 7, "could not serve"),
    ],
)
def test_what_keeps_readers_out_is_named(talk, answer, code, words):
    """With the exit code that `list` would have."""
    made = access.read(talk(answer)[0])
    assert (made.level, made.code) == ("fail", code)
    assert words in f"{made.says}; {made.fix}"


def test_a_job_that_is_there_is_told_with_its_state(talk):
    """What a server says is made harmless."""
    session, _ = talk(Response(200, b'{"name":"train-x","status":"act\\u001bive"}'))
    assert access.exists(session, "train-x").says == "train-x is act\\x1bive"


def test_a_job_that_is_not_there_names_its_neighbours(talk):
    """As `show` does."""
    listed = Response(200, b'{"data":[{"name":"train-y"}],"pagination":{"total_pages":1}}')
    made = access.exists(talk(said(404, "Job 'train-x' not found in workspace 'ws'."), listed)[0], "train-x")
    assert (made.level, made.code) == ("fail", 5)
    assert "did you mean train-y?" in made.fix
