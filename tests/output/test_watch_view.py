"""A watched job: the live frame as time passes, and the lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from emulated import Emulated

from nemo_jobs_cli.api import models
from nemo_jobs_cli.api.logs import Line
from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.output import watch_view
from nemo_jobs_cli.output._live import Frame
from nemo_jobs_cli.settings.model import Screen

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
FRAMES = Path(__file__).parent / "frames"
AWAY = NotDeliveredError("nothing listens on http://h: connection refused (9 tries)", "is it running?")
STEPS = [{"name": "prepare", "status": "completed"}, {"name": "train", "status": "active"}]
COLOR = Screen(terminal=True, color=True, width=60)


def job(status="active", **details):
    """Return a polled job."""
    status_answer = {"name": "train-llama", "status": status, "created_at": "2027-01-15T05:00:00", "steps": STEPS}
    return models.parse_job({**status_answer, "status_details": details})


class Clock:
    """A monotonic clock and the time of day, advanced by the test."""

    def __init__(self):
        self.now = 5000.0

    def monotonic(self):
        """Return the time of the monotonic clock."""
        return self.now

    def time_of_day(self):
        """Return the time of day."""
        return NOW + self.now - 5000.0


@pytest.fixture
def clock():
    """Return a clock that only the test advances."""
    return Clock()


@pytest.fixture
def view(clock):
    """Return a live view."""
    return watch_view.LiveView(COLOR, clock.time_of_day, clock.monotonic)


def plain(frame):
    """Return a frame as text without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([*frame.lines, *frame.footer]))


def follow(view, clock, *, rises=5, every=60.0, **details):
    """Show a job whose progress rises by 6.5 every so many seconds."""
    for n in range(rises + 1):
        view.on_job(job(progress=12.5 + 6.5 * n, step=100 * n, **details))
        clock.now += every
    clock.now -= every


def test_the_end_of_the_log_is_below_the_job(view, clock):
    """At most ten lines, cut to the width, without controls."""
    view.on_lines([Line("2027-01-15T07:00:00", "train", "task-1", f"line {n}") for n in range(15)])
    view.on_lines([Line("2027-01-15T07:00:01", "train", "task-1", "\x1b[31m10%\x1b[0m\r" + "界" * 100)])
    view.on_job(job())
    assert "line 14" in plain(view.frame(30)._replace(lines=()))  # where a low window cuts nothing
    lines = plain(view.frame(30)).split("\n")
    assert lines[-11:-1] == ["", *(f"line {n}" for n in range(6, 15))]
    assert lines[-1] == "10%\\r" + "界" * 12 + "…"
    assert plain(watch_view.LiveView(COLOR, clock.time_of_day, clock.monotonic).frame(30)) == ""


KILLED = "out of memory: the loader of shard 3 of 10 was killed, and will be started again with half of its batch size"
STAMPED = {"message": "batch 3 of 10", "lastUpdated": "2027-01-15T08:05:00Z"}


@pytest.mark.parametrize("width", [60, 100])
def test_a_live_frame_matches_its_file(clock, width):
    """With color: the time left beside the bar, ages, and an outage at the bottom."""
    view = watch_view.LiveView(COLOR._replace(width=width), clock.time_of_day, clock.monotonic)
    follow(view, clock, **STAMPED)
    clock.now += 12
    view.on_outage(AWAY)
    frame = view.frame(width - 1)
    text = "".join(f"{line}\n" for line in [*frame.lines, *frame.footer]).replace("\x1b", "\\e")
    assert text == (FRAMES / f"watch-{width}-color.txt").read_text(encoding="utf-8")
    assert max(map(len, plain(frame).splitlines())) < width


