"""Find fields in lines of output: a user's patterns, and those of the progress bars that people use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.core.errors import Pointer, UsageError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.fields import coerce, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

# What a pattern may take for one line, in seconds, and how often it may take longer before it is given up.
LONGEST_SEARCH = 0.1
MOST_TIMEOUTS = 3

# What counts no steps that anybody takes.
_MOST_DIGITS = 18

# As the libraries draw them: tqdm 4 (`45%|███  | 45/100 [00:01<00:01, 41.2it/s]`, the bar left out where there is no
# width for it, `45it [00:01, 41.2it/s]` without a total), rich 13 and later (`Training ━━━━━━━╸━━━━━━━  45% 0:00:05`,
# only what is done of the bar where there are no colours).
BUILT_IN = {
    "tqdm": r"(?P<percent>\d{1,3})%(?:\|[^|]*\|)?\s*(?P<done>[\d.]+)(?P<unit>[^\s/]*)/(?P<total>[\d.]+)(?P<units>\S*)"
    r" \[\d+:\d\d|(?:^|\s)(?P<count>\d{1,18})it \[\d+:\d\d",
    "rich": r"[━╸╺]+\s.*?(?<![\d.])(?P<progress>\d{1,3}(?:\.\d{1,9})?)%",
}


class Pattern(NamedTuple):
    """One compiled pattern: `read` turns a match into the texts of fields."""

    name: str
    search: Callable[..., Any]
    read: Callable[[Any], dict[str, str]]


class Found(NamedTuple):
    """The fields of a line, and what was wrong with it or with a pattern, in sentences."""

    fields: dict[str, Any]
    problems: tuple[str, ...] = ()


class Matcher:
    """Tries every pattern on every line, the later of two equal keys winning; one that takes too long is given up."""

    def __init__(self, patterns: Sequence[str], numbers: AbstractSet[str]) -> None:
        self._patterns = [compile_one(text) for text in patterns]
        self._numbers = numbers
        self._timeouts: dict[str, int] = {}

    def find(self, line: str) -> Found:
        """Return what the patterns find in one line, typed as the grammar types `key=text`."""
        fields: dict[str, Any] = {}
        problems: list[str] = []
        for pattern in tuple(self._patterns):
            try:
                match = pattern.search(line, timeout=LONGEST_SEARCH, concurrent=True)
            except TimeoutError:
                problems += self._too_slow(pattern)
                continue
            for key, text in pattern.read(match).items() if match is not None else ():
                try:
                    fields[key] = coerce.to_value(key, text, self._numbers, Pointer("--match", line)).value
                except UsageError as error:
                    problems.append(error.message)
        return Found(fields, tuple(problems))

    def _too_slow(self, pattern: Pattern) -> list[str]:
        self._timeouts[pattern.name] = times = self._timeouts.get(pattern.name, 0) + 1
        shown = one_line(pattern.name, 60)
        if times < MOST_TIMEOUTS:
            return [f"--match {shown!r} took longer than {LONGEST_SEARCH:g} s on one line, which is passed over"]
        self._patterns.remove(pattern)
        return [f"--match {shown!r} is too slow for these lines and not tried any more"]


def compile_one(text: str) -> Pattern:
    """Return the pattern that `text` is or, by the name of a library, stands for; raise UsageError for a bad one."""
    import regex  # unlike re, it can be stopped: a pattern must never hold the command up

    if text in BUILT_IN:
        made = regex.compile(BUILT_IN[text], regex.ASCII)
        return Pattern(text, made.search, _tqdm if text == "tqdm" else _groups)
    try:
        made = regex.compile(text)
    except (regex.error, RecursionError) as error:
        raise UsageError(
            f"--match is no regular expression: {one_line(getattr(error, 'msg', 'nested too deep'), 100)}",
            "see the syntax: https://docs.python.org/3/library/re.html; or --match tqdm, --match rich",
            pointer=strict_json.shorten(Pointer("--match", text, getattr(error, "pos", None))),
        ) from None
    if not made.groupindex:
        import difflib

        close = difflib.get_close_matches(text.lower(), BUILT_IN, n=1)
        near = f"did you mean --match {close[0]}? or " if close else ""
        raise UsageError(
            f"--match names no field: {one_line(text, 60)!r}",
            rf"{near}name a group: --match 'epoch (?P<epoch>\d+)'",
            pointer=strict_json.shorten(Pointer("--match", text)),
        )
    return Pattern(text, made.search, _groups)


def _groups(match: Any) -> dict[str, str]:
    """Return the named groups that took part in the match."""
    return {key: text for key, text in match.groupdict().items() if text is not None}


def _tqdm(match: Any) -> dict[str, str]:
    """Return a bar's progress to two decimals, and its steps where neither is shortened (`1.2k/10k`, `100/200k`)."""
    if match["count"] is not None:
        return {"step": match["count"]}
    done, total = match["done"], match["total"]
    exact = done.isdigit() and total.isdigit() and max(len(done), len(total)) <= _MOST_DIGITS and int(total)
    if match["unit"] or match["units"] or not exact:
        return {"progress": match["percent"]}
    return {"progress": f"{done}/{total}", "step": done, "max_steps": total}
