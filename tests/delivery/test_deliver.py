"""Test delivering one update: the route, the name of the job, and what a 404 means."""

from __future__ import annotations

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from raw import read_request, response

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import (
    AuthError,
    NotDeliveredError,
    NotFoundError,
    RejectedError,
    SettingsError,
    SupersededAttemptError,
)
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.delivery import deliver as delivery
from nemo_jobs_cli.settings.model import Attempt, Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Response
from nemo_jobs_cli.transport.route_memory import RouteMemory

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"
PATH = f"{JOBS}/train-x/status-details"
CURRENT = f"{JOBS}/train-x/attempts/current/status-details"
UPDATE = Update("ws", "train-x", {"progress": 45, "message": "né"})
JOB_ID = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"

OK = Response(200, b"null")
NO_ROUTE = Response(404, b'{"detail":"Not Found"}')
NO_ENTITY = Response(404, b"{\"detail\":\"Entity 'train-x' not found in workspace 'ws'\"}")
NO_ATTEMPT = Response(404, b'{"detail":"Job \'train-x\' has no current attempt."}')
FORBIDDEN = Response(403, b'{"detail":"Forbidden"}')
CONFLICT = Response(409, b"{}")


def page(*names, total_pages=1):
    """Return a page of the list of jobs."""
    data = [{"name": name, "id": JOB_ID} for name in names]
    return Response(200, json.dumps({"data": data, "pagination": {"total_pages": total_pages}}).encode())


class Server:
    """A sender with a list of responses per path, used in order; it records the requests."""

    trace_id = "trace1"

    def __init__(self, **responses):
        self.responses = {path.replace("list", JOBS): list(several) for path, several in responses.items()}
        self.requests = []

    def send(self, request, timeout):
        self.requests.append((request.method, request.path, request.body))
        responses = self.responses[request.path]
        return responses.pop(0) if len(responses) > 1 else responses[0]


WORKSPACES = Response(200, b'{"data":[{"name":"default"},{"name":"wss"},{"name":"W\\u001b"},7]}')


@pytest.fixture
def deliver(fake_time):
    """Return a function that delivers an update to a server with these responses."""

    def run(responses, update=UPDATE, api="auto", attempt=None, memory=None):
        server = Server(**responses)
        settings = Settings(
            host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"), api=Sourced(api, "x"), attempt=attempt
        )
        limit = deadline.start(10, fake_time.now, fake_time.clock)
        session = Session(settings, server, limit, route_memory=memory)
        try:
            return delivery.deliver(update, session), server
        except Exception as error:
            error.server = server
            raise

    return run


def paths(result):
    """Return the paths of the requests of `deliver`."""
    return [path for _, path, _ in result[1].requests]


def test_an_update_is_one_patch_with_a_bare_object(deliver):
    """The fields are the body: no wrapper, UTF-8, compact."""
    delivered, server = deliver({PATH: [OK]})
    assert server.requests == [("PATCH", PATH, '{"progress":45,"message":"né"}'.encode())]
    assert (delivered.attempts, delivered.conflicts, delivered.result, delivered.host) == (1, 0, None, "http://h")


