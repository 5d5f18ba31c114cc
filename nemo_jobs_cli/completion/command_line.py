"""Parse an unfinished command line; unquote and quote its words."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` would take a third of the time of a TAB
if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    # Names, kind of the value ("" for a switch), whether it may repeat, help.
    Option = tuple[tuple[str, ...], str, bool, str]
    # Kind of the value, whether it takes all following words.
    Argument = tuple[str, bool]
    # Summary, options, arguments, names of subcommands.
    Command = tuple[str, tuple[Option, ...], tuple[Argument, ...], tuple[str, ...]]
    Tree = Mapping[str, Command]

# Commands with another command line after `--`.
WRAPPERS = ("run", "sandbox")

# Settings with values that are completed; a test compares the paths with those of `profiles`.
SETTINGS = {"workspace": "workspace", "token_file": "file", "ca_file": "file", "outbox_dir": "folder"}

# Escaped by a backslash in double quotes (POSIX, 2.2.3).
_IN_DOUBLE = '$`"\\'
_OPERATORS = (">=", "<=", "!=", "==", ">", "<", "=")


class Cursor:
    """The word at the cursor: its `kind`, and the part `typed` so far.

    `prefix` is the part of the word before `typed`. `path` is the command ("config set"), `options` are the values of
    the options before it by their main name, and `arguments` the arguments before it. For the kind `wrapped`, `program`
    is the index of the wrapped command.
    """

    __slots__ = ("arguments", "kind", "options", "path", "prefix", "program", "typed")

    def __init__(self, path: str, typed: str) -> None:
        self.path = path
        self.kind = "nothing"
        self.prefix = ""
        self.typed = typed
        self.options: dict[str, list[str]] = {}
        self.arguments: list[str] = []
        self.program = 0

    def option(self, name: str) -> str:
        """Return the last value of an option, or ""."""
        return (self.options.get(name) or [""])[-1]


def parse(words: Sequence[str], tree: Tree) -> Cursor:
    """Parse the words before the cursor, without the program's name."""
    before, typed = words[:-1], words[-1]
    path, first = _find_command(before, tree)
    cursor = Cursor(path, typed)
    if path in WRAPPERS and "--" in before[first:]:
        cursor.kind, cursor.program = "wrapped", before.index("--", first) + 1
        return cursor
    if tree[path][3]:  # a group: its options, then the name of a command
        cursor.options = {word: [] for word in before[first:] if _find_option(word, tree[path][1])}
        unknown = any(not word.startswith("-") for word in before[first:])
        cursor.kind = "nothing" if unknown else "option" if typed.startswith("-") else "command"
        return cursor
    _read_words(cursor, before[first:], tree[path])
    _split_word(cursor)
    return cursor


def _find_command(before: Sequence[str], tree: Tree) -> tuple[str, int]:
    """Return the command, and the index of the first word after its name."""
    path, first = "", 0
    for index, word in enumerate(before):
        if word.startswith("-"):
            continue
        if word not in tree[path][3]:
            break
        path, first = f"{path} {word}".strip(), index + 1
        if not tree[path][3]:
            break
    return path, first


def _read_words(cursor: Cursor, before: Sequence[str], command: Command) -> None:
    """Read options and arguments, and set the kind of the last word."""
    _, options, arguments, _ = command
    pending: Option | None = None
    only_arguments = False
    for word in before:
        if pending is not None:
            cursor.options[pending[0][0]].append(word)
            pending = None
        elif word == "--" and not only_arguments:
            only_arguments = True
        elif word.startswith("-") and len(word) > 1 and not only_arguments:
            pending = _read_option(cursor, word, options)
        else:
            cursor.arguments.append(word)
    typed = cursor.typed
    if pending is not None:
        cursor.kind = pending[1]
    elif typed.startswith("-") and not only_arguments:
        _split_option(cursor, options)
    else:
        cursor.kind = _argument_kind(len(cursor.arguments), arguments)


def _read_option(cursor: Cursor, word: str, options: Sequence[Option]) -> Option | None:
    """Read an option; return it if its value is the next word."""
    name, equals, value = word.partition("=")
    option = _find_option(name, options)
    if option is not None and name.startswith("--"):
        values = cursor.options.setdefault(option[0][0], [])
        if equals:
            values.append(value)
        return option if option[1] and not equals else None
    for at, letter in enumerate(word[1:] if not word.startswith("--") else "", 2):  # -qo json, -ojson
        option = _find_option(f"-{letter}", options)
        if option is None:
            return None
        values = cursor.options.setdefault(option[0][0], [])
        if option[1]:
            if word[at:]:
                values.append(word[at:])
            return None if word[at:] else option
    return None


