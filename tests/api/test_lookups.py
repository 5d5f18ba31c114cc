"""One job by its name or id, once or again and again."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api import lookups, models, session
from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError
from nemo_jobs_cli.settings.model import Credential, Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

JOBS = "/apis/jobs/v2/workspaces/ws/jobs"
UPPER = "platform-job-2HzvGHLuPeXwN5kGsE3mLq"
LOWER = "platform-job-2hzvghjupexwn5kgse3mjq"

NO_JOB = Response(404, b"{\"detail\":\"Job 'train-x' not found in workspace 'ws'.\"}")
NO_WORKSPACE = Response(404, b'{"detail":"Workspace \'ws\' not found"}')
UNAUTHORISED = Response(401, b'{"detail":"Invalid or expired token"}')
BUSY = Response(503, b"{}")


def found(name):
    """Return the status answer of a job."""
    return Response(200, json.dumps({"name": name, "status": "active"}).encode())


def page(*names, job_id=UPPER):
    """Return a page of the list of jobs."""
    data = [{"name": name, "id": job_id} for name in names]
    return Response(200, json.dumps({"data": data, "pagination": {"total_pages": 1}}).encode())


class Server:
    """A sender that answers by path, each list in turn, and remembers what it was asked, and for how long."""

    trace_id = "trace1"

    def __init__(self, answers):
        self.answers = {
            path if path.startswith("/apis") else f"{JOBS}{path}": list(given) for path, given in answers.items()
        }
        self.asked = []
        self.timeouts = []

    def send(self, request, timeout):
        """Answer by path."""
        self.asked.append(request.path.removeprefix(JOBS))
        self.timeouts.append(timeout)
        answers = self.answers[request.path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def talk(fake_time):
    """Return a function that opens a session with a scripted server."""

    def open_session(answers, credential=None, seconds=10.0):
        settings = Settings(
            host=Sourced("http://h", "--host"),
            workspace=Sourced("ws", "-w"),
            credential=credential,
            deadline=Sourced(seconds, "--deadline"),
        )
        ends = deadline.start(seconds, fake_time.now, fake_time.clock)
        return Session(settings, Server(answers), ends, {"Authorization": "Bearer old"})

    return open_session


def test_a_name_takes_one_request(talk):
    """The usual way."""
    one = talk({"/train-x/status": [found("train-x")]})
    assert lookups.status(one, "ws", "train-x")["name"] == "train-x"
    assert one.sender.asked == ["/train-x/status"]


def test_an_id_is_looked_up_once(talk):
    """The routes take names only; an id with capitals can't be one, so it isn't tried."""
    one = talk({"": [page("train-x")], "/train-x/status": [found("train-x")]})
    assert lookups.status(one, "ws", UPPER)["name"] == "train-x"
    assert one.sender.asked == ["", "/train-x/status"]


def test_an_id_that_could_be_a_name_is_tried_as_one_first(talk):
    """Somebody may have named a job so."""
    answers = {f"/{LOWER}/status": [NO_JOB], "": [page("train-x", job_id=LOWER)], "/train-x/status": [found("train-x")]}
    one = talk(answers)
    assert lookups.status(one, "ws", LOWER)["name"] == "train-x"
    assert one.sender.asked == [f"/{LOWER}/status", "", "/train-x/status"]


def test_an_unknown_id_is_said_so(talk):
    """Exit code 5, naming the id."""
    with pytest.raises(NotFoundError, match=UPPER):
        lookups.status(talk({"": [page("train-y", job_id="other")]}), "ws", UPPER)


def test_a_missing_job_comes_with_close_names(talk):
    """A slip of the pen is the most common reason."""
    with pytest.raises(NotFoundError, match="train-x") as caught:
        lookups.status(talk({"/train-x/status": [NO_JOB], "": [page("train-xy", "eval")]}), "ws", "train-x")
    assert caught.value.facts["close"] == ["train-xy"]
    assert caught.value.facts["missing"] == "job"
    assert caught.value.hint.startswith("did you mean train-xy? ")


def test_a_missing_job_without_neighbours_points_at_the_list(talk):
    """Nothing is near, so nothing is suggested."""
    with pytest.raises(NotFoundError) as caught:
        lookups.status(talk({"/train-x/status": [NO_JOB], "": [page("eval")]}), "ws", "train-x")
    assert "did you mean" not in caught.value.hint
    assert "nemo-jobs list" in caught.value.hint


def test_a_missing_workspace_is_told_from_a_missing_job(talk):
    """The status route says the same of both; the list does not."""
    with pytest.raises(NotFoundError, match="workspace 'ws'") as caught:
        lookups.status(
            talk(
                {
                    "/train-x/status": [NO_JOB],
                    "": [NO_WORKSPACE],
                    "/apis/entities/v2/workspaces": [Response(403, b"{}")],
                }
            ),
            "ws",
            "train-x",
        )
    assert caught.value.facts["missing"] == "workspace"
    assert "-w NAME" in caught.value.hint


def test_a_list_that_may_not_be_read_leaves_the_plain_error(talk):
    """Helping is no reason to fail otherwise."""
    with pytest.raises(NotFoundError, match="train-x") as caught:
        lookups.status(talk({"/train-x/status": [NO_JOB], "": [Response(403, b"{}")]}), "ws", "train-x")
    assert "close" not in caught.value.facts


DETAILS = models.read({"name": "train-x", "status_details": {"progress": 45, "none": None, "train_loss": 0.5}})


@pytest.mark.parametrize(
    ("key", "default", "expected"),
    [("progress", None, 45), ("progress", "0", 45), ("none", "0", None), ("epoch", "0", "0"), ("epoch", "", "")],
)
def test_a_field_is_its_value_else_the_default(key, default, expected):
    """A reported null is a value; an empty default is one, too."""
    assert lookups.field(DETAILS, key, default) == expected


@pytest.mark.parametrize(("key", "close"), [("progres", ["progress"]), ("trainloss", ["train_loss"]), ("zzz", [])])
def test_a_missing_field_comes_with_close_keys(key, close):
    """Exit code 5, and what it may have been."""
    with pytest.raises(NotFoundError, match=f"has not reported '{key}'") as caught:
        lookups.field(DETAILS, key)
    assert caught.value.facts == {"job": "train-x", "field": key, "close": close}
    assert ("did you mean" in caught.value.hint) == bool(close)


def test_each_look_has_a_fresh_deadline(talk, fake_time):
    """A wait of hours consists of requests that are each given up in time."""
    one = talk({"/train-x/status": [found("train-x")]})
    look = lookups.looker(one, "ws", "train-x")
    for _ in range(3):
        assert look(None)["status"] == "active"
        fake_time.now += 3600
    assert one.sender.timeouts == [10 * deadline.SHARE_OF_ATTEMPT] * 3


@pytest.mark.parametrize(
    ("seconds", "limit", "timeout"), [(10.0, 2.0, 2.0), (10.0, 60.0, 10 * deadline.SHARE_OF_ATTEMPT), (0.0, 4.0, 4.0)]
)
def test_a_look_takes_no_longer_than_its_limit(talk, seconds, limit, timeout):
    """Neither with retries nor with --deadline 0."""
    one = talk({"/train-x/status": [found("train-x")]}, seconds=seconds)
    lookups.looker(one, "ws", "train-x")(limit)
    assert one.sender.timeouts == [timeout]


def test_a_look_that_fails_retries_until_its_own_deadline(talk, fake_time):
    """Then it is an outage, which the caller may tolerate."""
    one = talk({"/train-x/status": [BUSY]})
    look = lookups.looker(one, "ws", "train-x")
    with pytest.raises(NotDeliveredError):
        look(None)
    assert 8 < sum(fake_time.slept) <= 10


def test_an_id_is_resolved_for_the_first_look_only(talk):
    """The looks after it ask for the name."""
    one = talk({"": [page("train-x")], "/train-x/status": [found("train-x")]})
    look = lookups.looker(one, "ws", UPPER)
    look(None)
    look(None)
    assert one.sender.asked == ["", "/train-x/status", "/train-x/status"]


@pytest.fixture
def reopened(monkeypatch, talk):
    """Return a list of what each new session's server answers; each has the token `new`."""
    opened = []

    def start(settings, started, *, clock, on_retry=None):
        answers, token = opened.pop(0)
        new = talk(answers, settings.credential)
        return Session(new.settings, new.sender, new.deadline, {"Authorization": f"Bearer {token}"}, on_retry)

    monkeypatch.setattr(session, "open_session", start)
    return opened


