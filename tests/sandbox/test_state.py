"""The sandbox's own rules, where the contract suite's strict server does not go."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import identifiers
from nemo_jobs_cli.sandbox import app, create, listing
from nemo_jobs_cli.sandbox import body as sandbox_body
from nemo_jobs_cli.sandbox import state as sandbox_state
from nemo_jobs_cli.sandbox.app import Asked, Rules

ROOT = "/apis/jobs/v2/workspaces"
JSON = {"content-type": "application/json"}
DETAILS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), st.integers() | st.none(), max_size=5)


@pytest.fixture
def state():
    """Give an empty sandbox whose time stands still."""
    return sandbox_state.State(lambda: 1_790_000_000.5, random.Random(1))


@pytest.fixture
def strict():
    """Give an empty strict sandbox."""
    return sandbox_state.State(lambda: 0.0, random.Random(1), strict=True)


def ask(state, method, path, body=None, *, rules=Rules(), **headers):  # noqa: B008 - frozen
    """Send a request straight to the routes and return its status and value."""
    raw = b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    asked = Asked(
        method,
        path,
        "http://sandbox",
        dict(part.split("=") for part in query.split("&") if part),
        {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}},
        raw,
        path,
    )
    reply = app.answer(state, asked, rules)
    return reply.status, json.loads(reply.body or "null")


@pytest.mark.parametrize("workspace", ["default", "research"])
def test_any_name_springs_to_life(state, workspace):
    """A job need not be created: writing to it or reading it is enough, in any workspace."""
    path = f"{ROOT}/{workspace}/jobs/demo"
    assert ask(state, "PATCH", f"{path}/status-details", {"progress": 1}) == (200, None)
    status, found = ask(state, "GET", f"{path}/status")
    assert (status, found["status_details"], found["status"]) == (200, {"progress": 1}, "created")
    assert found["created_at"] == "2026-09-21T14:13:20.500000"
    assert ask(state, "GET", f"{ROOT}/{workspace}/jobs/other/status")[0] == 200
    assert [job["name"] for job in ask(state, "GET", f"{ROOT}/{workspace}/jobs")[1]["data"]] == ["other", "demo"]
    known = [one["name"] for one in ask(state, "GET", "/apis/entities/v2/workspaces")[1]["data"]]
    assert known == list(dict.fromkeys(["system", "default", workspace]))


@pytest.mark.parametrize("path", ["default/jobs/Demo", "default/jobs/x", "Research/jobs/demo", "default/jobs/a--b"])
def test_invalid_names_stay_unknown(state, path):
    """What the platform takes for no name never becomes a job."""
    assert ask(state, "PATCH", f"{ROOT}/{path}/status-details", {})[0] == 404
    assert ask(state, "GET", f"{ROOT}/{path}/status")[0] == 404
    assert not state.jobs


def test_a_list_makes_no_job(state):
    """A workspace that nobody wrote to is empty, not missing; an invalid name is missing."""
    assert ask(state, "GET", f"{ROOT}/research/jobs")[1]["data"] == []
    assert ask(state, "GET", f"{ROOT}/Research/jobs")[0] == 404


def test_strict_knows_only_what_was_created(strict):
    """With --strict a job is a 404 until it is created, and so is any other workspace."""
    assert ask(strict, "GET", f"{ROOT}/default/jobs/demo/status")[0] == 404
    assert ask(strict, "GET", f"{ROOT}/research/jobs")[0] == 404
    job = {"name": "demo", "spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}]}}
    assert ask(strict, "POST", f"{ROOT}/default/jobs", job)[0] == 201
    assert ask(strict, "GET", f"{ROOT}/default/jobs/demo/status")[0] == 200


@pytest.mark.parametrize("spec", [None, {}, {"steps": None}, {"steps": [1]}, {"steps": [{}]}, {"steps": [{"name": 1}]}])
def test_steps_must_have_names(state, spec):
    """A job without steps that have names is refused, not a crash."""
    job = {"name": "demo", "spec": {}, "source": "x", "platform_spec": spec}
    assert ask(state, "POST", f"{ROOT}/default/jobs", job)[0] == 422


def test_a_name_must_be_text(state):
    """A name that is a number is refused."""
    job = {"name": 5, "spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}]}}
    assert ask(state, "POST", f"{ROOT}/default/jobs", job)[0] == 409


def test_an_unreadable_job_is_refused(state):
    """The body of a POST is read with the rules of a PATCH's."""
    assert app.answer(state, Asked("POST", f"{ROOT}/default/jobs", headers=JSON, body=b"{"), Rules()).status == 422
    assert create.create(state, "default", "text").status == 422


@pytest.mark.parametrize("seed", range(50))
def test_made_up_names_are_names(seed):
    """A job that was created without a name gets one that the platform's pattern takes."""
    state = sandbox_state.State(lambda: 0.0, random.Random(seed))
    job = {"spec": {}, "source": "x", "platform_spec": {"steps": [{"name": "train"}]}}
    assert identifiers.is_name(ask(state, "POST", f"{ROOT}/default/jobs", job)[1]["name"])


