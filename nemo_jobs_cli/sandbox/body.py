"""Read the body of a PATCH as NeMo Platform 0.6.0 does, oddities included."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    from nemo_jobs_cli.sandbox.wire import Reply

# Measured on 0.6.0: deeper parses but can't be written (500), much deeper can't be parsed (400).
DEEPEST_WRITTEN = 250
DEEPEST_PARSED = 1200


def is_json(content_type: str | None) -> bool:
    """Tell whether the server takes a body of this type for JSON; any other it takes for text."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return re.fullmatch(r"application/(.+\+)?json", kind) is not None


def parse(content_type: str | None, raw: bytes) -> Any:
    """Return the JSON value of a body (None when it is empty), or the Reply that refuses it."""
    if not raw:
        return None
    if not is_json(content_type):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return answers.crash()
    try:
        value = json.loads(raw)
    except json.JSONDecodeError as error:
        return answers.invalid(
            answers.problem("json_invalid", ("body", error.pos), "JSON decode error", {}, error=error.msg)
        )
    except (ValueError, RecursionError):  # bad UTF-8, an integer beyond Python's limit, deep nesting
        return answers.unreadable()
    return answers.unreadable() if depth(value) > DEEPEST_PARSED else value


def mapping(content_type: str | None, raw: bytes) -> dict[str, Any] | Reply:
    """Return the status details that a body carries, or the Reply that refuses it."""
    value = parse(content_type, raw)
    if isinstance(value, answers.Reply):
        return value
    if value is None:
        return answers.invalid(answers.problem("missing", ("body",), "Field required", None))
    if depth(value) > DEEPEST_WRITTEN:
        return answers.crash()
    try:
        if not isinstance(value, dict):
            says = "Input should be a valid dictionary"
            return answers.invalid(answers.problem("dict_type", ("body",), says, value))
        kept: dict[str, Any] = finite(value)
        answers.encode(kept)
    except ValueError:  # a lone surrogate is a 500 for ever
        return answers.crash()
    return kept


def finite(value: Any) -> Any:
    """Return a value with NaN and infinities as null, which is how the server stores them."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def depth(value: Any) -> int:
    """Return how many objects and lists are nested at most."""
    deepest, level = 0, [value]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        deepest += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest
