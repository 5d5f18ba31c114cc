"""The kind of a response, and the reason that the server gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import JSON

from nemo_jobs_cli.transport import classify
from nemo_jobs_cli.transport.messages import Response


def answer(status, body, **headers):
    """Return a response with a JSON body."""
    return Response(status, json.dumps(body).encode(), headers)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(200, None), "ok"),
        (answer(200, {}), "ok"),
        (answer(200, []), "foreign"),
        (Response(200, b"<html>"), "foreign"),
        (Response(200, b"[" * 100_000), "foreign"),
        (Response(204), "foreign"),
        *((answer(status, None), "foreign") for status in (101, 201, 202, 203, 204, 205, 206, 207, 226)),
        (Response(304, headers={"location": "/"}), "foreign"),
        (Response(302), "foreign"),
        (Response(299, b"{}", {"location": "/"}), "foreign"),
        *((Response(status, headers={"location": "/"}), "redirect") for status in (300, 399)),
        (Response(302, headers={"location": "/"}), "redirect"),
        (answer(400, {"detail": "There was an error parsing the body"}), "rejected"),
        (answer(401, {"detail": "Unauthorized"}), "unauthorized"),
        (answer(403, {"detail": "Forbidden"}), "forbidden"),
        (answer(404, {"detail": "Entity 'x' not found in workspace 'ws'"}), "missing"),
        (answer(404, {"detail": "Not Found"}), "no-route"),
        (Response(404, b"<html>nginx</html>"), "no-route"),
        (answer(404, {"detail": None}), "no-route"),
        (answer(404, {"detail": ["Not Found"]}), "missing"),
        (answer(404, {"detail": {"code": 7}}), "missing"),
        (answer(404, {"detail": "Job 'x' in workspace 'ws' has no current attempt."}), "no-attempt"),
        (answer(404, {"detail": "Attempt 'current' not found"}), "no-attempt"),
        (answer(409, {"detail": "No Attempt exists for job 'x'"}), "no-attempt"),
        (answer(404, {"detail": "Job 'attempt-7' not found in workspace 'attempt'."}), "missing"),
        (answer(404, {"detail": 'Job "attempt-7" not found'}), "missing"),
        (answer(409, {"detail": "Attempt 'a' is not the current attempt of job 'x'."}), "rejected"),
        (answer(409, {}), "conflict"),
        (answer(409, {"detail": "HTTP 409: Entity 'att-1' was modified by another request. Expected"}), "conflict"),
        (answer(409, {"detail": "Job 'x' is in status deletion_pending"}), "rejected"),
        (answer(409, {"detail": {"message": "step 'train' cannot be paused"}}), "rejected"),
        (answer(413, {}), "rejected"),
        (answer(422, {}), "rejected"),
        (answer(499, {}), "rejected"),
        (answer(429, {}), "transient"),
        *((answer(status, {}), "transient") for status in (407, 408, 425, 500, 503, 504)),
        (Response(502, b"<html>"), "transient"),
    ],
)
def test_each_response_has_its_kind(given, kind):
    """A 404 may be about the route or about the job."""
    assert classify.kind(given) == kind


def test_a_validation_error_has_location_message_and_input():
    """The message includes the parser's own error; the input is shortened."""
    body = {
        "detail": [
            {
                "type": "json_invalid",
                "loc": ["body", 5],
                "msg": "JSON decode error",
                "input": {"a": "x" * 999},
                "ctx": {"error": "Expecting value"},
            }
        ]
    }
    (problem,) = classify.problems(answer(422, body))
    assert problem.loc == ("body", 5)
    assert problem.message == "JSON decode error: Expecting value"
    assert len(problem.value) == 60


def test_a_list_inside_a_string_is_read_too():
    """Some routes send the list as JSON in a string."""
    inner = json.dumps({"detail": [{"loc": ["query", "page_size"], "msg": "too big"}]})
    assert classify.problems(answer(422, {"detail": inner}))[0].loc == ("query", "page_size")
    assert classify.problems(answer(422, {"detail": json.dumps([{"loc": ["a"], "msg": "m"}])}))[0].loc == ("a",)


def test_the_detail_is_one_line_without_controls():
    """An escape sequence in a response is data."""
    assert classify.detail(answer(404, {"detail": "a\x1b[31mb\nc"})) == "a\\x1b[31mb\\nc"
    assert classify.detail(answer(422, {"detail": [{"msg": "one"}, {"type": "two"}, {}]})) == "one; two; not accepted"
    assert classify.detail(Response(500, b"oops")) == ""


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"code": "gone", "b": "\x1b"}, '{"code":"gone","b":"\\u001b"}'),
        (["a", 1], '["a",1]'),
        (7, "7"),
        (False, "false"),
        ([], ""),
        ({}, ""),
        ([[]], "[[]]"),
        (["x" * 999], '["' + "x" * 297 + "…"),
    ],
)
def test_a_detail_that_is_not_text_is_shown_as_json(detail, words):
    """An empty one is not shown."""
    assert classify.detail(answer(400, {"detail": detail})) == words


@pytest.mark.parametrize("depth", [1, 90, 400, 800, 900, 950, 980, 990, 999, 5000, 100_000])
@pytest.mark.parametrize("place", ['{"detail":%s}', '{"detail":[{"msg":%s,"input":%s,"loc":[%s]}]}'])
def test_deep_nesting_is_no_error(depth, place):
    """Any depth can be classified and shown."""
    deep = Response(422, place.replace("%s", "[" * depth + "]" * depth).encode())
    assert classify.kind(deep) == "rejected"
    assert len(classify.detail(deep)) <= 300
    assert classify.problem_count(deep) == len(classify.problems(deep))


def test_a_value_too_deep_to_encode_is_left_out(monkeypatch):
    """The parser of some Python versions reads deeper than the encoder writes."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for detail, text in ((deep, ""), ([[1]], "[[1]]")):
        monkeypatch.setattr(Response, "json", lambda _, detail=detail: {"detail": detail})
        assert classify.detail(Response(422)) == text


def test_all_validation_errors_are_counted_and_a_hundred_kept():
    """Entries that are not objects are not counted."""
    many = answer(422, {"detail": [7, *[{"msg": str(number)} for number in range(1000)]]})
    assert classify.problem_count(many) == 1000
    assert [problem.message for problem in classify.problems(many)] == [str(number) for number in range(100)]
    assert classify.problem_count(answer(422, {"detail": json.dumps([{"msg": "one"}])})) == 1
    assert classify.problem_count(answer(422, {"detail": "no"})) == classify.problem_count(Response(422)) == 0


def test_the_title_of_an_html_page_is_read():
    """Gateways name their error there."""
    assert classify.page_title(Response(502, b"<html><TITLE>502 Bad\x1b Gateway</title>")) == "502 Bad\\x1b Gateway"
    assert classify.page_title(Response(502, b"nothing")) == ""


@given(
    st.integers(200, 599),
    st.binary() | JSON.map(lambda v: json.dumps(v).encode()) | JSON.map(lambda v: json.dumps({"detail": v}).encode()),
)
def test_any_body_can_be_read(status, body):
    """Nothing is raised, and lengths are limited."""
    given_answer = Response(status, body)
    assert classify.kind(given_answer)
    assert "\n" not in classify.detail(given_answer)
    assert len(classify.problems(given_answer)) <= 100
    assert len(classify.page_title(given_answer)) <= 100
