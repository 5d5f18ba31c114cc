"""Fields in the output of programs: bars of the real tqdm and rich, lines of a Trainer, users' patterns."""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import pty
import re
import shlex
import struct
import sys
import termios
import threading
import tracemalloc
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from memory import traced_bytes
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from tqdm import tqdm

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields.flow import FlowValues
from nemo_jobs_cli.reporting import match

PAGE = Path(__file__).parents[2] / "docs" / "run-and-stream.md"


def find(patterns, output, numbers=known_keys.NUMBERS):
    """Return the fields of each line of some output, and all problems."""
    matcher, line_buffer = match.Matcher(patterns, FlowValues(numbers)), match.LineBuffer()
    raw = output if isinstance(output, bytes) else output.encode()
    results = [matcher.find(line) for line in [*line_buffer.feed(raw), *line_buffer.unfinished()]]
    return [one.fields for one in results if one.fields], [problem for one in results for problem in one.problems]


def bar(steps, **options):
    """Return what tqdm prints for a loop of so many steps."""
    out = io.StringIO()
    options = {"total": steps, "mininterval": 0, "miniters": 1, "ncols": 80} | options
    with tqdm(file=out, **options) as shown:
        for _ in range(steps):
            shown.update()
    return out.getvalue()


def on_terminal(code, columns):
    """Return what a program prints on a terminal of so many columns; it runs in this process."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    seen = []

    def read():
        with open(main, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := terminal.read(65536):
                seen.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    with open(side, "w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        exec(code, {})
    reader.join()
    return b"".join(seen)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"desc": "Epoch 1/3"},
        {"desc": "50% done | of it"},
        {"postfix": {"loss": 0.31, "lr": "5e-05"}},
        {"ascii": True},
        {"ncols": 0},
        {"ncols": 30},
        {"unit": "batch"},
        {"unit": " samples"},
        {"colour": "green"},
    ],
    ids=str,
)
def test_tqdm_bars_are_read(options):
    """The fields are the step, the total and the percentage, for any style of bar."""
    results, problems = find(["tqdm"], bar(8, **options))
    assert results[0] == {"progress": 0, "step": 0, "max_steps": 8}
    assert {"progress": 37.5, "step": 3, "max_steps": 8} in results
    assert results[-1] == {"progress": 100, "step": 8, "max_steps": 8}
    assert problems == []


@pytest.mark.parametrize(
    ("done", "total", "progress"),
    [(1_200, 10_000, 12), (100, 200_000, 0), (150_000, 200_000, 75), (999, 1_000, 100), (3, 8, 38)],
)
def test_shortened_counts_are_no_steps(done, total, progress):
    """`100/200k` is 0.05 %: if tqdm shortens a count, only its percentage is right."""
    results, problems = find(["tqdm"], bar(0, initial=done, total=total, unit_scale=True))
    assert results[-1] == {"progress": progress}
    assert problems == []


@pytest.mark.parametrize("options", [{}, {"desc": "reading"}, {"postfix": "loss=1"}], ids=str)
def test_a_tqdm_bar_of_unknown_length_has_steps_only(options):
    """Without a total there is no percentage; a shortened count (`1.20kit`) is no step."""
    assert find(["tqdm"], bar(3, total=None, **options))[0][-1] == {"step": 3}
    for done in (7, 1_200, 120_000):
        assert find(["tqdm"], bar(0, initial=done, total=None, unit_scale=True, **options)) == ([], [])


NESTED = """
from tqdm import tqdm
for epoch in tqdm(range(2), desc="Epochs", mininterval=0, miniters=1):
    for batch in tqdm(range(4), desc=f"Epoch {epoch}", mininterval=0, miniters=1, leave=False):
        pass
    for batch in tqdm(range(3), desc="Validation", mininterval=0, miniters=1, leave=False):
        pass
