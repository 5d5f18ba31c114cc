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
from pathlib import Path

from cosmic_ray.commands import execute, init
from cosmic_ray.config import ConfigDict
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOMS = ("fields", "transport", "auth", "delivery", "reporting", "run")
PACKAGE = Path("nemo_jobs_cli")

# Operators whose changes mostly mean the same: `is` for `==`, another type of exception.
SAME = ("_Is", "_IsNot", "ExceptionReplacer")

# Seconds that the tests of a room may take: a change may make a test wait.
LIMIT = 600.0


def is_without_effect(tree: ast.Module, start: tuple[int, int]) -> bool:
    """Return whether a position is in an annotation, under TYPE_CHECKING, or the length at which a text is cut."""
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            parts = [node]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "one_line":
            parts = node.args[1:]
        for part in filter(None, parts):
            if (part.lineno, part.col_offset) <= start < (part.end_lineno, part.end_col_offset):
                return True
    return False


def sample(db: WorkDB, size: int) -> None:
    """Choose `size` places at random and one change at each; skip all other changes."""
    trees: dict[Path, ast.Module] = {}
    places: dict[tuple[Path, tuple[int, int]], list[str]] = {}
    for item in db.pending_work_items:
        mutation = item.mutations[0]
        path = mutation.module_path
        trees[path] = trees.get(path) or ast.parse(path.read_text(encoding="utf-8"))
        if not mutation.operator_name.endswith(SAME) and not is_without_effect(trees[path], mutation.start_pos):
            places.setdefault((path, mutation.start_pos), []).append(item.job_id)
    chosen = {random.choice(places[place]) for place in random.sample(list(places), min(size, len(places)))}
    for item in list(db.pending_work_items):
        if item.job_id not in chosen:
            db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))


def test(db_path: Path, room: str, size: int, *, quick: bool) -> tuple[int, int, list[str]]:
    """Return the numbers of tested changes of a room and of timeouts, and the changes that no test notices."""
    pytest = f"{sys.executable} -m pytest -q -x -p no:cacheprovider"
    commands = [f"{pytest} tests/{room}", f"{pytest} tests --ignore tests/{room} --ignore tests/contract"]
    command = " && ".join(commands[: 1 if quick else 2])
    if run_tests(f"sh -c '{command}'", LIMIT)[0] != TestOutcome.SURVIVED:
        sys.exit(f"the tests of {room} fail without any change: {command}")
    config = ConfigDict(
        {
            "module-path": str(PACKAGE / room),
            "timeout": LIMIT,
            "test-command": f"sh -c '{command}'",
            "distributor": {"name": "local"},
        }
    )
    with use_db(db_path) as db:
        init(sorted((PACKAGE / room).glob("*.py")), db, {})
        sample(db, size)
        execute(db, config)
        results = [result for _, result in db.completed_work_items if result.worker_outcome == WorkerOutcome.NORMAL]
    timeouts = sum(result.output == "timeout" for result in results)
    return len(results), timeouts, [str(result.diff) for result in results if not result.is_killed]


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
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    total = survived = 0
    for room in options.rooms:
        with tempfile.TemporaryDirectory() as folder:
            count, timeouts, diffs = test(Path(folder) / "session.sqlite", room, options.sample, quick=options.quick)
        noticed = f"{room}: {count - len(diffs)} of {count} changes noticed, {timeouts} of them by a timeout"
        print(noticed, *diffs, sep="\n", flush=True)
        total, survived = total + count, survived + len(diffs)
    share = 100 * (total - survived) / max(1, total)
    print(f"{share:.1f} % of {total} changes noticed (aim {options.aim:g} %)")
    return int(share < options.aim)


if __name__ == "__main__":
    sys.exit(main())
