"""The questions of `init`: which are asked, which are asked again, and with which defaults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.setup import interview
from nemo_jobs_cli.setup.interview import Answers, Form, Prompter, Question, Token, TokenDefault

SECRET = "tok-123456789"
HOST = "https://nmp.example.com"


class Script:
    """A prompter that gives prepared answers and records the questions and errors."""

    def __init__(self, *answers):
        self.answers, self.questions, self.errors, self.hidden = list(answers), [], [], []
        self.prompter = Prompter(self.ask, self.ask_hidden, self.errors.append)

    def ask(self, question):
        self.questions.append(question)
        return self.answers.pop(0)

    def ask_hidden(self, question):
        self.hidden.append(question)
        return self.ask(question)


def parse_token(text):
    """Accept one word."""
    if " " in text:
        raise UsageError("invalid token", "one word")
    return text


def run(script, default_host=None, *errors, **changes):
    """Run an interview whose tests fail with `errors`; return the result and the tested answers."""
    flags = [changes.pop(name, None) for name in ("host", "workspace", "token")]
    source = changes.pop("source", "NEMO_JOBS_HOST")
    token_default = changes.pop("token_default", TokenDefault(Token("none"), "none"))
    form = Form(
        Question(
            "host", "--host URL", lambda text: urls.base_url(text, "host"), urls.guess_url, flags[0], default_host, source
        ),
        Question(
            "workspace", "--workspace NAME", lambda text: names.check_workspace(text, "workspace"), names.guess_name,
            flags[1], "default",
        ),
        parse_token,
        lambda _host: token_default,
        flags[2],
    )  # fmt: skip
    left, tested = list(errors), []

    def fail(answers):
        tested.append(answers)
        if left:
            raise left.pop(0)

    checks = (fail, lambda _: None) if changes.pop("invalid", False) else (lambda _: None, fail)
    return interview.run(form, script and script.prompter, *checks), tested


def auth_error(status):
    """Return the error of a 401 or a 403."""
    return AuthError("m", "h", facts={"status": status} | ({"permission": "jobs.list"} if status == 403 else {}))


def test_each_setting_is_asked_once():
    """The token is hidden; each default is shown with its source."""
    script = Script(HOST, "research", SECRET)
    result, _ = run(script, "http://old")
    assert result == (
        Answers(Sourced(HOST, "your answer"), Sourced("research", "your answer"), Token("text", SECRET)),
        None,
    )
    assert script.questions == [
        "host [http://old] (NEMO_JOBS_HOST): ",
        "workspace [default]: ",
        "token (input hidden) [none]: ",
    ]
    assert script.hidden == script.questions[2:]


def test_an_empty_answer_takes_the_default_and_an_option_is_not_asked():
    """The source of an option is its flag."""
    current, none = Token("current"), Token("none")
    (answers, _), _ = run(Script("", " ", ""), HOST, token_default=TokenDefault(current, "the old"))
    assert answers == Answers(Sourced(HOST, "your answer"), Sourced("default", "your answer"), current)
    (answers, _), _ = run(Script(), host=HOST, workspace="ws", token=none)
    assert answers == Answers(Sourced(HOST, "--host"), Sourced("ws", "--workspace"), none)


def test_an_invalid_option_is_an_error_on_a_terminal_too():
    """Nothing is asked in its place."""
    with pytest.raises(UsageError, match="workspace"):
        run(Script(), host=HOST, workspace="Bad!")


def test_a_suggestion_becomes_the_default_of_the_next_try():
    """A bare host name with its scheme; a workspace in lower case."""
    script = Script("nmp.example.com", "", "My Space", "", "")
    (answers, _), _ = run(script, "http://old")
    assert (answers.host.value, answers.workspace.value) == (HOST, "my-space")
    assert script.questions[1] == f"host [{HOST}]: "
    assert script.questions[3] == "workspace [my-space]: "
    assert ["nmp.example.com" in script.errors[0].message, "My Space" in script.errors[1].message] == [True, True]


@pytest.mark.parametrize(
    "answers", [["#"] * 5, [HOST, *["#"] * 5], [HOST, "", *["a b"] * 5], [HOST, "", "", *["x"] * 5]]
)
def test_a_question_is_asked_at_most_five_times(answers):
    """Then a usage error names the options."""
    script = Script(*answers)
    with pytest.raises(UsageError) as caught:
        run(script, None, NotDeliveredError("m", "h"))
    assert script.answers == []
    assert caught.value.message == "no valid answer after 5 tries: nothing was written"
    assert "nemo-jobs init --help" in caught.value.hint


def test_without_a_terminal_defaults_are_used():
    """With their sources; the host needs a flag, and a token is not removed."""
    assert run(None, HOST)[0][0] == Answers(Sourced(HOST, "NEMO_JOBS_HOST"), Sourced("default", ""), Token("none"))
    with pytest.raises(UsageError, match="host is required when not running interactively") as caught:
        run(None)
    assert caught.value.hint == "pass --host URL"
    default = TokenDefault(Token("none"), "none", SettingsError("belongs elsewhere", "h"))
    with pytest.raises(SettingsError, match="belongs elsewhere"):
        run(None, HOST, token_default=default)


@pytest.mark.parametrize(
    "error", [SettingsError("m", "h"), auth_error(401), NotFoundError("m", "h"), NotDeliveredError("m", "h")]
)
def test_without_a_terminal_the_first_error_is_raised(error):
    """Its class determines the exit code."""
    with pytest.raises(type(error)) as caught:
        run(None, HOST, error)
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (NotDeliveredError("m", "h"), ["host"]),
        (NotFoundError("m", "h"), ["workspace"]),
        (auth_error(401), ["host", "token"]),
        (auth_error(403), ["workspace", "token"]),
        (SettingsError("m", "h"), ["host", "token"]),
    ],
)
def test_correcting_asks_for_what_may_have_caused_the_error(error, asked):
    """The previous answers are the defaults."""
    script = Script(HOST, "ws", SECRET, "c", *[""] * len(asked))
    (answers, _), tested = run(script, None, error)
    assert [question.split()[0] for question in script.questions[4:]] == asked
    assert answers.token == Token("text", SECRET)
    assert tested == [answers, answers]
    assert script.errors == [error]


def test_a_similar_workspace_is_the_default_of_a_correction():
    """One that the platform has."""
    script = Script(HOST, "reserch", "", "", "")
    (answers, _), _ = run(script, None, NotFoundError("m", "h", facts={"close": ["research"]}))
    assert answers.workspace.value == "research"
    assert script.questions[-1] == "workspace [research]: "


def test_another_host_asks_for_the_token_again():
    """An empty answer may mean something else for it."""
    script = Script(HOST, "", "", "c", "https://other", SECRET)
    default = TokenDefault(Token("current"), "the old")
    (answers, _), _ = run(script, None, NotDeliveredError("m", "h"), token_default=default)
    assert answers.token == Token("text", SECRET)
    assert len(script.hidden) == 2


def test_another_host_does_not_ask_after_no_token():
    """--no-token is not an empty answer."""
    token = Token("none", source="--no-token")
    (answers, _), _ = run(
        Script("c", "https://other"), None, NotDeliveredError("m", "h"), host=HOST, workspace="ws", token=token
    )
    assert answers.token == token


@pytest.mark.parametrize(
    ("choice", "tests", "is_kept"), [(["keep"], 1, True), (["bad name", "k"], 1, True), (["t"], 2, False)]
)
def test_answers_can_be_kept_or_tested_again(choice, tests, is_kept):
    """The platform may be down for now; an invalid choice names the valid ones."""
    error, script = NotDeliveredError("m", "h"), Script("", "", "", *choice)
    (answers, failure), tested = run(script, HOST, error)
    assert (tested, failure) == ([answers] * tests, error if is_kept else None)
    assert [wrong.hint for wrong in script.errors[1:]] == ["type c, g, t, k, or Enter for c"] * (len(choice) - 1)


@pytest.mark.parametrize("error", [SettingsError("m", "h"), auth_error(403), NotDeliveredError("m", "h")])
def test_giving_up_has_the_exit_code_of_the_error(error):
    """Nothing is written."""
    with pytest.raises(type(error), match="aborted: nothing was written") as caught:
        run(Script("", "", "", "g"), HOST, error)
    assert caught.value.facts == error.facts


def test_answers_that_fail_the_check_cannot_be_kept():
    """Such as a token that must not go to the host."""
    script = Script("", "", SECRET, "k", "t", "c", "", "")
    (_, failure), _ = run(script, HOST, SettingsError("m", "h"), invalid=True)
    assert script.questions[3:6] == ["correct it or give up? [C/g]: "] * 3
    assert failure is None


@pytest.mark.parametrize(
    ("answers", "default", "expected"),
    [
        (["y"], False, True),
        (["NO"], True, False),
        ([""], True, True),
        ([""], False, False),
        (["what", "yes"], False, True),
    ],
)
def test_confirm(answers, default, expected):
    """The capital letter is the default; an invalid answer names the valid ones."""
    script = Script(*answers)
    assert interview.confirm(script.prompter, "use it?", default=default) is expected
    assert script.questions[0] == f"use it? [{'Y/n' if default else 'y/N'}]: "
    assert [error.hint for error in script.errors] == ["type y or n"] * (len(answers) - 1)


def test_an_invalid_default_is_an_error_and_printable():
    """It may come from a file or a variable."""
    script = Script("", HOST, "", "")
    (answers, _), _ = run(script, "a\x1b[31m", source="context \x1b]0;x\x07")
    assert (answers.host.value, len(script.errors)) == (HOST, 1)
    assert script.questions[0].isprintable()


@given(st.text(min_size=1))
def test_no_repr_shows_a_token(text):
    """Answers may end up in a log."""
    secret = f"<{text}>"
    assert secret not in repr(Answers(Sourced(HOST, "x"), Sourced("ws", "x"), Token("text", secret)))