tqdm.write("{'loss': 0.31}")
"""


def changes(results):
    """Return the progress of each result that differs from the one before."""
    shares = [one["progress"] for one in results if "progress" in one]
    return [share for n, share in enumerate(shares) if n == 0 or share != shares[n - 1]]


@pytest.mark.parametrize("columns", [0, 40, 80, 200])
def test_the_outermost_tqdm_bar_is_followed(columns):
    """It is the one that others are drawn below; the width of the terminal may be unknown."""
    shown = on_terminal(NESTED, columns)
    results, problems = find(["tqdm", "'loss': (?P<train_loss>[0-9.]+)"], shown)
    assert changes(results) == [0, 50, 100]
    assert results[-2:] == [{"progress": 100, "step": 2, "max_steps": 2}, {"train_loss": 0.31}]
    assert problems == []
    assert changes(find(["tqdm:Epoch "], shown)[0]) == [0, 25, 50, 75, 100] * 2
    assert changes(find(["tqdm:Validation"], shown)[0]) == [0, 33.33, 66.67, 100] * 2
    assert find(["tqdm:Test"], shown) == ([], [])


def test_positions_of_tqdm_bars():
    """The first position is followed, also when the bars below it move up at the end; a description chooses others."""
    out = io.StringIO()
    options = {"file": out, "mininterval": 0, "miniters": 1, "ncols": 80}
    bars = [tqdm(total=4 * (3 - n), desc=name, position=n, **options) for n, name in enumerate(["Train", "a", "b"])]
    for step in range(12):
        for shown in bars:
            shown.update(step < shown.total)
    for shown in bars:
        shown.close()
    results, _ = find(["tqdm"], out.getvalue())
    assert results[-1] == {"progress": 100, "step": 12, "max_steps": 12}
    assert {one["max_steps"] for one in results} == {12}
    results, _ = find(["tqdm:b"], out.getvalue())
    assert {one["max_steps"] for one in results} == {4}


SAME_TOTALS = """
from tqdm import tqdm
for epoch in tqdm(range(4), desc="Epochs", mininterval=0, miniters=1):
    for batch in tqdm(range(4), desc="Batches", mininterval=0, miniters=1, leave={leave}):
        for chunk in tqdm(range(4), desc="Chunks", mininterval={interval}, miniters=1, leave={leave}):
            if chunk == {stop}:
                break
