"""Ask for what a profile needs and have it tested: the questions, their order, what an error makes one ask again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings.model import Sourced
from nemo_jobs_cli.setup.questions import TYPED, Answers, Offer, Settled, Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.setup.questions import Form, Given, Person, Question

# How often a question is asked, so that `yes | nemo-jobs init` on a terminal of a machine ends.
MOST_TIMES = 5

Choice = Literal["correct", "again", "keep", "give up"]


def run(
    form: Form,
    given: Given,
    person: Person | None,
    check: Callable[[Answers], None],
    test: Callable[[Answers], None],
) -> Settled:
    """Return what was answered and tested; raise what ends it: without a person the first error does.

    `check` raises where the answers make no sense together, which nobody can keep; `test` where they fail.
    """
    host = _settle(form.host, given.host, person)
    workspace = _settle(form.workspace, given.workspace, person)
    answers = Answers(host, workspace, given.token or _token(form, host.value, None, person))
    while True:
        senseless = True
        try:
            check(answers)
            senseless = False
            test(answers)
        except NemoJobsError as error:
            if person is None:
                raise
            person.tell(error)
            choice = _choose(person, keepable=not senseless)
            if choice == "give up":
                raise type(error)(
                    "given up: nothing was written", "start anew: nemo-jobs init", facts=error.facts
                ) from None
            if choice == "keep":
                return Settled(answers, error)
            if choice == "correct":
                answers = _correct(form, answers, error, person, senseless=senseless)
        else:
            return Settled(answers)


def agrees(person: Person, question: str, *, default: bool) -> bool:
    """Return the answer to a question of yes or no."""
    for _ in range(MOST_TIMES):
        said = person.ask(f"{question} [{'Y/n' if default else 'y/N'}]: ").strip().lower()
        if said in {"", "y", "yes", "n", "no"}:
            return default if not said else said.startswith("y")
        person.tell(_no_answer(said, "y or n"))
    raise _too_often("yes or no")


def _settle(question: Question, given: str | None, person: Person | None) -> Sourced[str]:
    if given is not None:
        return Sourced(question.check(given), question.flag.partition(" ")[0])
    if person is not None:
        return _ask(question, person)
    if question.default is None:
        raise UsageError(f"no {question.name} is given, and nobody can be asked", f"give it: {question.flag}")
    return Sourced(question.check(question.default), question.source)


def _ask(question: Question, person: Person) -> Sourced[str]:
    for _ in range(MOST_TIMES):
        text = person.ask(_prompt(question)).strip() or question.default or ""
        try:
            return Sourced(question.check(text), TYPED)
        except NemoJobsError as error:
            person.tell(error)
            question = question._replace(default=question.meant(text), source="")
    raise _too_often(f"a {question.name}")


def _prompt(question: Question) -> str:
    source = f" ({one_line(question.source, 100)})" if question.source else ""
    default = f" [{one_line(question.default, 200)}]{source}" if question.default else ""
    return f"{question.name}{default}: "


def _token(form: Form, host: str, before: Token | None, person: Person | None) -> Token:
    """Ask for the token; one that was given `before` stays where the answer is empty."""
    offer = Offer(before, "the one you gave") if before is not None else form.offer(host)
    if person is None:
        if offer.problem is not None:
            raise offer.problem
        return offer.token
    for _ in range(MOST_TIMES):
        text = person.hide(f"token, which does not show (empty: {offer.says}): ").strip()
        try:
            return Token("text", form.token(text)) if text else offer.token
        except NemoJobsError as error:
            person.tell(error)
    raise _too_often("a token")


def _choose(person: Person, *, keepable: bool) -> Choice:
    """Ask what to do about an error: nothing has been written yet."""
    choices: dict[str, Choice] = {"": "correct", "c": "correct", "g": "give up"}
    words = "correct it or give up? [C/g]: "
    if keepable:
        choices |= {"t": "again", "k": "keep"}
        words = "correct it, try again, keep it anyway or give up? [C/t/k/g]: "
    for _ in range(MOST_TIMES):
        said = person.ask(words).strip().lower()
        if said[:1] in choices:
            return choices[said[:1]]
        person.tell(_no_answer(said, f"{', '.join(filter(None, choices))}, or Enter for c"))
    raise _too_often("one of these")


def _correct(form: Form, answers: Answers, error: NemoJobsError, person: Person, *, senseless: bool) -> Answers:
    """Ask again what the error may be due to; what was answered before is the default."""
    host, workspace, token = answers
    ask_host, ask_workspace, ask_token = _suspects(error, senseless=senseless)
    if ask_host:
        host = _ask(form.host._replace(default=host.value, source=""), person)
    if ask_workspace:
        close = [name for name in error.facts.get("close", ()) if isinstance(name, str)]
        workspace = _ask(form.workspace._replace(default=[*close, workspace.value][0], source=""), person)
    new = token.kind in {"text", "file", "command"}
    # What an empty answer meant, it may not mean for another host.
    if ask_token or (not new and token.source == TYPED and host.value != answers.host.value):
        token = _token(form, host.value, token if new else None, person)
    return Answers(host, workspace, token)


def _suspects(error: NemoJobsError, *, senseless: bool) -> tuple[bool, bool, bool]:
    """Return whether host, workspace and token are to be asked for again."""
    if isinstance(error, NotFoundError):
        return False, True, False
    if isinstance(error, AuthError):
        forbidden = error.facts.get("status") == 403  # noqa: PLR2004 - which a misspelt workspace is, too
        return not forbidden, forbidden, True  # another platform refuses a good token, too
    return True, False, senseless or isinstance(error, SettingsError)


def _no_answer(said: str, known: str) -> UsageError:
    return UsageError(f"{one_line(said, 40)!r} is none of the answers", f"type {known}")


def _too_often(what: str) -> UsageError:
    return UsageError(
        f"{MOST_TIMES} answers were not {what}: nothing was written",
        "give the answers as options: nemo-jobs init --help",
    )
