"""A job, a list and a watch as people and scripts see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from emulated import Emulated

from nemo_jobs_cli.api import models
from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.output import _job_layout, jobs_view, rich_text, watch_view
from nemo_jobs_cli.settings.model import Screen

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
PIPE = Screen()
FRAMES = Path(__file__).parent / "frames"
EVIL = "[bold]x[/] :smile: \x1b[31mred\x1b[0m\x9b31m\rback \u202eabc"
AWAY = NotDeliveredError("nothing listens on http://h: \x1b[31mrefused", "is it running?")

TRAIN = models.parse_job(
    {
        "id": "platform-job-2HzvGHLuPeXwN5kGsE3mLq",
        "name": "train-llama",
        "status": "active",
        "status_details": {
            "status": "running",
            "progress": 45.126,
            "message": "batch 3 of 10, and then some more words so that this one does not fit into sixty columns",
            "step": 12000,
            "train_loss": 0.3125,
            "resumed": True,
            "note": "line one\nline two\t[bold]not bold[/]",
            "metrics": {"loss": [{"step": step, "value": 1 / step} for step in range(1, 30)]},
            "lastUpdated": "2027-01-15T07:59:48Z",
        },
        "error_details": None,
        "steps": [
            {"name": "prepare", "status": "completed", "status_details": {"message": "3 files"}},
            {
                "name": "train",
                "status": "active",
                "status_details": {"exit_code": None},
                "tasks": [{"name": "worker-0", "status": "active"}, {"id": "t2", "status": "pending"}],
            },
        ],
        "created_at": "2027-01-15T05:00:00.215988",
        "updated_at": "2027-01-15T05:00:00.262314",
    }
)
FAILED = models.parse_job(
    {
        "name": "train-qwen",
        "status": "error",
        "status_details": {"progress": "high", "status": "running"},
        "error_details": {"message": "Out of memory:\nthe container was killed"},
        "steps": [
            {
                "name": "train",
                "status": "error",
                "error_details": {"message": "Out of memory:\nthe container was killed"},
                "tasks": [
                    {"name": "worker-0", "status": "error", "error_details": "killed", "error_stack": "a\nb"},
                ],
            },
            {"name": "evaluate", "status": "cancelled", "error_details": {"code": 7}},
        ],
        "created_at": "2027-01-14T05:00:00",
    }
)
NEW = models.parse_job({"name": "train-new", "status": "created", "created_at": "2027-01-15T08:00:00.5"})
ODD = models.parse_job({"name": "train-odd", "status": "hibernating", "status_details": {"progress": 100}})
DONE = models.parse_job(
    {
        "name": "eval-done-with-a-rather-long-name",
        "status": "completed",
        "status_details": {"progress": 100, "message": "ok"},
    }
)

PICTURES = {
    "job": lambda screen: jobs_view.print_job(TRAIN, screen, NOW),
    "failed": lambda screen: jobs_view.print_job(FAILED, screen, NOW),
    "new": lambda screen: jobs_view.print_job(NEW, screen, NOW),
    "list": lambda screen: jobs_view.print_list([TRAIN, FAILED, NEW, ODD, DONE], screen, NOW),
}
SCREENS = {
    "60": Screen(terminal=True, width=60),
    "100": Screen(terminal=True, width=100),
    "60-colour": Screen(terminal=True, color=True, width=60),
    "100-colour": Screen(terminal=True, color=True, width=100),
    "pipe": PIPE,
}


@pytest.fixture
def picture(capsys):
    """Return a function that draws a picture on a screen; escape characters are written visibly."""

    def draw(name: str, screen: Screen) -> str:
        PICTURES[name](screen)
        shown = capsys.readouterr().out
        return "".join(line.rstrip(" ") + "\n" for line in shown.replace("\x1b", "\\e").splitlines())

    return draw


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_looks_as_it_was_approved(picture, name, screen):
    """A change of the look is seen in review; what is drawn now is in the assertion's message."""
    drawn = picture(name, SCREENS[screen])
    assert drawn == (FRAMES / f"{name}-{screen}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PICTURES)
def test_escape_codes_appear_only_where_colour_is_wanted(picture, name, screen):
    """A pipe and NO_COLOR get none; and every line fits the screen."""
    drawn = picture(name, SCREENS[screen])
    assert ("\\e" in drawn) == screen.endswith("colour")
    if screen in {"60", "100"}:
        assert max(map(len, drawn.splitlines())) <= int(screen)


def evil_job():
    """Return a job in which every text tries to be markup and terminal control."""
    part = {"name": EVIL, "status": EVIL, "status_details": {"message": EVIL}, "error_details": {EVIL: EVIL}}
    return models.parse_job(
        {
            **part,
            "id": EVIL,
            "created_at": EVIL,
            "status_details": {EVIL: EVIL, "message": EVIL, "nested": {EVIL: EVIL}},
            "steps": [{**part, "tasks": [{**part, "error_stack": EVIL}]}],
        }
    )


@pytest.mark.parametrize(
    "screen", [Screen(terminal=True, color=True, width=900), Screen(terminal=True, width=900), PIPE]
)
def test_nothing_that_a_server_says_is_markup_or_control(capsys, screen):
    """Jobs, lists, watches and single values alike."""
    job = evil_job()
    jobs_view.print_job(job, screen, NOW)
    jobs_view.print_list([job], screen, NOW)
    jobs_view.print_names([job], screen)
    with watch_view.open_view(screen, lambda: NOW) as view:
        view.look(job)
        view.trouble(AWAY)
    if screen.terminal:
        jobs_view.print_value(EVIL, screen)
    shown = "".join(capsys.readouterr())
    assert "[bold]x[/] :smile:" in shown
    assert "\x1b[31mred" not in shown
    for control in ("\x9b", "\u202e", "\x1b[31mrefused"):
        assert control not in shown
    if not screen.color:
        assert "\x1b" not in shown


def test_a_value_is_exact_in_a_pipe_and_harmless_on_a_terminal(capsys):
    """A script gets every byte; a terminal is never steered."""
    jobs_view.print_value(EVIL, PIPE)
    assert capsys.readouterr().out == EVIL + "\n"
    jobs_view.print_value(EVIL, Screen(terminal=True))
    assert "\x1b" not in capsys.readouterr().out
    for value, shown in ((45, "45"), (0.5, "0.5"), (True, "true"), (None, "null"), ({"a": ["é"]}, '{"a":["é"]}')):
        jobs_view.print_value(value, PIPE)
        assert capsys.readouterr().out == shown + "\n"


def test_ndjson_lists_a_job_a_line(capsys):
    """Who reads lines can stop after the first."""
    assert jobs_view.print_list(iter([TRAIN, NEW]), Screen(output="ndjson"), NOW) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["result"] for entry in found] == [TRAIN.raw, NEW.raw]


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_the_servers_answer_in_one_document(capsys, terminal):
    """Wherever it goes: `result` is what the server said, untouched."""
    screen = Screen(output="json", terminal=terminal)
    for draw, command, result in (
        (lambda: jobs_view.print_job(TRAIN, screen, NOW), "show", TRAIN.raw),
        (lambda: jobs_view.print_value([1], screen), "show", [1]),
        (lambda: jobs_view.print_list(iter([TRAIN, NEW]), screen, NOW), "list", [TRAIN.raw, NEW.raw]),
        (lambda: jobs_view.print_names([TRAIN, NEW], screen), "list", ["train-llama", "train-new"]),
    ):
        draw()
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        assert json.loads(out) == {"schema": 1, "command": command, "outcome": "ok", "exit_code": 0, "result": result}


