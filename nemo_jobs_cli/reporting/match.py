"""Find fields in output, by patterns of users or of progress bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.fields import coerce, strict_json
from nemo_jobs_cli.reporting import _bars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.fields.flow import FlowValues

# Bytes of a line that are searched: what comes later says nothing about progress.
MAX_LINE = 16 * 1024

# Seconds for one search of one pattern, and how often a pattern may take longer before it is dropped.
SEARCH_TIMEOUT = 0.1
MAX_TIMEOUTS = 3

# A progress bar returns with \r, a terminal turns \n into \r\n; \v and \f do not end a line.
_LINE_END = re.compile(rb"[\r\n]+")
# ECMA-48: CSI sequences (colors, cursor), OSC sequences (titles, links), two-character escapes.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


class LineBuffer:
    """Split bytes into lines; keep `MAX_LINE` bytes of an unfinished one."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the non-empty lines that `chunk` completes, with escapes."""
        if self._is_skipping:
            _, *after = _LINE_END.split(chunk, maxsplit=1)
            self._is_skipping, chunk = not after, b"".join(after)
        *whole, rest = _LINE_END.split(self._rest + chunk)
        self._rest = rest[:MAX_LINE]
        return [_decode(line) for line in whole if line]

    def skip_line(self) -> None:
        """Drop the unfinished line and its remainder, because a chunk was lost."""
        self._rest, self._is_skipping = b"", True

    def unfinished(self) -> list[str]:
        """Return the unfinished line, such as a progress bar."""
        return [_decode(self._rest)] if self._rest else []


@dataclass(frozen=True, slots=True)
class Match:
    """The fields found in a line, and problems as sentences."""

    fields: dict[str, Any]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; `find` returns the texts of fields in a line."""

    name: str
    find: Callable[[str, str, float], dict[str, str]]


class Matcher:
    """Try every pattern on every line; drop a slow pattern.

    `unmatched` are the patterns that have not matched yet.
    """

    def __init__(self, patterns: Sequence[str], values: FlowValues) -> None:
        self._patterns = [compile_pattern(text) for text in patterns]
        self._values = values
        self._timeouts: dict[str, int] = {}
        self.unmatched = list(dict.fromkeys(patterns))

    def find(self, line: str) -> Match:
        """Return the texts of fields in a line, or raise TimeoutError."""
        plain = plain_text(line)
        fields: dict[str, Any] = {}
        problems: list[str] = []
        for pattern in tuple(self._patterns):
            try:
                texts = pattern.find(plain, line, SEARCH_TIMEOUT)
            except TimeoutError:
                problems.append(self._count_timeout(pattern))
                continue
            if texts and pattern.name in self.unmatched:
                self.unmatched.remove(pattern.name)
            for key, text in texts.items():
                try:
                    value = coerce.to_value(key, text, self._values.numbers, Pointer("--match", plain), finite=False)
                except UsageError as error:
                    problems.append(error.message)
                    continue
                fields[key] = value.value
                if value.kind == "text":
                    self._values.check_text(key, text)
        return Match(self._values.replace_non_finite(fields), tuple(problems))

    def _count_timeout(self, pattern: Pattern) -> str:
        self._timeouts[pattern.name] = count = self._timeouts.get(pattern.name, 0) + 1
        name = one_line(pattern.name, 60)
        if count < MAX_TIMEOUTS:
            return f"--match {name!r} took longer than {SEARCH_TIMEOUT:g} s on one line, which is skipped"
        self._patterns.remove(pattern)
        return f"--match {name!r} is too slow for these lines and is no longer tried"


def never_matched(patterns: Sequence[str]) -> str:
    """Return a sentence that names patterns that have never matched."""
    names = ", ".join(f"'{one_line(pattern, 60)}'" for pattern in patterns)
    return f"--match never matched: {names}"


def compile_pattern(text: str) -> Pattern:
    """Compile a regular expression, or a built-in pattern by its name."""
    import regex  # unlike re, it has a timeout: no pattern may hold up the command

    name, colon, description = text.partition(":")
    if name in _bars.PATTERNS and (description or not colon):
        expression, bars = _bars.PATTERNS[name]
        return Pattern(text, bars(description, regex.compile(expression, regex.ASCII).search).find)
    try:
        compiled = regex.compile(text)
    except (regex.error, RecursionError) as error:
        raise UsageError(
            f"invalid --match: {one_line(getattr(error, 'msg', 'nested too deep'), 100)}",
            "see the syntax: https://docs.python.org/3/library/re.html; or --match tqdm, --match rich",
            pointer=strict_json.shorten(Pointer("--match", text, getattr(error, "pos", None))),
        ) from None
    if not compiled.groupindex:
        raise UsageError(
            f"--match has no named group: {one_line(text, 60)!r}",
            suggest(text, _bars.PATTERNS, prefix="--match ") or r"name a group: --match 'epoch (?P<epoch>\d+)'",
            pointer=strict_json.shorten(Pointer("--match", text)),
        )

    def find(line: str, _raw: str, timeout: float) -> dict[str, str]:
        match = compiled.search(line, timeout=timeout, concurrent=True)
        return {} if match is None else {key: text for key, text in match.groupdict().items() if text is not None}

    return Pattern(text, find)


def plain_text(line: str) -> str:
    """Return a line without escape sequences."""
    return _ESCAPE.sub("", line) if "\x1b" in line else line


def last_lines(output: bytes, count: int, max_bytes: int) -> str:
    """Return the last `count` lines of output as a terminal shows them.

    They have at most `max_bytes` of UTF-8.
    """
    text = _ESCAPE.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n").rstrip()
    rows = [row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n")]
    tail = "\n".join(rows[-count:]) if count else ""
    return tail.encode()[-max_bytes:].decode("utf-8", "ignore")


def _decode(line: bytes) -> str:
    return line[:MAX_LINE].decode("utf-8", "replace")
