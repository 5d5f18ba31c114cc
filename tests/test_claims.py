"""Each claim of README, docs and SECURITY.md names the tests that hold it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def claims() -> dict[str, list[tuple[str, list[str]]]]:
    """Return the claims of each page, each with its tests."""
    text = (TESTS / "claims.txt").read_text(encoding="utf-8")
    rows: dict[str, list[tuple[str, list[str]]]] = {}
    for line in text.partition("\n\n")[2].splitlines():
        if line.startswith("## "):
            page = rows.setdefault(line[3:], [])
        elif line.startswith(" "):
            page[-1][1].append(line.strip())
        elif line:
            page.append((line, []))
    return rows


CLAIMS = claims()

# Sections that claim nothing of the program.
NO_CLAIMS = {"Documentation", "Report a vulnerability"}


@cache
def functions(path: Path) -> set[str]:
    """Return the names of the functions in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@cache
def sections(page: str) -> dict[str, str]:
    """Return the text of each section of a page by its heading, in one line."""
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    first, *rest = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = {"": first} | dict(part.split("\n", 1) for part in rest)
    return {heading: " ".join(text.split()) for heading, text in parts.items()}


def exists(name: str) -> bool:
    """Return whether a test, or a task of nox, exists; `name` is as in claims.txt."""
    file, _, test = name.partition(" ")
    if file == "nox":
        return test in functions(ROOT / "noxfile.py")
    folder, _, module = file.rpartition("/")
    return f"test_{test}" in functions(TESTS / folder / f"test_{module}.py")


@pytest.mark.parametrize("page", CLAIMS)
def test_a_claim_has_its_tests(page):
    """The page says so, and the tests exist."""
    assert [words for words, _ in CLAIMS[page] if not any(words in text for text in sections(page).values())] == []
    assert [words for words, names in CLAIMS[page] if not names] == []
    assert [(words, name) for words, names in CLAIMS[page] for name in names if not exists(name)] == []


@pytest.mark.parametrize(
    "page", sorted(path.name for path in [ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/*.md")])
)
def test_every_section_has_a_claim(page):
    """A new section needs its rows."""
    without = {
        heading
        for heading, text in sections(page).items()
        if heading and not any(words in text for words, _ in CLAIMS.get(page, []))
    }
    assert without <= NO_CLAIMS


def test_every_promise_of_security_has_a_claim():
    """One row or more for each item of the list."""
    items = sections("SECURITY.md")["Promises"].split(" - ")[1:]
    assert len(items) > 10
    assert [item for item in items if not any(words in item for words, _ in CLAIMS["SECURITY.md"])] == []
