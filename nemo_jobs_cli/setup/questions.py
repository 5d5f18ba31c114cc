"""Hold what `init` asks for and what is answered: frozen, and a token shows in none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.settings.model import Sourced

TYPED = "your answer"

Kind = Literal["text", "file", "command", "present", "none"]


class Token(NamedTuple):
    """What a profile is to hold: a token itself (`text`), its `file` or `command`, what it has at present, or none."""

    kind: Kind
    secret: str = ""
    source: str = TYPED

    def __repr__(self) -> str:
        """Return what may be shown."""
        return f"Token({self.kind!r}, source={self.source!r})"


class Person(NamedTuple):
    """Whoever answers: `ask` puts a question, `hide` one whose answer does not show, `tell` an error."""

    ask: Callable[[str], str]
    hide: Callable[[str], str]
    tell: Callable[[NemoJobsError], None]


class Question(NamedTuple):
    """One question: `check` returns the answer as it is meant or raises; `meant` guesses what a wrong one was to be.

    `default` comes with its origin; `flag` is what answers the question on the command line.
    """

    name: str
    flag: str
    check: Callable[[str], str]
    meant: Callable[[str], str | None]
    default: str | None = None
    source: str = ""


class Offer(NamedTuple):
    """What an empty answer to the question for the token means, and what that is in words.

    `problem` is why the token that is there can't stay: where nobody can be asked, it is the end.
    """

    token: Token
    says: str
    problem: NemoJobsError | None = None


class Form(NamedTuple):
    """All that is asked: the token's question depends on the host."""

    host: Question
    workspace: Question
    token: Callable[[str], str]  # checks and cleans
    offer: Callable[[str], Offer]


class Given(NamedTuple):
    """What the command line has answered already; None is open."""

    host: str | None = None
    workspace: str | None = None
    token: Token | None = None


class Answers(NamedTuple):
    """What a profile is to say; each with who said it."""

    host: Sourced[str]
    workspace: Sourced[str]
    token: Token


class Settled(NamedTuple):
    """Answers that have passed the test, or are kept in spite of what `failed`."""

    answers: Answers
    failed: NemoJobsError | None = None