def test_an_empty_list_draws_nothing(capsys):
    """No heading above nothing; JSON has its empty list."""
    assert jobs_view.print_list([], SCREENS["60"], NOW) == 0
    assert jobs_view.print_list([], PIPE, NOW) == 0
    assert capsys.readouterr().out == ""
    jobs_view.print_list([], Screen(output="json"), NOW)
    assert json.loads(capsys.readouterr().out)["result"] == []


def test_rows_of_a_piped_list_come_as_they_are_read(capsys):
    """`list | head` shows its first line before the last page is asked for."""

    def jobs():
        yield TRAIN
        assert capsys.readouterr().out.startswith("train-llama\tactive\t45.126\t2027-01-15T05:00:00.215988Z\tbatch 3")
        yield NEW

    assert jobs_view.print_list(jobs(), PIPE, NOW) == 2
    assert capsys.readouterr().out == "train-new\tcreated\t\t2027-01-15T08:00:00.5Z\t\n"


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        (None, "unknown"),
        (NOW, "just now"),
        (NOW + 59, "just now"),
        (NOW - 59.9, "59 s ago"),
        (NOW - 60, "1 min ago"),
        (NOW + 3600, "in 1 h by this machine's clock"),
    ],
)
def test_ages_allow_for_clocks_that_differ(then, shown):
    """A little in the future is now; far in the future is said."""
    assert rich_text.ago(then, NOW) == shown


