"""What `nemo-jobs run` reports of a command."""

from __future__ import annotations

import json
import socket
import sys
import threading
from itertools import pairwise

import pytest
from raw import read_request, response
from run_command import OK, STAMP, bodies, details, run, without_stamp
from waiting import LIMIT

from nemo_jobs_cli.reporting import pace
from nemo_jobs_cli.run import status


def test_the_life_of_a_command(env, platform):
    """Its start is reported as running, and its end with times, duration and exit code."""
    run(env, "x1", "-w", "ws", "--", "sh", "-c", "sleep 0.2; read line", when=lambda: bodies(platform))
    first, *_, last = map(without_stamp, bodies(platform))
    ended = last["run"]
    began = {"host": socket.gethostname(), "startedAt": ended["startedAt"]}
    assert first == {"status": "running", "run": began, "error": None}
    assert STAMP.fullmatch(ended["startedAt"])
    assert ended["finishedAt"] > ended["startedAt"]
    assert 0.2 <= ended["durationSeconds"] < LIMIT
    assert last == {"status": "completed", "run": ended}
    assert all(b"/workspaces/ws/jobs/x1/" in one for one in platform.seen)


def test_the_tail_of_the_output(env, box):
    """--tail N adds the last lines of both streams if the command fails, without colors."""
    server = box()
    script = "echo first; echo second; printf 'x\\r\\33[31mthird\\33[0m\\n'; echo last >&2; exit 1"
    run(env, "x1", "--tail", "3", "--", "sh", "-c", f"exec 2>&1; {script}")
    assert details(server)["error"] == "the command exited with code 1\nsecond\nthird\nlast"
    run(env, "x2", "--tail", "3", "--", "sh", "-c", "echo fine")
    assert "error" not in details(server, "x2")


def test_heartbeats(env, platform):
    """A silent command still runs."""
    words = ("x1", "--heartbeat", "50ms", "--interval", "10ms", "--", "sh", "-c", "read line")
    run(env, *words, when=lambda: len(bodies(platform)) >= 3)
    _, *beats, last = bodies(platform)
    assert last["status"] == "completed"
    assert len(beats) >= 2
    assert all(beat.keys() == {"lastUpdated"} and STAMP.fullmatch(beat["lastUpdated"]) for beat in beats)
    assert all(one["lastUpdated"] < two["lastUpdated"] for one, two in pairwise(beats))


@pytest.mark.parametrize("words", [("--heartbeat", "0"), ("--heartbeat", "1ms", "--no-stamp")])
def test_no_heartbeats(env, platform, monkeypatch, words):
    """The time of a single heartbeat would soon look old, as no other request has it with --no-stamp."""
    monkeypatch.setattr(pace, "LATENCIES", 0.0)  # a busy machine would delay heartbeats until the end
    words = ("x1", *words, "--interval", "1ms", "--", "sh", "-c", "read line; sleep 0.3")
    run(env, *words, when=lambda: bodies(platform))
    assert [one["status"] for one in bodies(platform)] == ["running", "completed"]


def test_every_request_has_the_time_unless_it_is_turned_off(env, platform):
    """A kept update of another machine is then never taken for a newer one."""
    run(env, "x1", "--", "true")
    assert all(STAMP.fullmatch(body["lastUpdated"]) for body in bodies(platform))
    platform.seen.clear()
    run(env, "x1", "--no-stamp", "--", "true")
    assert not any("lastUpdated" in body for body in bodies(platform))


def test_a_setting_turns_the_time_off(env, platform):
    """A flag overrides it."""
    env["NEMO_JOBS_STAMP"] = "0"
    run(env, "x1", "--", "true")
    assert not any("lastUpdated" in body for body in bodies(platform))
    platform.seen.clear()
    run(env, "x1", "--stamp", "--", "true")
    assert all("lastUpdated" in body for body in bodies(platform))


@pytest.mark.parametrize("word", ["NEMO_JOBS_OUTBOX", "NEMO_JOBS_STAMP", "--stamp"])
def test_the_time_of_a_nested_update_does_not_replace_that_of_the_end(env, platform, word):
    """The last request says when the command ended, even if each nested update has a time of its own."""
    if word.isupper():
        env[word] = "1"
    script = f"nemo-jobs update -q progress=5 {word if word.islower() else ''}; read line"
    words = ("x1", "--interval", "10ms", "--", "sh", "-c", script)
    run(env, *words, when=lambda: any("progress" in body for body in bodies(platform)))
    *_, reported, last = bodies(platform)
    assert (last["status"], reported["progress"]) == ("completed", 5)
    assert reported["lastUpdated"] < last["lastUpdated"]


