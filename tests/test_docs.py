"""README, help and CHANGELOG say what is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from nemo_jobs_cli import __version__
from nemo_jobs_cli.cli import app
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import ExitCode
from nemo_jobs_cli.core.text import first_paragraph
from nemo_jobs_cli.settings import profiles

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


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_uses_options_that_exist(example):
    """Users copy them."""
    words = shlex.split(example)[1:]
    words = words[: words.index("--")] if "--" in words else words
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    known = {option for parameter in COMMANDS[name].params for option in [*parameter.opts, *parameter.secondary_opts]}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known


@pytest.mark.parametrize(
    "example", [line for line in EXAMPLES if line.startswith("nemo-jobs update") and not re.search(" -f|@=", line)]
)
def test_every_update_in_the_docs_is_valid(nemo_jobs, monkeypatch, example):
    """Each gives a request."""
    monkeypatch.setenv("NEMO_JOB_ID", "this-job")
    words = [word.replace("$n", "3").replace("$JOB", "this-job") for word in shlex.split(example)[1:]]
    ran = nemo_jobs(*words, "--dry-run")
    assert (ran.code, ran.err) == (0, "")


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


def test_the_documented_numbers_are_the_numbers():
    """Which keys are numbers decides what is sent."""
    (row,) = re.findall(r"These keys are numbers: ([^.]*)\.", PAGES["fields.md"])
    assert set(re.findall(r"`(\w+)`", row)) == known_keys.NUMBERS | set(known_keys.NUMBER_ENDINGS)


def test_the_readme_is_short():
    """Everything else is a page in docs/."""
    assert len(README.splitlines()) <= 150


def test_the_readmes_two_commands_are_one_line_each():
    """They need only Python and a clone."""
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith("nemo-jobs show train-demo'")
    assert lines[1].endswith("pytest")


def test_the_changelog_has_this_version():
    """Each release has a section."""
    assert f"## [{__version__}]" in (HERE / "CHANGELOG.md").read_text()


def test_contributing_lists_every_room_and_names_real_modules():
    """The map and the walk match the code."""
    text = (HERE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == rooms
    for room, module in re.findall(r"`(\w+)\.(\w+)`", text):
        assert room not in rooms or (PACKAGE / room / f"{module}.py").exists(), f"{room}.{module}"


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_no_help_is_wider_than_the_terminal(nemo_jobs, monkeypatch, name, columns):
    """Sentences wrap; examples fit into 80 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = nemo_jobs(*name.split(), "--help")
    assert ran.code == 0
    fixed = {
        line
        for part in (COMMANDS[name] if name else ROOT).help.split("\n\n")
        for line in part.splitlines()
        if part[0] == "\b"
    }
    shown = [line for line in ran.out.splitlines() if not any(line.strip() == one.strip() for one in fixed)]
    assert max(map(len, shown)) <= columns
    assert max(map(len, ran.out.splitlines())) <= max(columns, 80)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_has_examples(name):
    """Also of subcommands and the program."""
    _, found, examples = (COMMANDS[name] if name else ROOT).help.partition("\b\nExamples:\n")
    assert found
    lines = examples.partition("\n\n")[0].splitlines()
    assert all(line.startswith("  ") for line in lines)
    assert any(f"nemo-jobs {name}" in line for line in lines)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_listed_summaries_are_those_of_the_commands(name):
    """They are stated twice so that the program's help imports no command."""
    assert app.COMMANDS[name] == first_paragraph(COMMANDS[name].help)
