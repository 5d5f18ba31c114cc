"""Parsing an unfinished command line, compared with Typer; unquoting and quoting words."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer._click.core import Context

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.completion import _table, answer, command_line, make_table
from nemo_jobs_cli.completion.command_line import bash_replacements, unquote

ROOT = typer.main.get_command(app.app)
COMMANDS = dict(make_table.commands(ROOT))
LEAVES = sorted(path for path, entry in _table.TREE.items() if not entry[3])
CURSOR = "cursor"

# Kinds of parts of a word, and the kind of the whole word.
WHOLE = {"field": "fields", "job-or-field": "fields", "condition-value": "condition"}


def context(path):
    """Return a context in which mistakes are not errors, as in Typer's own completion."""
    return Context(COMMANDS[path], info_name=path, resilient_parsing=True, help_option_names=["-h", "--help"])


def typer_parameter(path, before):
    """Return the parameter to which Typer assigns the word after `before`."""
    command = COMMANDS[path]
    values, _, _ = command.make_parser(context(path)).parse_args([*before, CURSOR])
    for parameter in command.params:
        value = values.get(parameter.name)
        if value == CURSOR or (isinstance(value, list | tuple) and CURSOR in value):
            return parameter
    return None


def typer_kind(path, before):
    """Return the kind of the word after `before` according to Typer."""
    parameter = typer_parameter(path, before)
    return "nothing" if parameter is None else make_table.kind(path, parameter)


def typer_options(path, before, typed):
    """Return the names of options that Typer's own completion offers."""
    command, typer_context = COMMANDS[path], context(path)
    command.parse_args(typer_context, list(before))
    return {item.value for item in command.shell_complete(typer_context, typed)}


@st.composite
def lines(draw):
    """Draw a command and words after it, as users and scripts type them."""
    path = draw(st.sampled_from(LEAVES))
    options = _table.TREE[path][1]
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


@settings(max_examples=5 * settings().max_examples)
@given(lines())
def test_a_word_has_the_kind_that_typer_gives_it(line):
    """Options with values in every form, clusters, arguments, `--`."""
    path, before = line
    if path in command_line.WRAPPERS and "--" in before:  # cut off before Typer sees it
        assert command_line.parse([*path.split(), *before, CURSOR], _table.TREE).kind == "wrapped"
        return
    cursor = command_line.parse([*path.split(), *before, CURSOR], _table.TREE)
    assert (cursor.path, WHOLE.get(cursor.kind, cursor.kind)) == (path, typer_kind(path, before))
    assert (cursor.prefix, cursor.typed) == ("", CURSOR)


@settings(max_examples=3 * settings().max_examples)
@given(lines(), st.sampled_from(["-", "--", "--no", "--o", "--profile", "-q", "--help"]))
def test_the_options_are_those_that_typer_offers(line, typed):
    """With all their names, without those that are already set and cannot repeat."""
    path, before = line
    waiting = typer_parameter(path, before)
    if "--" in before or (waiting is not None and waiting.param_type_name == "option"):
        return  # the word is not the name of an option
    cursor = command_line.parse([*path.split(), *before, typed], _table.TREE)
    assert cursor.kind == "option"
    offered = {word for word, _ in answer.candidates(cursor, answer.KnownNames(cursor, {})) if word.startswith(typed)}
    assert offered == typer_options(path, before, typed)


@pytest.mark.parametrize("path", [path for path, entry in _table.TREE.items() if entry[3]])
def test_the_commands_of_a_group_are_those_that_typer_offers(path):
    """Without hidden ones."""
    cursor = command_line.parse([*path.split(), ""], _table.TREE)
    offered = {word for word, _ in answer.candidates(cursor, answer.KnownNames(cursor, {}))}
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
        (["show", "-qZjs"], "option", "", "-qZjs"),
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
def test_the_cursor(words, kind, prefix, typed):
    """Its kind, the part of the word being typed, and the prefix before that part."""
    cursor = command_line.parse(words, _table.TREE)
    assert (cursor.kind, cursor.prefix, cursor.typed) == (kind, prefix, typed)


def test_options_and_arguments_before_the_cursor():
    """The last value of an option wins, as in the command itself."""
    cursor = command_line.parse(["show", "-w", "a", "--workspace=b", "-qv", "x", ""], _table.TREE)
    assert (cursor.option("--workspace"), cursor.option("--host"), cursor.arguments) == ("b", "", ["x"])
    assert cursor.options.keys() == {"--workspace", "--quiet", "--verbose"}


