"""Updates of status details with PATCH."""

from __future__ import annotations

import threading

import pytest

JSON = {"content-type": "application/json"}


@pytest.fixture
def patch(api, jobs, job):
    """Return a function that sends a body for the job and returns the response."""

    def send(body: bytes | str, kind: str | None = "application/json"):
        headers = {} if kind is None else {"content-type": kind}
        return api.patch(f"{jobs}/{job}/status-details", content=body, headers=headers)

    return send


@pytest.fixture
def details(api, jobs, job):
    """Return a function that reads the job's details."""
    return lambda: api.get(f"{jobs}/{job}/status").json()["status_details"]


def test_an_update_is_answered_with_null(patch):
    """Success is 200 with the body `null`."""
    response = patch('{"progress": 45}')
    assert (response.status_code, response.text) == (200, "null")
    assert response.headers["content-type"] == "application/json"


def test_keys_are_merged_at_the_top_only(patch, details):
    """A sent key replaces the whole stored value; others stay; null is a value."""
    patch('{"a": {"x": 1, "y": 2}, "b": [1, 2], "c": "old", "d": 1}')
    patch('{"a": {"x": 9}, "b": [3], "d": null}')
    patch("{}")
    assert details() == {"a": {"x": 9}, "b": [3], "c": "old", "d": None}


def test_odd_values_are_stored(patch, details):
    """Infinity becomes null, large integers stay exact, the last of two equal keys wins."""
    sent = '{"n": NaN, "i": [1e400, {"x": -Infinity}], "b": 123456789012345678901234567890, "e": 1E5, "d": 1, "d": 2'
    assert patch(sent + ', "": 3, "nul": "a\\u0000b", "u": "é"}').status_code == 200
    assert details() == {
        "n": None, "i": [None, {"x": None}], "b": 123456789012345678901234567890, "e": 100000.0, "d": 2, "": 3,
        "nul": "a\0b", "u": "é",
    }  # fmt: skip


def test_the_job_itself_does_not_change(api, jobs, make):
    """Neither updated_at nor the status."""
    created = make()
    api.patch(f"{jobs}/{created['name']}/status-details", json={"status": "completed"})
    now = api.get(f"{jobs}/{created['name']}").json()
    assert now == {**created, "status_details": {"status": "completed"}}


@pytest.mark.parametrize(("body", "value"), [("[1]", [1]), ('"x"', "x"), ("true", True), ("1", 1)])
def test_a_body_that_is_not_an_object_is_refused(patch, body, value):
    """The 422 repeats it."""
    response = patch(body)
    problem = {"type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": value}
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize("body", ["", "null"])
def test_a_missing_body_is_refused(patch, body):
    """Null is the same as no body."""
    response = patch(body)
    problem = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize(
    ("body", "offset", "why"),
    [
        ('{"a":', 5, "Expecting value"),
        ('{"a":1}x', 7, "Extra data"),
        ("{a:1}", 1, "Expecting property name enclosed in double quotes"),
        ('{"a":"\n"}', 6, "Invalid control character at"),
    ],
)
def test_broken_json_is_located(patch, body, offset, why):
    """A 422 with the offset."""
    response = patch(body)
    problem = {
        "type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {}, "ctx": {"error": why},
    }  # fmt: skip
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize("kind", [None, "text/plain", "text/json", "application/x-www-form-urlencoded"])
def test_only_a_json_type_is_read_as_json(patch, kind):
    """With any other content type, or none, the body is a string."""
    response = patch('{"a":1}', kind)
    problem = {"type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": '{"a":1}'}
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
def test_json_types_are_recognized(patch, kind):
    """Regardless of parameters and case, and with a +json suffix."""
    assert patch('{"a":1}', kind).status_code == 200


@pytest.mark.parametrize("body", [b'{"s":"\\ud800"}', b"[NaN]"])
def test_a_body_that_cannot_be_stored_is_a_500(patch, body):
    """A lone surrogate, and a list with NaN."""
    response = patch(body)
    assert (response.status_code, response.json()) == (500, {"detail": "An unexpected error occurred."})


