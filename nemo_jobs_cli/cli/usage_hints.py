"""Explain a command line that Typer could not read: what was probably meant, or where to look it up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.core.text import close_matches, did_you_mean, one_line
from nemo_jobs_cli.fields import coerce

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# What other tools call it.
_OTHER_OPTIONS = {
    "--json": "did you mean -o json?",
    "--body": "send JSON from a file or stdin: -f FILE, -f -",
    "--data": "send JSON from a file or stdin: -f FILE, -f -",
    "--token": "a token never stands on a command line: --token-file FILE, or NEMO_JOBS_TOKEN",
    "--job": "JOB stands first, without a dash",
    "--url": "did you mean --host?",
    "--timeout": "did you mean --deadline?",
    "-V": "did you mean --version?",
}
_OPTIONS_OF_COMMANDS = {
    ("update", "--json"): "-o json prints JSON; -f FILE sends it",
    ("list", "--status"): "did you mean --state?",
    ("show", "--status"): "--state prints the platform's state, --field status the reported status",
}
_OTHER_COMMANDS = {
    "status": "show",
    "get": "show",
    "describe": "show",
    "watch": "show",
    "wait": "show",
    "ls": "list",
    "jobs": "list",
    "set": "update",
    "report": "update",
    "patch": "update",
    "send": "update",
    "check": "doctor",
    "diagnose": "doctor",
    "whoami": "doctor",
    "ping": "doctor",
    "login": "init",
    "setup": "init",
    "configure": "init",
}
_OTHER_SUBCOMMANDS = {
    "config": {"show": "list", "add": "set", "put": "set", "rm": "unset", "remove": "unset", "delete": "unset"},
    "outbox": {"rm": "drop", "remove": "drop", "delete": "drop", "clear": "drop", "send": "flush", "retry": "flush"},
}


def explain(said: str, words: Sequence[str], commands: Collection[str], name: str) -> UsageError:
    """Return the error for `words`, of which Typer `said` something; `name` is the command that they name.

    `commands` are those there are; a `name` that is none of them is the program's own.
    """
    # A URL may hold a password, and what a CI step prints stays in its log.
    said = _without_passwords(one_line(said, 300)).rstrip(".")
    words = [_without_passwords(word) for word in words]
    option = re.match(r"No such option: (\S+)", said)
    if option is not None:
        return UsageError(f"there is no option {option[1]}", _option(option[1], said, words, commands, name))
    extra = re.match(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", said)
    if extra is not None:
        url = name == "init" and "://" in extra[1]
        host = extra[1].replace("://***@", "://")  # a base URL has no password
        hint = f"did you mean: nemo-jobs init --host {host}?" if url else _help(name, commands)
        return UsageError(f"one word too many: {extra[1]}", hint)
    if name.partition(" ")[0] not in commands:
        return UsageError(said, _command(words, commands))
    unknown = re.match(r"(No such command (?:'.*?'|\".*?\"))(?:\. Did you mean (.*?)\??)?$", said)
    if unknown is not None:
        return UsageError(unknown[1], _subcommand(words, re.findall(r"'(.*?)'", unknown[2] or ""), commands))
    return UsageError(said, _help(name, commands))


def _option(option: str, said: str, words: Sequence[str], commands: Collection[str], name: str) -> str:
    """Return the hint for an option that is none."""
    if name.partition(" ")[0] not in commands or words[0] != name.partition(" ")[0]:
        first = next(
            (word for word in words if word in commands), "update" if any("=" in word for word in words) else ""
        )
        if first:
            return f"options stand after the command: nemo-jobs {first} ... {option}"
    hint = _OPTIONS_OF_COMMANDS.get((name, option.partition("=")[0])) or _OTHER_OPTIONS.get(option)
    if hint is not None:
        return hint
    whole = next((word for word in words if re.match(rf"{re.escape(option)}[a-z][a-z-]+", word)), "")
    if len(option) == 2 and whole:  # noqa: PLR2004 - a dash and a letter
        return f"long options have two dashes: -{one_line(whole, 40)}"
    key = option.lstrip("-").partition("=")[0].replace("-", "_")
    if key in known_keys.NUMBERS | known_keys.TEXTS:
        behind = words[words.index(option) + 1 :] if option in words else ()
        value = option.partition("=")[2] or next(iter(behind), "...")
        if name == "show":
            return f"print what was reported: --field {key}"
        return f"fields have no dashes: {coerce.quote(f'{key}={value}')}"
    near = re.search(r"(?:Did you mean|Possible options:) ([^?)]*)", said)
    if near is not None:
        return did_you_mean(close_matches(option.partition("=")[0], near[1].split(", "), cutoff=0))
    if words[0] in _OTHER_SUBCOMMANDS and words[1:2] and words[1].startswith("-"):
        return f"options stand after the subcommand: nemo-jobs {words[0]} COMMAND ... {option}"
    return _help(name, commands)


def _command(words: Sequence[str], commands: Collection[str]) -> str:
    """Return the hint for a command that is none."""
    first, rest = words[0], " ".join(coerce.quote(word) for word in words[1:4])
    if first == "help":
        of = " ".join(["nemo-jobs", *(word for word in words[1:2] if word in commands)])
        return f"did you mean: {of} --help?"
    close = _OTHER_COMMANDS.get(first) or "".join(close_matches(first, commands))
    if close:
        return f"did you mean: {f'nemo-jobs {close} {rest}'.rstrip()}?"
    if any("=" in word for word in words):
        return f"did you mean: nemo-jobs update {coerce.quote(first)} {rest}".rstrip() + "?"
    return _help("", commands)


def _subcommand(words: Sequence[str], suggested: Sequence[str], commands: Collection[str]) -> str:
    """Return the hint for a subcommand that is none, of a group that there is."""
    at = next((n for n, word in enumerate(words[1:], 1) if not word.startswith("-")), len(words))
    said = words[at] if at < len(words) else ""
    close = _OTHER_SUBCOMMANDS.get(words[0], {}).get(said) or "".join(close_matches(said, suggested, cutoff=0))
    rest = " ".join(coerce.quote(word) for word in words[at + 1 : at + 4])
    return f"did you mean: {f'nemo-jobs {words[0]} {close} {rest}'.rstrip()}?" if close else _help(words[0], commands)


def _without_passwords(text: str) -> str:
    return re.sub(r"://[^\s/?#@]*@", "://***@", text)


def _help(name: str, commands: Collection[str]) -> str:
    return f"see nemo-jobs {name} --help" if name.partition(" ")[0] in commands else "see nemo-jobs --help"
