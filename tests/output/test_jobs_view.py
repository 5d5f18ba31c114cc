"""The output of a job, a list and a watch, on terminals and in pipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from emulated import Emulated

from nemo_jobs_cli.api import models
from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.output import jobs_view, rich_text, watch_view
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

VIEWS = {
    "job": lambda screen: jobs_view.print_job(TRAIN, screen, NOW),
    "failed": lambda screen: jobs_view.print_job(FAILED, screen, NOW),
    "new": lambda screen: jobs_view.print_job(NEW, screen, NOW),
    "list": lambda screen: jobs_view.print_list([TRAIN, FAILED, NEW, ODD, DONE], screen, NOW),
}
SCREENS = {
    "60": Screen(terminal=True, width=60),
    "100": Screen(terminal=True, width=100),
    "60-color": Screen(terminal=True, color=True, width=60),
    "100-color": Screen(terminal=True, color=True, width=100),
    "pipe": PIPE,
}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", VIEWS)
def test_the_output_matches_its_file(capsys, name, screen):
    """Without color there are no escape codes, and every line fits the screen."""
    VIEWS[name](SCREENS[screen])
    lines = capsys.readouterr().out.replace("\x1b", "\\e").splitlines()
    text = "".join(line.rstrip(" ") + "\n" for line in lines)
    assert text == (FRAMES / f"{name}-{screen}.txt").read_text(encoding="utf-8")
    assert ("\\e" in text) == screen.endswith("color")
    if screen in {"60", "100"}:
        assert max(map(len, text.splitlines())) <= int(screen)


def evil_job():
    """Return a job whose texts all contain markup and terminal controls."""
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
def test_text_of_the_server_is_neither_markup_nor_terminal_control(capsys, screen):
    """In jobs, lists, watches and single values."""
    job = evil_job()
    jobs_view.print_job(job, screen, NOW)
    jobs_view.print_list([job], screen, NOW)
    jobs_view.print_names([job], screen)
    with watch_view.open_view(screen, lambda: NOW) as view:
        view.on_job(job)
        view.on_outage(AWAY)
    if screen.terminal:
        jobs_view.print_value(EVIL, screen)
    output = "".join(capsys.readouterr())
    assert "[bold]x[/] :smile:" in output
    assert "\x1b[31mred" not in output
    for control in ("\x9b", "\u202e", "\x1b[31mrefused"):
        assert control not in output
    if not screen.color:
        assert "\x1b" not in output


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (20, "JOB STATE"),
        (35, "JOB STATE PROGRESS"),
        (40, "JOB STATE PROGRESS CREATED"),
        (50, "JOB STATE REPORTED PROGRESS CREATED"),
        (70, "JOB STATE REPORTED PROGRESS CREATED MESSAGE"),
    ],
)
def test_a_narrow_list_has_fewer_columns(capsys, width, titles):
    """So that the names can be read."""
    jobs_view.print_list([TRAIN, NEW], Screen(terminal=True, width=width), NOW)
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert (" ".join(heading.split()), max(len(heading), len(first)) <= width) == (titles, True)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"a": 1}, "it sends no lastUpdated (update --stamp does)"),
        ({"lastUpdated": "now"}, "its lastUpdated is not a time"),
    ],
)
def test_an_unknown_age_has_a_reason(capsys, details, reason):
    """No lastUpdated, or one that is not a time."""
    job = models.parse_job({"name": "x1", "status": "active", "status_details": details})
    jobs_view.print_job(job, Screen(terminal=True, width=100), NOW)
    assert f"unknown: {reason}" in capsys.readouterr().out


def test_what_is_reported_comes_before_the_bar(capsys):
    """At the usual width of a terminal."""
    job = with_details(TRAIN, stage="warmup")
    for width, is_shown in ((80, False), (100, True)):
        jobs_view.print_list([job], Screen(terminal=True, width=width), NOW)
        out = capsys.readouterr().out
        assert "running, warmup" in out
        assert ("━" in out) is is_shown


def test_the_details_of_the_controller_are_shown_last(capsys):
    """On a terminal: a low window cuts a live frame from below. Their long names do not push the others' values away."""
    job = models.parse_job(
        {"status_details": {"subprocess_work_dir": "/tmp", "pid": 1, "stage": "mid", "exit_code": 0}}
    )
    jobs_view.print_job(job, SCREENS["60"], NOW)
    rows = capsys.readouterr().out.split("Reported details\n")[1].splitlines()
    assert [row.split()[0] for row in rows] == ["stage", "subprocess_work_dir", "pid", "exit_code"]
    assert rows[0].rstrip() == "  stage  mid"


