"""The questions of `init`: what is asked, again, and what follows; a script answers."""

from __future__ import annotations

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import AuthError, NotDeliveredError, NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.setup import interview
from nemo_jobs_cli.setup.questions import Answers, Form, Given, Offer, Person, Question, Token

SECRET = "tok-123456789"
HOST = "https://nmp.example.com"


class Script:
    """A person who says one answer after the other and remembers what was asked and told."""

    def __init__(self, *answers):
        self.answers, self.asked, self.told, self.hidden = list(answers), [], [], []
        self.person = Person(self.ask, self.hide, self.told.append)

    def ask(self, question):
        self.asked.append(question)
        return self.answers.pop(0)

    def hide(self, question):
        self.hidden.append(question)
        return self.ask(question)


def token_check(text):
    """Take one word."""
    if " " in text:
        raise UsageError("is no token", "one word")
    return text


def form(host=None, workspace="default", source="NEMO_JOBS_HOST", offer=None):
    """Return the questions with these defaults."""
    return Form(
        Question("host", "--host URL", lambda text: urls.base_url(text, "host"), urls.meant, host, source),
        Question(
            "workspace",
            "--workspace NAME",
            lambda text: names.check_workspace(text, "workspace"),
            names.meant,
            workspace,
        ),
        token_check,
        lambda _host: offer or Offer(Token("none"), "none"),
    )


def nothing(_answers):
    """Find no fault."""


def faults(*errors):
    """Return a test that fails with one error after the other, then passes; it remembers what it saw."""
    left, seen = list(errors), []

    def test(answers):
        seen.append(answers)
        if left and (error := left.pop(0)) is not None:
            raise error

    test.seen = seen
    return test


def forbidden(status):
    """Return what a 401 or a 403 is."""
    return AuthError("m", "h", facts={"status": status})


def test_each_answer_is_asked_for_once():
    """Host, workspace, token: the token hidden, the defaults in brackets with where they come from."""
    script = Script(HOST, "research", SECRET)
    settled = interview.run(form("http://old"), Given(), script.person, nothing, nothing)
    assert settled.answers == Answers(
        Sourced(HOST, "your answer"), Sourced("research", "your answer"), Token("text", SECRET)
    )
    assert settled.failed is None
    assert script.asked == [
        "host [http://old] (NEMO_JOBS_HOST): ",
        "workspace [default]: ",
        "token, which does not show (empty: none): ",
    ]
    assert script.hidden == script.asked[2:]


def test_enter_takes_what_stands_in_brackets():
    """And what an empty token means is the offer's."""
    kept = Token("present")
    script = Script("", " ", "")
    settled = interview.run(form(HOST, offer=Offer(kept, "the old")), Given(), script.person, nothing, nothing)
    assert settled.answers == Answers(Sourced(HOST, "your answer"), Sourced("default", "your answer"), kept)


def test_what_the_command_line_says_is_not_asked():
    """Each value says that a flag gave it."""
    given = Given(HOST, "ws", Token("none"))
    settled = interview.run(form(), given, Script().person, nothing, nothing)
    assert settled.answers == Answers(Sourced(HOST, "--host"), Sourced("ws", "--workspace"), Token("none"))


def test_a_wrong_flag_ends_it_also_on_a_terminal():
    """The command line can be corrected; nothing is asked instead."""
    with pytest.raises(UsageError, match="workspace is not"):
        interview.run(form(), Given(HOST, "Bad!"), Script().person, nothing, nothing)


def test_a_bare_name_becomes_the_default_with_its_scheme():
    """What was probably meant needs only Enter."""
    script = Script("nmp.example.com", "", "My Space", "", "")
    settled = interview.run(form("http://old"), Given(), script.person, nothing, nothing)
    assert (settled.answers.host.value, settled.answers.workspace.value) == (HOST, "my-space")
    assert script.asked[1] == f"host [{HOST}]: "
    assert script.asked[3] == "workspace [my-space]: "
    assert [error.message for error in script.told] == [
        "host is not a base URL: 'nmp.example.com'",
        "workspace is not a workspace name: 'My Space'",
    ]