BREAKS = " \t\n\"'@><=;|&(:"  # bash's default
PLAIN = st.text("ab=:@ '\"\\$`!", max_size=20)


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_a_quoted_word_is_unquoted(text):
    """Quoting by shlex is reversed."""
    assert unquote(shlex.quote(text)) == (text, -1)


@given(PLAIN)
def test_a_whole_word_is_unquoted_as_by_shlex(raw):
    r"""Compare all words but those in which shlex differs from POSIX: it keeps the backslash of "\$" and "\`"."""
    assume('"' not in raw or not re.search(r"\\[$`]", raw))
    try:
        words = shlex.split(raw)
    except ValueError:
        return
    if len(words) == 1 and not raw[:1].isspace() and not raw[-1:].isspace():
        assert unquote(raw)[0] == words[0]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r'"\$ \` \" \\"', '$ ` " \\'),
        (r'"\a \! \'"', r"\a \! \'"),
        (r"\$\`\a\ ", "$`a "),
        (r"'\$\`'", r"\$\`"),
        ('a\\\nb"c\\\nd"', "abcd"),
    ],
)
def test_backslashes_escape_what_posix_says(raw, text):
    r"""In double quotes only $ ` " \ (section 2.2.3), elsewhere any character; a line break after one disappears."""
    assert unquote(raw) == (text, -1)


@pytest.mark.parametrize(
    ("raw", "text", "opened"),
    [
        ("", "", -1),
        ('"tra', "tra", 0),
        ('message="batch 3', "message=batch 3", 8),
        ("it\\'s", "it's", -1),
        ("'it\\", "it\\", 0),
        ('"a\\"b', 'a"b', 0),
        ('"a\\nb"', "a\\nb", -1),
        ("'a'\"b", "ab", 3),
    ],
)
def test_an_unfinished_word_may_have_an_open_quote(raw, text, opened):
    """Its position decides which part bash replaces."""
    assert unquote(raw) == (text, opened)


@pytest.mark.parametrize(
    ("raw", "words", "breaks", "replacements"),
    [
        ("tr", ["train-x", "trial"], BREAKS, ["train-x", "trial"]),
        ("status=ru", ["status=running"], BREAKS, ["running"]),
        ("status=ru", ["status=running"], " \t\n", ["status=running"]),
        ('status="ru', ["status=running"], BREAKS, ["running"]),
        ('"status=ru', ["status=running"], BREAKS, ["status=running"]),
        ("train@v", ["train@v2"], BREAKS, ["@v2"]),
        ("log@", ["log@="], BREAKS, ["@="]),
        ("tags:", ["tags:=", "tags:@="], BREAKS, ["=", "@="]),
        ("", ["a>=", "b"], BREAKS, ["a\\>=", "b"]),
        ("loss\\>=", ["loss>=1"], BREAKS, ["1"]),
        ("'loss>", ["loss>="], BREAKS, ["loss>="]),
        ('"tra"', ["train-x"], BREAKS, ["in-x"]),
        ("log@=~/no", ["log@="], BREAKS, [""]),
        ("log@=with\\ sp", ["log@="], BREAKS, [""]),
        ("log@=no", ["log@="], " \t\n", ["log@="]),
        ("my\\ log@=no", ["my log@="], " \t\n", ["my\\ log@="]),
        ("-f$HOME/no", ["-f"], BREAKS, ["-f"]),
        ("log@='with sp", ["log@="], " \t\n", [""]),
    ],
)
def test_bash_gets_the_text_after_its_last_break(raw, words, breaks, replacements):
    """Text in an open quote needs no backslash."""
    assert bash_replacements(raw, words, breaks) == replacements


@given(st.text("ab=:@.+", max_size=6), st.text("ab=:@.+>", max_size=6), st.sampled_from([BREAKS, " \t\n", " =:"]))
def test_the_typed_text_with_the_replacement_is_the_word(typed, rest, breaks):
    """With any COMP_WORDBREAKS."""
    (replacement,) = bash_replacements(typed, [typed + rest], breaks)
    cut = max((typed.rfind(char) + 1 for char in breaks), default=0)
    cut -= typed[cut - 1 : cut] == "@"
    assert unquote(typed[:cut] + replacement) == (typed + rest, -1)
