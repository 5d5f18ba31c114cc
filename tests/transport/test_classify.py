"""What an answer means: by status, by body, in the server's own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.transport import classify
from nemo_jobs_cli.transport.messages import Response


def answer(status, body, **headers):
    """Return an answer with a JSON body."""
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
        (Response(304), "redirect"),
        (Response(302), "redirect"),
        (answer(400, {"detail": "There was an error parsing the body"}), "rejected"),
        (answer(401, {"detail": "Unauthorized"}), "unauthorised"),
        (answer(403, {"detail": "Forbidden"}), "forbidden"),
        (answer(404, {"detail": "Entity 'x' not found in workspace 'ws'"}), "missing"),
        (answer(404, {"detail": "Not Found"}), "no-route"),
        (Response(404, b"<html>nginx</html>"), "no-route"),
        (answer(404, {"detail": None}), "no-route"),
        (answer(404, {"detail": ["Not Found"]}), "missing"),
        (answer(404, {"detail": {"code": 7}}), "missing"),
        (answer(409, {}), "conflict"),
        (answer(413, {}), "rejected"),
        (answer(422, {}), "rejected"),
        (answer(429, {}), "transient"),
        (answer(408, {}), "transient"),
        (Response(502, b"<html>"), "transient"),
    ],
)
def test_each_answer_has_its_kind(given, kind):
    """The kinds are platform.md's table of answers."""
    assert classify.kind(given) == kind


def test_the_list_of_a_422_is_read():
    """The location, the sentence with the parser's own words, and a short piece of the input."""
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
    assert problem.says == "JSON decode error: Expecting value"
    assert len(problem.value) == 60


def test_a_list_inside_a_string_is_read_too():
    """Some routes answer with JSON in a string (measured)."""
    inner = json.dumps({"detail": [{"loc": ["query", "page_size"], "msg": "too big"}]})
    assert classify.problems(answer(422, {"detail": inner}))[0].loc == ("query", "page_size")
    assert classify.problems(answer(422, {"detail": json.dumps([{"loc": ["a"], "msg": "m"}])}))[0].loc == ("a",)


def test_the_servers_words_are_one_harmless_line():
    """An escape sequence in an answer is data."""
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
def test_a_detail_that_is_no_text_is_quoted(detail, words):
    """Another kind of reason is a reason, too; an empty one is none."""
    assert classify.detail(answer(400, {"detail": detail})) == words


@pytest.mark.parametrize("depth", [1, 90, 400, 800, 900, 950, 980, 990, 999, 5000, 100_000])
@pytest.mark.parametrize("place", ['{"detail":%s}', '{"detail":[{"msg":%s,"input":%s,"loc":[%s]}]}'])
def test_deep_nesting_breaks_no_reading(depth, place):
    """Whatever the parser lets pass can be shown."""
    deep = Response(422, place.replace("%s", "[" * depth + "]" * depth).encode())
    assert classify.kind(deep) == "rejected"
    assert len(classify.detail(deep)) <= 300
    assert classify.problem_count(deep) == len(classify.problems(deep))


def test_what_is_too_deep_to_write_has_no_words():
    """Another Python's parser may read deeper than its encoder writes."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert classify._json(deep) == ""
    assert classify._json([[1]]) == "[[1]]"


def test_all_complaints_are_counted_and_a_hundred_kept():
    """A page of text is enough; what is no complaint isn't counted."""
    many = answer(422, {"detail": [7, *[{"msg": str(number)} for number in range(1000)]]})
    assert classify.problem_count(many) == 1000
    assert [problem.says for problem in classify.problems(many)] == [str(number) for number in range(100)]
    assert classify.problem_count(answer(422, {"detail": json.dumps([{"msg": "one"}])})) == 1
    assert classify.problem_count(answer(422, {"detail": "no"})) == classify.problem_count(Response(422)) == 0


def test_a_gateways_page_is_known_by_its_title():
    """The title is the one useful word in an HTML error."""
    assert classify.page_title(Response(502, b"<html><TITLE>502 Bad\x1b Gateway</title>")) == "502 Bad\\x1b Gateway"
    assert classify.page_title(Response(502, b"nothing")) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_a_404_with_a_reason_of_any_kind_is_told_apart(detail):
    """Only FastAPI's own two words, and no words at all, mean the route."""
    expected = "no-route" if detail is None or detail == "Not Found" else "missing"
    assert classify.kind(answer(404, {"detail": detail})) == expected


@given(
    st.integers(200, 599),
    st.binary() | JSON.map(lambda v: json.dumps(v).encode()) | JSON.map(lambda v: json.dumps({"detail": v}).encode()),
)
def test_no_body_whatever_breaks_the_reading(status, body):
    """A server may say anything at all."""
    given_answer = Response(status, body)
    assert classify.kind(given_answer)
    assert "\n" not in classify.detail(given_answer)
    assert len(classify.problems(given_answer)) <= 100
    assert len(classify.page_title(given_answer)) <= 100
