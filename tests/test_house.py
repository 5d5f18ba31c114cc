"""The shape of the house: who may import whom, who may touch what."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import nemo_jobs_cli

ROOT = Path(nemo_jobs_cli.__file__).parent

LAYERS = {
    "pure": {
        "__init__", "wellformed", "folders", "shellwords", "table", "cmdline", "seen", "candidates", "shell_bash", "shell_zsh", "shell_fish", "scripts",
        "errors", "sanitize", "names", "keys", "durations", "jsonscan", "jsonfaults", "slips", "misuse", "jsontext", "values", "timestamps",
        "typed", "fields", "conditions", "origins", "headers", "settings", "sources", "routes", "answers", "verdicts",
        "retry", "deadline", "outcome", "fold", "lines", "fieldlines", "lifecycle", "ranks", "entries", "staleness", "states", "bulk", "throttle", "worst", "estimate", "repaint", "failures", "refusals", "questions", "interview",
        "sandbox_answers", "sandbox_body", "sandbox_create", "sandbox_faults", "sandbox_listing", "sandbox_routes",
        "sandbox_state", "checks", "judging",
    },
    "edges": {
        "inputs", "feeds", "places", "bounded", "atomic", "recall", "shellrc", "installing", "outbox", "tally", "profiles", "profile_store", "token_files", "prompt", "official_config", "config", "screens", "lean", "connection", "watch", "client", "tokens", "statuses", "signals", "child", "pump", "terminal", "channel", "turns", "matching",
        "render", "render_rich", "render_jobs", "render_list", "render_frames", "render_watch", "render_sandbox", "render_stream", "render_run", "render_keeping", "render_apply", "render_completion", "render_live", "render_doctor", "render_setup",
        "salvage", "probe",
        "sandbox_http", "sandbox",
    },
    "junction": {
        "exchange", "workload", "credentials", "describing", "session", "queries", "lookups", "waiting", "compose", "complaints",
        "delivery", "plan", "options", "intake", "listener", "reporter", "keeping", "backlog", "applying", "quick", "remember", "tabling", "helptext", "profile_values", "token_options", "trial", "checkup", "near", "far", "access", "completing",
    },
    "commands": set(),  # every module of the folder
    "cli": {"tree", "cli", "__main__"},
}  # fmt: skip

ONLY_IN = {
    "httpx": {"client", "connection", "lean"},
    "rich": {"render_rich", "render_list", "render_frames", "render_watch", "render_doctor"},
    "yaml": {"official_config"},
    "tomlkit": {"profile_store"},
    "regex": {"matching"},
    "click": set(),
    "asyncio": set(),
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its dotted name below the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name] = ast.parse(path.read_text())
    return found


def layer(name: str) -> int:
    """Return the layer of a module, 0 the purest."""
    if name.startswith("commands"):
        return list(LAYERS).index("commands")
    return next(index for index, names in enumerate(LAYERS.values()) if name in names)


def runtime_nodes(tree: ast.Module) -> list[ast.AST]:
    """Return the nodes of a module without those under `if TYPE_CHECKING`."""
    nodes: list[ast.AST] = []
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        nodes.append(node)
        queue.extend(ast.iter_child_nodes(node))
    return nodes


def imports(tree: ast.Module) -> set[str]:
    """Return the dotted names that a module imports at run time, our own without the package's name."""
    found = set()
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "nemo_jobs_cli":
                found |= {f"nemo_jobs_cli.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def own(tree: ast.Module) -> set[str]:
    """Return the modules of the package that a module imports."""
    return {name.removeprefix("nemo_jobs_cli.") for name in imports(tree) if name.startswith("nemo_jobs_cli.")} - {
        "__version__"
    }


def test_every_module_has_a_layer():
    """A new module says where it belongs; a removed one leaves no trace here."""
    placed = set().union(*LAYERS.values())
    flat = {name for name in modules() if "." not in name}
    assert flat == placed


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name):
    """A module imports from its own layer or a purer one; commands never import each other."""
    for other in own(modules()[name]):
        assert layer(other) <= layer(name), f"{name} imports {other}"
        assert not (name.startswith("commands.") and other.startswith("commands.")), f"{name} imports {other}"


def test_no_import_goes_in_a_circle():
    """The modules can be read in an order in which each knows only those before it."""
    graph = {name: own(tree) for name, tree in modules().items()}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and needs & graph.keys() <= done}
        assert free, f"a circle among {sorted(graph.keys() - done)}"
        done |= free


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_foreign_library_has_one_home(library):
    """httpx, rich, YAML and TOML writing can be replaced in one place each."""
    users = {
        name for name, tree in modules().items() if any(used.partition(".")[0] == library for used in imports(tree))
    }
    assert users <= ONLY_IN[library]


@pytest.mark.parametrize("name", sorted(LAYERS["pure"]))
def test_pure_modules_do_no_input_output(name):
    """What is pure needs no clock, no file, no network and no third party."""
    impure = {
        "os",
        "sys",
        "time",
        "socket",
        "subprocess",
        "threading",
        "random",
        "pathlib",
        "typer",
        "pydantic",
    }
    assert not {used.partition(".")[0] for used in imports(modules()[name])} & impure


def attributes(tree: ast.Module) -> set[str]:
    """Return what a module uses of other modules, as `os.environ`."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in runtime_nodes(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_only_config_reads_the_environment():
    """Every setting has one way in, so that its origin is known; __main__ hands it to the answer to a TAB, whose time is short."""
    readers = {name for name, tree in modules().items() if attributes(tree) & {"os.environ", "os.getenv"}}
    assert readers <= {"config", "__main__"}


def test_only_render_writes_to_the_streams():
    """Everything a user sees passes one place that makes it harmless.

    The last flush is __main__'s; screens only asks whether stdout is a terminal.
    """
    writers = set()
    for name, tree in modules().items():
        if name.startswith("render"):
            continue
        calls = {
            node.func.id
            for node in runtime_nodes(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if "print" in calls or attributes(tree) & {"stdout.write", "stderr.write", "sys.stdout", "sys.stderr"}:
            writers.add(name)
    assert writers <= {"__main__", "screens"}


def test_no_module_is_long():
    """A module that passes 300 lines is two modules."""
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 300, path.name