def test_a_bar_is_drawn_only_for_a_number(capsys):
    """`progress: "high"` is text like any other."""
    jobs_view.print_job(FAILED, SCREENS["60"], NOW)
    shown = capsys.readouterr().out
    assert "progress  high" in shown
    assert "━" not in shown


NAN, INFINITY, DIGITS = float("nan"), float("inf"), int("9" * 4200)


@pytest.mark.parametrize("width", [50, 60, 100])
@pytest.mark.parametrize(
    ("progress", "shown", "listed", "bars"),
    [
        (NAN, "NaN", "NaN", False),
        (INFINITY, "Infinity", "Infinity", False),
        (-INFINITY, "-Infinity", "-Infinity", False),
        (DIGITS, "9999999999999999999…", "9999999…", False),
        (-DIGITS, "-999999999999999999…", "-999999…", False),
        (1e308, "1000000000000000010… %", "1000000…", True),
        (-1e308, "-100000000000000001… %", "-100000…", False),
        (True, "true", "", False),
        ([DIGITS], "[9999999999", "", False),
    ],
    ids=["nan", "inf", "-inf", "digits", "-digits", "e308", "-e308", "bool", "list"],
)
def test_a_wild_progress_breaks_no_picture(capsys, progress, shown, listed, bars, width):
    """What the platform stores is shown, cut where it is long, and drawn only where it is a share."""
    job = models.parse_job({**NEW.raw, "status": "s" * 40, "status_details": {"progress": progress, "message": "m"}})
    colour = Screen(terminal=True, color=True, width=width)
    plain = Screen(terminal=True, width=width)
    jobs_view.print_job(job, plain, NOW)
    frame = capsys.readouterr().out
    assert shown in frame
    assert ("━" in frame) is bars
    jobs_view.print_list([job], plain, NOW)
    table = capsys.readouterr().out
    assert listed in table
    assert NEW.name[:6] in table
    assert ("━" in table) is (bars and width >= 80)
    assert max(map(len, (frame + table).splitlines())) <= width
    with watch_view.open_view(colour, lambda: NOW) as view:
        view.look(job)
    jobs_view.print_job(job, colour, NOW)
    jobs_view.print_job(job, PIPE, NOW)
    jobs_view.print_list([job], PIPE, NOW)
    assert shown[:8] in capsys.readouterr().out


def refuse(word):
    """Fail for what JSON does not have."""
    raise AssertionError(word)


def test_a_servers_nan_is_null_in_json_and_a_word_alone(capsys):
    """Every document can be read by every parser; one bare value says what it is."""
    job = with_details(NEW, progress=NAN, loss=[INFINITY])
    for screen in (Screen(output="json"), Screen(output="ndjson")):
        jobs_view.print_job(job, screen, NOW)
        jobs_view.print_list([job], screen, NOW)
        jobs_view.print_value(NAN, screen)
        shown, listed, value = (
            json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()
        )
        one = listed["result"] if screen.output == "ndjson" else listed["result"][0]
        assert shown["result"]["status_details"] == one["status_details"]
        assert shown["result"]["status_details"] == {"progress": None, "loss": [None]}
        assert value["result"] is None
    for screen in (PIPE, Screen(terminal=True)):
        jobs_view.print_value(-INFINITY, screen)
        jobs_view.print_value([NAN], screen)
        assert capsys.readouterr().out == "-Infinity\n[null]\n"


