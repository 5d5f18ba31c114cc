"""What the command inherits: descriptors, signal mask, variables."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from run_command import LISTENING, TOOL, details, run, run_process, start
from waiting import LIMIT

from nemo_jobs_cli.reporting.reporter import Reporter


@pytest.mark.parametrize("words", LISTENING)
def test_inherited_descriptors_stay_open(env, platform, tmp_path, words):
    """`<(...)`, `3>file` and make's job server work; none of our own descriptors is among them."""
    script = '"$@" sh -c \'cat "$1"; echo three >&3; ls /proc/self/fd /dev/fd >&2\' sh <(echo hello) 3>out'
    tool = ["bash", "-c", f"cd {tmp_path} && {script}", "sh", *TOOL]
    alone = ["bash", "-c", f"cd {tmp_path} && {script}", "sh", "env"]
    ran, expected = (run_process(env, *more, tool=one) for more, one in ((("x1", *words, "--"), tool), ((), alone)))
    assert (ran.returncode, ran.stdout) == (0, b"hello\n"), ran.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8") == "three\n"
    assert ran.stderr == expected.stderr


@pytest.fixture
def _many_descriptors():
    """Open more than a thousand descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    numbers = [os.dup(0) for _ in range(1100)]
    yield
    for number in numbers:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("_many_descriptors")
@pytest.mark.parametrize("words", LISTENING)
def test_more_than_a_thousand_open_descriptors(env, platform, words):
    """Those that are opened for a command have numbers that select() does not take."""
    ran = run(env, "x1", *words, "--", "sh", "-c", "sleep 0.2; echo 1 of 2; exit 3")
    assert (ran.returncode, ran.stderr) == (3, b"")


@pytest.mark.parametrize(
    ("limit", "words"),
    [(8, ()), *((limit, words) for limit in (8, 10, 12) for words in (LISTENING[1], (*LISTENING[1], "--pty")))],
)
def test_few_descriptors_do_not_stop_the_command(env, words, limit):
    """Without pipes its output is not read, but it runs."""
    tool = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *TOOL]
    env["NEMO_JOBS_DEADLINE"] = "10ms"
    ran = run_process(env, "x1", *words, "--", "sh", "-c", "echo RAN; exit 3", tool=tool)
    assert (ran.returncode, ran.stdout) == (3, b"RAN\n")


def test_the_job_server_of_make(env, platform, tmp_path):
    """A recipe's nested make takes part in it."""
    (tmp_path / "Makefile").write_text(
        'all:\n\t+@"$$TOOL" -m nemo_jobs_cli run x1 -- $(MAKE) -s inner\ninner:\n\t@true\n', encoding="utf-8"
    )
    ran = subprocess.run(
        ["make", "-s", "-j2"], cwd=tmp_path, env=env | {"TOOL": sys.executable}, capture_output=True, timeout=LIMIT
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


BLOCKED = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {}); os.execvp(sys.argv[1], sys.argv[1:])"


def blocking(*names):
    """Return a command that blocks signals and starts the tool."""
    numbers = ", ".join(f"signal.{name}" for name in names)
    return [sys.executable, "-Sc", BLOCKED.format("{" + numbers + "}"), *TOOL]


@pytest.mark.parametrize("words", LISTENING)
def test_signals_that_the_caller_blocks(env, platform, words):
    """Neither the end of the command nor a signal is missed; the command has the caller's mask."""
    tool = blocking("SIGCHLD", "SIGTERM")
    code = """
import signal
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), flush=True)
signal.sigwait([signal.SIGTERM])
exit(5)
"""
    process = start(env, "x1", *words, "--", sys.executable, "-c", code, tool=tool)
    assert process.stdout.readline().decode() == f"{sorted([signal.SIGCHLD, signal.SIGTERM])}\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 5


def environment_of_the_command(env, *words):
    """Return the variables of a command that begin with NEMO_JOBS_ or were given, but for its channel."""
    rows = run(env, "x1", *words, "--", "env", "-0").stdout.decode().split("\0")[:-1]
    reported = dict(row.split("=", 1) for row in rows)
    assert reported.pop("NEMO_JOBS_CHANNEL") != "/outer"
    return {name: value for name, value in reported.items() if name.startswith("NEMO_JOBS_") or name == "MINE"}


