"""Reading jobs: one by its name or id, once or repeatedly, and the list of a workspace."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"
UPPER_ID = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"
LOWER_ID = "platform-job-2hzvghjupexwn5kgse3mjq"  # also a valid name

NO_JOB = Response(404, b"{\"detail\":\"Job 'train-x' not found in workspace 'ws'.\"}")
NO_WORKSPACE = Response(404, b'{"detail":"Workspace \'ws\' not found"}')
UNAUTHORIZED = Response(401, b'{"detail":"Invalid or expired token"}')
FORBIDDEN = Response(403, b"{}")
TOKEN = Credential("token", "t", "NEMO_JOBS_TOKEN")


def answer(value):
    """Return a response with a JSON body."""
    return Response(200, json.dumps(value).encode())


def page(*names, job_id=UPPER_ID, total=1):
    """Return a page of a list with `total` pages."""
    return answer({"data": [{"name": name, "id": job_id} for name in names], "pagination": {"total_pages": total}})


ACTIVE = answer({"name": "train-x", "status": "active"})


class Server:
    """A sender that answers by path, each list in turn, and records the requests and their timeouts."""

    trace_id = "trace1"

    def __init__(self, answers):
        self.answers = {path if path.startswith("/apis") else JOBS + path: [*given] for path, given in answers.items()}
        self.paths, self.queries, self.timeouts = [], [], []

    def send(self, request, timeout):
        self.paths.append(request.path.removeprefix(JOBS))
        self.queries.append(dict(request.query))
        self.timeouts.append(timeout)
        answers = self.answers[request.path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def connect(fake_time):
    """Return a function that opens a session with a scripted server."""

    def open_session(answers, credential=None, seconds=10.0):
        settings = Settings(
            host=Sourced("http://h", "--host"),
            workspace=Sourced("ws", "-w"),
            credential=credential,
            deadline=Sourced(seconds, "--deadline"),
        )
        limit = deadline.start(seconds, fake_time.now, fake_time.clock)
        return Session(settings, Server(answers), limit, {"Authorization": "Bearer old"})

    return open_session


@pytest.mark.parametrize(
    ("job", "answers", "paths"),
    [
        ("train-x", {"/train-x/status": [ACTIVE]}, ["/train-x/status"]),
        (UPPER_ID, {"": [page("train-x")], "/train-x/status": [ACTIVE]}, ["", "/train-x/status"]),
        (
            LOWER_ID,
            {f"/{LOWER_ID}/status": [NO_JOB], "": [page("train-x", job_id=LOWER_ID)], "/train-x/status": [ACTIVE]},
            [f"/{LOWER_ID}/status", "", "/train-x/status"],
        ),
    ],
)
def test_a_job_is_found_by_its_name_or_id(connect, job, answers, paths):
    """An id is looked up in the list; one that is a valid name is tried as a name first."""
    one = connect(answers)
    assert jobs.find_status(one, "ws", job)["name"] == "train-x"
    assert one.sender.paths == paths
    with pytest.raises(NotFoundError, match=UPPER_ID):
        jobs.find_status(connect({"": [page("train-y", job_id="other")]}), "ws", UPPER_ID)


@pytest.mark.parametrize(
    ("answers", "facts", "hint"),
    [
        ({"": [page("train-xy", "eval")]}, {"missing": "job", "close": ["train-xy"]}, "did you mean train-xy? "),
        ({"": [page("eval")]}, {"missing": "job", "close": []}, "list the jobs: nemo-jobs list"),
        ({"": [FORBIDDEN]}, {}, "list the jobs: nemo-jobs list"),
        (
            {"": [NO_WORKSPACE], "/apis/entities/v2/workspaces": [FORBIDDEN]},
            {"missing": "workspace", "close": []},
            "check -w NAME",
        ),
        (
            {"": [NO_WORKSPACE], "/apis/entities/v2/workspaces": [answer({"data": [{"name": "wss"}, 7]})]},
            {"missing": "workspace", "close": ["wss"]},
            "did you mean -w wss? ",
        ),
    ],
)
def test_a_missing_job_or_workspace_comes_with_similar_names(connect, answers, facts, hint):
    """The status route answers both with the same 404; if the lists cannot be read, the error stays plain."""
    with pytest.raises(NotFoundError) as caught:
        jobs.find_status(connect({"/train-x/status": [NO_JOB], **answers}), "ws", "train-x")
    assert caught.value.hint.startswith(hint)
    assert {key: caught.value.facts[key] for key in ("missing", "close") if key in caught.value.facts} == facts


WORKSPACES = "/apis/entities/v2/workspaces"


@pytest.mark.parametrize(
    ("listed", "close", "hint"),
    [
        (
            answer({"data": [{"name": "wss"}, {"name": "default"}]}),
            ["wss"],
            "did you mean -w wss? an unknown workspace is",
        ),
        (
            answer({"data": [{"name": "ws"}, {"name": "wss"}]}),
            None,
            "ask the owner of workspace 'ws' for the permission",
        ),
        (answer({"data": [{"name": "default"}]}), [], "you may see the workspaces default; check the workspace's name"),
        (FORBIDDEN, None, "check the workspace's name (-w), since an unknown one is forbidden too"),
    ],
)
def test_a_forbidden_workspace_comes_with_similar_ones(connect, listed, close, hint):
    """With authentication a misspelled name is a 403, also for the status of a job."""
    one = connect({"/train-x/status": [FORBIDDEN], WORKSPACES: [listed]})
    with pytest.raises(AuthError) as caught:
        jobs.find_status(one, "ws", "train-x")
    assert caught.value.hint.startswith(hint)
    assert caught.value.facts.get("close") == close
    assert caught.value.facts["permission"] == "jobs.read"


@pytest.mark.parametrize("refusal", ["401", "scope"])
def test_workspaces_are_not_listed_if_the_token_is_the_reason(connect, refusal):
    """A refused or limited token cannot list them either."""
    one = connect({"/train-x/status": [UNAUTHORIZED if refusal == "401" else FORBIDDEN]}, TOKEN)
    limited = {"Authorization": "Bearer e30.eyJzY29wZSI6ImZpbGVzOnJlYWQifQ.c2ln"}
    one = one._replace(auth=one.auth if refusal == "401" else limited)
    with pytest.raises(AuthError) as caught:
        jobs.find_status(one, "ws", "train-x")
    assert one.sender.paths == ["/train-x/status"]
    assert caught.value.facts.get("scope") == (None if refusal == "401" else "jobs:read")


def names(one, **more):
    """Return the names of a list."""
    return [entry["name"] for entry in jobs.list_jobs(one, "ws", **more)]


def test_the_list_reads_short_and_empty_pages(connect):
    """The server filters by state after paging."""
    one = connect({"": [page("a", total=3), page(total=3), page("b", total=3)]})
    assert names(one, filters=[("filter[status][$eq]", "active")]) == ["a", "b"]
    assert [query["page"] for query in one.sender.queries] == ["1", "2", "3"]
    assert all(
        query["filter[status][$eq]"] == "active" and query["sort"] == "-created_at" for query in one.sender.queries
    )


def test_a_job_that_moves_to_the_next_page_is_listed_once(connect):
    """This happens if another job is created between two requests."""
    assert names(connect({"": [page("a", "b", total=2), page("b", "c", total=2)]})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("limit", "pages", "size"),
    [(0, 9, 100), (1, 1, 1), (3, 1, 3), (100, 1, 100), (101, 2, 51), (250, 3, 84), (500, 5, 100)],
)
def test_no_more_jobs_are_requested_than_needed(connect, limit, pages, size):
    """A page takes the server time per row: 0.035 s for 3, 0.7 s for 100."""
    rows = [f"job-{number}" for number in range(size * 9)]
    one = connect({"": [page(*rows[n * size : (n + 1) * size], total=9) for n in range(9)]})
    assert names(one, limit=limit) == rows[: limit or None]
    assert [query["page_size"] for query in one.sender.queries] == [str(size)] * pages


@pytest.mark.parametrize(
    "odd",
    [{}, {"data": None}, {"data": [1, {"id": 2}, {"name": 3}], "pagination": []}, {"pagination": {"total_pages": "x"}}],
)
def test_a_page_without_named_jobs_is_empty(connect, odd):
    """The server's JSON may have any shape."""
    assert names(connect({"": [answer(odd)]})) == []