def crowd(steps, tasks, **more):
    """Return a job with so many steps of so many tasks each."""
    step = {"status": "active", "tasks": [{"name": f"t{n}", "status": "active", **more} for n in range(tasks)], **more}
    return models.parse_job({**NEW.raw, "steps": [{"name": f"s{n}", **step} for n in range(steps)]})


def told(shown):
    """Return what is told below the heading of the steps, a word a row."""
    return [row.split()[0] if row.strip()[:1] != "+" else row.strip() for row in shown.split("Steps\n")[1].splitlines()]


@pytest.mark.parametrize(
    ("steps", "tasks", "more"),
    [
        (50, 0, []),
        (51, 0, ["+1 more step (-o json shows all)"]),
        (3000, 0, ["+2950 more steps (-o json shows all)"]),
    ],
)
def test_of_many_steps_the_first_fifty_are_drawn(capsys, steps, tasks, more):
    """A screen holds no three thousand, and drawing them takes seconds."""
    jobs_view.print_job(crowd(steps, tasks), SCREENS["100"], NOW)
    assert told(capsys.readouterr().out) == [*(f"s{n}" for n in range(50)), *more]


@pytest.mark.parametrize(("tasks", "more"), [(10, []), (11, ["+1 more task"]), (999, ["+989 more tasks"])])
def test_of_many_tasks_the_first_ten_are_drawn(capsys, tasks, more):
    """Each step has its say."""
    jobs_view.print_job(crowd(2, tasks), SCREENS["100"], NOW)
    drawn = [*(f"t{n}" for n in range(10)), *more]
    assert told(capsys.readouterr().out) == ["s0", *drawn, "s1", *drawn]


def test_of_many_errors_the_first_fifty_are_drawn(capsys):
    """A job whose every task has failed is told in one screen, too."""
    job = crowd(30, 1, error_details={"message": "killed"})
    jobs_view.print_job(job, SCREENS["100"], NOW)
    shown = capsys.readouterr().out.split("Error details\n")[1].splitlines()
    assert len(shown) == 51
    assert shown[-1].strip() == "+10 more (-o json shows all)"


def test_a_watch_draws_no_more_and_a_pipe_gets_all(capsys):
    """A frame is redrawn at every look; a program reads whatever there is."""
    job = crowd(60, 1)
    with watch_view.open_view(SCREENS["100-colour"], lambda: NOW) as view:
        view.look(job)
    assert "+10 more steps" in capsys.readouterr().out
    jobs_view.print_job(job, PIPE, NOW)
    assert sum(row.startswith(("step.", "task.")) for row in capsys.readouterr().out.splitlines()) == 120


def test_a_long_text_is_cut_and_a_long_object_too(capsys):
    """One value can't push the rest off the screen; --field prints it whole."""
    jobs_view.print_job(models.parse_job({"status_details": {"a": "x" * 5000, "b": ["y" * 5000]}}), SCREENS["100"], NOW)
    shown = capsys.readouterr().out
    assert (shown.count("x"), shown.count("y")) == (1999, 157)


def with_details(job, **details):
    """Return the job with other details."""
    return models.parse_job({**job.raw, "status_details": {**job.raw.get("status_details", {}), **details}})


