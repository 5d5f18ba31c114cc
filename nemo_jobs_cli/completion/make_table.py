"""Write down the command tree as the table that answers a TAB, and see that every value has its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.text import first_paragraph
from nemo_jobs_cli.settings import edit, profiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nemo_jobs_cli.completion.command_line import Argument, Option
    from nemo_jobs_cli.completion.command_line import Command as Entry

HEAD = '''\
"""Hold what TAB has to know of the command line; made by `nemo-jobs completion table`, a test holds it to the tree."""

from __future__ import annotations

'''

_TREE = '''

def _of(numbers: str) -> tuple[tuple[tuple[str, ...], str, bool, str], ...]:
    """Return the options with these numbers."""
    return tuple(_OPTIONS[int(number)] for number in numbers.split())


# By a command's words: what it does, its options, its arguments, and the commands below it; see `cmdline`.
TREE = {'''

NUMBER = "number"
FREE = "free"

# What a value is, by the word that stands for it in --help; what can only be made up is `free`.
_KINDS = {
    "FILE": "file",
    "DIR": "folder",
    "[JOB]": "job",
    "[JOB] [KEY=VALUE]...": "fields",
    "[JOB] -- COMMAND...": "job-or-dashes",
    "[-- COMMAND...]": "dashes",
    "COND": "condition",
    "STATE": "states",
    "REGEX": "pattern",
    "FORMAT": "output",
    "SPEC": "fault",
    "SHELL": "shell",
    "[SHELL]": "shell",
    "PROFILE": "profile",
    **dict.fromkeys(("URL", "TIME", "N", "V", "K:V", "CMD", "ENTRY", "[ENTRY]..."), FREE),
}
# Where the word says too little: by command and parameter, or by parameter.
_EXCEPTIONS = {
    "workspace": "workspace",
    "profile": "profile",
    "field": "key",
    "number": "key",
    "outbox flush job": "job",
    "sandbox job": FREE,
    "config get key": "setting",
    "config set key": "setting",
    "config unset key": "setting",
    "config set value": "setting-value",
}
_CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "output": (("text", "for people and pipes"), ("json", "one object"), ("ndjson", "an object a line")),
    "pattern": (("tqdm", "its progress bars"), ("rich", "its progress bars")),
    "fault": (
        ("503:", "answer 503"),
        ("429:", "answer 429"),
        ("reset:", "cut the connection"),
        ("delay:", "answer late"),
        ("conflict:", "refuse with 409"),
        ("conflicts", "as the platform does"),
        ("attempts-only", "the next generation's route"),
    ),
    "shell": (("bash", ""), ("zsh", ""), ("fish", "")),
    "dashes": (("--", "then the command to run"),),
}


def source(root: Any) -> str:
    """Return the text of the module `table` for a command tree."""
    settings = {f"setting {key}": _of_setting(key, kinds) for key, kinds in profiles.KEYS.items()}
    choices = {
        **_CHOICES,
        "setting": tuple((key, "") for key in edit.EDITABLE_KEYS),
        **{k: v for k, v in settings.items() if v},
    }
    what = {**dict.fromkeys(sorted(known_keys.NUMBERS), NUMBER), **dict.fromkeys(sorted(known_keys.TEXTS), "text")}
    lines = [f"NUMBER = {NUMBER!r}", "KEYS = {", *_rows(what), "}", f"STATES = {jobs.STATES!r}"]
    lines += ["CHOICES: dict[str, tuple[tuple[str, str], ...]] = {", *_rows(choices), "}"]
    entries = {path: _entry(path, command) for path, command in commands(root)}
    options = list(dict.fromkeys(option for _, own, _, _ in entries.values() for option in own))
    lines += ["_OPTIONS = (", *(f"    {option!r}," for option in options), ")", _TREE]
    for path, (says, own, arguments, below) in entries.items():
        numbers = " ".join(str(options.index(option)) for option in own)
        lines.append(f"    {path!r}: ({says!r}, _of({numbers!r}), {arguments!r}, {below!r}),")
    return HEAD + "\n".join([*lines, "}", ""])


def _rows(table: Mapping[str, Any]) -> list[str]:
    return [f"    {name!r}: {value!r}," for name, value in table.items()]


def commands(root: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by its words, the program itself as ""."""
    yield path, root
    for name in root.list_commands(None) if hasattr(root, "list_commands") else ():
        command = root.get_command(None, name)
        if not command.hidden:
            yield from commands(command, f"{path} {name}".strip())


def kind(path: str, parameter: Any) -> str:
    """Return what the value of a parameter is; raise KeyError for one that nobody has placed."""
    for name in (f"{path} {parameter.name}", parameter.name):
        if name in _EXCEPTIONS:
            return _EXCEPTIONS[name]
    return _KINDS[parameter.metavar]


def _entry(path: str, command: Any) -> Entry:
    options: list[Option] = []
    arguments: list[Argument] = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            arguments.append((kind(path, parameter), parameter.nargs == -1))
        else:
            names = (*parameter.opts, *parameter.secondary_opts)
            value = "" if parameter.is_flag else kind(path, parameter)
            options.append(
                (names, value, bool(parameter.multiple), (parameter.help or "").partition(" [")[0].rstrip("."))
            )
    options.append((("--help", "-h"), "", False, "Show this message and exit"))
    below = tuple(name for name, _ in commands(command) if name and " " not in name)
    return first_paragraph(command.help or "").rstrip("."), tuple(options), tuple(arguments), below


def _of_setting(key: str, kinds: tuple[type, ...]) -> tuple[tuple[str, str], ...]:
    words = ("true", "false") if bool in kinds else profiles.CHOICES.get(key, ())
    return tuple((word, "") for word in words)
