"""A job that is followed: what is drawn as time goes by, and what is told line by line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from emulated import Emulated

from nemo_jobs_cli.api import models
from nemo_jobs_cli.core.errors import NotDeliveredError
from nemo_jobs_cli.output import watch_view
from nemo_jobs_cli.output._live import Frame
from nemo_jobs_cli.settings.model import Screen

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
FRAMES = Path(__file__).parent / "frames"
AWAY = NotDeliveredError("nothing listens on http://h: connection refused (9 tries)", "is it running?")
STEPS = [{"name": "prepare", "status": "completed"}, {"name": "train", "status": "active"}]
COLOUR = Screen(terminal=True, color=True, width=60)


def job(status="active", **details):
    """Return a job as a look finds it."""
    answer = {"name": "train-llama", "status": status, "created_at": "2027-01-15T05:00:00", "steps": STEPS}
    return models.parse_job({**answer, "status_details": details})


class Clock:
    """A steady clock and the time of day, moved by hand."""

    def __init__(self):
        self.at = 5000.0

    def steady(self):
        """Return the moment."""
        return self.at

    def day(self):
        """Return the time of day."""
        return NOW + self.at - 5000.0


@pytest.fixture
def clock():
    """Return a clock that moves only by hand."""
    return Clock()


@pytest.fixture
def frame(clock):
    """Return the follower behind a picture."""
    return watch_view.LiveView(COLOUR, clock.day, clock.steady)


def plain(picture):
    """Return a picture as text without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([*picture.lines, *picture.footer]))


def follow(watcher, clock, *, rises=5, every=60.0, **more):
    """Look at a job whose progress rises by 6.5 every so many seconds."""
    for n in range(rises + 1):
        watcher.look(job(progress=12.5 + 6.5 * n, step=100 * n, **more))
        clock.at += every
    clock.at -= every


LOST = "out of memory: the loader of shard 3 of 10 was killed, and will be started again with half of its batch size"
STAMPED = {"message": "batch 3 of 10", "lastUpdated": "2027-01-15T08:05:00Z"}


@pytest.mark.parametrize("width", [60, 100])
def test_a_live_picture_looks_as_it_was_approved(clock, width):
    """With colour: the time left beside the bar, time that passes, and an outage at the bottom."""
    frame = watch_view.LiveView(COLOUR._replace(width=width), clock.day, clock.steady)
    follow(frame, clock, **STAMPED)
    clock.at += 12
    frame.trouble(AWAY)
    drawn = frame.picture(width - 1)
    shown = "".join(f"{line}\n" for line in [*drawn.lines, *drawn.footer]).replace("\x1b", "\\e")
    assert shown == (FRAMES / f"watch-{width}-colour.txt").read_text(encoding="utf-8")
    assert max(map(len, plain(drawn).splitlines())) < width


@pytest.mark.parametrize("width", [60, 100])
def test_lines_look_as_they_were_approved(clock, capsys, width):
    """Without colour: a change at a time, wrapped to the screen, with the time left where it can be told."""
    with watch_view.open_view(Screen(terminal=True, width=width), clock.day, clock=clock.steady) as view:
        follow(view, clock, rises=4, message="batch 3 of 10")
        view.look(job(progress=38.5, step=400, message=LOST, loader={"shard": 3, "restarts": [1, 2, 3]}))
        view.look(job("error", progress="unknown", step=400, message=LOST))
    shown = capsys.readouterr().out
    assert shown == (FRAMES / f"watch-{width}.txt").read_text(encoding="utf-8")
    assert max(map(len, shown.splitlines())) < width
    assert "\x1b" not in shown


def test_the_time_left_comes_and_goes_without_moving_the_bar(frame, clock):
    """A bar that jumps is no calm view; nor does a longer number push it."""
    rows = []
    for value in (1, 7.25, 13.5, 19.75, 26, 26):
        frame.look(job(progress=value))
        rows += [row for row in frame.picture(59).lines if "progress" in row]
        clock.at += 30
    bars = [re.search("[━╸]+", plain(Frame([row]))) for row in rows]
    assert {found.span() for found in bars} == {(21, 31)}
    assert "left" not in rows[0]
    assert rows[4].endswith("about 6 min left")