"""


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("interval", [0, 10])
@pytest.mark.parametrize("stop", [2, 9])
def test_an_inner_bar_that_ends_is_not_the_outer_one(leave, interval, stop):
    """It is drawn once more in the first row if it is to stay; nothing but the row tells bars of one length apart."""
    shown = on_terminal(SAME_TOTALS.format(leave=leave, interval=interval, stop=stop), 80)
    results, problems = find(["tqdm"], shown)
    assert (changes(results), problems) == ([0, 25, 50, 75, 100], [])
    assert changes(find(["tqdm:Batches"], shown)[0]) == [0, 25, 50, 75, 100] * 4


def test_a_bar_that_is_rounded_to_100_percent_runs_on():
    """Though one of the same length runs below it."""
    out = io.StringIO()
    outer, inner = (tqdm(total=300, position=n, file=out, mininterval=0, miniters=1, ncols=80) for n in range(2))
    for shown, steps in ((outer, 298), (inner, 5), (outer, 1)):
        shown.update(steps)
    assert "100%" in out.getvalue()
    assert changes(find(["tqdm"], out.getvalue())[0]) == [0, 99.33, 99.67]


def test_a_bar_that_stops_early_is_left_for_the_next():
    """Training may end before the last epoch."""
    out = bar(3, total=100, desc="Training") + bar(2, desc="Testing")
    assert changes(find(["tqdm"], out)[0]) == [0, 1, 2, 3, 0, 50, 100]


@pytest.mark.parametrize("total", [100, 300])
def test_a_bar_that_another_process_ends_is_not_followed(total):
    """Both draw in the first row; the other one runs on."""
    ours, other = bar(2, total=200).split("\r")[1:], bar(total).split("\r")[1:]
    results, _ = find(["tqdm"], "\r".join(["", ours[0], other[0], ours[1], other[-1]]))
    assert changes(results) == [0, 0.5]


@pytest.mark.parametrize(
    "options",
    [{"unit": "B", "unit_scale": True}, {"unit": "iB", "unit_scale": True, "unit_divisor": 1024}, {"unit": "kB"},
     {"unit": "MB"}, {"unit": "bytes"}, {"unit": "B", "desc": "model.safetensors"}],
    ids=str,
)  # fmt: skip
def test_bars_that_count_bytes_are_followed_only_by_name(options):
    """A download is no progress of the job."""
    download = bar(2, desc="model", **options) if "desc" not in options else bar(2, **options)
    assert changes(find(["tqdm"], download + bar(2, desc="Training", postfix="mem=12GB"))[0]) == [0, 50, 100]
    assert find(["tqdm"], download) == ([], [])
    assert changes(find(["tqdm:model"], download)[0]) == [0, 50, 100]


def rich_bar(*columns, total=8, steps=(0, 3, 8), **options):
    """Return what rich prints for a task, drawn at these steps."""
    out = io.StringIO()
    console = Console(**({"file": out, "force_terminal": True, "width": 80} | options))
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("Training", total=total)
        for step in steps:
            progress.update(task, completed=step)
            progress.refresh()
    return out.getvalue()


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ((), {}),
        ((), {"width": 40}),
        ((), {"color_system": "truecolor"}),
        (("{task.description}", BarColumn(), "{task.percentage:>3.0f}%", MofNCompleteColumn()), {}),
        (("{task.description}", BarColumn(), MofNCompleteColumn()), {}),
        ((BarColumn(bar_width=None), TextColumn("[green]{task.percentage:.1f}%")), {}),
    ],
)
def test_rich_bars_are_read(columns, options):
    """The percentage, or the steps, are behind the bar."""
    results, problems = find(["rich"], rich_bar(*columns, **options))
    assert changes(results) == [0, 37.5 if len(columns) in (2, 3) else 38, 100]
    assert ("max_steps" in results[0]) == (len(columns) == 3)
    assert problems == []


def test_rich_bars_without_colors_are_read():
    """Without colors rich draws only the finished part of a bar. A bar of unknown length has no percentage."""
    assert find(["rich"], rich_bar(total=None, steps=(1, 2))) == ([], [])
    results, problems = find(["rich"], rich_bar(no_color=True, color_system=None, total=40, steps=(0, 1, 20, 40)))
    assert changes(results) == [2, 50, 100]
    assert problems == []


TASKS = """
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress
options = {"console": Console(width=100), "auto_refresh": False}
with Progress("{task.description}", BarColumn(), DownloadColumn(), "{task.percentage:>3.0f}%", **options) as progress:
    file = progress.add_task("model.bin", total=1000000)
    for _ in range(2):
        progress.advance(file, 500000)
        progress.refresh()
with Progress(**options) as progress:
    load, train = progress.add_task("Loading", total=1), progress.add_task("Training", total=4)
    check, other = progress.add_task("Validation", total=2), progress.add_task("Waiting", total=None)
    progress.advance(load)
    for _ in range(4):
        progress.advance(train)
        progress.refresh()
    progress.reset(check)
    for _ in range(2):
        progress.advance(check)
        progress.refresh()
