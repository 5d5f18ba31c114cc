"""The layout of the package, beyond what the import contracts in pyproject.toml hold."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import nemo_jobs_cli
from nemo_jobs_cli.settings.model import Flags

ROOT = Path(nemo_jobs_cli.__file__).parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def nodes(name: str) -> list[ast.AST]:
    """Return all nodes of a module, each parent before its children."""
    return list(ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))))


@cache
def attributes(name: str) -> set[str]:
    """Return what a module uses of other modules, as `os.environ`."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in nodes(name)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def prints(name: str) -> bool:
    """Return whether a module calls `print`."""
    return any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" for node in nodes(name))


def test_only_rooms_lie_in_the_package():
    """A newcomer sees the rooms at a glance."""
    assert {name for name in MODULES if "." not in name} == {"__init__", "__main__"}


def test_only_settings_read_the_environment():
    """Every setting has one way in; __main__ hands the environment to completion, where every millisecond counts."""
    readers = {name for name in MODULES if attributes(name) & {"os.environ", "os.getenv"}}
    assert readers == {"settings.resolve", "__main__"}


def test_only_output_writes_to_the_streams():
    """All output passes one place that escapes it; __main__ flushes last, and `screen` asks for the terminal."""
    written = {"stdout.write", "stderr.write", "sys.stdout", "sys.stderr"}
    writers = {name for name in MODULES if attributes(name) & written or prints(name)}
    views = {name for name in writers if name.endswith(".view")}
    assert {name for name in writers - views if not name.startswith("output.")} <= {"__main__"}


def test_no_module_is_long():
    """A module of more than 300 lines does two things."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length >= 300} == {}


def first_lines(name: str) -> set[str]:
    """Return the first line of each docstring of a module."""
    documented = (node for node in nodes(name) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    return {text.splitlines()[0] for node in documented if (text := ast.get_docstring(node))}


def test_the_first_line_of_a_docstring_is_short():
    """A longer one has two thoughts; help and completion show the first line of a command as its summary."""
    assert {(name, line) for name in MODULES for line in first_lines(name) if len(line) > 72} == set()


def imports(name: str) -> set[str]:
    """Return the names of the package's modules that a module imports."""
    names = set()
    for node in nodes(name):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nemo_jobs_cli"):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("nemo_jobs_cli.") for name in names} & MODULES.keys()


IN_ROOMS = [name for name in MODULES if "." in name]


def room(name: str) -> str:
    """Return the room of a module."""
    return name.partition(".")[0]


def test_every_private_module_has_a_contract():
    """The contracts in pyproject.toml hold that only its room imports it."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    protected = {module for contract in contracts for module in contract.get("protected_modules", ())}
    private = {f"nemo_jobs_cli.{name}" for name in IN_ROOMS if re.search(r"\._[^_]", name)}
    assert protected - {"httpx", "rich", "pydantic_core"} == private


def test_a_public_module_is_imported_by_another_room():
    """Otherwise it is private to its room, and its name starts with an underscore."""
    public = {name for name in IN_ROOMS if not name.rpartition(".")[2].startswith("_") and room(name) != "commands"}
    imported = {name for importer in MODULES for name in imports(importer) if room(name) != room(importer)}
    assert public - imported == set()


def test_every_option_of_a_command_is_read():
    """One that is parsed and then ignored looks as if it worked."""
    fields = {
        (name, f"options.{field.target.id}")
        for name in IN_ROOMS
        if room(name) == "commands"
        for node in nodes(name)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options")
        for field in node.body
        if isinstance(field, ast.AnnAssign)
    }
    assert len({name for name, _ in fields}) > 9
    assert {(name, field) for name, field in fields if field not in attributes(name)} == set()


def test_every_shared_option_is_read():
    """By the settings, the screen or a command."""
    read = {attribute.partition(".")[2] for name in MODULES for attribute in attributes(name) if "flags." in attribute}
    assert set(Flags._fields) <= read
