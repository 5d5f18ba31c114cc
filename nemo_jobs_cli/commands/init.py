"""`nemo-jobs init`: ask for host, workspace and token, try them, and write a profile."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.cli import options
from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import NemoJobsError, SettingsError, UsageError
from nemo_jobs_cli.output import prompt, render, settings_view
from nemo_jobs_cli.output import screen as screens
from nemo_jobs_cli.settings import edit, profiles, resolve, token_store, urls
from nemo_jobs_cli.settings.model import Flags, Settings, Sourced
from nemo_jobs_cli.settings.sources import PROFILE_TOKENS
from nemo_jobs_cli.setup import candidate, interview, token_options
from nemo_jobs_cli.setup.questions import TYPED, Answers, Form, Given, Offer, Person, Question, Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nemo_jobs_cli.settings.model import Screen
    from nemo_jobs_cli.setup.candidate import Place
    from nemo_jobs_cli.setup.questions import Settled


@options.with_flags
def command(
    *,
    token_command: Annotated[
        str | None, typer.Option("--token-command", metavar="CMD", help="Get the token from CMD, each time anew.")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Give the profile no token, as --anonymous.")] = False,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Let the token go over plain http: the network is trusted.")
    ] = False,
    use: Annotated[
        bool | None,
        typer.Option(
            "--use/--no-use", help="Make it the default profile, or leave that to another.", show_default=False
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            "-y",
            "--no-input",
            help="Ask nothing: what is not said stays as it is; a new profile needs --host.",
        ),
    ] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Write without trying the answers.")] = False,
    flags: Flags = Flags(),  # noqa: B008 - frozen, and replaced by the decorator
) -> None:
    r"""Ask for host, workspace and token, try them on the platform, and write a profile.

    Every answer is an option, too; without a terminal nothing is asked. Nothing is written
    before the platform has answered. A token that is typed, or read from stdin, goes into a
    file of its own beside the configuration, which only you can read; a FILE is referred to.

    \b
    Examples:
      nemo-jobs init
      nemo-jobs init --profile lab --host https://nmp.example.com -w research
      nemo-jobs init --host "$URL" --token-command 'nemo auth token'
      nemo-jobs init -y --host "$URL" --token-file - < token.txt
    """
    screen, environ = screens.screen(flags), resolve.environment()
    where = candidate.place(flags, environ)
    asked = not yes and prompt.is_possible()
    person = Person(prompt.line, prompt.hidden, partial(_tell, flags=flags)) if asked else None
    host = None if flags.host is None else _host(flags.host)
    given = Given(host, flags.workspace, token_options.given(flags, token_command, no_token=no_token, asked=asked))
    extra = _extra(flags, allow_http=allow_http)
    if asked and not screen.quiet:
        render.say(f"profile {profiles.named(where.name)} in {profiles.shown(where.path)}; Ctrl-C changes nothing")

    def hold(answers: Answers) -> Settings:
        return candidate.candidate(where, answers, flags, environ, allow_http=allow_http)

    def check(answers: Answers) -> None:
        candidate.check(hold(answers))

    def test(answers: Answers) -> None:
        if not no_test:
            _test(hold(answers), screen, once=asked and flags.deadline is None)

    form = _form(where, candidate.present(where, flags, environ), hold, asked=asked)
    settled = interview.run(form, given, person, check, test)
    change = _change(settled.answers, extra, default=_becomes_default(where, use, person))
    token = settled.answers.token
    file = token_store.save(where.path, where.name, change, token.secret if token.kind == "text" else None)
    where = where._replace(document=profiles.load(where.path, must_exist=True))
    _report(where, settled, change, file, screen, tested=not no_test and settled.failed is None)


def _extra(flags: Flags, *, allow_http: bool) -> dict[str, Any]:
    """Return what else the command line says a profile is to hold."""
    extra: dict[str, Any] = (
        {} if flags.ca_file is None else {"ca_file": token_options.absolute("ca_file", flags.ca_file)}
    )
    return extra | ({"allow_http": True} if allow_http else {})


def _form(where: Place, now: Settings, hold: Callable[[Answers], Settings], *, asked: bool) -> Form:
    """Return the questions, with what holds now as their defaults; a host that nobody has named is only offered."""
    own = candidate.origin(where)

    def question(setting: Sourced[str], flag: str, check: Callable[[str], str], meant: Any) -> Question:
        name = flag.partition(" ")[0].removeprefix("--")
        known = None if name == "host" and setting.is_default and not asked else setting.value
        return Question(name, flag, check, meant, known, "" if setting.source == own else setting.source)

    def offer(host: str) -> Offer:
        return candidate.offer(hold(Answers(Sourced(host, "--host"), now.workspace, Token("present"))), where)

    return Form(
        question(now.host, "--host URL", _host, urls.meant),
        question(now.workspace, "--workspace NAME", _workspace, names.meant),
        partial(token_options.clean, source=TYPED),
        offer,
    )


def _host(text: str) -> str:
    try:
        return urls.base_url(text, "host")
    except SettingsError as error:
        raise UsageError(error.message, error.hint, pointer=error.pointer) from None


def _workspace(text: str) -> str:
    return names.check_workspace(text, "workspace")


def _test(found: Settings, screen: Screen, *, once: bool) -> None:
    """Try the settings; only `once` where a person is asked whether to try again."""
    if once:
        found = found._replace(deadline=Sourced(0.0, "default"))
    session = candidate.attempt(found, partial(render.retrying, screen=screen))
    who = credentials.describe(found.credential) if found.credential else ""
    settings_view.tested(screen, found.host.value, found.workspace.value, who)
    if screen.verbose:
        render.say(f"asked {session.describe()}")


def _becomes_default(where: Place, use: bool | None, person: Person | None) -> bool:
    """Tell whether the profile is to be written down as the default one; a script's first profile is."""
    if where.name == (profiles.default_name(where.document) or profiles.DEFAULT):
        return False  # it is, or will be
    first = where.default is None
    if use is not None or person is None:
        return first if use is None else use
    if first:
        return interview.agrees(person, f"use profile {profiles.named(where.name)} where none is named?", default=True)
    words = f"profile {profiles.named(where.default or '')} holds where none is named; use this one instead?"
    return interview.agrees(person, words, default=False)


