"""Check JSON output against docs/output.schema.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILE = Path(__file__).parent.parent / "docs/output.schema.json"

# Each document has the keys of the first; keys of an error depend on what failed.
OPEN = ("document", "error")


@cache
def schema() -> dict[str, Any]:
    """Return the schema as in the file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def _closed(part: Any) -> Any:
    """Return a part of the schema that allows no keys but those that it names."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    return closed | {"unevaluatedProperties": False} if "properties" in part else closed


@cache
def _validator() -> jsonschema.Draft202012Validator:
    definitions = {
        name: part if name in OPEN or name == "flushed" else _closed(part) for name, part in schema()["$defs"].items()
    }
    return jsonschema.Draft202012Validator({**schema(), "$defs": definitions})


def check(document: Any) -> None:
    """Raise an error for a document with a key or type that the schema does not promise."""
    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        raise AssertionError(
            f"docs/output.schema.json does not describe {json.dumps(document)[:2000]}\n{error.message}"
        )


def describes(name: str, document: Any) -> bool:
    """Return whether a definition of the schema describes a document."""
    return _validator().evolve(schema={"$ref": f"#/$defs/{name}"}).is_valid(document)
