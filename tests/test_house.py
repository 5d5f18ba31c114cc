"""The layout of the package, beyond what the import contracts in pyproject.toml hold."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import nemo_jobs_cli
from nemo_jobs_cli.settings.model import Flags

ROOT = Path(nemo_jobs_cli.__file__).parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}


def attributes(path: Path) -> set[str]:
    """Return what a module uses of other modules, as `os.environ`."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def prints(path: Path) -> bool:
    """Return whether a module calls `print`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print" for node in ast.walk(tree))


def test_only_rooms_lie_in_the_package():
    """A newcomer sees the rooms at a glance."""
    assert {name for name in MODULES if "." not in name} == {"__init__", "__main__"}


def test_only_settings_read_the_environment():
    """Every setting has one way in; __main__ hands the environment to completion, where every millisecond counts."""
    readers = {name for name, path in MODULES.items() if attributes(path) & {"os.environ", "os.getenv"}}
    assert readers == {"settings.resolve", "__main__"}


def test_only_output_writes_to_the_streams():
    """All output passes one place that escapes it; __main__ flushes last, and `screen` asks for the terminal."""
    written = {"stdout.write", "stderr.write", "sys.stdout", "sys.stderr"}
    writers = {name for name, path in MODULES.items() if attributes(path) & written or prints(path)}
    views = {name for name in writers if name.endswith(".view")}
    assert {name for name in writers - views if not name.startswith("output.")} <= {"__main__"}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name):
    """A module of more than 300 lines does two things."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) < 300


def first_lines(path: Path) -> set[str]:
    """Return the first line of each docstring of a module."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    documented = (node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    return {text.splitlines()[0] for node in documented if (text := ast.get_docstring(node))}


@pytest.mark.parametrize("name", MODULES)
def test_the_first_line_of_a_docstring_is_short(name):
    """A longer one has two thoughts; help and completion show the first line of a command as its summary."""
    assert {line for line in first_lines(MODULES[name]) if len(line) > 72} == set()


def imports(path: Path) -> set[str]:
    """Return the names of the package's modules that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nemo_jobs_cli"):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("nemo_jobs_cli.") for name in names} & MODULES.keys()


IMPORTS = {name: imports(path) for name, path in MODULES.items()}
IMPORTERS = {
    name: {importer for importer, names in IMPORTS.items() if name in names} for name in MODULES if "." in name
}

# Only __main__ starts the application.
OTHER_DOORS = {"cli.main"}


def room(name: str) -> str:
    """Return the room of a module."""
    return name.partition(".")[0]


def test_every_private_module_has_a_contract():
    """The contracts in pyproject.toml hold that only its room imports it."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    protected = {module for contract in contracts for module in contract.get("protected_modules", ())}
    private = {f"nemo_jobs_cli.{name}" for name in IMPORTERS if re.search(r"\._[^_]", name)}
    assert protected - {"httpx", "rich", "pydantic_core"} == private


@pytest.mark.parametrize("name", [name for name in IMPORTERS if not name.rpartition(".")[2].startswith("_")])
def test_a_public_module_is_imported_by_another_room(name):
    """Otherwise it is not a door, and its name starts with an underscore."""
    importers = {room(importer) for importer in IMPORTERS[name]} - {room(name)}
    assert importers or room(name) == "commands" or name in OTHER_DOORS


def options_of_commands():
    """Yield each class of a command's options, with its module."""
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Options") and room(name) == "commands":
                yield pytest.param(path, node, id=f"{name}.{node.name}")


@pytest.mark.parametrize(("path", "options"), list(options_of_commands()))
def test_every_option_of_a_command_is_read(path, options):
    """One that is parsed and then ignored looks as if it worked."""
    fields = {f"options.{node.target.id}" for node in options.body if isinstance(node, ast.AnnAssign)}
    assert fields
    assert fields <= attributes(path)


def test_every_shared_option_is_read():
    """By the settings, the screen or a command."""
    read = {name.partition(".")[2] for path in MODULES.values() for name in attributes(path) if "flags." in name}
    assert set(Flags._fields) <= read
