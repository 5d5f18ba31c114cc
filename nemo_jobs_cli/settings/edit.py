"""Change our own configuration file: comments and layout stay, and nobody else can read it."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import NotFoundError, SettingsError
from nemo_jobs_cli.core.files import display_path, write_atomic
from nemo_jobs_cli.settings import profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Changes the profiles of a document; the last argument makes an empty table to put into another one.
    Edit = Callable[[Any, str, Callable[[Any], Any]], None]

PRIVATE_FOLDER = 0o700


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


def put(path: Path, profile: str | None, key: str, value: Any) -> str:
    """Set a key of a profile (None: the default one, made where there is none); return the profile's name."""
    return update(path, profile, Change({key: value}))


def use(path: Path, profile: str) -> None:
    """Make a profile the default one; raise SettingsError where there is none of that name."""
    profiles.select(profiles.load(path, must_exist=False), profile, path, "PROFILE")
    _change(path, profile, lambda *_: None, default=True)


def remove(path: Path, profile: str | None, key: str) -> str:
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
