"""Ask for the settings of a profile, and test the answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# The source of an answer that was typed.
TYPED = "your answer"

# So that `yes | nemo-jobs init` ends.
MAX_TRIES = 5

TokenKind = Literal["text", "file", "command", "current", "none"]
_Choice = Literal["correct", "retry", "keep", "abort"]


@dataclass(frozen=True, slots=True)
class Token:
    """A profile's token: text, file, command, the current one, or none."""

    kind: TokenKind
    secret: str = field(default="", repr=False)
    source: str = TYPED


@dataclass(frozen=True, slots=True)
class TokenDefault:
    """The token that an empty answer means, and its description.

    `error` says why the current token cannot stay; without a prompter it is raised.
    """

    token: Token
    description: str
    error: NemoJobsError | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The question for one setting; `answer` is the value of `flag`.

    `parse` returns the normalized answer or raises; `suggest` guesses what an invalid one meant.
    """

    name: str
    flag: str
    parse: Callable[[str], str]
    suggest: Callable[[str], str | None]
    answer: str | None = None
    default: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """All questions; the default of the token depends on the host."""

    host: Question
    workspace: Question
    parse_token: Callable[[str], str]
    token_default: Callable[[str], TokenDefault]
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """The values for a profile."""

    host: Sourced[str]
    workspace: Sourced[str]
    token: Token


@dataclass(frozen=True, slots=True)
class Prompter:
    """Callbacks of a terminal; `ask_hidden` does not echo the answer."""

    ask: Callable[[str], str]
    ask_hidden: Callable[[str], str]
    on_error: Callable[[NemoJobsError], None]


def run(
    form: Form, prompter: Prompter | None, check: Callable[[Answers], None], test: Callable[[Answers], None]
) -> tuple[Answers, NemoJobsError | None]:
    """Return tested answers, with the test's error if they are kept anyway.

    Without a prompter the first error is raised. Answers that fail `check` cannot be kept.
    """
    host = _answer(form.host, prompter)
    workspace = _answer(form.workspace, prompter)
    answers = Answers(host, workspace, form.token or _ask_token(form, host.value, None, prompter))
    while True:
        valid = False
        try:
            check(answers)
            valid = True
            test(answers)
        except NemoJobsError as error:
            if prompter is None:
                raise
            prompter.on_error(error)
            choice = _choose(prompter, valid=valid)
            if choice == "abort":
                message, hint = "aborted: nothing was written", "start again: nemo-jobs init"
                raise type(error)(message, hint, facts=error.facts) from None
            if choice == "keep":
                return answers, error
            if choice == "correct":
                answers = _correct(form, answers, error, prompter, valid=valid)
        else:
            return answers, None


def confirm(prompter: Prompter, question: str, *, default: bool) -> bool:
    """Return the answer to a yes-or-no question."""

    def parse(text: str) -> bool:
        if text.lower() not in {"", "y", "yes", "n", "no"}:
            raise _invalid(text, "y or n")
        return text.lower().startswith("y") if text else default

    return _repeat(lambda: prompter.ask(f"{question} [{'Y/n' if default else 'y/N'}]: "), parse, prompter)


def _repeat(ask: Callable[[], str], parse: Callable[[str], T], prompter: Prompter) -> T:
    """Ask until an answer is valid; raise UsageError after `MAX_TRIES`."""
    for _ in range(MAX_TRIES):
        text = ask().strip()
        try:
            return parse(text)
        except NemoJobsError as error:
            prompter.on_error(error)
    raise UsageError(
        f"no valid answer after {MAX_TRIES} tries: nothing was written",
        "pass the answers as options: nemo-jobs init --help",
    )


def _answer(question: Question, prompter: Prompter | None) -> Sourced[str]:
    if question.answer is not None:
        return Sourced(question.parse(question.answer), question.flag.partition(" ")[0])
    if prompter is not None:
        return _ask(question, prompter)
    if question.default is None:
        raise UsageError(f"{question.name} is required when not running interactively", f"pass {question.flag}")
    return Sourced(question.parse(question.default), question.source)


def _ask(question: Question, prompter: Prompter) -> Sourced[str]:
    default, source = question.default, question.source

    def ask() -> str:
        shown_source = f" ({one_line(source, 100)})" if source else ""
        shown_default = f" [{one_line(default, 200)}]{shown_source}" if default else ""
        return prompter.ask(f"{question.name}{shown_default}: ")

    def parse(text: str) -> Sourced[str]:
        nonlocal default, source
        text = text or default or ""
        try:
            return Sourced(question.parse(text), TYPED)
        except NemoJobsError:
            default, source = question.suggest(text), ""
            raise

    return _repeat(ask, parse, prompter)


def _ask_token(form: Form, host: str, previous: Token | None, prompter: Prompter | None) -> Token:
    """Ask for the token; an empty answer keeps one entered before."""
    empty = form.token_default(host) if previous is None else TokenDefault(previous, "the one you entered")
    if prompter is None:
        if empty.error is not None:
            raise empty.error
        return empty.token
    return _repeat(
        lambda: prompter.ask_hidden(f"token (input hidden) [{empty.description}]: "),
        lambda text: Token("text", form.parse_token(text)) if text else empty.token,
        prompter,
    )


def _choose(prompter: Prompter, *, valid: bool) -> _Choice:
    """Ask how to handle an error."""
    choices: dict[str, _Choice] = {"": "correct", "c": "correct", "g": "abort"}
    question = "correct it or give up? [C/g]: "
    if valid:
        choices |= {"t": "retry", "k": "keep"}
        question = "correct it, try again, keep it anyway or give up? [C/t/k/g]: "

    def parse(text: str) -> _Choice:
        if text[:1].lower() not in choices:
            raise _invalid(text, f"{', '.join(filter(None, choices))}, or Enter for c")
        return choices[text[:1].lower()]

    return _repeat(lambda: prompter.ask(question), parse, prompter)


def _correct(form: Form, answers: Answers, error: NemoJobsError, prompter: Prompter, *, valid: bool) -> Answers:
    """Ask again for the answers that may have caused the error."""
    host, workspace, token = answers.host, answers.workspace, answers.token
    ask_host, ask_workspace, ask_token = _suspects(error, valid=valid)
    if ask_host:
        host = _ask(replace(form.host, default=host.value, source=""), prompter)
    if ask_workspace:
        close = [name for name in error.facts.get("close", ()) if isinstance(name, str)]
        workspace = _ask(replace(form.workspace, default=[*close, workspace.value][0], source=""), prompter)
    is_new = token.kind in {"text", "file", "command"}
    # An empty answer may mean something else for another host.
    if ask_token or (not is_new and token.source == TYPED and host.value != answers.host.value):
        token = _ask_token(form, host.value, token if is_new else None, prompter)
    return Answers(host, workspace, token)


def _suspects(error: NemoJobsError, *, valid: bool) -> tuple[bool, bool, bool]:
    """Return whether to ask again for host, workspace and token."""
    if isinstance(error, NotFoundError):
        return False, True, False
    if isinstance(error, AuthError):
        forbidden = "permission" in error.facts  # a misspelled workspace is forbidden, too
        return not forbidden, forbidden, True  # another platform also refuses a good token
    return True, False, not valid or isinstance(error, SettingsError)


def _invalid(text: str, valid: str) -> UsageError:
    return UsageError(f"invalid answer {one_line(text, 40)!r}", f"type {valid}")
