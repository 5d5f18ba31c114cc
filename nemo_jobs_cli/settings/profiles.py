"""Read our own config file: profiles in TOML."""

from __future__ import annotations

import errno
import os
import stat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import one_line, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A plain table, not a schema: nearly every command reads this file, and importing pydantic's core takes 20 ms.
KEYS: dict[str, tuple[type, ...]] = {
    "host": (str,),
    "workspace": (str,),
    "token": (str,),
    "token_file": (str,),
    "token_command": (str, list),
    "ca_file": (str,),
    "allow_http": (bool,),
    "deadline": (str, int, float),
    "numbers": (list,),
    "api": (str,),
    "outbox": (bool,),
    "outbox_dir": (str,),
    "best_effort": (bool,),
    "stamp": (bool,),
    "run": (dict,),
}
CHOICES = {"api": ("auto", "jobs", "attempts")}
RUN_KEYS = ("status", "run", "error", "lastUpdated")
PATHS = ("token_file", "ca_file", "outbox_dir")

DEFAULT = "default"

LONGEST_FILE = 1024 * 1024
LONGEST_READ = 10.0  # seconds


class Profile(NamedTuple):
    """The checked settings of a profile; `source` names it and its file."""

    name: str
    source: str
    values: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        """Return only the names: values may be tokens."""
        return f"Profile({self.name!r}, {sorted(self.values)})"


def load(path: Path, *, must_exist: bool, limit: float = LONGEST_READ) -> dict[str, Any]:
    """Return the whole file, checked; {} if it may be missing.

    For `limit` see `read_text`.
    """
    import tomllib

    try:
        document = tomllib.loads(read_text(path, limit))
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise SettingsError(
                f"cannot read the config file {display_path(path)}: no such file",
                "correct NEMO_JOBS_CONFIG, or create the file: nemo-jobs init",
            ) from None
        return {}
    except UnicodeDecodeError as error:
        raise _invalid(path, f"not UTF-8 text at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise _invalid(path, one_line(str(error), 200)) from None
    except (ValueError, RecursionError):  # tomllib does not catch Python's own limits
        raise _invalid(path, "number too large or nesting too deep") from None
    except OSError as error:
        raise SettingsError(
            f"cannot read the config file {display_path(path)}: {error.strerror}",
            "correct it, or set NEMO_JOBS_CONFIG",
        ) from None
    check(document, path)
    return document


def read_text(path: Path, limit: float = LONGEST_READ) -> str:
    """Return a config file's text, or raise OSError.

    A pipe may have no writer: that is an error after `limit` seconds.
    """

    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(LONGEST_FILE + 1)

    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            from nemo_jobs_cli.core import clock  # imports random, which --help does not need

            data = clock.run_within(limit, read)
        else:
            data = read()
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "timed out, because it is a pipe without a writer") from None
    if len(data) > LONGEST_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8")


def select(document: dict[str, Any], name: str | None, path: Path, source: str = "--profile") -> Profile | None:
    """Return the profile `name` or the default one, or None.

    `source` is where `name` is from.
    """
    profiles = document.get("profiles", {})
    source = source if name else "default_profile"
    name = name or default_name(document)
    if name is None:
        return None
    if name not in profiles:
        known = ", ".join(sorted(profiles))
        fallback = f"use one of: {one_line(known, 200)}" if known else "create one: nemo-jobs init"
        raise SettingsError(
            f"no profile {display_name(name)!r} in {display_path(path)} ({source})",
            suggest(name, profiles) or fallback,
        )
    values = {key: resolve_path(value, path) if key in PATHS else value for key, value in profiles[name].items()}
    return Profile(name, f"profile {display_name(name)} ({display_path(path)})", values)


def default_name(document: Mapping[str, Any]) -> str | None:
    """Return the name of the default profile, which may be missing, or None."""
    return document.get("default_profile") or (DEFAULT if DEFAULT in document.get("profiles", {}) else None)


def resolve_path(value: str, path: Path) -> str:
    """Return a path in a profile, relative to the folder of `path`."""
    # Path.expanduser raises for an unknown home; here the error comes when the path is used.
    return str(path.parent / os.path.expanduser(value))  # noqa: PTH111


def check_name(name: str | None, flag: str = "--profile") -> None:
    """Raise UsageError if `name` cannot be the name of a profile."""
    if name == "":
        alternative = ", or omit --profile" if flag == "--profile" else ""
        raise UsageError(f"{flag} is empty", f"name a profile{alternative} (is a shell variable unset?)")
    if name is not None and not is_utf8(name):
        raise UsageError(f"invalid {flag}: not UTF-8 text", "use a UTF-8 name")


def is_utf8(text: str) -> bool:
    """Return whether `text` has no lone surrogates of undecodable bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check(document: dict[str, Any], path: Path) -> None:
    """Raise SettingsError for an unknown key or a value of the wrong type."""
    for key, value in document.items():
        if key == "default_profile":
            _expect(isinstance(value, str), path, key, "a string")
        elif key == "profiles":
            _expect(isinstance(value, dict), path, key, "a table")
        else:
            raise _unknown(path, key, ("default_profile", "profiles"))
    for name, profile in document.get("profiles", {}).items():
        _expect(isinstance(profile, dict), path, f"profiles.{name}", "a table")
        for key, value in profile.items():
            if key not in KEYS:
                raise _unknown(path, key, tuple(KEYS))
            requirement = unmet_requirement(key, value)
            _expect(requirement is None, path, f"profiles.{name}.{key}", str(requirement))


def unmet_requirement(key: str, value: Any) -> str | None:
    """Return the requirement that a value of `key` breaks, or None."""
    kinds = KEYS[key]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = {
            dict: "a table",
            str: "a string",
            bool: "true or false",
            list: "a list of strings",
            int: "a number",
            float: "a number",
        }
        return " or ".join(dict.fromkeys(names[kind] for kind in kinds))
    if key in PATHS and "\0" in str(value):
        return "a path without NUL characters"
    if key in PATHS and not value:
        return "a path that is not empty"
    if isinstance(value, dict):
        form = 'keys = {NAME = "other name" or false}, with the names'
        return None if _is_run_table(value) else f"{form} {', '.join(RUN_KEYS)}"
    if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
        return "a list of strings"
    return " or ".join(CHOICES[key]) if value not in CHOICES.get(key, (value,)) else None


def _is_run_table(run: dict[str, Any]) -> bool:
    """Return whether `[profiles.NAME.run.keys]` only renames or drops keys."""
    table = run.get("keys", {})
    return (
        run.keys() <= {"keys"}
        and isinstance(table, dict)
        and all(key in RUN_KEYS and (name is False or (isinstance(name, str) and name)) for key, name in table.items())
    )


def display_name(name: str) -> str:
    """Return a profile's name for messages, on one line."""
    return one_line(name, 60)


def _expect(is_valid: bool, path: Path, location: str, requirement: str) -> None:
    if not is_valid:
        raise SettingsError(
            f"invalid {one_line(location, 100)} in {display_path(path)}: must be {requirement}",
            "correct it in an editor",
        )


def _unknown(path: Path, key: str, known: tuple[str, ...]) -> SettingsError:
    return SettingsError(
        f"unknown setting {one_line(key, 60)!r} in {display_path(path)}",
        suggest(key, known) or f"use one of: {', '.join(known)}",
    )


def _invalid(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"invalid TOML in {display_path(path)}: {reason}", "correct it in an editor")
