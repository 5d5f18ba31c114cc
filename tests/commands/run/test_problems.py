"""Usage errors come before the command, other problems do not stop it."""

from __future__ import annotations

import json
import sys

import pytest
from run_command import bodies, run


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("x1",), "missing -- before the command"),
        (("x1", "true"), "missing -- before the command"),
        (("x1", "true", "--"), "unexpected argument before --: true"),
        (("x1", "x2", "--", "true"), "unexpected argument before --: x2"),
        (("x1", "--"), "missing command after --"),
        (("x1", "--", ""), "missing command after --"),
        (("", "--", "true"), "empty job name in JOB"),
        (("x1", "-o", "json", "--", "true"), "write all reported fields to a file: --report FILE"),
        (("x1", "--output=text", "--", "true"), "write all reported fields to a file: --report FILE"),
        (("x1", "-w", "a b", "--", "true"), "workspace"),
        (("x1", "--header", "X", "--", "true"), "--header"),
        (("x1", "--deadline", "abc", "--", "true"), "--deadline"),
        (("x1", "--profile", "", "--", "true"), "--profile is empty"),
        (("x1", "--token-file", "-", "--", "true"), "cannot read the token from stdin (--token-file)"),
        (("x1", "--match", "(", "--", "true"), "invalid --match"),
        (("x1", "--match", "x", "--", "true"), "--match has no named group"),
        (("x1", "--interval", "soon", "--", "true"), "--interval"),
        (("x1", "--heartbeat", "soon", "--", "true"), "--heartbeat"),
        (("x1", "--grace", "soon", "--", "true"), "--grace"),
        (("x1", "--tail", "-1", "--", "true"), "--tail"),
        (("x1", "--report", "no/x", "--", "true"), "cannot write --report no/x: No such file or directory"),
    ],
)
@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "not-a-url"])
def test_usage_errors_come_before_the_command(nemo_jobs, words, text, host, monkeypatch):
    """The exit code is 2, with a hint on stderr, whatever else is wrong."""
    monkeypatch.setenv("NEMO_JOBS_OUTPUT", "json")
    monkeypatch.setenv("NEMO_JOBS_HOST", host)
    ran = nemo_jobs("run", *words)
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err
    assert "next: " in ran.err


def test_a_missing_job_is_an_error_if_the_settings_are_readable(env):
    """Otherwise they may hold it, and the command runs."""
    ran = run(env, "--", "echo", "ran")
    assert (ran.returncode, ran.stdout, b"no job given" in ran.stderr) == (2, b"", True)
    ran = run(env | {"NEMO_JOBS_HOST": "not-a-url"}, "--", "echo", "ran")
    assert (ran.returncode, ran.stdout) == (0, b"ran\n")
    assert ran.stderr.endswith(b"warning: running the command without reports\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--host", "not-a-url"), "invalid URL in --host"),
        (("--ca-file", "/no/such.pem"), "cannot find the CA file /no/such.pem (--ca-file)"),
        (("--profile", "b"), "no profile 'b'"),
    ],
)
def test_wrong_settings_on_the_command_line(nemo_jobs, tmp_path, monkeypatch, words, text):
    """The exit code is 3."""
    (tmp_path / "config.toml").write_text("[profiles.a]\n", encoding="utf-8")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(tmp_path / "config.toml"))
    ran = nemo_jobs("run", "x1", *words, "--", "true")
    assert (ran.code, ran.out) == (3, "")
    assert text in ran.err


WRONG_VARIABLES = {
    "NEMO_JOBS_HOST": ("not-a-url", "invalid URL in NEMO_JOBS_HOST: 'not-a-url'"),
    "NEMO_JOBS_DEADLINE": ("abc", "NEMO_JOBS_DEADLINE"),
    "NEMO_JOBS_CA_FILE": ("/no/such.pem", "cannot find the CA file /no/such.pem"),
    "NEMO_JOBS_PROFILE": ("nope", "no profile 'nope'"),
    "NEMO_JOBS_WORKSPACE": ("a b", "workspace"),
    "NEMO_JOBS_JOB": ("A B", "NEMO_JOBS_JOB"),
    "NEMO_JOBS_OUTBOX": ("maybe", "NEMO_JOBS_OUTBOX"),
    "NEMO_JOBS_CONFIG": ("/no/such.toml", "no such file"),
    "NEMO_JOBS_TOKEN_FILE": ("-", "cannot read the token from stdin (NEMO_JOBS_TOKEN_FILE)"),
    "NMP_CONFIG_FILE": ("/no/such.yaml", "/no/such.yaml"),
}


BROKEN_FILES = {"nemo-jobs/config.toml": "host = [", "nmp/config.yaml": "a: [", "nhx/config.yaml": "\0"}


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        *((problem, ()) for problem in (*WRONG_VARIABLES, *BROKEN_FILES)),
        ("NEMO_JOBS_HOST", ("--match", "(?P<a>x)")),
        ("nemo-jobs/config.toml", ("--profile", "lab")),
    ],
)
def test_other_problems_do_not_stop_the_command(env, tmp_path, problem, words):
    """It runs as it would alone; stderr says what is wrong."""
    if problem in BROKEN_FILES:
        file = tmp_path / "home/.config" / problem
        file.parent.mkdir(parents=True)
        file.write_text(BROKEN_FILES[problem], encoding="utf-8")
        text = str(file).replace(env["HOME"], "~")
    else:
        env[problem], text = WRONG_VARIABLES[problem]
    job = () if problem == "NEMO_JOBS_JOB" else ("x1",)
    report = tmp_path / "report.json"
    script = 'cat; echo progress=1 > "$NEMO_JOBS_CHANNEL"; exit 3'
    ran = run(env, *job, *words, "--report", str(report), "--", "sh", "-c", script, input=b"input")
    assert (ran.returncode, ran.stdout) == (3, b"input")
    lines = ran.stderr.decode().splitlines()
    assert lines[0].startswith("error: ")
    assert text in lines[0]
    assert lines[-1] == "warning: running the command without reports"
    written = json.loads(report.read_text(encoding="utf-8"))
    assert (written["outcome"], written["exit_code"], written["updates"]) == ("failed", 3, 0)
    assert "error: " + written["error"]["message"] == lines[0]


def test_the_output_format_of_other_commands_does_not_matter(env, platform):
    """The variable is for those whose stdout is ours."""
    ran = run(env | {"NEMO_JOBS_OUTPUT": "json"}, "x1", "--", "sh", "-c", "echo out; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"out\n", b"")
    assert bodies(platform)[-1]["status"] == "failed"


def test_a_missing_library_does_not_stop_the_command(env, platform, monkeypatch):
    """Patterns need one that is imported late."""
    monkeypatch.setitem(sys.modules, "regex", None)
    ran = run(env, "x1", "--match", "(?P<a>x)", "--", "sh", "-c", "echo out; exit 3")
    assert (ran.returncode, ran.stdout) == (3, b"out\n")
    assert b"ModuleNotFoundError" in ran.stderr
    assert ran.stderr.endswith(b"warning: running the command without reports\n")


def test_other_systems_than_posix(nemo_jobs, monkeypatch):
    """The error names what works there."""
    from nemo_jobs_cli.commands import run as under_test

    monkeypatch.setattr(under_test, "os", type("Windows", (), {"name": "nt"}))
    ran = nemo_jobs("run", "x1", "--", "true")
    assert ran.code == 2
    assert "cannot run a command: not a POSIX system" in ran.err