def test_a_value_is_exact_in_a_pipe_and_escaped_on_a_terminal(capsys):
    """A script gets every byte, a terminal no controls."""
    jobs_view.print_value(EVIL, PIPE)
    assert capsys.readouterr().out == EVIL + "\n"
    jobs_view.print_value(EVIL, Screen(terminal=True))
    assert "\x1b" not in capsys.readouterr().out
    for value, text in ((45, "45"), (0.5, "0.5"), (True, "true"), (None, "null"), ({"a": ["é"]}, '{"a":["é"]}')):
        jobs_view.print_value(value, PIPE)
        assert capsys.readouterr().out == text + "\n"


def test_a_list_as_ndjson_is_one_job_per_line(capsys):
    """So a program can stop after the first."""
    assert jobs_view.print_list(iter([TRAIN, NEW]), Screen(output="ndjson"), NOW) == 2
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["result"] for document in documents] == [TRAIN.raw, NEW.raw]


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_one_document_with_the_unchanged_response(capsys, terminal):
    """Under `result`, on a terminal and in a pipe."""
    screen = Screen(output="json", terminal=terminal)
    for print_it, command, result in (
        (lambda: jobs_view.print_job(TRAIN, screen, NOW), "show", TRAIN.raw),
        (lambda: jobs_view.print_value([1], screen), "show", [1]),
        (lambda: jobs_view.print_list(iter([TRAIN, NEW]), screen, NOW), "list", [TRAIN.raw, NEW.raw]),
        (lambda: jobs_view.print_names([TRAIN, NEW], screen), "list", ["train-llama", "train-new"]),
    ):
        print_it()
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        assert json.loads(out) == {"schema": 1, "command": command, "outcome": "ok", "exit_code": 0, "result": result}


def test_an_empty_list_prints_nothing(capsys):
    """No heading either; JSON has an empty list."""
    assert jobs_view.print_list([], SCREENS["60"], NOW) == 0
    assert jobs_view.print_list([], PIPE, NOW) == 0
    assert capsys.readouterr().out == ""
    jobs_view.print_list([], Screen(output="json"), NOW)
    assert json.loads(capsys.readouterr().out)["result"] == []


def test_a_piped_list_prints_each_row_as_it_is_read(capsys):
    """`list | head` shows its first line before the last page is requested."""

    def jobs():
        yield TRAIN
        assert capsys.readouterr().out.startswith("train-llama\tactive\t45.126\t2027-01-15T05:00:00.215988Z\tbatch 3")
        yield NEW

    assert jobs_view.print_list(jobs(), PIPE, NOW) == 2
    assert capsys.readouterr().out == "train-new\tcreated\t\t2027-01-15T08:00:00.5Z\t\t\t\t\n"


@pytest.mark.parametrize(
    ("then", "text"),
    [
        (None, "unknown"),
        (NOW, "just now"),
        (NOW + 59, "just now"),
        (NOW - 59.9, "59 s ago"),
        (NOW - 60, "1 min ago"),
        (NOW + 3600, "in 1 h by this machine's clock"),
    ],
)
def test_an_age_allows_for_clocks_that_differ(then, text):
    """Less than a minute in the future is now; more is shown as such."""
    assert rich_text.ago(then, NOW) == text


def test_progress_that_is_not_a_number_has_no_bar(capsys):
    """`progress: "high"` is text like any other."""
    jobs_view.print_job(FAILED, SCREENS["60"], NOW)
    out = capsys.readouterr().out
    assert "progress  high" in out
    assert "━" not in out


