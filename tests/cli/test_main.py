"""One command line: every error becomes a message, a hint and an exit code."""

from __future__ import annotations

import signal

import pytest

from nemo_jobs_cli import __version__
from nemo_jobs_cli.cli import main
from nemo_jobs_cli.core.errors import ExitCode


@pytest.mark.parametrize("words", [(), ("config",), ("outbox",), ("completion",)])
def test_a_group_without_a_command_prints_its_help(nemo_jobs, words):
    """The exit code is 0, as with --help."""
    ran = nemo_jobs(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == nemo_jobs(*words, "--help").out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["updat", "x"], "no such command: updat", "did you mean: nemo-jobs update x?"),
        (["update", "x1", "--hots", "h"], "no such option: --hots", "did you mean --host?"),
        (["update", "x1", "--host"], "--host", "nemo-jobs update --help"),
        (["config", "get"], "missing argument", "nemo-jobs config get --help"),
        (["--nonsense"], "--nonsense", "nemo-jobs --help"),
        (["outbox", "flsh", "--job", "x1"], "no such command: flsh", "did you mean: nemo-jobs outbox flush --job x1?"),
        (["apply", "f", "--faild", "g"], "--faild", "did you mean --failed?"),
        (["run", "x1", "--tial", "3", "--", "true"], "--tial", "did you mean --tail?"),
        (["show", "x1", "-o", "jsn"], "invalid --output 'jsn': use text, json or ndjson", "did you mean json?"),
        (["sandbox", "--fault", "conflits"], "unknown kind 'conflits'", "did you mean conflicts?"),
        (["stream", "x1", "--match", "tdqm"], "--match has no named group", "did you mean --match tqdm?"),
        (["update", "x1", "progress"], "not key=value", "key=value"),
        (["config", "set", "hots", "x"], "unknown setting 'hots'", "did you mean host?"),
        (["run", "x1", "--report", "", "--", "true"], "--report is empty", "name a file (is a shell variable unset?)"),
        (["apply", "f", "--failed", ""], "--failed is empty", "name a file (is a shell variable unset?)"),
        (["show", "x1", "--ca-file", ""], "--ca-file is empty", "name a file (is a shell variable unset?)"),
        (["stream", "x1", "-i", ""], "--input is empty", "name a file (is a shell variable unset?)"),
        (["apply", ""], "FILE is empty", "name a file (is a shell variable unset?)"),
        (["outbox", "list", "--outbox-dir", ""], "--outbox-dir is empty", "name a folder (is a shell variable unset?)"),
        (["sandbox", "--job", ""], "empty job name in --job", "next: name a job (is a shell variable unset?)"),
        (["sandbox", "--log", "==x.log"], "empty job name in --log", "next: name a job (is a shell variable unset?)"),
        (["sandbox", "--log", "x.log"], "invalid --log: no JOB= before the file", "--log JOB=FILE"),
        (["sandbox", "--log", "x1="], "invalid --log: no file after =", "--log JOB=FILE"),
    ],
)
def test_a_usage_error_has_a_message_and_a_hint(nemo_jobs, words, message, hint):
    """One line each; the exit code is 2."""
    ran = nemo_jobs(*words)
    first, *_, last = ran.err.splitlines()
    assert ran.code == 2
    assert first.startswith("error: ")
    assert message in first
    assert last.startswith("next: ")
    assert hint in last


def test_a_usage_error_is_json_with_json_output(nemo_jobs, monkeypatch):
    """Even if the command line cannot be parsed, and if only the variable says json."""
    assert nemo_jobs("update", "x1", "--nonsense", "-ojson").json["exit_code"] == 2
    monkeypatch.setenv("NEMO_JOBS_OUTPUT", "json")
    assert nemo_jobs("nonsense").json["command"] == "nemo-jobs"


def test_words_after_two_dashes_belong_to_the_wrapped_command():
    """Typer would drop the dashes, and read the options after them as options of nemo-jobs."""
    assert main.split_wrapped(["sandbox", "--strict", "--", "ls", "--", "-l"]) == (
        ["sandbox", "--strict"],
        ("ls", "--", "-l"),
    )
    assert main.split_wrapped(["sandbox", "--"]) == (["sandbox"], ())
    assert main.split_wrapped(["sandbox"]) == (["sandbox"], None)
    assert main.split_wrapped(["update", "--", "-x=1"]) == (["update", "--", "-x=1"], None)


def test_a_key_that_looks_like_an_option_can_be_sent(nemo_jobs, httpx_mock):
    """After two dashes nothing is an option."""
    httpx_mock.add_response(content=b"null")
    assert nemo_jobs("update", "--host", "http://nmp.test", "train-x", "--", "-x=1").code == 0


def test_a_bug_is_reported_without_its_message(nemo_jobs, monkeypatch):
    """The type and the line help to find it; the message may hold a secret."""
    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.load_settings", lambda _: {}["s3cret"])
    ran = nemo_jobs("update", "x1", "a=1")
    assert ran.code == ExitCode.BUG
    assert "KeyError at commands/update.py:" in ran.err
    assert "s3cret" not in ran.err
    assert "Traceback" not in ran.err