@pytest.mark.parametrize("width", [60, 100])
def test_the_lines_of_a_watch_match_their_file(clock, capsys, width):
    """Without color: a line for each change, wrapped to the width, with the time left if it is known."""
    with watch_view.open_view(Screen(terminal=True, width=width), clock.time_of_day, clock=clock.monotonic) as view:
        follow(view, clock, rises=4, message="batch 3 of 10")
        details = {"step": 400, "message": KILLED, "loader": {"shard": 3, "restarts": [1, 2, 3]}}
        view.on_job(job(progress=38.5, **details))
        view.on_job(job("error", progress="unknown", **details))
    out = capsys.readouterr().out
    assert out == (FRAMES / f"watch-{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, out.splitlines())) < width
    assert "\x1b" not in out


def test_the_bar_stays_in_place(view, clock):
    """Neither an estimate that appears nor a longer number moves it."""
    rows = []
    for value in (1, 7.25, 13.5, 19.75, 26, 26):
        view.on_job(job(progress=value))
        rows += [row for row in view.frame(59).lines if "progress" in row]
        clock.now += 30
    bars = [re.search("[━╸]+", plain(Frame([row]))) for row in rows]
    assert {bar.span() for bar in bars} == {(21, 31)}
    assert "left" not in rows[0]
    assert rows[4].endswith("about 6 min left")


def test_ages_change_between_polls(view, clock):
    """Only the age of the report and the time left, to the last escape code."""
    follow(view, clock, **STAMPED)
    before = view.frame(99).lines
    clock.now += 59
    after = view.frame(99).lines
    changed = [plain(Frame(pair)) for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert [text.splitlines()[1].split()[-4:] for text in changed] == [
        ["59", "s", "ago", "lastUpdated"],
        ["about", "7", "min", "left"],
    ]
    assert view.frame(99).lines == after


def test_a_job_without_last_updated_shows_its_last_change(view, clock):
    """As seen by this watch."""
    view.on_job(job(step=1))
    clock.now += 7
    assert "last change  none since this watch began, 7 s ago" in plain(view.frame(99))
    view.on_job(job(step=2))
    clock.now += 90
    view.on_job(job(step=2))
    assert "last change  seen 1 min ago" in plain(view.frame(99))


def test_an_outage_is_shown_until_its_end(view, clock):
    """Below the last known state, if there is one."""
    view.on_outage(AWAY)
    assert plain(view.frame(99)) == f"{AWAY.message}; still trying"
    view.on_job(job())
    assert "still trying" not in plain(view.frame(99))
    view.on_outage(AWAY)
    assert plain(view.frame(99)).endswith(f"\n\n{AWAY.message}; still trying")


def test_an_outage_of_the_log_is_shown_until_its_end(view):
    """Below the state of the job."""
    view.on_log_outage(AWAY)
    view.on_job(job())
    assert plain(view.frame(99)).endswith(f"\n\ncannot read the log: {AWAY.message}; still trying")
    view.on_log_outage(None)
    assert "cannot read" not in plain(view.frame(99))


def test_a_frame_shows_how_long_the_first_answer_takes(view, clock):
    """From the first second on, until there is a job or an outage."""
    assert plain(view.frame(99)) == ""
    clock.now += 0.9
    assert plain(view.frame(99)) == ""
    for seconds, span in ((1, "1 s"), (3, "3 s"), (59.9, "59 s"), (61, "1 min")):
        clock.now = 5000.0 + seconds
        assert plain(view.frame(99)) == f"no response from the platform yet ({span})"
    view.on_outage(AWAY)
    assert plain(view.frame(99)) == f"{AWAY.message}; still trying"
    view.on_job(job())
    assert "answer" not in plain(view.frame(99))


def test_an_end_before_the_first_answer_leaves_no_frame(clock, capsys):
    """The error is printed on an empty screen."""
    with watch_view.open_view(COLOR, clock.time_of_day, clock=clock.monotonic) as view:
        clock.now += 3
        view.refresh()
    assert Emulated().feed(capsys.readouterr().out).shown() == ""


@pytest.mark.parametrize(
    ("screen", "silent"),
    [
        (Screen(terminal=True), False),
        (Screen(), False),
        (Screen(output="ndjson"), False),
        (Screen(output="json"), False),
        (COLOR, True),
    ],
)
def test_an_outage_and_its_end_are_printed_on_stderr(clock, capsys, screen, silent):
    """Each once; otherwise a watch seems to hang until the job changes. A silent one prints nothing else."""
    with watch_view.open_view(screen, clock.time_of_day, clock=clock.monotonic, silent=silent) as view:
        view.on_job(job())
        before = capsys.readouterr()
        assert (before.out == "") is (silent or screen.output == "json")
        view.on_outage(AWAY)
        view.on_job(job())
        view.on_job(job())
    after = capsys.readouterr()
    assert (before.err, after.out) == ("", "")
    assert after.err == f"warning: {AWAY.message}; still trying\nnote: the platform responds again\n"


def test_quiet_hides_outages(clock, capsys):
    """And their ends."""
    with watch_view.open_view(Screen(terminal=True, quiet=True), clock.time_of_day, clock=clock.monotonic) as view:
        view.on_outage(AWAY)
        view.on_job(job())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_a_job_that_has_ended_has_no_time_left(view, clock, status):
    """At any progress."""
    follow(view, clock)
    assert "left" in plain(view.frame(99))
    view.on_job(job(status, progress=51.5))
    assert "left" not in plain(view.frame(99))


def test_verbose_prints_lines_instead_of_a_frame(clock, capsys):
    """Its messages would break the frame."""
    with watch_view.open_view(COLOR._replace(verbose=True), clock.time_of_day, clock=clock.monotonic) as view:
        view.on_job(job())
    assert capsys.readouterr().out.startswith("08:00:00Z  active")


def test_a_pipe_gets_no_estimate(clock, capsys):
    """Only facts, in lines that always have the same form."""
    with watch_view.open_view(Screen(), clock.time_of_day, clock=clock.monotonic) as view:
        follow(view, clock)
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1] == "2027-01-15T08:05:00Z\tstate=active\tdetails.progress=45.0\tdetails.step=500"
