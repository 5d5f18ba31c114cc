"""One update's way to the server: the route, the name, and what a 404 means."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
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

DONE = Response(200, b"null")
NO_ROUTE = Response(404, b'{"detail":"Not Found"}')
NO_ENTITY = Response(404, b"{\"detail\":\"Entity 'train-x' not found in workspace 'ws'\"}")
CONFLICT = Response(409, b"{}")


def page(*names, total_pages=1):
    """Return a page of the list of jobs."""
    data = [{"name": name, "id": JOB_ID} for name in names]
    return Response(200, json.dumps({"data": data, "pagination": {"total_pages": total_pages}}).encode())


class Server:
    """A sender that answers by path, each list in turn, and remembers what it was asked."""

    trace_id = "trace1"

    def __init__(self, **answers):
        self.answers = {path.replace("list", JOBS): list(given) for path, given in answers.items()}
        self.asked = []

    def send(self, request, timeout):
        self.asked.append((request.method, request.path, request.body))
        answers = self.answers[request.path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


WORKSPACES = Response(200, b'{"data":[{"name":"default"},{"name":"wss"},{"name":"W\\u001b"},7]}')


@pytest.fixture
def deliver(fake_time):
    """Return a function that delivers an update to answers by path."""

    def go(answers, update=UPDATE, api="auto"):
        server = Server(**answers)
        settings = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"), api=Sourced(api, "x"))
        talk = Session(settings, server, deadline.start(10, fake_time.now, fake_time.clock))
        try:
            return delivery.deliver(update, talk), server
        except Exception as error:
            error.server = server
            raise

    return go


def test_an_update_is_one_patch_with_a_bare_object(deliver):
    """The fields are the body: no wrapper, UTF-8, compact."""
    done, server = deliver({PATH: [DONE]})
    assert server.asked == [("PATCH", PATH, '{"progress":45,"message":"né"}'.encode())]
    assert (done.attempts, done.conflicts, done.result, done.host) == (1, 0, None, "http://h")


def test_conflicts_are_sent_again_and_counted(deliver):
    """Absolute values can be repeated safely."""
    done, _ = deliver({PATH: [CONFLICT, CONFLICT, DONE]})
    assert (done.attempts, done.conflicts) == (3, 2)


def test_a_missing_route_leads_to_the_next_generations(deliver):
    """A server of 0.9 takes updates on the attempt; the 404 of the first route costs one request."""
    done, server = deliver({PATH: [NO_ROUTE], CURRENT: [DONE]})
    assert [path for _, path, _ in server.asked] == [PATH, CURRENT]
    assert done.attempts == 2


@pytest.mark.parametrize(("api", "path"), [("jobs", PATH), ("attempts", CURRENT)])
def test_the_route_can_be_fixed(deliver, api, path):
    """Who knows the server's generation saves the request."""
    _, server = deliver({path: [DONE]}, api=api)
    assert [asked[1] for asked in server.asked] == [path]


def test_a_server_without_either_route_is_a_wrong_host(deliver):
    """Both routes missing means that this isn't the platform."""
    with pytest.raises(SettingsError, match="has no jobs API"):
        deliver({PATH: [NO_ROUTE], CURRENT: [NO_ROUTE]})


def test_an_id_is_resolved_to_its_name_once(deliver):
    """The routes take names only; the list knows the id."""
    done, server = deliver({"list": [page("train-x")], PATH: [DONE]}, Update("ws", JOB_ID, {"a": 1}))
    assert done.update.job == "train-x"
    assert [asked[0] for asked in server.asked] == ["GET", "PATCH"]


def test_an_id_that_could_be_a_name_is_tried_as_a_name_first(deliver):
    """Lower-case ids match the pattern of names."""
    odd = "platform-job-" + "a" * 22
    found = Response(
        200, json.dumps({"data": [{"name": "train-x", "id": odd}], "pagination": {"total_pages": 1}}).encode()
    )
    done, server = deliver(
        {f"{JOBS}/{odd}/status-details": [NO_ENTITY], "list": [found], PATH: [DONE]},
        Update("ws", odd, {"a": 1}),
    )
    assert done.update.job == "train-x"
    assert [asked[0] for asked in server.asked] == ["PATCH", "GET", "PATCH"]


def test_an_unknown_id_is_not_found(deliver):
    """The list is filtered by the server; what comes back is checked all the same."""
    with pytest.raises(NotFoundError, match=JOB_ID):
        deliver({"list": [page()]}, Update("ws", JOB_ID, {"a": 1}))


def test_a_misspelt_job_brings_close_names(deliver):
    """Nobody wants to look the name up."""
    with pytest.raises(NotFoundError) as caught:
        deliver({PATH: [NO_ENTITY], "list": [page("train-y", "eval")]})
    assert caught.value.facts["missing"] == "job"
    assert caught.value.facts["close"] == ["train-y"]
    assert caught.value.hint.startswith("did you mean train-y?")


@pytest.mark.parametrize("name", ["zzz", "train-other", "train-y-eval"])
def test_only_near_names_are_suggested(deliver, name):
    """A common prefix does not make a name a likely one."""
    with pytest.raises(NotFoundError) as caught:
        deliver({PATH: [NO_ENTITY], "list": [page(name)]})
    assert caught.value.hint.startswith("list the jobs")


def test_a_missing_workspace_is_told_apart(deliver):
    """The PATCH's 404 has the same text for both; the list knows."""
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


def test_a_list_that_may_not_be_read_leaves_the_plain_error(deliver):
    """The search for close names must not hide what happened."""
    with pytest.raises(NotFoundError, match="no job 'train-x'"):
        deliver({PATH: [NO_ENTITY], "list": [Response(403, b'{"detail":"Forbidden"}')]})


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (Response(422, b"{}"), RejectedError),
        (Response(401, b"{}"), AuthError),
        (Failure("refused", "x"), NotDeliveredError),
    ],
)
def test_other_ends_are_errors_of_their_class(deliver, last, kind):
    """What `refusals` says is what the caller gets."""
    with pytest.raises(kind):
        deliver({PATH: [last]})


def test_a_search_for_close_names_reads_a_bounded_number_of_jobs(deliver):
    """A workspace may hold a hundred thousand jobs."""
    with pytest.raises(NotFoundError) as caught:
        deliver({PATH: [NO_ENTITY], "list": [page(f"job-{n}", total_pages=10_000) for n in range(600)]})
    assert len(caught.value.server.asked) < 20
