"""Turn a usage error of Typer into an error with a hint."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import close_matches, did_you_mean, one_line
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Names that other tools use.
_OTHER_OPTIONS = {
    "--json": "did you mean -o json?",
    "--body": "send JSON from a file or stdin: -f FILE, -f -",
    "--data": "send JSON from a file or stdin: -f FILE, -f -",
    "--token": "keep tokens off the command line: use --token-file FILE or NEMO_JOBS_TOKEN",
    "--job": "write JOB first, without dashes",
    "--url": "did you mean --host?",
    "--timeout": "did you mean --deadline?",
    "-V": "did you mean --version?",
}
_OPTIONS_OF_COMMANDS = {
    ("update", "--json"): "use -o json to print JSON, or -f FILE to send it",
    ("list", "--status"): "use --state for the platform's state, or --where status=... for the reported status",
    **dict.fromkeys(
        (("run", "-o"), ("run", "--output"), ("run", "--json")), "write all reported fields to a file: --report FILE"
    ),
    **dict.fromkeys((("stream", "-f"), ("stream", "--file")), "did you mean --input?"),
    **dict.fromkeys((("apply", "-f"), ("apply", "--file")), "write the file without an option: nemo-jobs apply FILE"),
    ("list", "-n"): "did you mean --limit?",
    ("show", "--status"): "use --state for the platform's state, or --field status for the reported status",
}
# The option that probably takes an unexpected argument.
_OPTION_FOR_ARGUMENT = {"list": "--name", "logs": "--step", "stream": "--input", "outbox flush": "--job"}
_KEYS = known_keys.NUMBERS | known_keys.TEXTS
# Options whose value may be a token, also those of curl.
_SECRET_OPTIONS = ("--header", "--token", "--api-key", "--oauth2-bearer", "--user", "-H", "-u")
_OTHER_COMMANDS = {
    word: command
    for command, words in {
        "show": "status get describe watch wait",
        "logs": "log tail",
        "list": "ls jobs",
        "update": "set report patch send",
        "doctor": "check diagnose whoami ping",
        "--version": "version",
        "init": "login setup configure",
    }.items()
    for word in words.split()
}
_OTHER_SUBCOMMANDS = {
    "config": {"show": "list", "add": "set", "put": "set", "rm": "unset", "remove": "unset", "delete": "unset"},
    "outbox": {"rm": "drop", "remove": "drop", "delete": "drop", "clear": "drop", "send": "flush", "retry": "flush"},
}

# The messages of click, in our words.
_REWORDED = (
    (r"^option '(\S+)' requires (?:an|\d+) arguments?$", r"\1 needs a value"),
    (r"^missing argument '(.*)'$", r"missing argument: \1"),
    (r"^option '(\S+)' does not take a value$", r"\1 takes no value"),
    (r"^invalid value for '(?:-\w' / ')?(\S+)'(?: / '-\w')?: '?(.*?)'? is ", r"invalid \1 '\2': must be "),
    (r"must be not in the range x>=(\d+)$", r"must be at least \1"),
    (r"must be not in the range (\d+)<=x<=(\d+)$", r"must be from \1 to \2"),
    (r"must be not a valid (?:int|integer)(?: range)?$", "must be a whole number"),
)


def explain(message: str, words: Sequence[str], commands: Collection[str], name: str) -> UsageError:
    """Return the error for a command line that Typer refused with `message`.

    `commands` are all commands; `name` is the command in `words`, or the program's name.
    """
    # A URL may hold a password, and CI keeps the output in its log.
    message = _without_passwords(one_line(message, 300)).rstrip(".")
    message = message[:1].lower() + message[1:]
    words = [_without_passwords(word) for word in words]
    option = re.match(r"no such option: (\S+)", message)
    if option is not None:
        return UsageError(option[0], _option_hint(option[1], message, words, commands, name))
    extra = re.match(r"got unexpected extra argument(?:s|\(s\))? \((.*)\)", message)
    if extra is not None:
        word, hint = extra[1], _see_help(name, commands)
        if "=" in word and name == "stream":
            job = "JOB" if words[1].startswith("-") else words[1]  # after an option, its value may come first
            fields = [given for given in words if "=" in given and given in word]
            hint = f"did you mean: nemo-jobs update {' '.join(map(coerce.quote, [job, *fields]))}?"
        elif name == "init" and "://" in word:
            host = word.replace("://***@", "://")  # a base URL has no password
            hint = f"did you mean: nemo-jobs init --host {host}?"
        elif " " not in word and (name in _OPTION_FOR_ARGUMENT or (name == "show" and word in _KEYS)):
            hint = f"did you mean {_OPTION_FOR_ARGUMENT.get(name, '--field')} {coerce.quote(word)}?"
        return UsageError(f"unexpected argument: {word}", hint)
    unknown = re.match(r"(no such command) ('.*?'|\".*?\")(?:\. Did you mean (.*?)\??)?$", message)
    if unknown is not None:
        message = f"{unknown[1]}: {unknown[2][1:-1]}"
    if name.partition(" ")[0] not in commands:
        return UsageError(message, _command_hint(words, commands))
    if unknown is not None:
        return UsageError(message, _subcommand_hint(words, re.findall(r"'(.*?)'", unknown[3] or ""), commands))
    for pattern, plain in _REWORDED:
        message = re.sub(pattern, plain, message)
    return UsageError(message, _see_help(name, commands))


def _option_hint(option: str, message: str, words: Sequence[str], commands: Collection[str], name: str) -> str:
    """Return the hint for an unknown option."""
    if name.partition(" ")[0] not in commands or words[0] != name.partition(" ")[0]:
        command = next(
            (word for word in words if word in commands), "update" if any("=" in word for word in words) else ""
        )
        if command:
            return f"write options after the command: nemo-jobs {command} ... {option}"
    hint = _OPTIONS_OF_COMMANDS.get((name, option)) or _OTHER_OPTIONS.get(option)
    if hint is not None:
        return hint
    long_option = next((word for word in words if re.match(rf"{re.escape(option)}[a-z][a-z-]+", word)), "")
    if len(option) == 2 and long_option:  # noqa: PLR2004 - a dash and a letter
        return f"write long options with two dashes: -{one_line(long_option, 40)}"
    key = option.lstrip("-").replace("-", "_")
    if key in _KEYS:
        if name == "show":
            return f"print the reported value: --field {key}"
        joined = next((word for word in words if word.startswith(f"{option}=")), "")  # Typer names it without the value
        following = words[words.index(option) + 1 :] if option in words else ()
        value = joined.partition("=")[2] or next(iter(following), "...")
        return f"write fields without dashes: {coerce.quote(f'{key}={value}')}"
    possible = re.search(r"(?:Did you mean|Possible options:) ([^?)]*)", message)
    if possible is not None:
        return did_you_mean(close_matches(option, possible[1].split(", "), cutoff=0))
    if words[0] in _OTHER_SUBCOMMANDS and words[1:2] and words[1].startswith("-"):
        return f"write options after the subcommand: nemo-jobs {words[0]} COMMAND ... {option}"
    return _see_help(name, commands)


def _command_hint(words: Sequence[str], commands: Collection[str]) -> str:
    """Return the hint for an unknown command."""
    first, rest = words[0], _first_words(words[1:])
    if first == "help":
        command = " ".join(["nemo-jobs", *(word for word in words[1:2] if word in commands)])
        return f"did you mean: {command} --help?"
    close = _OTHER_COMMANDS.get(first) or "".join(close_matches(first, commands))
    if close:
        return f"did you mean: {f'nemo-jobs {close} {rest}'.rstrip()}?"
    if any("=" in word for word in words):
        return f"did you mean: nemo-jobs update {coerce.quote(first)} {rest}".rstrip() + "?"
    return _see_help("", commands)


def _subcommand_hint(words: Sequence[str], suggested: Sequence[str], commands: Collection[str]) -> str:
    """Return the hint for an unknown subcommand of a known group."""
    at = next((n for n, word in enumerate(words[1:], 1) if not word.startswith("-")), len(words))
    subcommand = words[at] if at < len(words) else ""
    close = _OTHER_SUBCOMMANDS.get(words[0], {}).get(subcommand) or "".join(
        close_matches(subcommand, suggested, cutoff=0)
    )
    rest = _first_words(words[at + 1 :])
    if not close:
        return _see_help(words[0], commands)
    return f"did you mean: {f'nemo-jobs {words[0]} {close} {rest}'.rstrip()}?"


def _first_words(words: Sequence[str]) -> str:
    """Return the first words, up to an option whose value may be a token."""
    shown = itertools.takewhile(lambda word: not word.startswith(_SECRET_OPTIONS), words[:3])
    return " ".join(map(coerce.quote, shown))


def _without_passwords(text: str) -> str:
    return re.sub(r"://[^\s/?#@]*@", "://***@", text)


def _see_help(name: str, commands: Collection[str]) -> str:
    return f"see nemo-jobs {name} --help" if name.partition(" ")[0] in commands else "see nemo-jobs --help"