def test_output_that_cannot_be_written_is_an_error(nemo_jobs, monkeypatch):
    """A full disk is the usual reason."""

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.load_settings", fail)
    ran = nemo_jobs("update", "x1", "a=1")
    assert ran.code == 1
    assert "cannot write the output: No space left on device" in ran.err


def test_a_closed_pipe_ends_the_program_quietly(nemo_jobs, monkeypatch):
    """Piping into `head` is normal."""

    def fail(*_args):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.load_settings", fail)
    ran = nemo_jobs("update", "x1", "a=1")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(("number", "message"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_sets_the_exit_code(nemo_jobs, monkeypatch, number, message):
    """128 and the number of the signal, with a message."""
    monkeypatch.setattr("nemo_jobs_cli.settings.resolve.load_settings", lambda _: signal.raise_signal(number))
    ran = nemo_jobs("update", "x1", "a=1")
    assert (ran.code, message in ran.err) == (128 + number, True)


def test_an_ignored_signal_stays_ignored(nemo_jobs, monkeypatch):
    """Shells do so for background jobs, and nohup too."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setattr(
            "nemo_jobs_cli.settings.resolve.load_settings", lambda _: signal.raise_signal(signal.SIGINT)
        )
        assert nemo_jobs("update", "x1", "a=1").code == 1  # not interrupted: it went on with the broken settings
    finally:
        signal.signal(signal.SIGINT, before)


def test_exit_code_130_of_a_wrapped_command_is_passed_on(nemo_jobs):
    """Without a message: nemo-jobs itself was not interrupted."""
    ran = nemo_jobs("sandbox", "--", "sh", "-c", "exit 130")
    assert (ran.code, ran.err) == (130, "")


def test_version_and_help_are_options_of_the_program(nemo_jobs):
    """Also next to other words."""
    assert nemo_jobs("--version").out == nemo_jobs("-V").out == f"nemo-jobs {__version__}\n"
    assert nemo_jobs("--version", "--no-such").code in {0, 2}
    assert "Examples:" in nemo_jobs("update", "-h").out


TOKEN = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJtZSJ9.c2ln"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "words",
    [
        (TOKEN,),
        ("update", TOKEN, "a=1"),
        ("update", "train-x", TOKEN),
        ("update", "train-x", "a=1", f"--{TOKEN}"),
        ("update", "train-x", "a=1", "--token-file", TOKEN),
        ("update", "train-x", "a=1", "--token-file", f"/run/{TOKEN}"),
        ("update", "train-x", "a=1", "--host", TOKEN),
        ("update", "train-x", "a=1", "--host", f"http://{TOKEN}"),
        ("update", "train-x", "a=1", "--profile", TOKEN),
        ("update", "train-x", "a=1", "--ca-file", TOKEN),
        ("update", "train-x", "a=1", "--deadline", TOKEN),
        ("update", "train-x", "a=1", "--header", f"Authorization Bearer {TOKEN}:x"),
        ("update", "train-x", "-f", TOKEN),
        ("list", "-w", TOKEN),
        ("show", "train-x", "--until", f"{TOKEN}"),
        ("apply", TOKEN),
        ("config", "set", "token_file", TOKEN),
        ("config", "set", "token_command", TOKEN),
        ("config", "set", TOKEN, "x"),
        ("config", "use", TOKEN),
        ("init", "-y", "--host", "http://127.0.0.1:1", "--token-file", TOKEN),
        ("init", "-y", "--host", "http://127.0.0.1:1", "--token-command", TOKEN),
    ],
    ids=lambda words: " ".join(words).replace(TOKEN, "TOKEN"),
)
def test_a_token_in_the_wrong_place_is_not_printed(nemo_jobs, monkeypatch, form, words):
    """Errors end up in the logs of CI."""
    monkeypatch.setenv("NEMO_JOBS_DEADLINE", "0")
    result = nemo_jobs(*words, *(["-o", "json"] if form == "json" else []))
    assert result.code != 0
    assert "[token]" in result.out + result.err or "looks like a token" in result.out + result.err
    assert TOKEN[:30] not in result.out + result.err


@pytest.mark.parametrize(
    "words", [("update", "train-x", "a=1"), ("config", "list"), ("config", "get", "token_command"), ("doctor",)]
)
def test_a_token_as_token_command_is_not_printed(nemo_jobs, tmp_path, monkeypatch, words):
    """The profile was written by hand."""
    (tmp_path / "c.toml").write_text(
        f'[profiles.default]\nhost = "http://127.0.0.1:1"\ntoken_command = "{TOKEN}"\n', encoding="utf-8"
    )
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(tmp_path / "c.toml"))
    result = nemo_jobs(*words)
    assert result.out + result.err
    assert TOKEN[:30] not in result.out + result.err
