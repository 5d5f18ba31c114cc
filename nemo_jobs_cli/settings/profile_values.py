"""Read what a user gives as the value of a profile's key: refused at once, not at the next update."""

from __future__ import annotations

import sys
from typing import Any

from nemo_jobs_cli.core import tokens
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import profiles, resolve

LONGEST_VALUE = 64 * 1024

# What a command line can set: the table `run` takes an editor.
KEYS = tuple(key for key in profiles.KEYS if key != "run")


def parse(key: str, text: str) -> Any:
    """Return the text of a value as the profile holds it; raise UsageError for what no profile takes."""
    if key not in KEYS:
        raise unknown(key, KEYS)
    if not profiles.is_utf8(text):
        raise UsageError(f"the value of {key} is not UTF-8 text", "the file holds UTF-8 alone: rename, or convert it")
    kinds = profiles.KEYS[key]
    value: Any = text
    if bool in kinds:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kinds == (list,):
        value = [entry.strip() for entry in text.split(",") if entry.strip()]
    elif not text:
        raise UsageError(f"the value of {key} is empty", f"take it out with: nemo-jobs config unset {key}")
    wanted = profiles.wanted(key, value)
    if wanted is not None:
        example = f"nemo-jobs config set {key} {wanted.partition(' ')[0]}"
        raise UsageError(f"{key} must be {wanted}: {one_line(text, 60)!r}", f"write, say: {example}")
    try:
        if key == "token":
            tokens.clean(text, "stdin")
        resolve.check_setting(key, value)
    except SettingsError as error:
        raise UsageError(error.message, error.hint, pointer=error.pointer) from None
    return value


def from_stdin() -> str:
    """Return stdin without the space around it; raise UsageError where it can't be a value."""
    try:
        text = sys.stdin.read(LONGEST_VALUE + 1) if sys.stdin else ""
    except (OSError, ValueError):
        raise UsageError("stdin is not UTF-8 text, or can't be read", "look what is piped into this") from None
    if len(text) > LONGEST_VALUE:
        raise UsageError(f"stdin holds more than {LONGEST_VALUE >> 10} KiB", "look what is piped into this")
    return text.strip()


def unknown(key: str, known: tuple[str, ...]) -> UsageError:
    """Return the error for a key that is no setting."""
    import difflib

    if key.partition(".")[0] == "run":
        return UsageError(
            "run is a table, which a command line can't hold",
            "write [profiles.NAME.run.keys] in the file that nemo-jobs config path prints",
        )
    close = difflib.get_close_matches(key, known, n=1)
    return UsageError(
        f"{one_line(key, 60)!r} is no setting",
        f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}",
    )
