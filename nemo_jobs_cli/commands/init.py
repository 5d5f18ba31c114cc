"""`nemo-jobs init`: ask for a profile's settings, test and write them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.cli import helptext, params
from nemo_jobs_cli.core import names
from nemo_jobs_cli.core.errors import NemoJobsError, SettingsError, UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.output import prompt, render, settings_view
from nemo_jobs_cli.output.screen import make_screen
from nemo_jobs_cli.settings import edit, profiles, resolve, token_store, urls
from nemo_jobs_cli.settings.model import Flags, Settings, Sourced
from nemo_jobs_cli.settings.sources import PROFILE_TOKENS
from nemo_jobs_cli.setup import candidate, interview, token_options
from nemo_jobs_cli.setup.interview import TYPED, Answers, Form, Prompter, Question, Token, TokenDefault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nemo_jobs_cli.settings.model import Screen
    from nemo_jobs_cli.setup.candidate import TargetProfile


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `init`."""

    token_command: Annotated[
        str | None, params.option("--token-command", metavar="CMD", help="Run CMD on every call to get a token")
    ] = None
    no_token: Annotated[bool, params.option("--no-token", help="Send no token, as with --anonymous")] = False
    allow_http: Annotated[
        bool, params.option("--allow-http", help="Send the token over plain http, on a trusted network")
    ] = False
    use: Annotated[
        bool | None, params.option("--use/--no-use", help="Make this the default profile", default="ask")
    ] = None
    yes: Annotated[
        bool,
        params.option(
            "--yes", "-y", "--no-input", help="Ask nothing and keep the other settings; a new profile needs --host"
        ),
    ] = False
    no_test: Annotated[bool, params.option("--no-test", help="Write the profile without testing it")] = False


app = helptext.app()


@params.command(app, "init", *params.CONNECTION, *params.OUTPUT)
def init(options: Options, invocation: params.Invocation) -> None:
    r"""Ask for host, workspace and token, test them, and write a profile.

    Every answer can be given as an option; without a terminal there are no questions. The
    profile is written after the platform has answered. A token that is typed, or read from
    stdin, is stored in a separate file that only you can read; the profile refers to it.

    \b
    Examples:
      nemo-jobs init
      nemo-jobs init --profile lab --host https://nmp.example.com -w research
      nemo-jobs init --host "$URL" --token-command 'nemo auth token'
      nemo-jobs init -y --host "$URL" --token-file - < token.txt

    \b
    For CI, use an access key of NeMo Helix (lasts for weeks, limited to jobs):
      nemo auth access-keys create --name ci --scope jobs
    """
    flags = invocation.flags
    screen, environ = make_screen(flags), resolve.environment()
    profile = candidate.target_profile(flags, environ)
    interactive = not options.yes and prompt.can_prompt()
    stderr = make_screen(flags._replace(output="text"), stderr=True)
    on_error = partial(render.error, command="init", screen=stderr)
    prompter = Prompter(prompt.ask, prompt.ask_hidden, on_error) if interactive else None
    host = None if flags.host is None else _host(flags.host, "--host")
    if flags.workspace is not None:
        names.check_workspace(flags.workspace, "--workspace")
    token = token_options.parse(flags, options.token_command, no_token=options.no_token, interactive=interactive)
    extra: dict[str, Any] = {"allow_http": True} if options.allow_http else {}
    if flags.ca_file is not None:
        extra["ca_file"] = token_options.absolute_path("ca_file", flags.ca_file)
    if interactive and not screen.quiet:
        render.message(
            f"setting up profile {profiles.display_name(profile.name)} in {display_path(profile.path)}; Ctrl-C cancels"
        )

    def make_settings(answers: Answers) -> Settings:
        return candidate.candidate_settings(profile, answers, flags, environ, allow_http=options.allow_http)

    def check(answers: Answers) -> None:
        candidate.check(make_settings(answers))

    warnings: list[str] = []

    def test(answers: Answers) -> None:
        if not options.no_test:
            warnings[:] = _test(make_settings(answers), screen, once=interactive and flags.deadline is None)

    form = _form(profile, flags._replace(host=host), environ, token, make_settings, interactive=interactive)
    answers, error = interview.run(form, prompter, check, test)
    change = _change(answers, extra, default=_becomes_default(profile, options.use, prompter))
    text = answers.token.secret if answers.token.kind == "text" else None
    file = token_store.save(profile.path, profile.name, change, text)
    before = profile.values
    profile = replace(profile, document=profiles.load(profile.path, must_exist=True))
    changes = settings_view.describe_changes(before, profile.values)
    tested = not options.no_test and error is None
    _report(profile, answers, change, file, screen, changes=changes, error=error, tested=tested, warnings=warnings)