@pytest.mark.parametrize(
    ("seconds", "limit", "timeout"),
    [
        (10.0, None, 10.0),
        (10.0, 2.0, 2.0),
        (10.0, 60.0, 10.0),
        (0.0, 4.0, 4.0),
    ],
)
def test_each_poll_has_a_new_deadline_within_its_limit(connect, fake_time, seconds, limit, timeout):
    """A wait of hours consists of requests with a limit each, also with --deadline 0."""
    one = connect({"/train-x/status": [ACTIVE]}, seconds=seconds)
    poll = jobs.make_poll(one, "ws", "train-x")
    for _ in range(3):
        assert poll(limit)["status"] == "active"
        fake_time.now += 3600
    assert one.sender.timeouts == [timeout] * 3


def test_a_failing_poll_retries_until_its_deadline(connect, fake_time):
    """The caller may tolerate the outage."""
    with pytest.raises(NotDeliveredError):
        jobs.make_poll(connect({"/train-x/status": [Response(503)]}), "ws", "train-x")(None)
    assert 8 < sum(fake_time.slept) <= 10


def test_polls_keep_the_given_name_if_the_server_tells_an_invalid_one(connect):
    """It need not even have a form in UTF-8."""
    one = connect({"/train-x/status": [answer({"name": "a\ud800", "status": "active"})]})
    poll = jobs.make_poll(one, "ws", "train-x")
    poll(None)
    poll(None)
    assert one.sender.paths == ["/train-x/status"] * 2


