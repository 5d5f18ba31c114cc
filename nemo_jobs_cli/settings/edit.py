"""Edit our config file; keep its comments and layout, and make it private."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import deadline, job_lock, tokens
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.core.files import PRIVATE_DIR, display_path, read_stdin, write_file
from nemo_jobs_cli.core.text import hide_tokens, one_line, suggest
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Changes a document's profile; the last argument makes an empty table for a parent table.
    Edit = Callable[[Any, str, Callable[[Any], Any]], None]

LONGEST_VALUE = 64 * 1024

# Seconds to wait for another process that changes the file.
LONGEST_WAIT = 30.0

# The keys that `config set` accepts: `run` is a table, which needs an editor.
EDITABLE_KEYS = tuple(key for key in profiles.KEYS if key != "run")


class Change(NamedTuple):
    """Keys to set and to remove in a profile, and if it becomes the default."""

    values: Mapping[str, Any] = MappingProxyType({})
    removed: tuple[str, ...] = ()
    default: bool = False

    def __repr__(self) -> str:
        """Return only the names: values may be tokens."""
        return f"Change({sorted(self.values)}, removed={self.removed}, default={self.default})"


def update(path: Path, profile: str | None, change: Change) -> str:
    """Change or create a profile in one write; return its name."""

    def edit(document: Any, name: str, empty: Callable[[Any], Any]) -> None:
        if "profiles" not in document:
            document["profiles"] = empty(document)
        tables = document["profiles"]
        if name not in tables:
            tables[name] = empty(tables)
        for key in change.removed:
            if key in tables[name]:
                del tables[name][key]
        for key, value in change.values.items():
            tables[name][key] = value

    return _change(path, profile, edit, default=change.default)


def set_key(path: Path, profile: str | None, key: str, value: Any) -> str:
    """Set a key of a profile, created if needed; return its name."""
    return update(path, profile, Change({key: value}))


def set_default(path: Path, profile: str) -> None:
    """Make a profile the default, or raise SettingsError."""
    profiles.select(profiles.load(path, must_exist=False), profile, path, "PROFILE")
    _change(path, profile, lambda *_: None, default=True)


def unset_key(path: Path, profile: str | None, key: str) -> str:
    """Remove a key from a profile; raise NotFoundError if it is not set."""

    def edit(document: Any, name: str, _empty: Callable[[Any], Any]) -> None:
        table = document.get("profiles", {}).get(name, {})
        if key not in table:
            raise NotFoundError(
                f"{key} is not set in profile {profiles.display_name(name)}", "list the settings: nemo-jobs config list"
            )
        del table[key]

    return _change(path, profile, edit)


def _change(path: Path, profile: str | None, edit: Edit, *, default: bool = False) -> str:
    """Read, change, check and write the file while other processes wait."""
    # A symlink stays a symlink: dotfiles are often stored elsewhere.
    target = Path(os.path.realpath(path))
    with job_lock.hold(os.fsdecode(target), deadline.start(LONGEST_WAIT, SYSTEM_CLOCK.now(), SYSTEM_CLOCK)):
        expected = profiles.load(path, must_exist=False)  # an unreadable file is not touched
        name = profile or expected.get("default_profile") or profiles.DEFAULT
        edit(expected, name, lambda _parent: {})
        if default:
            expected["default_profile"] = name
        profiles.check(expected, path)
        # NEMO_JOBS_CONFIG=/dev/null means no file: never replace the device.
        if target.exists() and not target.is_file():
            raise SettingsError(
                f"cannot change {display_path(path)}: not a regular file", "set NEMO_JOBS_CONFIG to another file"
            )
        data = _apply(profiles.read_text(target) if target.exists() else "", name, edit, expected)
        if data is None:
            raise SettingsError(
                f"cannot change the config file {display_path(path)} without loss",
                "edit it by hand, in UTF-8: write each profile as [profiles.NAME] with one key a line",
            )
        _write(target, data)
    return str(name)


def _apply(text: str, name: str, edit: Edit, expected: dict[str, Any]) -> bytes | None:
    """Return the changed file, or None if it would not be as `expected`.

    tomlkit breaks some layouts: a new table among dotted keys would take over the keys after it.
    """
    import tomllib

    import tomlkit

    def empty(parent: Any) -> Any:
        return tomlkit.inline_table() if isinstance(parent, tomlkit.items.InlineTable) else tomlkit.table()

    ending = "\r\n" if "\r\n" in text else "\n"
    try:
        document = tomlkit.parse(text.replace("\r\n", "\n"))
        table = document.get("profiles", {}).get(name)
        body = table.value.body if isinstance(table, tomlkit.items.Table) else []
        tail = []  # comments at the end of a table mostly belong to the next one: a new key goes before them
        while body and body[-1][0] is None:
            tail.append(body.pop())
        edit(document, name, empty)
        body.extend(reversed(tail))
        default = expected.get("default_profile")
        top = ""
        if "default_profile" in document:
            if document["default_profile"] != default:
                document["default_profile"] = default
        elif default is not None:  # at the top: elsewhere it could separate a table from its comment
            top = f"default_profile = {tomlkit.item(default).as_string()}\n" + ("\n" if document else "")
        result = (top + tomlkit.dumps(document)).replace("\n", ending)
        return result.encode() if tomllib.loads(result) == expected else None
    except (ValueError, tomlkit.exceptions.TOMLKitError):
        return None


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        write_file(path, data, private=True)
    except OSError as error:
        raise SettingsError(
            f"cannot write the config file {display_path(path)}: {error.strerror}",
            "check the folder and the disk, or set NEMO_JOBS_CONFIG to another file",
        ) from None


def parse_value(key: str, text: str) -> Any:
    """Convert text to a valid value of a profile's key."""
    if key not in EDITABLE_KEYS:
        raise unknown_key(key, EDITABLE_KEYS)
    if not profiles.is_utf8(text):
        raise UsageError(f"invalid value of {key}: not UTF-8 text", "convert it to UTF-8")
    kinds = profiles.KEYS[key]
    value: Any = text
    if bool in kinds:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kinds == (list,):
        value = [entry.strip() for entry in text.split(",") if entry.strip()]
    elif not text:
        raise UsageError(f"the value of {key} is empty", f"remove it with: nemo-jobs config unset {key}")
    if key.startswith("token_") and hide_tokens(text) != text:
        raise UsageError(
            f"the value of {key} looks like a token itself", "store it with: nemo-jobs config set token - < FILE"
        )
    requirement = profiles.unmet_requirement(key, value)
    if requirement is not None:
        example = f"nemo-jobs config set {key} {requirement.partition(' ')[0]}"
        raise UsageError(
            f"invalid {key} {one_line(text, 60)!r}: must be {requirement}", f"write, for example: {example}"
        )
    try:
        if key == "token":
            tokens.clean(text, "stdin")
        resolve.check_setting(key, value)
    except SettingsError as error:
        raise UsageError(error.message, error.hint, pointer=error.pointer) from None
    return value


def read_value() -> str:
    """Return stdin without surrounding whitespace, or raise UsageError."""
    data = read_stdin(LONGEST_VALUE + 1)
    if len(data) > LONGEST_VALUE:
        raise UsageError(
            f"the value on stdin is longer than {LONGEST_VALUE >> 10} KiB", "check the command before the pipe"
        )
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError("cannot read stdin: not UTF-8 text", "convert it: iconv -f latin1 -t utf-8") from None


def unknown_key(key: str, known: tuple[str, ...]) -> UsageError:
    """Return the error for an unknown key."""
    if key.partition(".")[0] == "run":
        return UsageError(
            "cannot set run on the command line: it is a table",
            "edit [profiles.NAME.run.keys] in the file that nemo-jobs config path prints",
        )
    return UsageError(
        f"unknown setting {one_line(key, 60)!r}",
        suggest(key, known) or f"use one of: {', '.join(known)}",
    )