def test_time_passes_without_a_look(frame, clock):
    """The age of the report and the time left go on; the rest stands still, to the last escape code."""
    follow(frame, clock, **STAMPED)
    before = frame.picture(99).lines
    clock.at += 59
    after = frame.picture(99).lines
    differ = [plain(Frame(pair)) for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert [text.splitlines()[1].split()[-4:] for text in differ] == [
        ["59", "s", "ago", "lastUpdated"],
        ["about", "7", "min", "left"],
    ]
    assert frame.picture(99).lines == after


def test_a_job_that_does_not_stamp_shows_its_last_news(frame, clock):
    """As seen here: there must be some sign of life."""
    frame.look(job(step=1))
    clock.at += 7
    assert "last news  none for 7 s, since this watch began" in plain(frame.picture(99))
    frame.look(job(step=2))
    clock.at += 90
    frame.look(job(step=2))
    assert "last news  1 min ago, as seen here" in plain(frame.picture(99))


def test_an_outage_is_told_until_it_is_over(frame, clock):
    """Below the last known state, and before there is any."""
    frame.trouble(AWAY)
    assert plain(frame.picture(99)) == f"{AWAY.message}; still trying"
    frame.look(job())
    assert "still trying" not in plain(frame.picture(99))
    frame.trouble(AWAY)
    assert plain(frame.picture(99)).endswith(f"\n\n{AWAY.message}; still trying")


def test_a_platform_that_does_not_answer_yet_is_said_so(frame, clock):
    """From the first second on, counting, until there is a job or an outage; an empty screen would tell nothing."""
    assert plain(frame.picture(99)) == ""
    clock.at += 0.9
    assert plain(frame.picture(99)) == ""
    for seconds, span in ((1, "1 s"), (3, "3 s"), (59.9, "59 s"), (61, "1 min")):
        clock.at = 5000.0 + seconds
        assert plain(frame.picture(99)) == f"no answer yet from the platform ({span})"
    frame.trouble(AWAY)
    assert plain(frame.picture(99)) == f"{AWAY.message}; still trying"
    frame.look(job())
    assert "answer" not in plain(frame.picture(99))


def test_what_ends_a_watch_before_any_answer_stands_alone(clock, capsys):
    """An error that follows is an answer."""
    with watch_view.open_view(COLOUR, clock.day, clock=clock.steady) as view:
        clock.at += 3
        view.show()
    shown = capsys.readouterr().out
    assert Emulated().feed(shown).shown() == ""


@pytest.mark.parametrize("screen", [Screen(terminal=True), Screen(), Screen(output="ndjson")])
@pytest.mark.parametrize("silent", [False, True])
def test_an_outage_and_its_end_are_told_in_lines(clock, capsys, screen, silent):
    """As prose, each once; a watch would else seem to hang until something changes, and a log would tell half."""
    with watch_view.open_view(screen, clock.day, clock=clock.steady, silent=silent) as view:
        view.look(job())
        before = capsys.readouterr()
        view.trouble(AWAY)
        view.look(job())
        view.look(job())
    after = capsys.readouterr()
    assert (before.err, after.out) == ("", "")
    assert after.err == f"warning: {AWAY.message}; still trying\nnote: the platform answers again\n"


def test_quiet_means_quiet(clock, capsys):
    """Of an outage, too, and of its end."""
    with watch_view.open_view(Screen(terminal=True, quiet=True), clock.day, clock=clock.steady) as view:
        view.trouble(AWAY)
        view.look(job())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_a_job_that_has_ended_has_no_time_left(frame, clock, status):
    """Wherever its progress stopped."""
    follow(frame, clock)
    assert "left" in plain(frame.picture(99))
    frame.look(job(status, progress=51.5))
    assert "left" not in plain(frame.picture(99))


def test_verbose_words_do_not_stand_in_a_picture(clock, capsys):
    """With --verbose the watch is lines, between which they belong."""
    with watch_view.open_view(COLOUR._replace(verbose=True), clock.day, clock=clock.steady) as view:
        view.look(job())
    assert capsys.readouterr().out.startswith("08:00:00Z  active")


def test_a_pipe_gets_facts_and_no_estimate(clock, capsys):
    """A program counts by itself; the form of a line does not change with the pace."""
    with watch_view.open_view(Screen(), clock.day, clock=clock.steady) as view:
        follow(view, clock)
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1] == "2027-01-15T08:05:00Z\tstate=active\tdetails.progress=45.0\tdetails.step=500"
