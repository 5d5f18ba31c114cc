"""Find fields in lines of output, with the user's patterns and those of common progress bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line, suggest
from nemo_jobs_cli.fields import coerce, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nemo_jobs_cli.fields.flow import FlowValues

# Bytes of a line that are searched: what comes later says nothing about progress.
MAX_LINE = 16 * 1024

# Seconds for one search of one pattern, and how often a pattern may take longer before it is dropped.
SEARCH_TIMEOUT = 0.1
MAX_TIMEOUTS = 3

# Digits of a step count; Python refuses to convert more than 4,300.
_MAX_DIGITS = 18

# A progress bar returns with \r, a terminal turns \n into \r\n; \v and \f do not end a line.
_LINE_END = re.compile(rb"[\r\n]+")
# ECMA-48: CSI sequences (colours, cursor), OSC sequences (titles, links), two-character escapes.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")

# As the libraries draw them: tqdm 4 (`45%|███  | 45/100 [00:01<00:01, 41.2it/s]`, without the bar if there is no width
# for it, `45it [00:01, 41.2it/s]` without a total), rich 13 and later (`Training ━━━━━━━╸━━━━━━━  45% 0:00:05`, only
# the finished part of the bar without colours).
BUILT_IN = {
    "tqdm": r"(?P<percent>\d{1,3})%(?:\|[^|]*\|)?\s*(?P<done>[\d.]+)(?P<unit>[^\s/]*)/(?P<total>[\d.]+)(?P<units>\S*)"
    r" \[\d+:\d\d|(?:^|\s)(?P<count>\d{1,18})it \[\d+:\d\d",
    "rich": r"[━╸╺]+\s.*?(?<![\d.])(?P<progress>\d{1,3}(?:\.\d{1,9})?)%",
}


class LineBuffer:
    """Split a flow of bytes into lines, keeping at most `MAX_LINE` bytes of an unfinished one."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the non-empty lines that `chunk` completes."""
        if self._is_skipping:
            _, *after = _LINE_END.split(chunk, maxsplit=1)
            self._is_skipping, chunk = not after, b"".join(after)
        *whole, rest = _LINE_END.split(self._rest + chunk)
        self._rest = rest[:MAX_LINE]
        return [plain_text(line) for line in whole if line]

    def skip_line(self) -> None:
        """Drop the unfinished line and its remainder, because a chunk was lost."""
        self._rest, self._is_skipping = b"", True

    def unfinished(self) -> list[str]:
        """Return the unfinished line, if any: a progress bar is complete before it returns."""
        return [plain_text(self._rest)] if self._rest else []


@dataclass(frozen=True, slots=True)
class Match:
    """The fields found in a line, and problems with the line or a pattern, as sentences."""

    fields: dict[str, Any]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; `read` turns its match into the texts of fields."""

    name: str
    search: Callable[..., Any]
    read: Callable[[Any], dict[str, str]]


class Matcher:
    """Try every pattern on every line; the later of two equal keys wins. A slow pattern is dropped.

    `unmatched` are the patterns that have not matched yet.
    """

    def __init__(self, patterns: Sequence[str], values: FlowValues) -> None:
        self._patterns = [compile_pattern(text) for text in patterns]
        self._values = values
        self._timeouts: dict[str, int] = {}
        self.unmatched = list(dict.fromkeys(patterns))

    def find(self, line: str) -> Match:
        """Return the fields found in a line, typed like `key=text`."""
        fields: dict[str, Any] = {}
        problems: list[str] = []
        for pattern in tuple(self._patterns):
            try:
                match = pattern.search(line, timeout=SEARCH_TIMEOUT, concurrent=True)
            except TimeoutError:
                problems.append(self._count_timeout(pattern))
                continue
            if match is not None and pattern.name in self.unmatched:
                self.unmatched.remove(pattern.name)
            for key, text in pattern.read(match).items() if match is not None else ():
                try:
                    value = coerce.to_value(key, text, self._values.numbers, Pointer("--match", line), finite=False)
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
    """Compile a regular expression or a built-in pattern by its name; raise UsageError if it is invalid."""
    import regex  # unlike re, it has a timeout: no pattern may hold up the command

    if text in BUILT_IN:
        built_in = regex.compile(BUILT_IN[text], regex.ASCII)
        return Pattern(text, built_in.search, _tqdm_fields if text == "tqdm" else _named_groups)
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
            suggest(text, BUILT_IN, prefix="--match ") or r"name a group: --match 'epoch (?P<epoch>\d+)'",
            pointer=strict_json.shorten(Pointer("--match", text)),
        )
    return Pattern(text, compiled.search, _named_groups)


def plain_text(line: bytes) -> str:
    """Decode a line, cut to `MAX_LINE`, without escape sequences."""
    text = line[:MAX_LINE].decode("utf-8", "replace")
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def last_lines(output: bytes, count: int, max_bytes: int) -> str:
    """Return the last `count` lines of output as a terminal shows them, in at most `max_bytes` of UTF-8."""
    text = _ESCAPE.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n").rstrip()
    rows = [row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n")]
    tail = "\n".join(rows[-count:]) if count else ""
    return tail.encode()[-max_bytes:].decode("utf-8", "ignore")


def _named_groups(match: Any) -> dict[str, str]:
    """Return the named groups that took part in the match."""
    return {key: text for key, text in match.groupdict().items() if text is not None}


def _tqdm_fields(match: Any) -> dict[str, str]:
    """Return progress to two decimals and the steps, or the percentage if a count is shortened (`1.2k/10k`)."""
    if match["count"] is not None:
        return {"step": match["count"]}
    done, total = match["done"], match["total"]
    is_exact = done.isdigit() and total.isdigit() and max(len(done), len(total)) <= _MAX_DIGITS and int(total)
    if match["unit"] or match["units"] or not is_exact:
        return {"progress": match["percent"]}
    return {"progress": f"{done}/{total}", "step": done, "max_steps": total}