@pytest.mark.parametrize("kind", ["file", "command", "workload"])
def test_a_token_that_expires_during_a_wait_is_read_again(talk, reopened, kind):
    """Waits are longer than tokens live; the file or command has a fresh one."""
    one = talk(
        {"/train-x/status": [found("train-x"), UNAUTHORISED]}, Credential(kind, "/token", "NEMO_JOBS_TOKEN_FILE")
    )
    reopened.append(({"/train-x/status": [found("train-x")]}, "new"))
    look = lookups.looker(one, "ws", "train-x")
    for _ in range(3):
        assert look(None)["status"] == "active"
    assert reopened == []


@pytest.mark.parametrize(
    "credential",
    [
        None,
        Credential("token", "t", "NEMO_JOBS_TOKEN"),
        Credential("file", "-", "--token-file"),
        Credential("principal", "{}", "NMP_PRINCIPAL"),
    ],
)
def test_a_credential_that_cannot_be_renewed_fails_at_once(talk, reopened, credential):
    """A token in a variable stays what it is, and stdin is read once."""
    look = lookups.looker(talk({"/train-x/status": [UNAUTHORISED]}, credential), "ws", "train-x")
    with pytest.raises(AuthError):
        look(None)


def test_the_same_token_read_again_is_not_tried_again(talk, reopened):
    """The server has refused it once already."""
    one = talk({"/train-x/status": [UNAUTHORISED]}, Credential("file", "/token", "--token-file"))
    reopened.append(({}, "old"))
    with pytest.raises(AuthError):
        lookups.looker(one, "ws", "train-x")(None)
    assert one.sender.asked == ["/train-x/status"]


def test_a_misspelt_key_is_told_where_nothing_was_reported_yet():
    """There are keys that every job may have."""
    with pytest.raises(NotFoundError) as caught:
        lookups.field(models.read({"name": "train-x"}), "progres")
    assert caught.value.hint.startswith("did you mean progress?")
