"""Test delivering one update: the route, the name of the job, and what a 404 means."""

from __future__ import annotations

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw import read_request, response

from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, RejectedError, SettingsError
from nemo_jobs_cli.core.outcome import Update
from nemo_jobs_cli.delivery import deliver as delivery
from nemo_jobs_cli.settings.model import Settings, Sourced
from nemo_jobs_cli.transport.messages import Failure, Response

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"
PATH = f"{JOBS}/train-x/status-details"
CURRENT = f"{JOBS}/train-x/attempts/current/status-details"
UPDATE = Update("ws", "train-x", {"progress": 45, "message": "né"})
JOB_ID = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"

OK = Response(200, b"null")
NO_ROUTE = Response(404, b'{"detail":"Not Found"}')
NO_ENTITY = Response(404, b"{\"detail\":\"Entity 'train-x' not found in workspace 'ws'\"}")
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

    def run(responses, update=UPDATE, api="auto"):
        server = Server(**responses)
        settings = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"), api=Sourced(api, "x"))
        session = Session(settings, server, deadline.start(10, fake_time.now, fake_time.clock))
        try:
            return delivery.deliver(update, session), server
        except Exception as error:
            error.server = server
            raise

    return run


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


def test_conflicts_are_retried_and_counted(deliver):
    """Absolute values can be sent again safely."""
    delivered, _ = deliver({PATH: [CONFLICT, CONFLICT, OK]})
    assert (delivered.attempts, delivered.conflicts) == (3, 2)


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