NAN, INFINITY, DIGITS = float("nan"), float("inf"), int("9" * 4200)


@pytest.mark.parametrize("width", [50, 60, 100])
@pytest.mark.parametrize(
    ("progress", "in_frame", "in_list", "has_bar"),
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
def test_extreme_progress_does_not_break_the_layout(capsys, progress, in_frame, in_list, has_bar, width):
    """It is cut if it is long, and has a bar only if it is a finite number."""
    job = models.parse_job({**NEW.raw, "status": "s" * 40, "status_details": {"progress": progress, "message": "m"}})
    color = Screen(terminal=True, color=True, width=width)
    plain = Screen(terminal=True, width=width)
    jobs_view.print_job(job, plain, NOW)
    frame = capsys.readouterr().out
    assert in_frame in frame
    assert ("━" in frame) is has_bar
    jobs_view.print_list([job], plain, NOW)
    table = capsys.readouterr().out
    assert in_list in table
    assert NEW.name[:6] in table
    assert ("━" in table) is (has_bar and width >= 80)
    assert max(map(len, (frame + table).splitlines())) <= width
    with watch_view.open_view(color, lambda: NOW) as view:
        view.on_job(job)
    jobs_view.print_job(job, color, NOW)
    jobs_view.print_job(job, PIPE, NOW)
    jobs_view.print_list([job], PIPE, NOW)
    assert in_frame[:8] in capsys.readouterr().out


def refuse(constant):
    """Fail for a constant that is not JSON."""
    raise AssertionError(constant)


def test_nan_is_null_in_json_and_a_name_as_a_bare_value(capsys):
    """Every parser can read every document."""
    job = with_details(NEW, progress=NAN, loss=[INFINITY])
    for screen in (Screen(output="json"), Screen(output="ndjson")):
        jobs_view.print_job(job, screen, NOW)
        jobs_view.print_list([job], screen, NOW)
        jobs_view.print_value(NAN, screen)
        job_document, list_document, value_document = (
            json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()
        )
        entry = list_document["result"] if screen.output == "ndjson" else list_document["result"][0]
        assert job_document["result"]["status_details"] == entry["status_details"]
        assert entry["status_details"] == {"progress": None, "loss": [None]}
        assert value_document["result"] is None
    for screen in (PIPE, Screen(terminal=True)):
        jobs_view.print_value(-INFINITY, screen)
        jobs_view.print_value([NAN], screen)
        assert capsys.readouterr().out == "-Infinity\n[null]\n"


def large_job(steps, tasks, **more):
    """Return a job with so many steps of so many tasks each."""
    step = {"status": "active", "tasks": [{"name": f"t{n}", "status": "active", **more} for n in range(tasks)], **more}
    return models.parse_job({**NEW.raw, "steps": [{"name": f"s{n}", **step} for n in range(steps)]})


def step_rows(out):
    """Return the rows of the section Steps: names, and lines on what is omitted."""
    return [row.split()[0] if row.strip()[:1] != "+" else row.strip() for row in out.split("Steps\n")[1].splitlines()]


@pytest.mark.parametrize(
    ("steps", "more"),
    [
        (50, []),
        (51, ["+1 more step (-o json shows all)"]),
        (3000, ["+2950 more steps (-o json shows all)"]),
    ],
)
def test_a_frame_shows_the_first_fifty_steps(capsys, steps, more):
    """Drawing three thousand takes seconds."""
    jobs_view.print_job(large_job(steps, 0), SCREENS["100"], NOW)
    assert step_rows(capsys.readouterr().out) == [*(f"s{n}" for n in range(50)), *more]


@pytest.mark.parametrize(("tasks", "more"), [(10, []), (11, ["+1 more task"]), (999, ["+989 more tasks"])])
def test_a_frame_shows_the_first_ten_tasks_of_each_step(capsys, tasks, more):
    """So that all steps fit."""
    jobs_view.print_job(large_job(2, tasks), SCREENS["100"], NOW)
    rows = [*(f"t{n}" for n in range(10)), *more]
    assert step_rows(capsys.readouterr().out) == ["s0", *rows, "s1", *rows]


def test_a_frame_shows_the_first_fifty_errors(capsys):
    """Every task of a job may have failed."""
    job = large_job(30, 1, error_details={"message": "killed"})
    jobs_view.print_job(job, SCREENS["100"], NOW)
    rows = capsys.readouterr().out.split("Error details\n")[1].splitlines()
    assert len(rows) == 51
    assert rows[-1].strip() == "+10 more (-o json shows all)"


def test_a_watch_has_the_same_limits_and_a_pipe_has_none(capsys):
    """A frame is redrawn after every poll; a program gets all rows."""
    job = large_job(60, 1)
    with watch_view.open_view(SCREENS["100-color"], lambda: NOW) as view:
        view.on_job(job)
    assert "+10 more steps" in capsys.readouterr().out
    jobs_view.print_job(job, PIPE, NOW)
    assert sum(row.startswith(("step.", "task.")) for row in capsys.readouterr().out.splitlines()) == 120


def test_a_long_text_or_object_is_cut(capsys):
    """--field prints it whole."""
    jobs_view.print_job(models.parse_job({"status_details": {"a": "x" * 5000, "b": ["y" * 5000]}}), SCREENS["100"], NOW)
    out = capsys.readouterr().out
    assert (out.count("x"), out.count("y")) == (1999, 157)


def with_details(job, **details):
    """Return the job with other details."""
    return models.parse_job({**job.raw, "status_details": {**job.raw.get("status_details", {}), **details}})


def changes(before, after):
    """Return the changes between two polls."""
    return jobs_view.changes(*(jobs_view.watched_facts(job, NOW) for job in (before, after)))


def test_a_piped_watch_prints_a_line_per_change(capfd):
    """The time, the state, and what changed; flushed, since a pipe's buffer would hold it back."""
    lines = []
    with watch_view.open_view(PIPE, lambda: NOW) as view:
        stamped = with_details(NEW, progress=1, lastUpdated="2027-01-15T08:00:00Z")
        steps = [{"name": "train", "status": "active"}]
        active = models.parse_job({**stamped.raw, "status": "active", "steps": steps})
        for job in (NEW, NEW, with_details(NEW, progress=1), stamped, active):
            view.on_job(job)
            lines.append(capfd.readouterr().out)
    assert lines == [
        "2027-01-15T08:00:00Z\tstate=created\n",
        "",
        "2027-01-15T08:00:00Z\tstate=created\tdetails.progress=1\n",
        "",
        "2027-01-15T08:00:00Z\tstate=active\tstep.train=active\n",
    ]


def test_a_heartbeat_is_printed_with_the_next_change():
    """A new lastUpdated alone is not a change."""
    before = with_details(NEW, lastUpdated="2027-01-15T08:00:00Z")
    assert changes(NEW, before) == []
    assert changes(NEW, with_details(before, progress=2)) == [
        "state=created",
        "details.lastUpdated=2027-01-15T08:00:00Z",
        "details.progress=2",
    ]
    assert jobs_view.changes({}, jobs_view.watched_facts(NEW, NOW)) == ["state=created"]


def test_a_silence_and_its_end_are_changes():
    """The end comes with a heartbeat, which alone would be none."""
    old, new = (with_details(NEW, lastUpdated=f"2027-01-15T07:5{minute}:00Z") for minute in (0, 9))
    assert changes(NEW, old) == ["state=created", "silent=true", "details.lastUpdated=2027-01-15T07:50:00Z"]
    assert changes(old, new) == ["state=created", "details.lastUpdated=2027-01-15T07:59:00Z", "silent=false"]


def test_a_key_that_is_set_to_null_is_a_change(capsys):
    """A null is not printed otherwise."""
    before, after = with_details(NEW, error="out of memory"), with_details(NEW, error=None)
    assert changes(before, after) == ["state=created", "details.error=null"]
    for screen in SCREENS.values():
        jobs_view.print_job(after, screen, NOW)
    assert "error" not in capsys.readouterr().out


def test_a_piped_job_leaves_out_copies(capsys):
    """The controller copies the details of a task to its step, and those of the step to the job."""
    details = {"message": "Job is running", "pid": 1593}
    task = {"name": "t", "status": "active", "status_details": details, "error_details": {"code": 1}}
    steps = [
        {"name": "prepare", "status": "completed", "status_details": {**details, "message": "Job completed"}},
        {**task, "name": "train", "tasks": [task, {**task, "name": "u", "status_details": {"pid": 2}}]},
    ]
    job = {"name": "train-x", "status_details": {**details, "stage": "mid"}, "error_details": {"code": 1}}
    jobs_view.print_job(models.parse_job({**job, "steps": steps}), PIPE, NOW)
    assert capsys.readouterr().out.splitlines()[4:] == [
        "details.message\tJob is running",
        "details.pid\t1593",
        "details.stage\tmid",
        "error.code\t1",
        "step.prepare\tcompleted",
        "step.prepare.details.message\tJob completed",
        "step.train\tactive",
        "task.train.t\tactive",
        "task.train.u\tactive",
        "task.train.u.details.pid\t2",
    ]


def test_a_watch_leaves_out_the_details_of_steps_and_tasks():
    """They arrive in the details of the job within seconds; error details stay."""
    details = {"status_details": {"message": "Subprocess scheduled", "pid": 1}}
    task = {"name": "t", "status": "error", **details, "error_details": "killed", "error_stack": "a"}
    steps = [{"name": "train", "status": "pending", **details, "tasks": [task]}]
    assert changes(NEW, models.parse_job({**NEW.raw, "steps": steps})) == [
        "state=created",
        "step.train=pending",
        "task.train.t=error",
        "task.train.t.error=killed",
        "task.train.t.error_stack=a",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_silent_job_is_marked(capsys, width):
    """On any screen, and in a pipe."""
    job = with_details(NEW, lastUpdated="2027-01-15T07:50:00Z", status="running", stage="mid", message="epoch 3")
    screen = Screen(terminal=True, width=width)
    jobs_view.print_job(job, screen, NOW)
    assert "state        created silent" in capsys.readouterr().out
    jobs_view.print_list([job], screen, NOW)
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith("train-new  created silent")
    assert ("running, mid" in row) is (width > 40)
    jobs_view.print_job(job, PIPE, NOW)
    assert "silent\ttrue\n" in capsys.readouterr().out
    jobs_view.print_list([job], PIPE, NOW)
    assert capsys.readouterr().out.endswith("\tepoch 3\trunning\tmid\tsilent\n")


def test_a_watch_as_ndjson_prints_a_document_per_change(capsys):
    """Each with the whole response."""
    with watch_view.open_view(Screen(output="ndjson", terminal=True, color=True), lambda: NOW) as view:
        for job in (NEW, NEW, TRAIN):
            view.on_job(job)
    assert [json.loads(line)["result"] for line in capsys.readouterr().out.splitlines()] == [NEW.raw, TRAIN.raw]


def test_a_live_frame_is_redrawn_in_place_and_stays_at_the_end(capsys):
    """The cursor is hidden until then; nothing goes to stderr."""
    with watch_view.open_view(Screen(terminal=True, color=True, width=60), lambda: NOW) as view:
        view.on_outage(AWAY)
        view.on_job(NEW)
        view.on_outage(AWAY)
        view.on_job(ODD)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("\x1b[?25l")
    screen = Emulated(rows=24, columns=60).feed(out)
    assert "hibernating" in screen.shown()
    assert "still trying" not in screen.shown()
    assert not screen.hidden


def test_the_cursor_is_shown_again_after_an_interrupt(capsys):
    """Ctrl-C restores the terminal."""

    def interrupted():
        with watch_view.open_view(SCREENS["60-color"], lambda: NOW) as view:
            view.on_job(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().out.rstrip().endswith("\x1b[?25h")