"""


def test_the_first_running_row_of_rich_is_followed():
    """A download is not; when the row has finished, the next one that runs is followed."""
    shown = on_terminal(TASKS, 100)
    results, problems = find(["rich"], shown)
    assert changes(results) == [0, 100, 25, 50, 75, 100, 0, 50, 100]
    assert problems == []
    assert changes(find(["rich:Training"], shown)[0]) == [0, 25, 50, 75, 100]
    assert changes(find(["rich:model"], shown)[0]) == [0, 50, 100]


RECORDINGS = Path(__file__).parent / "recordings"


@pytest.mark.parametrize(
    ("name", "pattern", "progress"),
    [
        ("transformers-5.24.0-trainer", "tqdm", [0, 13.33, 26.67, 33.33, 40, 53.33, 66.67, 80, 93.33, 100]),
        ("lightning-2.6.6-tqdm", "tqdm:Epoch", [0, 20, 40, 60, 80, 100] * 3),
        ("lightning-2.6.6-rich", "rich:Epoch", [0, 100, 0, 40, 80, 100, 0, 60, 80, 100]),
        ("keras-3.15.1-fit", "rich", []),
        (
            "keras-3.15.1-fit",
            r"(?P<progress>\d+/\d+) .*step - loss: (?P<loss>[\w.]+)",
            [16.67, 50, 100, 16.67, 83.33, 100, 16.67, 100],
        ),
    ],
)
def test_recorded_trainings_have_the_progress_that_people_see(name, pattern, progress):
    """The Trainer evaluates in a bar of its own, Lightning checks and validates; all were recorded on a terminal."""
    results, problems = find([pattern], (RECORDINGS / f"{name}.out").read_bytes())
    assert (changes(results), problems) == (progress, [])


@pytest.mark.parametrize(
    "line", ["", "45% done", "a|b|c 45/100", "━━━ headline ━━━", "| 45/100 |", "45it", "50%|x|", "it ["]
)
def test_other_text_is_no_bar(line):
    """Both patterns are tried."""
    assert find(["tqdm", "rich"], line) == ([], [])


def test_long_numbers_are_no_steps():
    """Python refuses to convert thousands of digits."""
    results, problems = find(["tqdm"], f"50%|x| 5/{'9' * 9000} [00:00<")
    assert results in ([], [{"progress": 50}])
    assert problems == []


@pytest.mark.parametrize(
    ("digits", "fields"), [(18, {"progress": 0, "step": 5, "max_steps": 10**18 - 1}), (19, {"progress": 50})]
)
def test_counts_of_eighteen_digits_are_steps(digits, fields):
    """With more digits only the percentage is read."""
    assert find(["tqdm"], f" 50%|x| 5/{'9' * digits} [00:00<") == ([fields], [])


def recipe():
    """Return the patterns of the recipe for the Hugging Face Trainer in the docs."""
    results = re.search(r"# Hugging Face Trainer.*\n(nemo-jobs run (?:.*\\\n)*.*)", PAGE.read_text(encoding="utf-8"))
    words = shlex.split(results.group(1).replace("\\\n", " "))
    return [after for word, after in itertools.pairwise(words) if word == "--match"]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "{'loss': 0.31, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}",
            {"train_loss": 0.31, "lr": 5e-05, "epoch": 0.5},
        ),
        (
            "{'loss': '0.31', 'grad_norm': '1.2', 'learning_rate': '5e-05', 'epoch': '0.5'}",
            {"train_loss": 0.31, "lr": 5e-05, "epoch": 0.5},
        ),
        ("{'loss': 12, 'learning_rate': 0.0, 'epoch': 3}", {"train_loss": 12, "lr": 0, "epoch": 3}),
        ("{'eval_loss': 0.5, 'eval_runtime': 2.1, 'epoch': 1.0}", {"epoch": 1}),
        ("{'train_runtime': 10.5, 'train_loss': 0.2, 'epoch': 3.0}", {"epoch": 3}),
        ("{'loss': nan, 'epoch': 0.5}", {"train_loss": None, "epoch": 0.5}),
        ("{'loss': 'inf', 'learning_rate': 'nan', 'epoch': 0.5}", {"train_loss": None, "lr": None, "epoch": 0.5}),
        (" 45%|███  | 45/100 [00:01<00:01, 41.2it/s]", {"progress": 45, "step": 45, "max_steps": 100}),
    ],
)
def test_the_recipe_for_the_trainer_works(line, fields):
    """People copy the patterns from the docs."""
    assert len(recipe()) == 4
    assert find(recipe(), line) == ([fields], [])


LOSS = r"loss=(?P<train_loss>\S+) step=(?P<step>\d+)"


@pytest.mark.parametrize(
    ("patterns", "line", "fields"),
    [
        (
            [r"epoch (?P<epoch>\d+).*at (?P<progress>\S+), loss=(?P<train_loss>\S+) (?P<message>.*)"],
            "epoch 3: at 3/10, loss=1e-3 7 of 9",
            {"epoch": 3, "progress": 30, "train_loss": 0.001, "message": "7 of 9"},
        ),
        ([r"iteration +(?P<progress>\d+/\s*\d+)"], " iteration     5426/  250000 |", {"progress": 2.17}),
        ([r"n=(?P<n>\d+)"], "n=5", {"n": "5"}),
        ([r"bleu=(?P<bleu>\S+)"], "bleu=5", {"bleu": 5}),
        *(([LOSS], f"loss={text} step=3", {"train_loss": None, "step": 3}) for text in ("nan", "-inf", "1e999")),
        ([r"(?P<message>\w+)", r"(?P<status>r\w+)", r"\w+ (?P<message>\w+)"], "running fast",
         {"message": "fast", "status": "running"}),
        ([r"a=(?P<a>\d)|b=(?P<b>\d)"], "b=1", {"b": "1"}),
    ],
)  # fmt: skip
def test_groups_are_typed_by_their_name(patterns, line, fields):
    """As `key=text` is. The later pattern wins, a group without a match is no field, and NaN is null."""
    assert find(patterns, line, known_keys.NUMBERS | {"bleu"}) == ([fields], [])


def test_a_bad_number_is_reported_and_skipped():
    """The rest of the line counts."""
    results, (problem,) = find([LOSS], "loss=1,5 step=3")
    assert results == [{"step": 3}]
    assert problem == "invalid train_loss '1,5': must be a number"


@pytest.mark.parametrize(
    ("pattern", "column", "reason"),
    [
        ("(?P<x>a", 7, "missing )"),
        ("*a", 0, "nothing to repeat"),
        ("a[", 2, "unterminated character set"),
        ("(?P<x>[z-a])", 10, "bad character range"),
        ("(?P<1x>a)", 6, "bad character in group name"),
        ("(?P<x>\\", 7, "bad escape"),
    ],
)
def test_the_error_points_at_the_wrong_character(pattern, column, reason):
    """This is the column of the regex error."""
    with pytest.raises(UsageError) as caught:
        match.compile_pattern(pattern)
    assert reason in caught.value.message
    assert (caught.value.pointer.label, caught.value.pointer.line, caught.value.pointer.column) == (
        "--match",
        pattern,
        column,
    )
    assert "--match tqdm" in caught.value.hint


@pytest.mark.parametrize("pattern", ["a" * 300 + "[", "(" * 5000 + "(?P<x>a)" + ")" * 5000])
def test_a_long_bad_pattern_is_shortened(pattern):
    """A screenful of pattern helps nobody; one that is nested too deep is not reported as a bug."""
    with pytest.raises(UsageError) as caught:
        match.compile_pattern(pattern)
    assert len(caught.value.pointer.line) <= 100


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("", "(?P<epoch>"),
        ("loss", "(?P<epoch>"),
        (r"loss=(\d+)", "(?P<epoch>"),
        ("(?:a)", "(?P<epoch>"),
        ("TQDM", "did you mean --match tqdm?"),
        ("tqdm:", "did you mean --match tqdm?"),
    ],
)
def test_a_pattern_needs_a_named_group(pattern, hint):
    """Without one it finds no field; the name of a built-in pattern may be misspelled."""
    with pytest.raises(UsageError, match="has no named group") as caught:
        match.compile_pattern(pattern)
    assert hint in caught.value.hint


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_a_usage_error(text):
    """The compiler raises nothing else."""
    try:
        assert match.compile_pattern(text).name == text
    except UsageError as error:
        assert error.hint


def test_a_slow_pattern_is_dropped():
    """It costs a bounded time, is named in a warning, and the others go on."""
    slow = "(?P<x>(a+)+)$"
    with pytest.raises(TimeoutError):
        regex.compile(slow).search("a" * 5000 + "b", timeout=match.SEARCH_TIMEOUT)
    matcher = match.Matcher([slow, r"(?P<step>\d)"], FlowValues())
    results = [matcher.find("a" * 5000 + "b 7") for _ in range(200)]
    assert [one.fields for one in results] == [{"step": 7}] * 200
    assert [one.problems for one in results if one.problems] == [
        (f"--match '{slow}' took longer than 0.1 s on one line, which is skipped",),
        (f"--match '{slow}' took longer than 0.1 s on one line, which is skipped",),
        (f"--match '{slow}' is too slow for these lines and is no longer tried",),
    ]


# Lines ---------------------------------------------------------------------------------------------------------------


def feed(*pieces):
    """Return the lines that these chunks complete, and the unfinished one."""
    line_buffer = match.LineBuffer()
    return [line for piece in pieces for line in line_buffer.feed(piece)], line_buffer.unfinished()


@pytest.mark.parametrize(
    ("pieces", "whole", "rest"),
    [
        ([b"a\nb\n"], ["a", "b"], []),
        ([b"a\r\nb\r\n"], ["a", "b"], []),
        ([b"\r 10%\r 20%"], [" 10%"], [" 20%"]),
        ([b"\r 10%", b"\r"], [" 10%"], []),
        ([b"a", b"b", b"\n"], ["ab"], []),
        ([b"a\r", b"\nb"], ["a"], ["b"]),
        ([b"\n\n\n"], [], []),
        ([b""], [], []),
        ([b"a\x0bb\x0c\n"], ["a\x0bb\x0c"], []),
        ([b"\xc3", b"\xa9\n"], ["é"], []),
        ([b"caf\xe9\n"], ["caf�"], []),
    ],
)
def test_lines_end_with_cr_or_lf(pieces, whole, rest):
    """Chunks may be cut anywhere; empty lines are dropped."""
    assert feed(*pieces) == (whole, rest)


def test_a_line_of_which_a_part_was_lost_is_skipped():
    """Up to its end, which may come chunks later; the next line counts."""
    buffer = match.LineBuffer()
    assert buffer.feed(b"step 4") == []
    buffer.skip_line()
    assert buffer.feed(b"5 of") == []
    assert buffer.feed(b" 9\nstep 6\nst") == ["step 6"]
    assert buffer.feed(b"ep 7\n") == ["step 7"]


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xc3\xa9", b"\xff", b"\x1b[1m", b"x" * 9000]), max_size=30),
    st.data(),
)
def test_chunks_may_be_cut_anywhere(parts, data):
    """A pipe cuts within characters and escape sequences."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert feed(*pieces) == feed(whole)