def test_a_piped_watch_prints_a_line_a_change(capsys):
    """Time, the platform's status, and what changed; the same look twice is silence."""
    with watch_view.open_view(PIPE, lambda: NOW) as view:
        for job in (
            NEW,
            NEW,
            with_details(NEW, progress=1),
            with_details(NEW, progress=1, lastUpdated="2027-01-15T08:00:00Z"),
        ):
            view.look(job)
        view.look(models.parse_job({**NEW.raw, "status": "active", "steps": [{"name": "train", "status": "active"}]}))
    assert capsys.readouterr().out.splitlines() == [
        "2027-01-15T08:00:00Z\tstate=created",
        "2027-01-15T08:00:00Z\tstate=created\tdetails.progress=1",
        "2027-01-15T08:00:00Z\tstate=active\tstep.train=active",
    ]


def test_a_heartbeat_comes_with_the_next_news(capsys):
    """A new lastUpdated alone is no line; beside other news it is shown."""
    before = with_details(NEW, lastUpdated="2027-01-15T08:00:00Z")
    assert jobs_view.changes(NEW, before) == []
    assert jobs_view.changes(NEW, with_details(before, progress=2)) == [
        "state=created",
        "details.lastUpdated=2027-01-15T08:00:00Z",
        "details.progress=2",
    ]
    assert jobs_view.changes(None, NEW) == ["state=created"]


def test_each_line_leaves_at_once(capfd):
    """A pipe's buffer would hold a line back for minutes."""
    with watch_view.open_view(PIPE, lambda: NOW) as view:
        view.look(NEW)
        assert capfd.readouterr().out == "2027-01-15T08:00:00Z\tstate=created\n"


def test_an_ndjson_watch_prints_a_document_a_change(capsys):
    """Each line is a whole answer."""
    with watch_view.open_view(Screen(output="ndjson", terminal=True, color=True), lambda: NOW) as view:
        for job in (NEW, NEW, TRAIN):
            view.look(job)
    assert [json.loads(line)["result"] for line in capsys.readouterr().out.splitlines()] == [NEW.raw, TRAIN.raw]


@pytest.mark.parametrize(
    ("screen", "silent"), [(PIPE, True), (Screen(output="json"), False), (Screen(terminal=True, color=True), True)]
)
def test_a_silent_wait_says_only_that_the_platform_is_away(capsys, screen, silent):
    """Prose, on stderr; quiet means quiet."""
    with watch_view.open_view(screen, lambda: NOW, silent=silent) as view:
        view.look(NEW)
        view.trouble(AWAY)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "warning: nothing listens on http://h: \\x1b[31mrefused; still trying\n"
    with watch_view.open_view(Screen(quiet=True), lambda: NOW, silent=True) as view:
        view.trouble(AWAY)
    assert capsys.readouterr().err == ""


def test_a_live_frame_is_redrawn_in_place_and_left_standing(capsys):
    """The cursor is hidden meanwhile and comes back; nothing goes to stderr."""
    with watch_view.open_view(Screen(terminal=True, color=True, width=60), lambda: NOW) as view:
        view.trouble(AWAY)
        view.look(NEW)
        view.trouble(AWAY)
        view.look(ODD)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("\x1b[?25l")
    screen = Emulated(rows=24, columns=60).feed(out)
    assert "hibernating" in screen.shown()
    assert "still trying" not in screen.shown()
    assert not screen.hidden


def test_the_cursor_comes_back_after_an_interruption(capsys):
    """Ctrl-C leaves the terminal as it was."""

    def interrupted():
        with watch_view.open_view(SCREENS["60-colour"], lambda: NOW) as view:
            view.look(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().out.rstrip().endswith("\x1b[?25h")


def test_without_colour_a_terminal_gets_lines_instead_of_a_frame(capsys):
    """Redrawing takes escape codes, and NO_COLOR means none."""
    with watch_view.open_view(SCREENS["60"], lambda: NOW) as view:
        view.look(NEW)
    assert capsys.readouterr().out == "08:00:00Z  created\n"


def test_a_frame_draws_on_the_console_that_it_is_given():
    """The frame's width is the console's, not the environment's."""
    target = rich_text.console(Screen(terminal=True, width=60))
    assert _job_layout.job(NEW, target, NOW).renderables[0].plain == "train-new"