def _form(
    profile: TargetProfile,
    flags: Flags,
    environ: Mapping[str, str],
    token: Token | None,
    make_settings: Callable[[Answers], Settings],
    *,
    interactive: bool,
) -> Form:
    """Return the questions, with the current settings as defaults."""
    current = candidate.current_settings(profile, flags, environ)

    def question(
        setting: Sourced[str], answer: str | None, flag: str, parse: Callable[[str], str], suggest: Any
    ) -> Question:
        name = flag.partition(" ")[0].removeprefix("--")
        default = None if name == "host" and setting.is_default and not interactive else setting.value
        source = "" if setting.source == profile.source else setting.source
        return Question(name, flag, parse, suggest, answer, default, source)

    def token_default(host: str) -> TokenDefault:
        answers = Answers(Sourced(host, "--host"), current.workspace, Token("current"))
        return candidate.token_default(make_settings(answers), profile)

    return Form(
        question(current.host, flags.host, "--host URL", _host, urls.guess_url),
        question(
            current.workspace,
            flags.workspace,
            "--workspace NAME",
            partial(names.check_workspace, source="workspace"),
            names.guess_name,
        ),
        partial(token_options.clean, source=TYPED),
        token_default,
        token,
    )


def _host(text: str, source: str = "host") -> str:
    try:
        return urls.base_url(text, source)
    except SettingsError as error:
        raise UsageError(error.message, error.hint, pointer=error.pointer) from None


def _test(settings: Settings, screen: Screen, *, once: bool) -> list[str]:
    """Test the settings, with a single attempt if `once`."""
    if once:
        settings = settings._replace(deadline=Sourced(0.0, "default"))
    session = candidate.verify(settings, partial(render.retry, screen=screen))
    credential = credentials.describe(settings.credential) if settings.credential else ""
    settings_view.print_test(screen, settings.host.value, settings.workspace.value, credential)
    if screen.verbose:
        render.message(f"connected to {session.describe()}")
    return list(filter(None, [candidate.read_only_warning(session)]))


def _becomes_default(profile: TargetProfile, use: bool | None, prompter: Prompter | None) -> bool:
    """Return whether to make the profile the default."""
    if profile.name == (profiles.default_name(profile.document) or profiles.DEFAULT):
        return False  # it already is, or becomes so when it is created
    is_first = profile.default is None
    if use is not None or prompter is None:
        return is_first if use is None else use
    name = profiles.display_name(profile.name)
    if is_first:
        question = f"make {name} the default profile?"
        return interview.confirm(prompter, question, default=True)
    question = f"make {name} the default profile instead of {profiles.display_name(profile.default or '')}?"
    return interview.confirm(prompter, question, default=False)


def _change(answers: Answers, extra: dict[str, Any], *, default: bool) -> edit.Change:
    """Return the change of the profile, without the text of the token."""
    token = answers.token
    values = {"host": answers.host.value, "workspace": answers.workspace.value, **extra}
    if token.kind in {"file", "command"}:
        values[f"token_{token.kind}"] = token.secret
    removed = () if token.kind == "current" else tuple(key for key in PROFILE_TOKENS if key not in values)
    return edit.Change(values, removed, default)


def _report(
    profile: TargetProfile,
    answers: Answers,
    change: edit.Change,
    file: Path | None,
    screen: Screen,
    *,
    changes: str,
    error: NemoJobsError | None,
    tested: bool,
    warnings: list[str],
) -> None:
    """Print the written settings, their overrides and the next command."""
    token = answers.token
    default = profile.default == profile.name
    if error is not None:
        warnings = [f"the profile was written although its test failed: {error.message}"]
    warnings = [*warnings, *token_options.warnings(token), *candidate.override_warnings(profile)]
    name = shlex.quote(profiles.display_name(profile.name))
    command = "nemo-jobs list" if error is None else "nemo-jobs doctor"
    facts: dict[str, Any] = {
        "profile": profile.name,
        "path": str(profile.path),
        "keys": [*change.values, *(["token_file"] if file else [])],
        "host": answers.host.value,
        "workspace": answers.workspace.value,
        "token": {"text": "stored", "current": "kept"}.get(token.kind, token.kind),
        "token_file": str(file) if file else token.secret if token.kind == "file" else None,
        "default": default,
        "tested": tested,
        "next": command if default else f"{command} --profile {name}; or nemo-jobs config use {name}",
    }
    settings_view.print_written(screen, facts, changes, warnings)
