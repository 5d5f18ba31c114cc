"""What a PATCH of status details does, byte for byte where a client reads it."""

from __future__ import annotations

import threading

import pytest

NOT_FOUND = {"detail": "Not Found"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def patch(api, jobs, job):
    """Return a function that sends a body for the job and returns the answer."""

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
    answer = patch('{"progress": 45}')
    assert (answer.status_code, answer.text) == (200, "null")
    assert answer.headers["content-type"] == "application/json"


def test_keys_are_merged_at_the_top_only(patch, details):
    """A key that is sent replaces the stored value wholesale; others stay; null is a value."""
    patch('{"a": {"x": 1, "y": 2}, "b": [1, 2], "c": "old", "d": 1}')
    patch('{"a": {"x": 9}, "b": [3], "d": null}')
    patch("{}")
    assert details() == {"a": {"x": 9}, "b": [3], "c": "old", "d": None}


def test_odd_values_are_stored(patch, details):
    """Infinities become null, big integers stay exact, the last of two equal keys wins."""
    sent = '{"n": NaN, "i": [1e400, {"x": -Infinity}], "b": 123456789012345678901234567890, "e": 1E5, "d": 1, "d": 2'
    assert patch(sent + ', "": 3, "nul": "a\\u0000b", "u": "é"}').status_code == 200
    assert details() == {
        "n": None, "i": [None, {"x": None}], "b": 123456789012345678901234567890, "e": 100000.0, "d": 2, "": 3,
        "nul": "a\0b", "u": "é",
    }  # fmt: skip


def test_the_job_itself_does_not_change(api, jobs, make):
    """A PATCH changes neither updated_at nor the status."""
    made = make()
    api.patch(f"{jobs}/{made['name']}/status-details", json={"status": "completed"})
    now = api.get(f"{jobs}/{made['name']}").json()
    assert now == {**made, "status_details": {"status": "completed"}}


@pytest.mark.parametrize(("body", "value"), [("[1]", [1]), ('"x"', "x"), ("true", True), ("1", 1)])
def test_what_is_no_object_is_refused(patch, body, value):
    """A body that is no object is a 422 that echoes it."""
    answer = patch(body)
    problem = {"type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": value}
    assert (answer.status_code, answer.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize("body", ["", "null"])
def test_a_missing_body_is_refused(patch, body):
    """No body and null are the same: a required field is missing."""
    answer = patch(body)
    problem = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
    assert (answer.status_code, answer.json()) == (422, {"detail": [problem]})


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
    """A body that is no JSON is a 422 with the offset."""
    answer = patch(body)
    problem = {
        "type": "json_invalid",
        "loc": ["body", offset],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": why},
    }
    assert (answer.status_code, answer.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize("kind", [None, "text/plain", "text/json", "application/x-www-form-urlencoded"])
def test_only_a_json_type_is_read_as_json(patch, kind):
    """Any other content type, or none, makes the body a string."""
    answer = patch('{"a":1}', kind)
    problem = {"type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary", "input": '{"a":1}'}
    assert (answer.status_code, answer.json()) == (422, {"detail": [problem]})


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
def test_json_types_are_recognized(patch, kind):
    """Parameters, case and a +json suffix make no difference."""
    assert patch('{"a":1}', kind).status_code == 200


@pytest.mark.parametrize("body", [b'{"s":"\\ud800"}', b"[NaN]"])
def test_what_cannot_be_written_is_a_crash(patch, body):
    """A lone surrogate is a 500 for ever."""
    answer = patch(body)
    assert (answer.status_code, answer.json()) == (500, {"detail": "An unexpected error occurred."})


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"\xff"}',
        b"\x1f\x8b\x08\x00",
        b'{"a":' + b"9" * 10_000 + b"}",
    ],
    ids=["bad UTF-8", "compressed", "10,000 digits"],
)
def test_what_cannot_be_parsed_is_a_400(patch, body):
    """Bytes that no parser takes are a 400 without a place."""
    answer = patch(body)
    assert (answer.status_code, answer.json()) == (400, {"detail": "There was an error parsing the body"})


def test_deep_nesting_is_refused(patch):
    """Nesting 2,000 deep is no update: 400 where the server's Python can't parse it (3.12), else 500."""
    assert patch(b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}").status_code in {400, 500}


def test_4000_digits_are_stored(patch, details):
    """An integer of 4,000 digits arrives whole."""
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
    """No such job, no such workspace and no valid name get the same text."""
    answer = api.patch(f"/apis/jobs/v2/workspaces/{workspace}/jobs/{name}/status-details", json={"a": 1})
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": f"Entity '{shown}' not found in workspace '{workspace}'"},
    )


def test_an_id_is_no_name(api, jobs, make):
    """The id of a job gives 404 where its name is wanted."""
    assert api.patch(f"{jobs}/{make()['id']}/status-details", json={}).status_code == 404


def test_the_body_is_checked_before_the_job(api, jobs):
    """A wrong body for an unknown job is a 422."""
    assert api.patch(f"{jobs}/no-such-job/status-details", json=[1]).status_code == 422


@pytest.mark.parametrize("path", ["/attempts/current/status-details", "/status-detail", "/status-details/x"])
def test_unknown_routes(api, jobs, job, path):
    """A path that no service has is `Not Found`, the next generation's among them."""
    answer = api.patch(f"{jobs}/{job}{path}", json={})
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("name", ["a%2Fb", "a/b"])
def test_a_slash_is_no_part_of_a_name(api, jobs, name):
    """An encoded slash cuts a name just as a bare one: the route isn't found."""
    answer = api.patch(f"{jobs}/{name}/status-details", json={})
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_a_trailing_slash_is_redirected(api, server, jobs, job):
    """A trailing slash is a 307 to the whole URL without it."""
    answer = api.patch(f"{jobs}/{job}/status-details/?x=1", json={})
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["location"] == f"{server.url}{jobs}/{job}/status-details?x=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_other_methods_are_refused(api, jobs, job, method):
    """Only PATCH changes details."""
    answer = api.request(method, f"{jobs}/{job}/status-details")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == "PATCH"


def test_updates_at_the_same_time_conflict(api, jobs, job, details):
    """Of 20 PATCHes at once some get 409 and are lost; the others are there."""
    answers = {}
    start = threading.Barrier(20)

    def send(number: int) -> None:
        start.wait()
        answers[number] = api.patch(f"{jobs}/{job}/status-details", json={f"k{number}": number})

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = [answer for answer in answers.values() if answer.status_code == 409]
    assert lost
    assert {answer.status_code for answer in answers.values()} == {200, 409}
    assert details() == {f"k{number}": number for number, answer in answers.items() if answer.status_code == 200}
    for answer in lost:
        assert answer.headers["x-should-retry"] == "false"
        said = answer.json()["detail"]
        assert said.startswith("HTTP 409: Entity 'att-")
        assert "was modified by another request." in said
        assert said.endswith("Please refetch and retry.")