def test_what_the_command_inherits(env, box, tmp_path):
    """It gets the whole environment and, as variables, the connection of the flags: whole paths, and no token."""
    server = box()
    env |= {"NEMO_JOBS_TOKEN": "sandbox", "MINE": "stays", "NEMO_JOBS_CHANNEL": "/outer", "NEMO_JOBS_NUMBERS": "a"}
    common = {
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_WORKSPACE": "default",
        "NEMO_JOBS_JOB": "x1",
        "NEMO_JOBS_DEADLINE": "10",
        "NEMO_JOBS_NUMBERS": "a",
        "MINE": "stays",
    }
    assert environment_of_the_command(env) == common | {"NEMO_JOBS_TOKEN": "sandbox"}
    file = Path(os.path.relpath(tmp_path / "token"))
    file.write_text("sandbox", encoding="utf-8")
    words = ("-w", "ws", "--host", server.url, "--token-file", str(file), "--ca-file", str(file), "--number", "b")
    words += ("--deadline", "1", "--outbox", "--number", "c")
    assert environment_of_the_command(env, *words) == common | {
        "NEMO_JOBS_WORKSPACE": "ws",
        "NEMO_JOBS_TOKEN_FILE": str(file.absolute()),
        "NEMO_JOBS_CA_FILE": str(file.absolute()),
        "NEMO_JOBS_NUMBERS": "a,b,c",
    }
    assert environment_of_the_command(env, "--anonymous") == common
    home = {"HOME": str(tmp_path)}
    assert environment_of_the_command(env | home, "--token-file", "~/token") == common | {
        "NEMO_JOBS_TOKEN_FILE": str(tmp_path / "token")
    }
    pipe = Path(f"/dev/fd/{os.open(os.devnull, os.O_RDONLY)}")
    for path in (str(pipe), "x" * 5000):
        assert environment_of_the_command(env, "--token-file", path) == common


PROFILES = """
default_profile = "a"
[profiles.a]
host = "http://127.0.0.1:1"
token = "of a"
[profiles.b]
host = "{url}"
token = "sandbox"
api = "jobs"
best_effort = true
"""


@pytest.fixture
def profiled(env, box, tmp_path):
    """Return a sandbox that only the profile `b` in `env` can reach."""
    server = box(auth=True)
    (tmp_path / "config.toml").write_text(PROFILES.format(url=server.url), encoding="utf-8")
    env["NEMO_JOBS_CONFIG"] = str(tmp_path / "config.toml")
    env.pop("NEMO_JOBS_HOST")
    return server


WEAKER = {"NEMO_JOBS_TOKEN": "of a", "NEMO_JOBS_API": "attempts"}


@pytest.mark.parametrize("variables", [{}, WEAKER])
def test_a_profile_reaches_the_command(env, profiled, variables):
    """Weaker variables do not come in between; the profile's token stays in its file."""
    assert environment_of_the_command(env | variables, "--profile", "b") == {
        "NEMO_JOBS_CONFIG": env["NEMO_JOBS_CONFIG"],
        "NEMO_JOBS_DEADLINE": "10",
        "NEMO_JOBS_HOST": profiled.url,
        "NEMO_JOBS_WORKSPACE": "default",
        "NEMO_JOBS_JOB": "x1",
        "NEMO_JOBS_PROFILE": "b",
    }


def test_commands_in_the_command_use_the_profile(env, profiled):
    """For its job and for others."""
    script = "nemo-jobs update -q progress=5; nemo-jobs update -q other a=6"
    ran = run(env | WEAKER, "x1", "--profile", "b", "--", "sh", "-ec", script)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (details(profiled)["progress"], details(profiled, "other")) == (5, {"a": "6"})


def test_commands_in_the_command_have_the_token_of_the_variable(env, box):
    """Those for other jobs need it."""
    server = box(auth=True)
    env["NEMO_JOBS_TOKEN"] = "sandbox"
    ran = run(env, "x1", "--", "nemo-jobs", "update", "-q", "other", "a=6")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (details(server)["status"], details(server, "other")) == ("completed", {"a": "6"})


def test_a_failure_of_the_reporter_does_not_end_the_command(env, box, monkeypatch):
    """No thread may be left on a busy node; the command goes on to its end all the same."""
    box()

    def start(_):
        raise RuntimeError("cannot start a thread")

    monkeypatch.setattr(Reporter, "start", start)
    ran = run(env, "x1", "--", "sh", "-c", "sleep 0.2; echo RAN; exit 3")
    assert (ran.returncode, ran.stdout) == (3, b"RAN\n")
    assert ran.stderr.startswith(b"error: nemo-jobs has a bug: RuntimeError at ")


def test_no_room_for_a_channel(env, box, monkeypatch):
    """Without a folder for temporary files the command runs all the same."""
    server = box()
    env["NEMO_JOBS_CHANNEL"] = "/outer"

    def mkdtemp(**_):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    ran = run(env, "x1", "--", "sh", "-c", 'echo "<$NEMO_JOBS_CHANNEL>"')
    assert (ran.returncode, ran.stdout) == (0, b"<>\n")
    assert ran.stderr == b"nemo-jobs: cannot create NEMO_JOBS_CHANNEL: No such file or directory\n"
    assert details(server)["status"] == "completed"


def test_inside_a_job_no_settings_are_needed(env, box):
    """Host, workspace and job are those of the job, even without HOME."""
    server = box()
    for name in ("HOME", "TMPDIR", "NEMO_JOBS_HOST"):
        env.pop(name)
    env |= {"NMP_JOBS_URL": server.url, "NEMO_JOB_ID": "train-x", "NEMO_JOB_WORKSPACE": "ws"}
    ran = run(env, "--", "sh", "-c", "nemo-jobs update progress=45; exit 3")
    assert (ran.returncode, ran.stderr) == (3, b"")
    reported = details(server, "train-x", "ws")
    assert (reported["progress"], reported["status"]) == (45, "failed")