def test_a_wrong_default_is_told_too():
    """A variable may hold nonsense."""
    script = Script("", HOST, "", "")
    settled = interview.run(form("htp:/x"), Given(), script.person, nothing, nothing)
    assert settled.answers.host.value == HOST
    assert len(script.told) == 1


@pytest.mark.parametrize("answers", [["#"] * 5, [HOST, *["#"] * 5], [HOST, "", *["a b"] * 5]])
def test_a_wrong_answer_is_asked_again_but_not_for_ever(answers):
    """Five times, then it is a usage error that names the way without questions."""
    script = Script(*answers)
    with pytest.raises(UsageError) as caught:
        interview.run(form(), Given(), script.person, nothing, nothing)
    assert script.answers == []
    assert len(script.told) == 5
    assert "nothing was written" in caught.value.message
    assert "nemo-jobs init --help" in caught.value.hint


def test_a_script_takes_defaults():
    """Nobody is asked, the values say where they come from."""
    settled = interview.run(form(HOST), Given(), None, nothing, nothing)
    assert settled.answers == Answers(Sourced(HOST, "NEMO_JOBS_HOST"), Sourced("default", ""), Token("none"))


def test_a_script_without_an_answer_names_the_flag():
    """There is no host that could be meant."""
    with pytest.raises(UsageError) as caught:
        interview.run(form(), Given(), None, nothing, nothing)
    assert (caught.value.message, caught.value.hint) == (
        "no host is given, and nobody can be asked",
        "give it: --host URL",
    )


def test_a_script_does_not_drop_a_token_that_can_not_stay():
    """The error that says why is the end."""
    problem = SettingsError("belongs elsewhere", "h")
    with pytest.raises(SettingsError, match="belongs elsewhere"):
        interview.run(form(HOST, offer=Offer(Token("none"), "none", problem)), Given(), None, nothing, nothing)


@pytest.mark.parametrize(
    "error", [SettingsError("m", "h"), forbidden(401), NotFoundError("m", "h"), NotDeliveredError("m", "h")]
)
def test_a_script_fails_with_the_first_error(error):
    """Its class is the exit code."""
    with pytest.raises(type(error)) as caught:
        interview.run(form(HOST), Given(), None, nothing, faults(error))
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (NotDeliveredError("m", "h"), ["host"]),
        (NotFoundError("m", "h"), ["workspace"]),
        (forbidden(401), ["host", "token,"]),
        (forbidden(403), ["workspace", "token,"]),
        (SettingsError("m", "h"), ["host", "token,"]),
    ],
)
def test_correcting_asks_for_what_the_error_may_be_due_to(error, asked):
    """With what was answered before as the default: an empty answer changes nothing."""
    script = Script(HOST, "ws", SECRET, "c", *[""] * len(asked))
    test = faults(error)
    settled = interview.run(form(), Given(), script.person, nothing, test)
    assert [question.split()[0] for question in script.asked[4:]] == asked
    assert settled.answers[0].value == HOST
    assert settled.answers[2] == Token("text", SECRET)
    assert test.seen[0] == test.seen[1]
    assert script.told == [error]


def test_a_close_workspace_is_offered():
    """What the platform has is more likely than what was typed."""
    script = Script(HOST, "reserch", "", "", "")
    error = NotFoundError("m", "h", facts={"close": ["research"]})
    settled = interview.run(form(), Given(), script.person, nothing, faults(error))
    assert settled.answers.workspace.value == "research"
    assert script.asked[-1] == "workspace [research]: "


def test_another_host_asks_for_the_token_again_where_none_was_given():
    """What an empty answer meant for one host it need not mean for another."""
    script = Script(HOST, "", "", "c", "https://other", SECRET)
    error = NotDeliveredError("m", "h")
    settled = interview.run(
        form(offer=Offer(Token("present"), "the old")), Given(), script.person, nothing, faults(error)
    )
    assert settled.answers.token == Token("text", SECRET)
    assert len(script.hidden) == 2


