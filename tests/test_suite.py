"""The tests themselves: each has an assert, and none uses private names of the package."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import nemo_jobs_cli

pytestmark = pytest.mark.slow  # all tests are parsed

TESTS = Path(__file__).parent
PACKAGE = Path(nemo_jobs_cli.__file__).parent
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))

PROGRAM = re.compile(r"(?:from|import) nemo_jobs_cli")
PRIVATE = re.compile(r"_[^_]\w*")
PUBLIC = {"_replace", "_asdict", "_fields", "_exit"}  # of every named tuple, and of os

# Private modules that tests of other rooms import.
EXCEPTIONS = {
    "api/test_logs.py": {"sandbox._logs"},  # thousands of pages of a log, without a server
    "test_docs.py": {"completion._cache", "fields._json_errors"},  # compares numbers in docs with those of all rooms
}


def nodes_of(file):
    """Return the nodes of a module."""
    return list(ast.walk(ast.parse((TESTS / file).read_text(encoding="utf-8"))))


def is_private(name):
    """Return whether a name begins with one underscore, which makes it private to what defines it."""
    return PRIVATE.fullmatch(name) is not None and name not in PUBLIC


def with_programs(nodes):
    """Yield the nodes of a module, and of the programs in its texts."""
    for node in nodes:
        yield node
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PROGRAM.search(node.value):
            try:
                yield from ast.walk(ast.parse(node.value))
            except SyntaxError:
                continue


def split(name):
    """Yield the private module in a dotted name, and the private names behind it."""
    parts = name.removeprefix("nemo_jobs_cli.").split(".")
    if len(parts) > 1 and is_private(parts[1]) and PACKAGE.joinpath(parts[0], f"{parts[1]}.py").exists():
        yield ".".join(parts[:2])
        parts = parts[2:]
    yield from filter(is_private, parts)


def is_own(node):
    """Return whether a node is an attribute of `self`."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def private_names(nodes):
    """Return the private names that a test module uses; its own classes may have some."""
    own = {node.name for node in functions(nodes)}
    own |= {node.attr for node in nodes if is_own(node) and isinstance(node.ctx, ast.Store)}
    names = set()
    for node in with_programs(nodes):
        if isinstance(node, ast.Attribute):
            names |= set() if is_own(node) and node.attr in own else set(filter(is_private, [node.attr]))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nemo_jobs_cli"):
            names |= {word for alias in node.names for word in split(f"{node.module}.{alias.name}")}
        elif isinstance(node, ast.Import):
            names |= {word for alias in node.names for word in split(alias.name)}
        elif isinstance(node, ast.Call) and name_of(node).endswith("attr"):  # setattr of monkeypatch, getattr
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            names |= {part for word in words if isinstance(word, str) for part in split(word)}
    return names


def test_no_test_uses_private_names():
    """It would fail after a rename that no user notices; the tests of a room may import its private modules."""
    foreign = {
        str(file): {name for name in private_names(nodes_of(file)) if name.partition(".")[0] != file.parts[0]}
        for file in FILES
    }
    assert {file: names for file, names in foreign.items() if names} == EXCEPTIONS


def functions(nodes):
    """Return the functions of a module, also those of its classes and within functions."""
    return [node for node in nodes if isinstance(node, ast.FunctionDef)]


def name_of(call):
    """Return the last name of what a call calls, or "" for a function of the standard library."""
    if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in sys.stdlib_module_names:
        return ""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


EXPECTS = {"raises", "warns"}  # of pytest


def examine(function):
    """Return whether a function has an assert or expects an exception, and the names of what it calls."""
    nodes = list(ast.walk(function))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    names = set(map(name_of, calls))
    return bool(names & EXPECTS) or any(isinstance(node, ast.Assert) for node in nodes), names


def without_assert(file, examined):
    """Return the tests of a file that have no assert, and call no function with one beside or above the file."""
    shared = [path for path in FILES if not path.name.startswith("test_") and path.parent in file.parents]
    helpers = [row for path in (file, *shared) for row in examined[path] if not row[0].startswith("test_")]
    asserting = {name for name, has_assert, _ in helpers if has_assert}
    while more := {name for name, _, calls in helpers if calls & asserting} - asserting:
        asserting |= more
    tests = [row for row in examined[file] if row[0].startswith("test_")]
    return [name for name, has_assert, calls in tests if not has_assert and not calls & asserting]


def test_every_test_has_an_assert():
    """One without can hardly fail."""
    examined = {file: [(node.name, *examine(node)) for node in functions(nodes_of(file))] for file in FILES}
    assert {str(file): names for file in FILES if (names := without_assert(file, examined))} == {}