@given(st.lists(DETAILS, max_size=5))
def test_merging_is_dict_update(updates):
    """However many updates come: each key has the last value that was sent for it."""
    state = sandbox_state.State(lambda: 0.0, random.Random(1))
    expected = {}
    for update in updates:
        assert ask(state, "PATCH", f"{ROOT}/default/jobs/demo/status-details", update) == (200, None)
        expected |= update
    assert ask(state, "GET", f"{ROOT}/default/jobs/demo/status")[1]["status_details"] == expected


def test_the_overtaken_update_is_refused(state):
    """An update that comes between another's read and its write wins; the other is a 409 and lost."""
    path = f"{ROOT}/default/jobs/demo/status-details"
    overtake = Rules(window=lambda: ask(state, "PATCH", path, {"b": 2}))
    status, said = ask(state, "PATCH", path, {"a": 1}, rules=overtake)
    assert status == 409
    assert said["detail"].endswith("Expected version 1, but current version is 2. Please refetch and retry.")
    assert state.jobs["default", "demo"].details == {"b": 2}


def test_attempts_only(state):
    """The next generation takes updates at the current attempt, and only there."""
    rules, job = Rules(attempts_only=True), f"{ROOT}/default/jobs/demo"
    assert ask(state, "PATCH", f"{job}/status-details", {}, rules=rules) == (404, {"detail": "Not Found"})
    assert ask(state, "PATCH", f"{job}/attempts/current/status-details", {"a": 1}, rules=rules) == (200, None)
    assert state.jobs["default", "demo"].details == {"a": 1}
    paths = ask(state, "GET", "/openapi.json", rules=rules)[1]["paths"]
    assert f"{ROOT}/{{workspace}}/jobs/{{name}}/attempts/current/status-details" in paths


@pytest.mark.parametrize(("headers", "status"), [({"authorization": "Bearer sandbox"}, 200), ({"authorization": "bearer  sandbox "}, 200), ({"authorization": "Bearer"}, 401), ({}, 401)])  # fmt: skip
def test_the_token(state, headers, status):
    """With --auth the word sandbox is the token."""
    assert ask(state, "GET", f"{ROOT}/default/jobs", rules=Rules(auth=True), **headers)[0] == status


def test_a_token_is_not_looked_at_without_auth(state):
    """Without --auth nobody is a stranger."""
    assert ask(state, "GET", f"{ROOT}/default/jobs", authorization="Bearer nonsense")[0] == 200


def test_headers_stay_out_of_the_repr():
    """A request that is printed does not print its token."""
    assert "s3cret" not in repr(Asked("GET", "/", headers={"authorization": "Bearer s3cret"}))


@pytest.mark.parametrize("body", [b'{"a":' + b"[" * 400 + b"]" * 400 + b"}", b"\xff"])
def test_bodies_that_crash_the_server(body):
    """Nesting that parses but can't be written is a 500, so are undecodable bytes of another type."""
    kind = None if body == b"\xff" else "application/json"
    assert sandbox_body.mapping(kind, body).status == 500


def test_too_deep_to_parse():
    """Deeper than the platform's parser goes is a 400, also on a Python that would parse it."""
    assert sandbox_body.mapping("application/json", b"[" * 1300 + b"]" * 1300).status == 400


def test_workspaces_are_paged(state):
    """The list of workspaces has pages, too."""
    status, found = ask(state, "GET", "/apis/entities/v2/workspaces?page_size=1&page=2")
    assert (status, len(found["data"]), found["pagination"]["total_pages"]) == (200, 1, 2)
    assert ask(state, "GET", "/apis/entities/v2/workspaces?page=0")[0] == 422


@given(st.integers(0, 25), st.integers(1, 7))
def test_pages_cover_everything_once(count, size):
    """Walking to total_pages meets each job exactly once, in the same order as one long page."""
    state = sandbox_state.State(lambda: 0.0, random.Random(1))
    for number in range(count):
        sandbox_state.find(state, "default", f"job-{number}")
    whole = ask(state, "GET", f"{ROOT}/default/jobs?page_size=1000")[1]["data"]
    pages = ask(state, "GET", f"{ROOT}/default/jobs?page_size={size}")[1]["pagination"]["total_pages"]
    walked = [
        job
        for page in range(1, pages + 1)
        for job in ask(state, "GET", f"{ROOT}/default/jobs?page_size={size}&page={page}")[1]["data"]
    ]
    assert walked == whole
    assert len(whole) == count


def test_listed_details_keep_their_nulls(state):
    """Only the record's own nulls are left out of a list."""
    job = sandbox_state.find(state, "default", "demo")
    job.details["a"] = None
    found = json.loads(listing.jobs(state, "default", {}).body)
    assert found["data"][0]["status_details"] == {"a": None}
    assert "project" not in found["data"][0]
