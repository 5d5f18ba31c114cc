"""README, help and CHANGELOG say what is true."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from nemo_jobs_cli import __version__
from nemo_jobs_cli.api import logs, models, wait
from nemo_jobs_cli.cli import app
from nemo_jobs_cli.commands import run, show, stream
from nemo_jobs_cli.completion import _cache
from nemo_jobs_cli.core import clock, known_keys
from nemo_jobs_cli.core.errors import ExitCode
from nemo_jobs_cli.core.text import first_paragraph
from nemo_jobs_cli.delivery import flush, listing, outbox
from nemo_jobs_cli.fields import _json_errors, files
from nemo_jobs_cli.output import watch_view
from nemo_jobs_cli.reporting import pace
from nemo_jobs_cli.run import channel, reports
from nemo_jobs_cli.settings import profiles
from nemo_jobs_cli.settings.model import DEFAULT_DEADLINE, FLOW_DEADLINE
from nemo_jobs_cli.transport import client

HERE = Path(__file__).parent.parent
README = (HERE / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [HERE / "README.md", *(HERE / "docs").glob("*.md")]}
DOCS = "\n".join(PAGES.values())
PACKAGE = Path(app.__file__).parents[1]


def commands():
    """Return every command and subcommand by its words."""
    root = typer.main.get_command(app.app)
    found = {}
    for name in app.COMMANDS:
        command = root.get_command(None, name)
        found[name] = command
        for inner, sub in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = sub
    return found


COMMANDS = commands()
ROOT = typer.main.get_command(app.app)


def examples():
    """Return every call of nemo-jobs in the docs and help texts, without comments."""
    texts = [
        *re.findall(r"```sh\n(.*?)```", DOCS.replace("\\\n", ""), re.DOTALL),
        *(command.help or "" for command in (ROOT, *COMMANDS.values())),
    ]
    names = "|".join(app.COMMANDS)
    calls = [call for text in texts for call in re.findall(rf"nemo-jobs (?:{names})\b(?! COMMAND).*", text)]
    ends = re.compile(r" -- | --$| && |; | \||\)\W?$| &$| < | > | +#|`| {3,}")
    return sorted({ends.split(call)[0].strip() for call in calls})


EXAMPLES = examples()


def test_there_are_examples():
    """A broken search must not pass."""
    assert len(EXAMPLES) > 15


def test_every_example_uses_options_that_exist():
    """Users copy them."""
    for example in EXAMPLES:
        words = shlex.split(example)[1:]
        words = words[: words.index("--")] if "--" in words else words
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        known = {name for parameter in COMMANDS[name].params for name in [*parameter.opts, *parameter.secondary_opts]}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, example


def test_every_update_in_the_docs_is_valid(nemo_jobs, monkeypatch):
    """Each gives a request."""
    monkeypatch.setenv("NEMO_JOB_ID", "this-job")
    updates = [line for line in EXAMPLES if line.startswith("nemo-jobs update") and not re.search(" -f|@=", line)]
    assert len(updates) > 10
    for example in updates:
        words = [word.replace("$n", "3").replace("$JOB", "this-job") for word in shlex.split(example)[1:]]
        ran = nemo_jobs(*words, "--dry-run")
        assert (ran.code, ran.err) == (0, ""), example


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name):
    """In the help of its command."""
    assert [parameter.name for parameter in COMMANDS[name].params if not parameter.help] == []


def test_the_docs_name_every_command_and_option():
    """Nothing is undocumented."""
    for name in app.COMMANDS:
        assert re.search(rf"nemo-jobs {name}\b", DOCS), name
    shared = {
        option
        for parameter in COMMANDS["show"].params
        for option in parameter.opts
        if parameter.opts[0].startswith("-")
    }
    everywhere = shared & {option for parameter in COMMANDS["list"].params for option in parameter.opts}
    assert {option for option in everywhere if f"`{option}" not in DOCS} <= {
        "--quiet",
        "-q",
        "--verbose",
        "-v",
        "--state",
    }


def test_the_docs_name_every_variable_and_profile_key():
    """And none that does not exist."""
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    read = set(re.findall(r"NEMO_JOBS_[A-Z_]*[A-Z]", code))
    read |= {
        f"NEMO_JOBS_{name.upper()}"
        for name in (
            "host",
            "workspace",
            "job",
            "ca_file",
            "deadline",
            "numbers",
            "api",
            "output",
            "outbox",
            "outbox_dir",
            "best_effort",
            "stamp",
        )
    }
    assert set(re.findall(r"NEMO_JOBS_[A-Z_]*[A-Z]", DOCS)) == read
    for key in profiles.KEYS:
        assert f"`{key}`" in PAGES["settings.md"] or key in {"output", "run"}


def test_the_documented_exit_codes_are_the_codes():
    """A script relies on them."""
    table = PAGES["delivery.md"].split("## Exit codes")[1].split("##")[0]
    codes = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")}
    assert codes == set(ExitCode)


def promises():
    """Return the words that `promises.txt` lists for each command, and for codes, keys and variables."""
    text = (HERE / "tests" / "promises.txt").read_text(encoding="utf-8").partition("\n\n")[2].replace("\n  ", " ")
    listed = {
        name: set(words.split()) for name, _, words in (line.partition(":") for line in text.splitlines() if line)
    }
    for words in listed.values():
        while shared := {word for word in words if word.startswith("+")}:
            words.difference_update(shared)
            words.update(*(listed[name] for name in shared))
    return {name: words for name, words in listed.items() if not name.startswith("+")}


def spelled(parameter):
    """Return the words of an argument or option in `promises.txt`."""
    if parameter.param_type_name == "argument":
        return parameter.metavar.split()
    value = f"{'' if parameter.is_flag else '='}{'...' if parameter.multiple else ''}"
    return ["|".join([*parameter.opts, *parameter.secondary_opts]) + value]


PROMISED = promises()
OFFERED = {
    name: {word for parameter in command.params for word in spelled(parameter)}
    for name, command in [("nemo-jobs", ROOT), *COMMANDS.items()]
    if not command.hidden
} | {
    "sandbox": set(),  # its options follow the platform
    "exit codes": set(map(str, map(int, ExitCode))),
    "config keys": {"default_profile", *profiles.KEYS, *(f"run.keys.{key}" for key in profiles.RUN_KEYS)},
    "variables": set(re.findall(r"NEMO_JOBS_[A-Z_]*[A-Z]", DOCS)),  # all that the code reads, as a test above checks
}


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_there(name):
    """Scripts use it, and docs/stability.md says that they may."""
    gone = PROMISED[name] - OFFERED.get(name, set())
    assert name in OFFERED, f"docs/stability.md promises `{name}` in every 1.x"
    assert not gone, f"docs/stability.md promises {sorted(gone)} of `{name}` in every 1.x"


@pytest.mark.parametrize("name", OFFERED)
def test_what_is_there_is_promised(name):
    """Scripts may use it from now on."""
    new = OFFERED[name] - PROMISED.get(name, set())
    assert name in PROMISED, f"add the line `{name}:` to tests/promises.txt"
    assert not new, f"add {sorted(new)} to the line `{name}:` of tests/promises.txt"


def test_the_documented_numbers_are_the_numbers():
    """Which keys are numbers decides what is sent."""
    (row,) = re.findall(r"These keys are numbers: ([^.]*)\.", PAGES["fields.md"])
    assert set(re.findall(r"`(\w+)`", row)) == known_keys.NUMBERS | set(known_keys.NUMBER_ENDINGS)


COUNTS = {1: "", 2: "two ", 4: "four ", 9: "nine ", 10: "ten "}
UNITS = {1: "second", 60: "minute", 86400: "day"}


def words(seconds):
    """Return a time in words, such as `two minutes`."""
    unit = max(size for size in UNITS if seconds % size == 0)
    return f"{COUNTS[seconds // unit] or 'a '}{UNITS[unit]}{'s' if seconds > unit else ''}"


@pytest.mark.parametrize(
    ("page", "stated"),
    [
        ("run-and-stream.md", f"At most one request is sent each {words(run.Options().interval)[2:]}"),
        ("run-and-stream.md", f"At most one request is sent each {words(stream.Options().interval)[2:]}"),
        ("run-and-stream.md", f"a heartbeat (`lastUpdated`) after {run.Options().heartbeat:g} s without news"),
        ("run-and-stream.md", f"A report may wait {words(pace.ATTEMPT_LIMIT)} for a busy server"),
        ("run-and-stream.md", f"On a terminal they say so after {clock.LONG_WAIT:g} s"),
        ("run-and-stream.md", f"the last report has {FLOW_DEADLINE:g} s (`--deadline`)"),
        ("run-and-stream.md", f"the rest of its output is matched for up to {reports.MATCH_LIMIT:g} s"),
        ("run-and-stream.md", f"If none has arrived for {models.SILENT_AFTER:g} s"),
        ("delivery.md", f"On a terminal it says so after {clock.LONG_WAIT:g} s"),
        ("delivery.md", f"{DEFAULT_DEADLINE:g} s of wall-clock time from the start of the process"),
        ("delivery.md", f"Connecting gets {COUNTS[3 * client.CONNECT_SHARE]}thirds of the time"),
        ("delivery.md", f"older than {words(flush.MAX_AGE)} (`--max-age`)"),
        ("delivery.md", f"its first {COUNTS[listing.SHORTEST_ID]}or more characters"),
        ("delivery.md", f"other machines after {words(outbox.LEASE)}"),
        ("delivery.md", f"pauses for at least the interval ({run.Options().interval:g} s), and for"),
        ("delivery.md", f"for {COUNTS[pace.LATENCIES]}times as long as its last response took"),
        ("delivery.md", f"up to {pace.LONGEST / 60:g} minutes"),
        ("settings.md", f"`{DEFAULT_DEADLINE:g}s`; `{FLOW_DEADLINE:g}s` for `run` and `stream`"),
        ("settings.md", f"`{outbox.MAX_ENTRIES}` entries in the outbox"),
        ("fields.md", f"nesting over {_json_errors.MAX_DEPTH} levels"),
        ("fields.md", f"integers over {_json_errors.MAX_DIGITS:,} digits"),
        ("fields.md", f"An update over {files.LARGE >> 10} KiB gets a warning; one over {files.TOO_LARGE >> 20} MiB"),
        ("logs.md", f"`--tail` takes at most {logs.MAX_PAGE:,} lines"),
        ("logs.md", f"It looks for lines every {words(wait.INTERVAL)}"),
        ("logs.md", f"up to {wait.LONGEST_PAUSE:g} s after its response"),
        ("logs.md", f"`show --wait` prints the last {show.LOG_LINES} lines"),
        ("logs.md", f"shows the last {COUNTS[watch_view.LOG_LINES]}lines below the job"),
        ("python.md", f"A line of up to {channel.ATOMIC >> 10} KiB arrives in one piece"),
        ("completion.md", f"in the last {_cache.MAX_AGE / 86400:g} days"),
        ("completion --help", f"in the last {_cache.MAX_AGE / 86400:g} days"),
        ("update --help", f"more than {files.TOO_LARGE >> 20} MiB"),
        ("apply --help", f"more than {files.TOO_LARGE >> 20} MiB"),
        ("show --help", f"print the last {show.LOG_LINES} lines of its log"),
        ("show --help", f"at least {show.SHORTEST_INTERVAL * 1000:g}ms"),
        ("show --help", f"older than {models.SILENT_AFTER:g} s"),
        ("list --help", f"older than {models.SILENT_AFTER:g} s"),
    ],
)
def test_a_stated_number_is_the_real_one(nemo_jobs, page, stated):
    """In the docs and in the help; those of options are compared in cli/test_params.py."""
    text = nemo_jobs(*page.split()).out if page.endswith("--help") else PAGES[page]
    assert stated in " ".join(text.split())


def test_the_stated_python_is_the_required_one():
    """The oldest that pip accepts."""
    required = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f"You need Python {required.removeprefix('>=')} or newer" in README


def test_the_readme_is_short():
    """Everything else is a page in docs/."""
    assert len(README.splitlines()) <= 150


def test_the_readmes_two_commands_are_one_line_each():
    """They need only Python and a clone."""
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith("nemo-jobs show train-demo'")
    assert lines[1].endswith("pytest -n auto")


def test_the_changelog_has_this_version():
    """Each release has a section."""
    assert f"## [{__version__}]" in (HERE / "CHANGELOG.md").read_text(encoding="utf-8")


def test_contributing_names_a_real_test():
    """The first command that a newcomer runs selects a test."""
    text = (HERE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (path, word) = re.findall(r"pytest (tests/\S+) -k (\w+)", text)[0]
    assert re.search(rf"^def test_\w*{word}", (HERE / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_contributing_lists_every_room_and_names_real_modules():
    """The table of rooms and the steps of an update match the code."""
    text = (HERE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == rooms
    for room, module in re.findall(r"`(\w+)\.(\w+)`", text):
        assert room not in rooms or (PACKAGE / room / f"{module}.py").exists(), f"{room}.{module}"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_help_is_wider_than_the_terminal(nemo_jobs, monkeypatch, columns):
    """Sentences wrap; examples fit into 80 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, command in {"": ROOT, **COMMANDS}.items():
        ran = nemo_jobs(*name.split(), "--help")
        assert ran.code == 0
        fixed = {line.strip() for part in command.help.split("\n\n") for line in part.splitlines() if part[0] == "\b"}
        shown = [line for line in ran.out.splitlines() if line.strip() not in fixed]
        assert max(map(len, shown)) <= columns, name
        assert max(map(len, ran.out.splitlines())) <= max(columns, 80), name


def test_every_help_has_examples():
    """Also of subcommands and the program."""
    for name, command in {"": ROOT, **COMMANDS}.items():
        _, found, examples = command.help.partition("\b\nExamples:\n")
        assert found, name
        lines = examples.partition("\n\n")[0].splitlines()
        assert all(line.startswith("  ") for line in lines), name
        assert any(f"nemo-jobs {name}" in line for line in lines), name


def test_the_listed_summaries_are_those_of_the_commands():
    """They are stated twice so that the program's help imports no command."""
    assert {name: first_paragraph(COMMANDS[name].help) for name in app.COMMANDS} == app.COMMANDS