@pytest.mark.parametrize(
    "body",
    [b'{"a":"\xff"}', b"\x1f\x8b\x08\x00", b'{"a":' + b"9" * 10_000 + b"}"],
    ids=["bad UTF-8", "compressed", "10,000 digits"],
)
def test_bytes_that_cannot_be_parsed_are_a_400(patch, body):
    """Without an offset."""
    response = patch(body)
    assert (response.status_code, response.json()) == (400, {"detail": "There was an error parsing the body"})


def test_deep_nesting_is_refused(patch):
    """2,000 levels are a 400 if the server's Python cannot parse them (3.12), else a 500."""
    assert patch(b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}").status_code in {400, 500}


def test_4000_digits_are_stored(patch, details):
    """An integer of 4,000 digits stays exact."""
    assert patch(b'{"a":' + b"9" * 4000 + b"}").status_code == 200
    assert details() == {"a": int("9" * 4000)}


@pytest.mark.parametrize(
    ("workspace", "name", "shown"),
    [
        ("default", "no-such-job", "no-such-job"),
        ("default", "Bad%20Name", "Bad Name"),
        ("nope", "x-1", "x-1"),
        ("default", "a--b", "a--b"),
    ],
)
def test_an_unknown_job_is_a_404(api, workspace, name, shown):
    """A missing workspace and an invalid name have the same message."""
    response = api.patch(f"/apis/jobs/v2/workspaces/{workspace}/jobs/{name}/status-details", json={"a": 1})
    detail = f"Entity '{shown}' not found in workspace '{workspace}'"
    assert (response.status_code, response.json()) == (404, {"detail": detail})


def test_an_id_is_not_a_name(api, jobs, make):
    """The id of a job is a 404."""
    assert api.patch(f"{jobs}/{make()['id']}/status-details", json={}).status_code == 404


def test_the_body_is_checked_before_the_job(api, jobs):
    """An invalid body for an unknown job is a 422."""
    assert api.patch(f"{jobs}/no-such-job/status-details", json=[1]).status_code == 422


@pytest.mark.parametrize(
    "path",
    ["x-1/attempts/current/status-details", "x-1/status-detail", "x-1/status-details/x", "a%2Fb/status-details"],
)
def test_unknown_routes(api, jobs, path):
    """Including those of later releases; a slash, encoded or not, ends a job's name."""
    response = api.patch(f"{jobs}/{path}", json={})
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_a_trailing_slash_is_redirected(api, server, jobs, job):
    """With a 307 to the full URL."""
    response = api.patch(f"{jobs}/{job}/status-details/?x=1", json={})
    assert (response.status_code, response.content) == (307, b"")
    assert response.headers["location"] == f"{server.url}{jobs}/{job}/status-details?x=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_other_methods_are_refused(api, jobs, job, method):
    """Only PATCH is allowed."""
    response = api.request(method, f"{jobs}/{job}/status-details")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
    assert response.headers["allow"] == "PATCH"


def test_concurrent_updates_conflict(api, jobs, job, details):
    """Of 20 at once, some are a 409 and are lost, the others are stored."""
    responses = {}
    start = threading.Barrier(20)

    def send(number: int) -> None:
        start.wait()
        responses[number] = api.patch(f"{jobs}/{job}/status-details", json={f"k{number}": number})

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = [response for response in responses.values() if response.status_code == 409]
    assert lost
    assert {response.status_code for response in responses.values()} == {200, 409}
    assert details() == {f"k{number}": number for number, response in responses.items() if response.status_code == 200}
    for response in lost:
        assert response.headers["x-should-retry"] == "false"
        detail = response.json()["detail"]
        assert detail.startswith("HTTP 409: Entity 'att-")
        assert "was modified by another request." in detail
        assert detail.endswith("Please refetch and retry.")