@pytest.mark.parametrize("word", ["NEMO_JOBS_OUTBOX", "NEMO_JOBS_STAMP", "--stamp"])
def test_only_a_time_that_was_asked_for_is_passed_to_run(env, platform, word):
    """Else that of each request is better: it may be sent much later."""
    if word.isupper():
        env[word] = "1"
    ran = run(env, "x1", "--", "sh", "-c", f"nemo-jobs update -o json progress=5 {word if word.islower() else ''}")
    fields = json.loads(ran.stdout)["status_details"]
    assert (fields.pop("lastUpdated", None) is not None, fields) == (word == "--stamp", {"progress": 5})


def test_keys_may_be_renamed_and_dropped(env, box, tmp_path):
    """The profile has a name for each key, or false."""
    server = box()
    file = tmp_path / "config.toml"
    file.write_text(
        'default_profile = "lab"\n[profiles.lab.run.keys]\nstatus = "phase"\nrun = false\nerror = "why"\nlastUpdated = "beat"\n',
        encoding="utf-8",
    )
    env["NEMO_JOBS_CONFIG"] = str(file)
    run(env, "x1", "--heartbeat", "50ms", "--interval", "1ms", "--", "sh", "-c", "sleep 0.5; exit 2")
    reported = details(server)
    assert STAMP.fullmatch(reported.pop("beat"))
    assert reported == {"phase": "failed", "why": "the command exited with code 2"}


def test_two_runs_of_one_job_with_prefixes(env, box):
    """Whatever is reported has the prefix: by run, in the output, in the channel, and by a nested update."""
    server = box()
    script = (
        'echo loss=0.5; echo progress=3/10 > "$NEMO_JOBS_CHANNEL"; nemo-jobs update -q epoch=2 progress=50; exit $0'
    )
    for name, code in (("a_", "0"), ("b_", "7")):
        words = ("x1", "--prefix", name, "--match", r"loss=(?P<loss>[\d.]+)", "--", "sh", "-c", script, code)
        assert run(env, *words).returncode == int(code)
    reported = details(server)
    assert [reported.pop(f"{name}_run")["exitCode"] for name in "ab"] == [0, 7]
    assert reported == {
        "a_status": "completed",
        "a_loss": 0.5,
        "a_progress": 50,
        "a_epoch": 2,
        "b_status": "failed",
        "b_error": "the command exited with code 7",
        "b_loss": 0.5,
        "b_progress": 50,
        "b_epoch": 2,
    }


def test_a_run_begins_without_the_stored_progress_of_an_older_one(env, box, unused_port):
    """Its first request delivers the stored updates too."""
    env["NEMO_JOBS_HOST"] = f"http://127.0.0.1:{unused_port}"
    script = 'echo progress=90 > "$NEMO_JOBS_CHANNEL"; exit 3'
    assert run(env, "x1", "--outbox", "--deadline", "1s", "--", "sh", "-c", script).returncode == 3
    server = box(port=unused_port)
    assert run(env, "x1", "--", "true").returncode == 0
    reported = details(server)
    assert (reported["status"], reported["progress"]) == ("completed", 0)
    assert "error" not in reported


def test_progress_from_output(env, box):
    """Named groups become fields of both streams, typed like the grammar, with --number."""
    server = box()
    words = ("--match", r"epoch (?P<epoch>\d+)/.*loss=(?P<train_loss>[\d.]+)", "--match", r"bleu (?P<bleu>\S+)")
    script = r"printf 'epoch 1/3 loss=0.5\repoch 2/3 loss=0.25\r'; echo 'bleu 31.5' >&2"
    ran = run(env, "x1", *words, "--number", "bleu", "--", "sh", "-c", script)
    assert (ran.stdout, ran.stderr) == (b"epoch 1/3 loss=0.5\repoch 2/3 loss=0.25\r", b"bleu 31.5\n")
    reported = details(server)
    assert {key: reported[key] for key in ("epoch", "train_loss", "bleu", "status")} == {
        "epoch": 2,
        "train_loss": 0.25,
        "bleu": 31.5,
        "status": "completed",
    }


