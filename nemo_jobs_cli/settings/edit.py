"""Change our own configuration file: comments and layout stay, and nobody else can read it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core import tokens
from nemo_jobs_cli.core.errors import NotFoundError, SettingsError, UsageError
from nemo_jobs_cli.core.files import display_path, write_atomic
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Changes the profiles of a document; the last argument makes an empty table to put into another one.
    Edit = Callable[[Any, str, Callable[[Any], Any]], None]

PRIVATE_FOLDER = 0o700


LONGEST_VALUE = 64 * 1024

# What a command line can set: the table `run` takes an editor.
EDITABLE_KEYS = tuple(key for key in profiles.KEYS if key != "run")


class Change(NamedTuple):
    """What becomes of a profile: keys to set, keys that go where they are, and whether it becomes the default one."""

    values: Mapping[str, Any] = MappingProxyType({})
    gone: tuple[str, ...] = ()
    default: bool = False

    def __repr__(self) -> str:
        """Return the names alone: values may be tokens."""
        return f"Change({sorted(self.values)}, gone={self.gone}, default={self.default})"


def update(path: Path, profile: str | None, change: Change) -> str:
    """Change a profile at once (None: the default one, made where there is none); return its name."""

    def edit(document: Any, name: str, empty: Callable[[Any], Any]) -> None:
        if "profiles" not in document:
            document["profiles"] = empty(document)
        tables = document["profiles"]
        if name not in tables:
            tables[name] = empty(tables)
        for key in change.gone:
            if key in tables[name]:
                del tables[name][key]
        for key, value in change.values.items():
            tables[name][key] = value

    return _change(path, profile, edit, default=change.default)


def set_key(path: Path, profile: str | None, key: str, value: Any) -> str:
    """Set a key of a profile (None: the default one, made where there is none); return the profile's name."""
    return update(path, profile, Change({key: value}))


def set_default(path: Path, profile: str) -> None:
    """Make a profile the default one; raise SettingsError where there is none of that name."""
    profiles.select(profiles.load(path, must_exist=False), profile, path, "PROFILE")
    _change(path, profile, lambda *_: None, default=True)


def unset_key(path: Path, profile: str | None, key: str) -> str:
    """Take a key out of a profile; raise NotFoundError where it isn't set."""

    def edit(document: Any, name: str, _empty: Callable[[Any], Any]) -> None:
        table = document.get("profiles", {}).get(name, {})
        if key not in table:
            raise NotFoundError(
                f"{key} is not set in profile {profiles.named(name)}", "see what is: nemo-jobs config list"
            )
        del table[key]

    return _change(path, profile, edit)


def _change(path: Path, profile: str | None, edit: Edit, *, default: bool = False) -> str:
    """Read, change, check and write the file; raise SettingsError where it can't be done as it was meant."""
    expected = profiles.load(path, must_exist=False)  # refuse to touch what can't be read
    name = profile or expected.get("default_profile") or profiles.DEFAULT
    edit(expected, name, lambda _parent: {})
    if default:
        expected["default_profile"] = name
    profiles.check(expected, path)
    # A symlink stays one: dotfiles are often kept elsewhere.
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # /dev/null is a way to say "no file", and not ours to replace
        raise SettingsError(f"{display_path(path)} is no regular file", "name another file in NEMO_JOBS_CONFIG")
    data = _changed(profiles.text_of(target) if target.exists() else "", name, edit, expected)
    if data is None:
        raise SettingsError(
            f"the configuration file {display_path(path)} can't be changed without loss",
            "change it in an editor; what can be read back is [profiles.NAME] with one key a line, in UTF-8",
        )
    _write(target, data)
    return str(name)


def _changed(text: str, name: str, edit: Edit, expected: dict[str, Any]) -> bytes | None:
    """Return the text after the change; None where it does not say what is expected.

    tomlkit takes some layouts apart wrongly: a new table amid dotted keys would swallow those after it.
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
        tail = []  # the comments at a table's end mostly head the next one: a new key goes before them
        while body and body[-1][0] is None:
            tail.append(body.pop())
        edit(document, name, empty)
        body.extend(reversed(tail))
        default = expected.get("default_profile")
        top = ""
        if "default_profile" in document:
            if document["default_profile"] != default:
                document["default_profile"] = default
        elif default is not None:  # above everything: elsewhere it would come between a table and the comment on it
            top = f"default_profile = {tomlkit.item(default).as_string()}\n" + ("\n" if document else "")
        made = (top + tomlkit.dumps(document)).replace("\n", ending)
        return made.encode() if tomllib.loads(made) == expected else None
    except (ValueError, tomlkit.exceptions.TOMLKitError):
        return None


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise SettingsError(
            f"the configuration file {display_path(path)} can't be written: {error.strerror}",
            "check the folder and the disk, or name another file in NEMO_JOBS_CONFIG",
        ) from None


def parse_value(key: str, text: str) -> Any:
    """Return the text of a value as the profile holds it; raise UsageError for what no profile takes."""
    if key not in EDITABLE_KEYS:
        raise unknown_key(key, EDITABLE_KEYS)
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


def read_stdin() -> str:
    """Return stdin without the space around it; raise UsageError where it can't be a value."""
    try:
        text = sys.stdin.read(LONGEST_VALUE + 1) if sys.stdin else ""
    except (OSError, ValueError):
        raise UsageError("stdin is not UTF-8 text, or can't be read", "look what is piped into this") from None
    if len(text) > LONGEST_VALUE:
        raise UsageError(f"stdin holds more than {LONGEST_VALUE >> 10} KiB", "look what is piped into this")
    return text.strip()


def unknown_key(key: str, known: tuple[str, ...]) -> UsageError:
    """Return the error for a key that is no setting."""
    if key.partition(".")[0] == "run":
        return UsageError(
            "run is a table, which a command line can't hold",
            "write [profiles.NAME.run.keys] in the file that nemo-jobs config path prints",
        )
    return UsageError(
        f"{one_line(key, 60)!r} is no setting",
        suggest(key, known) or f"known: {', '.join(known)}",
    )
