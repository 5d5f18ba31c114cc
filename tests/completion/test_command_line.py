"""The command line that is being typed, held against Typer's own reading of it."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer._click.core import Context

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.completion import answer, command_line, make_table, table

ROOT = typer.main.get_command(app.app)
COMMANDS = dict(make_table.commands(ROOT))
LEAVES = sorted(path for path, entry in table.TREE.items() if not entry[3])
CURSOR = "cursor"

# What is split further, and what it is as a whole.
WHOLE = {"field": "fields", "job-or-field": "fields", "condition-value": "condition"}


def context(path):
    """Return a context in which a mistake is no error, as Typer's own completion has it."""
    return Context(COMMANDS[path], info_name=path, resilient_parsing=True, help_option_names=["-h", "--help"])


def typers_parameter(path, before):
    """Return the parameter that Typer takes the word behind `before` for: the cursor's word shows where it lands."""
    command = COMMANDS[path]
    found, _, _ = command.make_parser(context(path)).parse_args([*before, CURSOR])
    for parameter in command.params:
        value = found.get(parameter.name)
        if value == CURSOR or (isinstance(value, list | tuple) and CURSOR in value):
            return parameter
    return None


def typers_place(path, before):
    """Return the kind of word that Typer reads behind `before`."""
    parameter = typers_parameter(path, before)
    return "nothing" if parameter is None else make_table.kind(path, parameter)


def typers_options(path, before, typed):
    """Return the names of options that Typer's own completion offers."""
    command, here = COMMANDS[path], context(path)
    command.parse_args(here, list(before))
    return {item.value for item in command.shell_complete(here, typed)}


@st.composite
def lines(draw):
    """Draw a command and words behind it, as people and scripts type them."""
    path = draw(st.sampled_from(LEAVES))
    options = table.TREE[path][1]
    words: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        names, kind, _, _ = draw(st.sampled_from(options))
        name = draw(st.sampled_from(names))
        value = draw(st.sampled_from(["x", "train-x", "a=b", "3", "", "--", "-"]))
        switches = [names[1][1] for names, kind, _, _ in options if not kind and len(names) > 1 and len(names[1]) == 2]
        words += draw(
            st.sampled_from(
                [
                    ["train-x"],
                    ["progress=45"],
                    [name] if not kind else [name, value],
                    [name] if not kind or name[:2] != "--" else [f"{name}={value}"],
                    [name] if kind and name[:2] != "--" else ["x"],
                    [f"-{switches[0]}{name[1:]}"] if switches and len(name) == 2 else ["y"],
                ]
            )
        )
    if path not in command_line.WRAPPERS and draw(st.integers(0, 9)) == 0:
        words.append("--")
    return path, words


@settings(max_examples=4000)
@given(lines())
def test_a_word_is_what_typer_would_take_it_for(line):
    """Thousands of command lines: options with values in every form, clusters, arguments, `--`."""
    path, before = line
    if path in command_line.WRAPPERS and "--" in before:  # cut off before Typer sees it
        assert command_line.parse([*path.split(), *before, CURSOR], table.TREE).kind == "wrapped"
        return
    place = command_line.parse([*path.split(), *before, CURSOR], table.TREE)
    assert (place.path, WHOLE.get(place.kind, place.kind)) == (path, typers_place(path, before))
    assert (place.prefix, place.typed) == ("", CURSOR)


class Nothing:
    """Nothing is known."""

    def jobs(self):
        return {}

    def workspaces(self):
        return []

    def profiles(self):
        return []

    def own_job(self):
        return ""


@settings(max_examples=2000)
@given(lines(), st.sampled_from(["-", "--", "--no", "--o", "--profile", "-q", "--help"]))
def test_the_options_are_those_that_typer_offers(line, typed):
    """Each by all its names; those that were given and can't repeat are left out."""
    path, before = line
    waiting = typers_parameter(path, before)
    if "--" in before or (waiting is not None and waiting.param_type_name == "option"):
        return  # then nothing is an option's name
    place = command_line.parse([*path.split(), *before, typed], table.TREE)
    assert place.kind == "option"
    offered = {word for word, _ in answer.candidates(place, Nothing()) if word.startswith(typed)}
    assert offered == typers_options(path, before, typed)


@pytest.mark.parametrize("path", [path for path, entry in table.TREE.items() if entry[3]])
def test_a_groups_commands_are_those_that_typer_offers(path):
    """And no hidden one."""
    place = command_line.parse([*path.split(), ""], table.TREE)
    offered = {word for word, _ in answer.candidates(place, Nothing())}
    assert offered == {item.value for item in COMMANDS[path].shell_complete(context(path), "")}


@pytest.mark.parametrize(
    ("words", "kind", "prefix", "typed"),
    [
        ([""], "command", "", ""),
        (["-"], "option", "", "-"),
        (["no-such", ""], "nothing", "", ""),
        (["config", ""], "command", "", ""),
        (["config", "no-such", ""], "nothing", "", ""),
        (["config", "--he"], "option", "", "--he"),
        (["update", "tr"], "job-or-field", "", "tr"),
        (["update", "x", "pro"], "field", "", "pro"),
        (["update", "x", "status=ru"], "value", "status=", "ru"),
        (["update", "x", "tags:=t"], "value", "tags:=", "t"),
        (["update", "x", "log@=no"], "file", "log@=", "no"),
        (["update", "x", "m:@=no"], "file", "m:@=", "no"),
        (["update", "x", "a=b=c"], "value", "a=", "b=c"),
        (["update", "--", "-x"], "job-or-field", "", "-x"),
        (["update", "--file=no"], "file", "--file=", "no"),
        (["update", "-fno"], "file", "-f", "no"),
        (["show", "--output=js"], "output", "--output=", "js"),
        (["show", "-ojs"], "output", "-o", "js"),
        (["show", "-qojs"], "output", "-qo", "js"),
        (["show", "-qo", "js"], "output", "", "js"),
        (["show", "-o", "-"], "output", "", "-"),
        (["show", "--until", "prog"], "condition", "", "prog"),
        (["show", "--until", "progress>=5"], "condition-value", "progress>=", "5"),
        (["show", "--until=status=r"], "condition-value", "--until=status=", "r"),
        (["list", "--state", "active,com"], "states", "active,", "com"),
        (["show", "x", "y"], "nothing", "", "y"),
        (["run", "x", "--", "ls", "-"], "wrapped", "", "-"),
        (["run", "-q", "--", ""], "wrapped", "", ""),
        (["show", "--quiet=x"], "option", "", "--quiet=x"),
    ],
)
def test_the_place_of_the_cursor(words, kind, prefix, typed):
    """The parts of a word, and what stands before the part that is being typed."""
    place = command_line.parse(words, table.TREE)
    assert (place.kind, place.prefix, place.typed) == (kind, prefix, typed)


def test_what_was_said_is_known():
    """The last value of an option counts, as for the command itself."""
    place = command_line.parse(["show", "-w", "a", "--workspace=b", "-qv", "x", ""], table.TREE)
    assert (place.option("--workspace"), place.option("--host"), place.arguments) == ("b", "", ["x"])
    assert place.options.keys() == {"--workspace", "--quiet", "--verbose"}