def test_an_id_is_looked_up_by_the_first_poll_only(connect):
    """The next ones use the name."""
    one = connect({"": [page("train-x")], "/train-x/status": [ACTIVE]})
    poll = jobs.make_poll(one, "ws", UPPER_ID)
    poll(None)
    poll(None)
    assert one.sender.paths == ["", "/train-x/status", "/train-x/status"]


def test_steps_by_name_and_id(connect):
    """Also one that has not begun; a wrong one is an error that lists them."""
    status = answer({"name": "train-x", "steps": [{"id": "platform-job-step-1", "name": "train"}]})
    record = answer({"platform_spec": {"steps": [{"name": "train"}, {"name": "evaluate"}]}})
    session = connect({"/train-x/status": [status], "/train-x": [record]})
    for word, name in (("train", "train"), ("platform-job-step-1", "train"), ("evaluate", "evaluate")):
        assert jobs.find_step(session, "ws", "train-x", word) == name
    with pytest.raises(NotFoundError, match="no step 'eval'") as caught:
        jobs.find_step(session, "ws", "train-x", "eval")
    assert caught.value.facts["steps"] == ["train", "evaluate"]
    assert caught.value.hint == "did you mean evaluate? use one of its steps: train, evaluate"


@pytest.mark.parametrize("steps", [7, "train", {"name": "train"}, [7, {"id": "train"}, {"name": ["train"]}], None])
def test_steps_of_another_form_are_none(connect, steps):
    """What is no list of named steps is not the error that counts."""
    session = connect({"/train-x/status": [answer({"steps": steps})], "/train-x": [answer({"platform_spec": steps})]})
    with pytest.raises(NotFoundError, match="no step 'train'"):
        jobs.find_step(session, "ws", "train-x", "train")