def _change(answers: Answers, extra: dict[str, Any], *, default: bool) -> edit.Change:
    """Return what becomes of the profile; the token itself is not in it."""
    token = answers.token
    values = {"host": answers.host.value, "workspace": answers.workspace.value, **extra}
    if token.kind in {"file", "command"}:
        values[f"token_{token.kind}"] = token.secret
    gone = () if token.kind == "present" else tuple(key for key in PROFILE_TOKENS if key not in values)
    return edit.Change(values, gone, default)


def _tell(error: NemoJobsError, flags: Flags) -> None:
    render.error(error, "init", screens.screen(flags._replace(output="text"), stderr=True))


def _report(
    where: Place, settled: Settled, change: edit.Change, file: Path | None, screen: Screen, *, tested: bool
) -> None:
    """Say what was written, what of it will not hold, and what to do next."""
    token = settled.answers.token
    default = where.default == where.name
    kept = [] if settled.failed is None else [f"it is kept although the test failed: {settled.failed.message}"]
    warnings = [*kept, *token_options.warnings(token), *_overruled(where, default=default)]
    name = shlex.quote(profiles.named(where.name))
    facts: dict[str, Any] = {
        "profile": where.name,
        "path": str(where.path),
        "keys": [*change.values, *(["token_file"] if file else [])],
        "host": settled.answers.host.value,
        "workspace": settled.answers.workspace.value,
        "token": {"text": "stored", "present": "kept"}.get(token.kind, token.kind),
        "token_file": str(file) if file else token.secret if token.kind == "file" else None,
        "default": default,
        "tested": tested,
        "next": _next(name, default=default, failed=settled.failed is not None),
    }
    settings_view.written(screen, facts, warnings)


def _next(name: str, *, default: bool, failed: bool) -> str:
    command = f"nemo-jobs {'doctor' if failed else 'list'}"
    return command if default else f"{command} --profile {name}; or nemo-jobs config use {name}"


def _overruled(where: Place, *, default: bool) -> list[str]:
    try:
        now = resolve.resolve(Flags(profile=None if default else where.name))
    except NemoJobsError as error:
        return [f"{error.message}; {error.hint}"]
    return candidate.overruled(where, now, token=not where.own.keys().isdisjoint(PROFILE_TOKENS))
