"""Read our own configuration file: profiles in TOML."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.text import one_line, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

# A plain table, not a model: this file is read on the way of nearly every call, and pydantic costs 100 ms.
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
    "run": (dict,),
}
CHOICES = {"api": ("auto", "jobs", "attempts")}
RUN_KEYS = ("status", "run", "error", "lastUpdated")
PATHS = ("token_file", "ca_file", "outbox_dir")

DEFAULT = "default"

LONGEST_FILE = 1024 * 1024


class Profile(NamedTuple):
    """The settings of one profile by name, checked; `origin` says where they stand."""

    name: str
    source: str
    values: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        """Return the names alone: values may be tokens."""
        return f"Profile({self.name!r}, {sorted(self.values)})"


def load(path: Path, *, must_exist: bool) -> dict[str, Any]:
    """Return the whole file as a dictionary, checked; {} where there is none and none is needed."""
    import tomllib

    try:
        document = tomllib.loads(text_of(path))
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise SettingsError(
                f"there is no configuration file {shown(path)}",
                "correct NEMO_JOBS_CONFIG, or make the file: nemo-jobs init",
            ) from None
        return {}
    except UnicodeDecodeError as error:
        raise _broken(path, f"not UTF-8 text at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, one_line(str(error), 200)) from None
    except (ValueError, RecursionError):  # tomllib leaves Python's own limits to the caller
        raise _broken(path, "it holds a number or a nesting that is too large") from None
    except OSError as error:
        raise SettingsError(
            f"the configuration file {shown(path)} can't be read: {error.strerror}",
            "correct it, or set NEMO_JOBS_CONFIG",
        ) from None
    check(document, path)
    return document


def text_of(path: Path) -> str:
    """Return the text of a configuration file; raise OSError where it can't be read or is far too large for one."""
    with path.open("rb") as file:
        data = file.read(LONGEST_FILE + 1)
    if len(data) > LONGEST_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return data.decode("utf-8")


def select(document: dict[str, Any], name: str | None, path: Path, asked_by: str = "--profile") -> Profile | None:
    """Return the named profile, or the default one (None where the file has none)."""
    profiles = document.get("profiles", {})
    asked_by = asked_by if name else "default_profile"
    wanted = name or default_name(document)
    if wanted is None:
        return None
    if wanted not in profiles:
        known = ", ".join(sorted(profiles)) or "none; make one: nemo-jobs init"
        raise SettingsError(
            f"there is no profile {named(wanted)!r} in {shown(path)} ({asked_by})",
            suggest(wanted, profiles) or f"profiles there: {one_line(known, 200)}",
        )
    values = {key: located(value, path) if key in PATHS else value for key, value in profiles[wanted].items()}
    return Profile(wanted, f"profile {named(wanted)} ({shown(path)})", values)


def default_name(document: Mapping[str, Any]) -> str | None:
    """Return the name of the profile that holds where none is named, None for none; it may not be there."""
    return document.get("default_profile") or (DEFAULT if DEFAULT in document.get("profiles", {}) else None)


def located(value: str, path: Path) -> str:
    """Return a path of a profile as it is meant: below the folder of the file `path`."""
    # Path's own raises where there is no such home; a path that leads nowhere is told where it is used.
    return str(path.parent / os.path.expanduser(value))  # noqa: PTH111


def check_name(name: str | None, flag: str = "--profile") -> None:
    """Raise UsageError for what can't be the name of a profile in a file; None is none."""
    if name == "":
        more = ", or leave --profile out" if flag == "--profile" else ""
        raise UsageError(f"{flag} is empty", f"name a profile{more} (is a shell variable unset?)")
    if name is not None and not is_utf8(name):
        raise UsageError(f"{flag} is not UTF-8 text", "name the profile in UTF-8")


def is_utf8(text: str) -> bool:
    """Tell whether a file can hold `text`: what Python makes of other bytes on the command line is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check(document: dict[str, Any], path: Path) -> None:
    """Raise SettingsError for a key or a type that means nothing here."""
    for key, value in document.items():
        if key == "default_profile":
            _expect(isinstance(value, str), path, key, "text")
        elif key == "profiles":
            _expect(isinstance(value, dict), path, key, "a table")
        else:
            raise _unknown(path, key, ("default_profile", "profiles"))
    for name, profile in document.get("profiles", {}).items():
        _expect(isinstance(profile, dict), path, f"profiles.{name}", "a table")
        for key, value in profile.items():
            check_value(key, value, path, f"profiles.{name}.{key}")


def check_value(key: str, value: Any, path: Path, place: str) -> None:
    """Raise SettingsError where `value` can't be the value of a profile's `key`."""
    if key not in KEYS:
        raise _unknown(path, key, tuple(KEYS))
    what = wanted(key, value)
    _expect(what is None, path, place, str(what))


def wanted(key: str, value: Any) -> str | None:
    """Return what the value of a profile's `key` must be where `value` is something else, else None."""
    kinds = KEYS[key]
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if not fits:
        names = {
            dict: "a table",
            str: "text",
            bool: "true or false",
            list: "a list of texts",
            int: "a number",
            float: "a number",
        }
        return " or ".join(dict.fromkeys(names[kind] for kind in kinds))
    if isinstance(value, dict):
        return None if _renames(value) else f"a table keys of {', '.join(RUN_KEYS)} = text, or false"
    if isinstance(value, list) and not all(isinstance(entry, str) for entry in value):
        return "a list of texts"
    return " or ".join(CHOICES[key]) if value not in CHOICES.get(key, (value,)) else None


def _renames(run: dict[str, Any]) -> bool:
    """Tell whether `[profiles.NAME.run.keys]` renames or drops keys that `run` sends."""
    table = run.get("keys", {})
    return (
        run.keys() <= {"keys"}
        and isinstance(table, dict)
        and all(key in RUN_KEYS and (name is False or (isinstance(name, str) and name)) for key, name in table.items())
    )


def shown(path: Path) -> str:
    """Return a path as a message shows it, the home folder as `~`."""
    try:
        home = Path.home()
    except RuntimeError:
        return one_line(str(path), 200)
    inside = path.is_relative_to(home) and home != Path("/")
    return one_line(f"~/{path.relative_to(home)}" if inside else str(path), 200)


def named(name: str) -> str:
    """Return the name of a profile as a message shows it: the file may call it anything."""
    return one_line(name, 60)


def _expect(fits: bool, path: Path, place: str, what: str) -> None:
    if not fits:
        raise SettingsError(f"{one_line(place, 100)} in {shown(path)} must be {what}", f"correct it in {shown(path)}")


def _unknown(path: Path, key: str, known: tuple[str, ...]) -> SettingsError:
    return SettingsError(
        f"{one_line(key, 60)!r} is no setting in {shown(path)}",
        suggest(key, known) or f"known here: {', '.join(known)}",
    )


def _broken(path: Path, why: str) -> SettingsError:
    return SettingsError(f"the configuration file {shown(path)} is not TOML: {why}", f"correct {shown(path)}")