STEPS = ("x1", "--match", r"step (?P<step>\d+)", "--interval", "10ms", "--no-pty", "--", sys.executable, "-c")


def test_python_does_not_buffer_what_is_matched(env, platform):
    """Its progress is reported while it runs."""
    code = "import sys; print('step 1'); sys.stdin.readline()"
    ran = run(env, *STEPS, code, when=lambda: any(body.get("step") == 1 for body in bodies(platform)))
    assert ran.returncode == 0


@pytest.mark.parametrize("given", ["", "x"])
def test_a_choice_of_buffering_is_kept(env, platform, given):
    """PYTHONUNBUFFERED is set only where it is unset, and only if output is matched."""
    show = "import os; print(repr(os.environ.get('PYTHONUNBUFFERED')))"
    assert run(env | {"PYTHONUNBUFFERED": given}, *STEPS, show).stdout == f"{given!r}\n".encode()
    assert run(env, "x1", "--tail", "1", "--", sys.executable, "-c", show).stdout == b"None\n"


def test_ten_thousand_updates_are_a_few_requests(env, box):
    """They are coalesced and sent once per --interval; the last value arrives."""
    server = box()
    ran = run(env, "x1", "--match", r"step (?P<step>\d+)", "--interval", "1h", "--", "seq", "-f", "step %.0f", "10000")
    assert ran.returncode == 0
    assert details(server)["step"] == 10000
    assert len([row for row in server.rows if row.startswith("PATCH")]) <= 2


def test_a_misspelled_key_of_the_command_has_one_warning(env, box):
    """Whether the channel or the output has it."""
    box()
    script = 'echo progres=1 > "$NEMO_JOBS_CHANNEL"; echo 7'
    ran = run(env, "x1", "--match", "(?P<mesage>.*)", "--", "sh", "-c", script)
    assert sorted(ran.stderr.splitlines()) == [
        b"nemo-jobs: mesage is not a key that the platform shows; did you mean message?",
        b"nemo-jobs: progres is not a key that the platform shows; did you mean progress?",
    ]


def test_a_long_interval(env, platform):
    """The start is sent at once and the end always; nothing else is sent before --interval."""
    script = "read line; echo step 1; sleep 1.2"
    words = ("--match", r"step (?P<step>\d+)", "--interval", "1h", "--", "sh", "-c", script)
    run(env, "x1", *words, when=lambda: bodies(platform))
    assert [body.get("status") for body in bodies(platform)] == ["running", "completed"]


def test_the_report(env, box, tmp_path):
    """--report FILE has what other commands print with -o json."""
    server = box()
    file = tmp_path / "report.json"
    run(env, "x1", "--report", str(file), "--", "sh", "-c", "exit 3")
    reported = json.loads(file.read_text(encoding="utf-8"))
    assert reported["requests"] in {1, 2}
    assert reported | {"requests": 0, "slowed": 0} == {
        "schema": 1,
        "command": "run",
        "outcome": "delivered",
        "exit_code": 3,
        "job": "x1",
        "status_details": server.jobs["default", "x1"].details,
        "unmatched": [],
        "updates": 2,
        "requests": 0,
        "retries": 0,
        "errors": 0,
        "slowed": 0,
        "error": None,
    }


def test_the_report_holds_everything_that_was_reported(env, box, tmp_path):
    """Also what earlier requests sent."""
    server = box()
    script = 'nemo-jobs update -q progress=5 a=1; echo a=2 > "$NEMO_JOBS_CHANNEL"; echo step 7; read line; echo step 9'
    report = tmp_path / "report.json"
    words = ("--interval", "10ms", "--match", r"step (?P<step>\d+)", "--report", str(report))

    def is_reported():
        return ("default", "x1") in server.jobs and details(server).get("step") == 7

    run(env, "x1", *words, "--", "sh", "-c", script, when=is_reported)
    written = json.loads(report.read_text(encoding="utf-8"))
    assert (written["updates"], written["requests"] > 1) == (6, True)
    assert written["status_details"] == server.jobs["default", "x1"].details
    assert {key: written["status_details"][key] for key in ("progress", "a", "step")} == {
        "progress": 5,
        "a": "2",
        "step": 9,
    }


