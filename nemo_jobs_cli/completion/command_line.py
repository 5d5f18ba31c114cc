"""Find out what stands at the cursor of a command line that is still being typed: as Typer would read it."""

from __future__ import annotations

TYPE_CHECKING = False  # as in folders
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # Names, the kind of its value ("" for a switch), whether it may repeat, help.
    Option = tuple[tuple[str, ...], str, bool, str]
    # The kind of its value, whether it takes all that follow.
    Argument = tuple[str, bool]
    # Summary, options, arguments, names of subcommands.
    Command = tuple[str, tuple[Option, ...], tuple[Argument, ...], tuple[str, ...]]
    Tree = Mapping[str, Command]

# What stands behind their `--` is another program's command line.
WRAPPERS = ("run", "sandbox")

# Settings whose values are more than words; a test holds the paths to those of `profiles`.
SETTINGS = {"workspace": "workspace", "token_file": "file", "ca_file": "file", "outbox_dir": "folder"}

_OPERATORS = (">=", "<=", "!=", "==", ">", "<", "=")


class Place:
    """What is being typed: a `kind` of word, of which `typed` is there so far, behind `prefix` in the same word.

    `path` is the command ("config set"), `options` the options so far by their main name, each with its values, and
    `arguments` the plain words so far. For the kind `wrapped`, `at` is the index of the other program.
    """

    __slots__ = ("arguments", "at", "kind", "options", "path", "prefix", "typed")

    def __init__(self, path: str, typed: str) -> None:
        self.path = path
        self.kind = "nothing"
        self.prefix = ""
        self.typed = typed
        self.options: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.at = 0

    def option(self, name: str) -> str:
        """Return the last value of an option; "" without any."""
        return (self.options.get(name) or [""])[-1]


def read(words: Sequence[str], tree: Tree) -> Place:
    """Return what the last of `words` is going to be; the program's own name is not among them."""
    before, typed = words[:-1], words[-1]
    path, first = _command(before, tree)
    place = Place(path, typed)
    if path in WRAPPERS and "--" in before[first:]:
        place.kind, place.at = "wrapped", before.index("--", first) + 1
        return place
    if tree[path][3]:  # a group: its options, then the name of a command
        place.options = {word: [] for word in before[first:] if _find(word, tree[path][1])}
        unknown = any(not word.startswith("-") for word in before[first:])
        place.kind = "nothing" if unknown else "option" if typed.startswith("-") else "command"
        return place
    _fill(place, before[first:], tree[path])
    _split(place)
    return place


def _command(before: Sequence[str], tree: Tree) -> tuple[str, int]:
    """Return the command that is named, and the index of the first word behind its name."""
    path, first = "", 0
    for index, word in enumerate(before):
        below = f"{path} {word}".strip()
        if word.startswith("-"):
            continue
        if word not in tree[path][3]:
            break
        path, first = below, index + 1
        if not tree[path][3]:
            break
    return path, first


def _fill(place: Place, before: Sequence[str], command: Command) -> None:
    """Read the words of a command: what stands there, and what the last one must be."""
    _, options, arguments, _ = command
    waiting: Option | None = None
    only_arguments = False
    for word in before:
        if waiting is not None:
            place.options[waiting[0][0]].append(word)
            waiting = None
        elif word == "--" and not only_arguments:
            only_arguments = True
        elif word.startswith("-") and len(word) > 1 and not only_arguments:
            waiting = _take(place, word, options)
        else:
            place.arguments.append(word)
    typed = place.typed
    if waiting is not None:
        place.kind = waiting[1]
    elif typed.startswith("-") and not only_arguments:
        _at_option(place, options)
    else:
        place.kind = _argument(len(place.arguments), arguments)


def _take(place: Place, word: str, options: Sequence[Option]) -> Option | None:
    """Note an option; return it where its value is still to come."""
    name, equals, value = word.partition("=")
    found = _find(name, options)
    if found is not None and name.startswith("--"):
        values = place.options.setdefault(found[0][0], [])
        if equals:
            values.append(value)
        return found if found[1] and not equals else None
    for at, letter in enumerate(word[1:] if not word.startswith("--") else "", 2):  # -qo json, -ojson
        found = _find(f"-{letter}", options)
        if found is None:
            return None
        values = place.options.setdefault(found[0][0], [])
        if found[1]:
            if word[at:]:
                values.append(word[at:])
            return None if word[at:] else found
    return None


def _at_option(place: Place, options: Sequence[Option]) -> None:
    """Tell an option's name from a value in the same word: --output=js, -ojs."""
    name, equals, value = place.typed.partition("=")
    found = _find(name, options)
    if equals and found is not None and found[1] and name.startswith("--"):
        place.kind, place.prefix, place.typed = found[1], f"{name}=", value
        return
    place.kind = "option"
    if place.typed.startswith("--"):
        return
    for at, letter in enumerate(place.typed[1:], 2):
        found = _find(f"-{letter}", options)
        if found is None:
            return
        if found[1] and place.typed[at:]:
            place.kind, place.prefix, place.typed = found[1], place.typed[:at], place.typed[at:]
            return


def _split(place: Place) -> None:
    """Split a word that has parts: KEY=VALUE, KEY OP VALUE, STATE,STATE."""
    if place.kind == "fields":
        key, equals, value = place.typed.partition("=")
        if equals:
            _go_on(place, "file" if key.endswith("@") else "value", f"{key}=", value)
        else:
            place.kind = "field" if place.arguments else "job-or-field"
    elif place.kind == "condition":
        at = min((place.typed.find(sign) for sign in _OPERATORS if sign in place.typed), default=-1)
        if at >= 0:
            sign = next(sign for sign in _OPERATORS if place.typed.startswith(sign, at))
            _go_on(place, "condition-value", place.typed[: at + len(sign)], place.typed[at + len(sign) :])
    elif place.kind == "states":
        before, comma, state = place.typed.rpartition(",")
        _go_on(place, "states", before + comma, state)
    elif place.kind == "setting-value":
        place.kind = SETTINGS.get(place.arguments[0], place.kind)


def _go_on(place: Place, kind: str, behind: str, typed: str) -> None:
    place.kind, place.prefix, place.typed = kind, place.prefix + behind, typed


def _find(name: str, options: Sequence[Option]) -> Option | None:
    return next((option for option in options if name in option[0]), None)


def _argument(index: int, arguments: Sequence[Argument]) -> str:
    """Return the kind of the argument with an index; `nothing` where there is none left."""
    if index < len(arguments):
        return arguments[index][0]
    return arguments[-1][0] if arguments and arguments[-1][1] else "nothing"