def test_a_long_line_takes_no_memory():
    """Only its beginning is kept."""
    line_buffer, chunk = match.LineBuffer(), b"x" * 64 * 1024
    tracemalloc.start()
    try:
        for _ in range(100):
            assert line_buffer.feed(chunk) == []
        assert traced_bytes() < 2 * match.MAX_LINE
    finally:
        tracemalloc.stop()
    assert line_buffer.feed(b"y\nz\n") == ["x" * match.MAX_LINE, "z"]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[38;2;1;2;3mcolor\x1b[m", "color"),
        (b"\x1b[2K\x1b[1A\x1b[?25lbar", "bar"),
        (b"\x1b[A45%", "45%"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(Btext", "text"),
        (b"\x1b7saved\x1b8", "saved"),
        (b"end\x1b", "end\x1b"),
        ("━━╸ 45%".encode(), "━━╸ 45%"),
    ],
)
def test_escape_sequences_are_removed(raw, read):
    """They set colors, the cursor, titles and links."""
    assert match.plain_text(raw.decode()) == read


@pytest.mark.parametrize(
    ("output", "count", "shown"),
    [
        (b"a\nb\nc\n", 2, "b\nc"),
        (b"a\r\nb\r\n", 5, "a\nb"),
        (b"a\nb", 0, ""),
        (b"", 3, ""),
        (b"  \n\n", 3, ""),
        (b"10%\r20%\r30%\nTraceback\n", 2, "30%\nTraceback"),
        (b"10%\r20%\r\nend", 2, "20%\nend"),
        (b"\x1b[31mError\x1b[0m: x\n", 1, "Error: x"),
        (b"caf\xe9\n", 1, "caf�"),
        (b"a\n\nb\n", 3, "a\n\nb"),
    ],
)
def test_the_last_lines_are_those_a_terminal_shows(output, count, shown):
    """Bars have their last state; colors and trailing empty lines are removed."""
    assert match.last_lines(output, count, 1000) == shown


@given(st.text(st.sampled_from("aé🚀\n")), st.integers(1, 40))
def test_the_last_lines_are_bounded_in_bytes(text, most):
    """The end is kept, and no character is cut in two."""
    results = match.last_lines(text.encode(), 1000, most)
    assert len(results.encode()) <= most
    assert text.rstrip().endswith(results)