@pytest.mark.parametrize("command", [("seq", "3"), ("no-such-command",)])
def test_patterns_that_never_match(env, platform, tmp_path, command):
    """One line at the end names them, unless the command could not start."""
    report = tmp_path / "report.json"
    patterns = (r"step (?P<step>\d+)", "(?P<message>3)", r"\x1b(?P<b>x)")
    words = [word for pattern in patterns for word in ("--match", pattern)]
    ran = run(env, "x1", *words, "--report", str(report), "--", *command)
    if command[0] == "seq":
        assert ran.stderr.decode() == "nemo-jobs: --match never matched: 'step (?P<step>\\d+)', '\\x1b(?P<b>x)'\n"
        assert json.loads(report.read_text(encoding="utf-8"))["unmatched"] == [patterns[0], patterns[2]]
    else:
        assert b"never matched" not in ran.stderr


def test_an_outage_in_the_middle(env, raw_server):
    """The end is on the platform; stderr has one line for the outage and one for its end."""
    answers = iter([OK, response(401, '{"detail": "Invalid or expired token"}'), *[response(503, "{}")] * 3])
    lock, refused = threading.Lock(), threading.Event()

    def serve(connection, seen, stop):
        data = read_request(connection)
        with lock:
            answer = next(answers, OK)
        connection.sendall(answer)
        if answer == OK:
            seen.append(data)
        else:
            refused.set()

    server = raw_server(serve)
    env["NEMO_JOBS_HOST"] = server.url
    script = "echo 1%; read line; echo 2%; exit 3"
    words = ("--match", r"(?P<progress>\d+)%", "--interval", "50ms", "--", "sh", "-c", script)
    ran = run(env, "x1", *words, when=refused.is_set)
    assert (ran.returncode, ran.stdout) == (3, b"1%\n2%\n")
    final = {}
    for one in bodies(server):
        final |= one
    assert (final["status"], final["progress"]) == ("failed", 2)
    assert ran.stderr.count(b"nemo-jobs: ") == 2
    assert ran.stderr.endswith(b"nemo-jobs: reports are delivered again\n")


RANK_1 = {"RANK": "1", "WORLD_SIZE": "4"}


def test_only_rank_0_reports(env, platform, tmp_path):
    """Another rank runs its command and prints one notice; its own updates are not sent either."""
    file = tmp_path / "report.json"
    script = "nemo-jobs update progress=1 -q; echo done; exit 3"
    ran = run(env | RANK_1, "x1", "--report", str(file), "--", "sh", "-c", script)
    assert (ran.returncode, ran.stdout) == (3, b"done\n")
    assert ran.stderr == b"nemo-jobs: rank 1 of 4 (RANK): rank 0 reports; --all-ranks reports from each rank\n"
    assert not platform.seen
    assert json.loads(file.read_text(encoding="utf-8"))["outcome"] == "dropped"


@pytest.mark.parametrize(("words", "more"), [((), {"RANK": "0", "WORLD_SIZE": "4"}), (("--all-ranks",), RANK_1)])
def test_rank_0_and_all_ranks_report(env, platform, words, more):
    """There is no notice."""
    assert run(env | more, "x1", *words, "--", "true").stderr == b""
    assert bodies(platform)[-1]["status"] == "completed"


def test_quiet_prints_nothing(env):
    """Not about ranks, and not about failed reports."""
    env["NEMO_JOBS_DEADLINE"] = "100ms"
    assert run(env, "x1", "-q", "--", "sh", "-c", "exit 3").stderr == b""
    assert run(env | RANK_1, "x1", "-q", "--", "true").stderr == b""


def test_verbose_shows_reports(env, platform):
    """-v prints each."""
    err = run(env, "x1", "-v", "--", "true").stderr.decode()
    assert all(
        line.startswith(("nemo-jobs: reported lastUpdated=", "nemo-jobs: the server ")) for line in err.splitlines()
    )
    assert "status=completed" in err


def test_the_keys_of_the_profile_are_those_of_run():
    """The profile can rename every key, and no other."""
    from nemo_jobs_cli.settings import profiles

    assert set(profiles.RUN_KEYS) == {status.STATUS, status.RUN, status.ERROR, "lastUpdated"}