def test_no_token_stays_no_token():
    """--no-token was no empty answer."""
    script = Script("c", "https://other")
    given = Given(HOST, "ws", Token("none", source="--no-token"))
    settled = interview.run(form(), given, script.person, nothing, faults(NotDeliveredError("m", "h")))
    assert settled.answers.token.kind == "none"


def test_keeping_in_spite_of_an_error_remembers_it():
    """The platform may be away only now."""
    error = NotDeliveredError("m", "h")
    settled = interview.run(form(HOST), Given(), Script("", "", "", "keep").person, nothing, faults(error))
    assert settled.failed is error


def test_an_answer_that_is_none_is_told():
    """The same question again without a word would be a riddle."""
    script = Script("", "", "", "bad name", "keep")
    interview.run(form(HOST), Given(), script.person, nothing, faults(NotDeliveredError("m", "h")))
    assert [error.message for error in script.told] == ["m", "'bad name' is none of the answers"]
    assert script.told[1].hint == "type c, g, t, k, or Enter for c"
    script = Script("perhaps", "y")
    assert interview.agrees(script.person, "well?", default=False)
    assert script.told[0].hint == "type y or n"


def test_trying_again_changes_nothing():
    """And asks nothing."""
    test = faults(NotDeliveredError("m", "h"), None)
    settled = interview.run(form(HOST), Given(), Script("", "", "", "t").person, nothing, test)
    assert test.seen == [settled.answers] * 2


@pytest.mark.parametrize("error", [SettingsError("m", "h"), forbidden(403), NotDeliveredError("m", "h")])
def test_giving_up_has_the_exit_code_of_the_error(error):
    """The error itself was told already."""
    with pytest.raises(type(error), match="given up: nothing was written") as caught:
        interview.run(form(HOST), Given(), Script("", "", "", "g").person, nothing, faults(error))
    assert caught.value.facts == error.facts


def test_answers_that_make_no_sense_can_not_be_kept():
    """A token that must not go to the host would not be sent later either."""
    script = Script("", "", SECRET, "k", "t", "c", "", "")
    settled = interview.run(form(HOST), Given(), script.person, faults(SettingsError("m", "h")), nothing)
    assert script.asked[3:6] == ["correct it or give up? [C/g]: "] * 3
    assert settled.failed is None


def test_an_unclear_choice_is_asked_again_but_not_for_ever():
    """Five times."""
    script = Script("", "", "", *["x"] * 5)
    with pytest.raises(UsageError, match="5 answers were not one of these"):
        interview.run(form(HOST), Given(), script.person, nothing, faults(NotDeliveredError("m", "h")))


@pytest.mark.parametrize(
    ("answers", "default", "meant"),
    [
        (["y"], False, True),
        (["NO"], True, False),
        ([""], True, True),
        ([""], False, False),
        (["what", "yes"], False, True),
    ],
)
def test_yes_and_no_are_understood(answers, default, meant):
    """The capital letter is what Enter means."""
    script = Script(*answers)
    assert interview.agrees(script.person, "use it?", default=default) is meant
    assert script.asked[0] == f"use it? [{'Y/n' if default else 'y/N'}]: "


def test_neither_yes_nor_no_ends():
    """After five times."""
    with pytest.raises(UsageError, match="5 answers were not yes or no"):
        interview.agrees(Script(*["maybe"] * 5).person, "use it?", default=True)


def test_a_default_does_no_harm_on_the_screen():
    """It may come from a file."""
    script = Script(HOST, "", "")
    interview.run(form("a\x1b[31m", source="context \x1b]0;x\x07"), Given(), script.person, nothing, nothing)
    assert script.asked[0].isprintable()


@examples(st.text(min_size=1))
def test_no_representation_shows_a_token(text):
    """Whatever it is: what ends in a log is the kind."""
    secret = f"<{text}>"
    shown = repr(Answers(Sourced(HOST, "x"), Sourced("ws", "x"), Token("text", secret)))
    assert secret not in shown