def _split_option(cursor: Cursor, options: Sequence[Option]) -> None:
    """Split an option from a value in the same word: --output=js, -ojs."""
    name, equals, value = cursor.typed.partition("=")
    option = _find_option(name, options)
    if equals and option is not None and option[1] and name.startswith("--"):
        cursor.kind, cursor.prefix, cursor.typed = option[1], f"{name}=", value
        return
    cursor.kind = "option"
    if cursor.typed.startswith("--"):
        return
    for at, letter in enumerate(cursor.typed[1:], 2):
        option = _find_option(f"-{letter}", options)
        if option is None:
            return
        if option[1] and cursor.typed[at:]:
            cursor.kind, cursor.prefix, cursor.typed = option[1], cursor.typed[:at], cursor.typed[at:]
            return


def _split_word(cursor: Cursor) -> None:
    """Split KEY=VALUE, conditions and lists, and set the kind."""
    if cursor.kind == "fields":
        key, equals, value = cursor.typed.partition("=")
        if equals:
            _narrow(cursor, "file" if key.endswith("@") else "value", f"{key}=", value)
        else:
            cursor.kind = "field" if cursor.arguments else "job-or-field"
    elif cursor.kind == "condition":
        at = min((cursor.typed.find(sign) for sign in _OPERATORS if sign in cursor.typed), default=-1)
        if at >= 0:
            sign = next(sign for sign in _OPERATORS if cursor.typed.startswith(sign, at))
            _narrow(cursor, "condition-value", cursor.typed[: at + len(sign)], cursor.typed[at + len(sign) :])
    elif cursor.kind == "states":
        before, comma, state = cursor.typed.rpartition(",")
        _narrow(cursor, "states", before + comma, state)
    elif cursor.kind == "setting-value":
        cursor.kind = SETTINGS.get(cursor.arguments[0], cursor.kind)


def _narrow(cursor: Cursor, kind: str, prefix: str, typed: str) -> None:
    cursor.kind, cursor.prefix, cursor.typed = kind, cursor.prefix + prefix, typed


def _find_option(name: str, options: Sequence[Option]) -> Option | None:
    return next((option for option in options if name in option[0]), None)


def _argument_kind(index: int, arguments: Sequence[Argument]) -> str:
    """Return the kind of the argument at an index, or `nothing`."""
    if index < len(arguments):
        return arguments[index][0]
    return arguments[-1][0] if arguments and arguments[-1][1] else "nothing"


def unquote(raw: str) -> tuple[str, int]:
    """Return the value of a word, and the index of its open quote or -1."""
    text: list[str] = []
    quote, open_at, escaped = "", -1, False
    for at, char in enumerate(raw):
        if escaped:
            escaped = False
            if char == "\n":
                continue  # a line continuation
            text.append(char if not quote or char in _IN_DOUBLE else f"\\{char}")
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            if char == quote:
                quote, open_at = "", -1
            else:
                text.append(char)
        elif char in "'\"":
            quote, open_at = char, at
        else:
            text.append(char)
    return "".join(text), open_at


def _escape(text: str, safe: Container[str]) -> str:
    """Put a backslash before each character that may be special in a shell."""
    return "".join(char if char in safe or char.isalnum() else f"\\{char}" for char in text)


def bash_replacements(raw: str, words: list[str], breaks: str) -> list[str]:
    """Return the text that bash inserts for each of `words`.

    Bash replaces only the text after the last of `breaks` (COMP_WORDBREAKS, which has = : and @ by default) or after
    an open quote. An @ belongs to the word that it begins (rl_special_prefixes).
    """
    open_at = unquote(raw)[1]
    if open_at >= 0:
        kept = len(unquote(raw[:open_at])[0])
        return [word[kept:] for word in words]
    at = len(raw)
    while at and not (raw[at - 1] in breaks and raw[at - 2 : at - 1] != "\\"):
        at -= 1
    at -= raw[at - 1 : at] == "@"
    kept = len(unquote(raw[:at])[0])
    return [_escape(word[kept:], "-_=.:@+/,%") for word in words]
