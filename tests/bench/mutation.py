"""Change the package at random places, one at a time, and print the changes that no test notices.

    python tests/bench/mutation.py [--rooms fields run] [--sample 25] [--seed N] [--quick]

It changes files: run it in a copy of the repository that is installed with `pip install -e`, as `nox -s mutation` does.
Each change is tested with the tests of its room, and if they pass, with all others. It needs cosmic-ray; mutmut sets a
variable that the child processes of the tests do not get.
"""

from __future__ import annotations

import argparse
import ast
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cosmic_ray.work_item import WorkItem

ROOMS = ("fields", "transport", "auth", "delivery", "reporting", "run", "commands")
PACKAGE = Path("nemo_jobs_cli")

# Operators whose changes mostly mean the same: `is` for `==`, another type of exception.
SAME = ("_Is", "_IsNot", "ExceptionReplacer")

# Arguments whose change no test can see: a record that could be modified, a thread that ends with the process, lengths
# that are always equal.
SILENT = {"dataclass": ("frozen", "slots"), "Thread": ("daemon",), "zip": ("strict",)}

# A change may make a test hang: the tests are ended after this multiple of the time that they take without a change.
SLOWER = 5


def is_without_effect(tree: ast.Module, start: tuple[int, int]) -> bool:
    """Return whether a position is in an annotation, under TYPE_CHECKING, a silent argument, or a text's length."""
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            parts = [node]
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            parts = [word.value for word in node.keywords if word.arg in SILENT.get(name, ())]
            parts += node.args[1:] if name == "one_line" else []
        for part in filter(None, parts):
            if (part.lineno, part.col_offset) <= start < (part.end_lineno, part.end_col_offset):
                return True
    return False


def is_operator(tree: ast.Module, start: tuple[int, int]) -> bool:
    """Return whether a position is between two operands: a change of the `*` in `f(*words)` would be no Python."""
    operations = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    return any(
        (node.left.end_lineno, node.left.end_col_offset) <= start < (node.right.lineno, node.right.col_offset)
        for node in operations
    )


def identity(item: WorkItem) -> tuple[Path, tuple[int, int], str, int]:
    """Return what identifies a change."""
    mutation = item.mutations[0]
    return mutation.module_path, mutation.start_pos, mutation.operator_name, mutation.occurrence


def choose(items: Iterable[WorkItem], size: int) -> list[WorkItem]:
    """Choose `size` places at random and one change at each."""
    trees: dict[Path, ast.Module] = {}
    places: dict[tuple[Path, tuple[int, int]], list[WorkItem]] = {}
    for item in sorted(items, key=identity):  # the database returns them in random order
        mutation = item.mutations[0]
        path = mutation.module_path
        trees[path] = trees.get(path) or ast.parse(path.read_text(encoding="utf-8"))
        tree, place = trees[path], (path, mutation.start_pos)
        if mutation.operator_name.endswith(SAME) or is_without_effect(tree, mutation.start_pos):
            continue
        if "BinaryOperator" not in mutation.operator_name or is_operator(tree, mutation.start_pos):
            places.setdefault(place, []).append(item)
    return [random.choice(places[place]) for place in random.sample(list(places), min(size, len(places)))]


def test(room: str, size: int, *, quick: bool) -> tuple[int, int]:
    """Print the changes of a room that no test notices; return the numbers of changes and of noticed ones."""
    pytest = f"{sys.executable} -m pytest -q -x -p no:cacheprovider --hypothesis-profile=thorough"
    commands = [f"{pytest} tests/{room}", f"{pytest} tests --ignore tests/{room} --ignore tests/contract"]
    command = f"sh -c '{' && '.join(commands[: 1 if quick else 2])}'"
    start = time.monotonic()
    outcome, output = run_tests(command, None)
    if outcome != TestOutcome.SURVIVED:
        sys.exit(f"{output}the tests of {room} fail without any change: {command}")
    limit = SLOWER * (time.monotonic() - start)
    with tempfile.TemporaryDirectory() as folder, use_db(Path(folder) / "session.sqlite") as db:
        init(sorted((PACKAGE / room).glob("*.py")), db, {})
        items = choose(db.pending_work_items, size)
    count = noticed = timeouts = 0
    for item in items:
        result = mutate_and_test(item.mutations, command, limit)
        if result.worker_outcome == WorkerOutcome.NORMAL:
            count += 1
            noticed += result.is_killed
            timeouts += result.output == "timeout"
            if not result.is_killed:
                print(change(item, str(result.diff)), flush=True)
    print(f"{room}: {noticed}/{count} changes noticed, {timeouts} of them by a timeout", flush=True)
    return count, noticed


def change(item: WorkItem, diff: str) -> str:
    """Return the position of a change, and the lines that it replaces."""
    lines = [line for line in diff.splitlines() if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))]
    return "\n".join([f"{item.mutations[0].module_path}:{item.mutations[0].start_pos[0]}", *lines])


def main() -> int:
    """Run the tests on each room and print the result; return 1 below the aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=ROOMS)
    parser.add_argument("--sample", type=int, default=25)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--aim", type=float, default=97.0, help="noticed changes in percent")
    parser.add_argument("--quick", action="store_true", help="run only the tests of the room")
    options = parser.parse_args()
    if Path(".git").exists() or not PACKAGE.is_dir():
        parser.error("run it in a copy of the repository, without .git: it changes files")
    logging.getLogger("cosmic_ray").setLevel(logging.ERROR)
    print(f"seed {options.seed}", flush=True)
    total = noticed = 0
    for room in options.rooms:
        random.seed(options.seed)  # for each room: it can be repeated alone
        counts = test(room, options.sample, quick=options.quick)
        total, noticed = total + counts[0], noticed + counts[1]
    share = 100 * noticed / max(1, total)
    print(f"{share:.1f} % of {total} changes noticed (aim {options.aim:g} %)")
    return int(share < options.aim)


if __name__ == "__main__":
    sys.exit(main())
