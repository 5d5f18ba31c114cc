"""What an answer means: by status, by body, in the server's own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli import verdicts
from nemo_jobs_cli.answers import Answer


def answer(status, body, **headers):
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(body).encode(), headers)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(200, None), "ok"),
        (answer(200, {}), "ok"),
        (answer(201, {"id": 1}), "ok"),
        (answer(200, []), "foreign"),
        (Answer(200, b"<html>"), "foreign"),
        (Answer(200, b"[" * 100_000), "foreign"),
        (Answer(204), "foreign"),
        (Answer(302), "redirect"),
        (answer(400, {"detail": "There was an error parsing the body"}), "rejected"),
        (answer(401, {"detail": "Unauthorized"}), "unauthorised"),
        (answer(403, {"detail": "Forbidden"}), "forbidden"),
        (answer(404, {"detail": "Entity 'x' not found in workspace 'ws'"}), "missing"),
        (answer(404, {"detail": "Not Found"}), "no-route"),
        (Answer(404, b"<html>nginx</html>"), "no-route"),
        (answer(409, {}), "conflict"),
        (answer(413, {}), "rejected"),
        (answer(422, {}), "rejected"),
        (answer(429, {}), "transient"),
        (answer(408, {}), "transient"),
        (Answer(502, b"<html>"), "transient"),
    ],
)
def test_each_answer_has_its_kind(given, kind):
    """The kinds are platform.md's table of answers."""
    assert verdicts.kind(given) == kind


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
    (problem,) = verdicts.problems(answer(422, body))
    assert problem.loc == ("body", 5)
    assert problem.says == "JSON decode error: Expecting value"
    assert len(problem.value) == 60


def test_a_list_inside_a_string_is_read_too():
    """Some routes answer with JSON in a string (measured)."""
    inner = json.dumps({"detail": [{"loc": ["query", "page_size"], "msg": "too big"}]})
    assert verdicts.problems(answer(422, {"detail": inner}))[0].loc == ("query", "page_size")
    assert verdicts.problems(answer(422, {"detail": json.dumps([{"loc": ["a"], "msg": "m"}])}))[0].loc == ("a",)


def test_the_servers_words_are_one_harmless_line():
    """An escape sequence in an answer is data."""
    assert verdicts.detail(answer(404, {"detail": "a\x1b[31mb\nc"})) == "a\\x1b[31mb\\nc"
    assert verdicts.detail(answer(422, {"detail": [{"msg": "one"}, {"type": "two"}, {}]})) == "one; two; not accepted"
    assert verdicts.detail(Answer(500, b"oops")) == ""


def test_a_gateways_page_is_known_by_its_title():
    """The title is the one useful word in an HTML error."""
    assert verdicts.page_title(Answer(502, b"<html><TITLE>502 Bad\x1b Gateway</title>")) == "502 Bad\\x1b Gateway"
    assert verdicts.page_title(Answer(502, b"nothing")) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.integers(200, 599),
    st.binary() | JSON.map(lambda v: json.dumps(v).encode()) | JSON.map(lambda v: json.dumps({"detail": v}).encode()),
)
def test_no_body_whatever_breaks_the_reading(status, body):
    """A server may say anything at all."""
    given_answer = Answer(status, body)
    assert verdicts.kind(given_answer)
    assert "\n" not in verdicts.detail(given_answer)
    assert len(verdicts.problems(given_answer)) <= 100
    assert len(verdicts.page_title(given_answer)) <= 100