def test_a_storm_of_one_machine_has_no_conflicts(raw_server, tmp_path, monkeypatch):
    """The lock of the job queues its writers; without it, the server rejects all but one at a time."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    busy = threading.Lock()

    def handler(connection, seen, stop):
        read_request(connection)
        if not busy.acquire(blocking=False):
            connection.sendall(response(409, "{}"))
            return
        stop.wait(0.02)
        busy.release()
        connection.sendall(response(200))

    settings = Settings(host=Sourced(raw_server(handler).url, "--host"), deadline=Sourced(120.0, "--deadline"))

    def write(_):
        return delivery.deliver(UPDATE, open_session(settings, SYSTEM_CLOCK.now()))

    with ThreadPoolExecutor(8) as threads:
        delivered = list(threads.map(write, range(8)))
    assert [(one.attempts, one.conflicts) for one in delivered] == [(1, 0)] * 8


def test_each_job_has_a_lock_of_its_own(fake_time):
    """Else the writers of a machine, and the connections of `apply`, would wait for other jobs."""
    keys = []

    def lock(key, _limit):
        keys.append(key)
        return nullcontext(True)

    for host, workspace, job in [("a", "ws", "x1"), ("b", "ws", "x1"), ("a", "ws2", "x1"), ("a", "ws", "x2")]:
        settings = Settings(host=Sourced(f"http://{host}", "--host"))
        for fields in ({"a": 1}, {"b": 2}):
            path = f"/apis/jobs/v2/workspaces/{workspace}/jobs/{job}/status-details"
            limit = deadline.start(10, fake_time.now, fake_time.clock)
            delivery.deliver(
                Update(workspace, job, fields), Session(settings, Server(**{path: [OK]}), limit, lock=lock)
            )
    assert keys[::2] == keys[1::2]
    assert len(set(keys)) == 4


def test_conflicts_are_retried_and_counted(deliver):
    """Absolute values can be sent again safely."""
    delivered, _ = deliver({PATH: [CONFLICT, CONFLICT, OK]})
    assert (delivered.attempts, delivered.conflicts) == (3, 2)


def test_the_seconds_of_a_delivery_include_its_retries(deliver, fake_time):
    """From the first request to the acknowledgement."""
    began = fake_time.now
    delivered, _ = deliver({PATH: [CONFLICT, CONFLICT, OK]})
    assert delivered.seconds == fake_time.now - began > 0


def test_a_missing_route_falls_back_to_the_current_attempt(deliver):
    """As a server of 0.9 needs; the 404 of the first route costs one request."""
    delivered, server = deliver({PATH: [NO_ROUTE], CURRENT: [OK]})
    assert [path for _, path, _ in server.requests] == [PATH, CURRENT]
    assert delivered.attempts == 2


@pytest.mark.parametrize(("api", "path"), [("jobs", PATH), ("attempts", CURRENT)])
def test_the_api_setting_fixes_the_route(deliver, api, path):
    """It saves the request that finds out."""
    _, server = deliver({path: [OK]}, api=api)
    assert [path for _, path, _ in server.requests] == [path]


@pytest.mark.parametrize("refusal", [NO_ROUTE, FORBIDDEN])
def test_the_route_is_remembered(deliver, tmp_path, refusal):
    """By the session and in the cache; with authentication, NeMo Platform 0.6.0 forbids unknown routes."""
    memory = RouteMemory("http://h", str(tmp_path))
    responses = {PATH: [refusal], CURRENT: [OK]}
    assert paths(deliver(responses, memory=memory)) == [PATH, CURRENT]
    assert paths(deliver(responses, memory=memory)) == [CURRENT]
    assert paths(deliver(responses, memory=RouteMemory("http://h", str(tmp_path)))) == [CURRENT]
    assert paths(deliver(responses, memory=RouteMemory("http://other", str(tmp_path)))) == [PATH, CURRENT]


@pytest.mark.parametrize("refusal", [NO_ROUTE, FORBIDDEN])
def test_a_wrong_memory_corrects_itself(deliver, tmp_path, refusal):
    """The other route is tried once, and the memory is gone."""
    RouteMemory("http://h", str(tmp_path)).learn("attempts")
    responses = {CURRENT: [refusal], PATH: [OK]}
    assert paths(deliver(responses, memory=RouteMemory("http://h", str(tmp_path)))) == [CURRENT, PATH]
    assert paths(deliver(responses, memory=RouteMemory("http://h", str(tmp_path)))) == [PATH]


def test_an_outage_of_a_gateway_is_not_remembered(deliver, tmp_path):
    """Without either route nothing is learned."""
    RouteMemory("http://h", str(tmp_path)).learn("attempts")
    with pytest.raises(SettingsError):
        deliver({CURRENT: [NO_ROUTE], PATH: [NO_ROUTE]}, memory=RouteMemory("http://h", str(tmp_path)))
    assert RouteMemory("http://h", str(tmp_path)).api == "attempts"


@pytest.mark.parametrize(
    "responses", [{PATH: [FORBIDDEN], CURRENT: [NO_ROUTE]}, {PATH: [NO_ROUTE], CURRENT: [FORBIDDEN]}]
)
def test_a_missing_permission_is_forbidden_on_any_route(deliver, responses):
    """A 404 of the route that the server lacks does not hide it."""
    with pytest.raises(AuthError, match="permission denied"):
        deliver({**responses, "/apis/entities/v2/workspaces": [WORKSPACES]})


@pytest.mark.parametrize("last", [Failure("timeout", "read"), Response(503)])
def test_a_403_decides_nothing_if_the_other_route_does_not_answer(deliver, last):
    """It may mean that the route is missing: the update counts as not delivered, which an outbox keeps."""
    with pytest.raises(NotDeliveredError):
        deliver({PATH: [FORBIDDEN], CURRENT: [last]})


OWN = Attempt("ws", "train-x", "platform-job-attempt-1")
EXACT = f"{JOBS}/train-x/attempts/{OWN.id}/status-details"


@pytest.mark.parametrize(
    ("own", "path"),
    [
        (OWN, EXACT),
        (OWN._replace(job="other"), CURRENT),
        (OWN._replace(workspace="other"), CURRENT),
        (None, CURRENT),
    ],
)
def test_inside_a_job_its_own_attempt_is_updated(deliver, own, path):
    """An old attempt cannot overwrite the details of a newer one; another job has other attempts."""
    assert paths(deliver({path: [OK]}, api="attempts", attempt=own)) == [path]


def test_an_id_of_ones_own_job_means_ones_own_attempt(deliver):
    """It is resolved first."""
    update = Update("ws", JOB_ID, {"a": 1})
    delivered, server = deliver({"list": [page("train-x")], EXACT: [OK]}, update, api="attempts", attempt=OWN)
    assert [path for _, path, _ in server.requests] == [JOBS, EXACT]
    assert delivered.api == "attempts"


def test_the_older_route_has_no_attempts(deliver):
    """There the details are those of the job."""
    assert paths(deliver({PATH: [OK]}, attempt=OWN)) == [PATH]


def test_a_superseded_attempt_is_refused_once(deliver):
    """One request, and the error of its class."""
    refusal = Response(409, b"{\"detail\":\"Attempt 'x' is not the current attempt of job 'train-x'.\"}")
    with pytest.raises(SupersededAttemptError) as caught:
        deliver({EXACT: [refusal]}, api="attempts", attempt=OWN)
    assert len(caught.value.server.requests) == 1


def test_a_job_without_an_attempt_is_tried_until_the_deadline(deliver, fake_time):
    """It is there, so no similar names are looked for."""
    with pytest.raises(NotDeliveredError, match="has no attempt yet") as caught:
        deliver({PATH: [NO_ROUTE], CURRENT: [NO_ATTEMPT]})
    assert fake_time.now > 1009
    assert {method for method, _, _ in caught.value.server.requests} == {"PATCH"}


def test_a_job_that_starts_gets_its_update(deliver):
    """Its attempt comes in time."""
    delivered, _ = deliver({PATH: [NO_ROUTE], CURRENT: [NO_ATTEMPT, NO_ATTEMPT, OK]})
    assert (delivered.api, delivered.attempts) == ("attempts", 4)


def test_a_server_without_either_route_is_a_wrong_host(deliver):
    """It is not the platform."""
    with pytest.raises(SettingsError, match="has no jobs API"):
        deliver({PATH: [NO_ROUTE], CURRENT: [NO_ROUTE]})


def test_an_id_is_resolved_to_its_name(deliver):
    """The routes take names only; the list of jobs knows the id."""
    delivered, server = deliver({"list": [page("train-x")], PATH: [OK]}, Update("ws", JOB_ID, {"a": 1}))
    assert delivered.update.job == "train-x"
    assert [method for method, _, _ in server.requests] == ["GET", "PATCH"]


def test_an_id_that_could_be_a_name_is_tried_as_a_name_first(deliver):
    """Lower-case ids match the pattern of names."""
    odd = "platform-job-" + "a" * 22
    listed = Response(
        200, json.dumps({"data": [{"name": "train-x", "id": odd}], "pagination": {"total_pages": 1}}).encode()
    )
    delivered, server = deliver(
        {f"{JOBS}/{odd}/status-details": [NO_ENTITY], "list": [listed], PATH: [OK]},
        Update("ws", odd, {"a": 1}),
    )
    assert delivered.update.job == "train-x"
    assert [method for method, _, _ in server.requests] == ["PATCH", "GET", "PATCH"]


def test_an_unknown_id_is_not_found(deliver):
    """The list of jobs does not contain it."""
    with pytest.raises(NotFoundError, match=JOB_ID):
        deliver({"list": [page()]}, Update("ws", JOB_ID, {"a": 1}))


def test_a_missing_workspace_is_not_a_missing_job(deliver):
    """The 404 of a PATCH has the same text for both; the list of jobs tells them apart."""
    with pytest.raises(NotFoundError) as caught:
        deliver(
            {
                PATH: [NO_ENTITY],
                "list": [Response(404, b'{"detail":"Workspace \'ws\' not found"}')],
                "/apis/entities/v2/workspaces": [WORKSPACES],
            }
        )
    assert caught.value.facts["missing"] == "workspace"
    assert "workspace 'ws'" in caught.value.message
    assert caught.value.hint.startswith("did you mean -w wss?")


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (Response(422, b"{}"), RejectedError),
        (Response(401, b"{}"), AuthError),
        (Failure("refused", "x"), NotDeliveredError),
    ],
)
def test_each_failure_raises_its_class_of_error(deliver, last, kind):
    """As `transport.explain` words it."""
    with pytest.raises(kind):
        deliver({PATH: [last]})


def test_the_search_for_similar_names_is_limited(deliver):
    """A workspace may hold a hundred thousand jobs."""
    pages = [page(*(f"job-{number}-{row}" for row in range(100)), total_pages=10_000) for number in range(100)]
    with pytest.raises(NotFoundError) as caught:
        deliver({PATH: [NO_ENTITY], "list": pages})
    assert len(caught.value.server.requests) < 20
