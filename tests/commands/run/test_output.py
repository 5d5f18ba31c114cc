"""Exit code, output and input of the command."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest
from raw import hang, read_request, response
from run_command import LISTENING, OK, TOOL, bodies, details, run, run_process, start
from waiting import LIMIT

from nemo_jobs_cli.core.signals import is_readable

EXITED, KILLED = "the command exited with code {}", "the command was killed by {}"


@pytest.mark.parametrize(
    ("script", "code", "status", "end", "error"),
    [
        ("exit 0", 0, "completed", {"exitCode": 0}, None),
        ("exit 3", 3, "failed", {"exitCode": 3}, EXITED.format(3)),
        ("exit 255", 255, "failed", {"exitCode": 255}, EXITED.format(255)),
        ("kill -9 $$", 137, "failed", {"signal": "SIGKILL"}, KILLED.format("SIGKILL")),
        ("kill -11 $$", 139, "failed", {"signal": "SIGSEGV"}, KILLED.format("SIGSEGV")),
        ("kill -TERM $$", 143, "cancelled", {"signal": "SIGTERM"}, KILLED.format("SIGTERM")),
    ],
)
def test_the_exit_code_is_that_of_the_command(env, box, script, code, status, end, error):
    """After signal N it is 128+N; the report has the exit code or the signal, and none of the output."""
    server = box()
    ran = run(env, "x1", "--", "sh", "-c", f"ulimit -c 0; echo secret; {script}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, b"secret\n", b"")
    reported = details(server)
    assert (reported["status"], reported.get("error")) == (status, error)
    assert {key: reported["run"][key] for key in reported["run"] if key in {"exitCode", "signal"}} == end


@pytest.mark.parametrize(("word", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_start(env, box, word, code):
    """The reason and a hint are on stderr, and the reason is on the platform."""
    server = box()
    ran = run(env, "x1", "--", word)
    assert (ran.returncode, ran.stdout) == (code, b"")
    assert re.fullmatch(rb"error: .*\nnext: .*\n", ran.stderr)
    reported = details(server)
    assert (reported["status"], reported["run"]["exitCode"]) == ("failed", code)
    assert f"error: {reported['error']}\n" in ran.stderr.decode()


def die(connection, seen, stop):
    """Close the connection within a response."""
    seen.append(read_request(connection))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnul")


TROUBLES = {
    "hangs": hang,
    "dies": die,
    "unavailable": [response(503, "{}", "Retry-After: 60")],
    "unauthorised": [response(401, '{"detail": "Invalid or expired token"}')],
    "rejects": [response(422, '{"detail": []}')],
    "no job": [response(404, '{"detail": "Job not found"}')],
    "a web page": [response(200, "<html>", kind="text/html")],
    "redirects": [response(302, "", "Location: https://login.example.com")],
}


@pytest.mark.parametrize(
    ("trouble", "code"),
    [*((trouble, 0) for trouble in (*TROUBLES, "refuses", "no such name", "disk full")), ("dies", 3)],
)
def test_trouble_with_reports_does_not_affect_the_command(env, raw_server, trouble, code):
    """Its exit code and output are right, and stderr says what is wrong."""
    env["NEMO_JOBS_DEADLINE"] = "100ms"
    words = []
    if trouble in TROUBLES:
        env["NEMO_JOBS_HOST"] = raw_server(TROUBLES[trouble]).url
    elif trouble == "no such name":
        env["NEMO_JOBS_HOST"] = "http://no-such-host.invalid"
    elif trouble == "disk full":
        env["NEMO_JOBS_HOST"] = raw_server([OK]).url
        words = ["--report", "/dev/full"]
    ran = run(env, "x1", *words, "--", "sh", "-c", f"printf 'a\\377\\0b'; exit {code}")
    assert (ran.returncode, ran.stdout) == (code, b"a\xff\0b")
    assert ran.stderr.startswith(b"nemo-jobs: ")
    expected = b"No space left" if trouble == "disk full" else b"not everything was reported"
    assert expected in ran.stderr


def test_the_command_does_not_wait_for_the_network(env, raw_server):
    """Its output comes while the first request hangs."""
    server = raw_server(hang)
    env |= {"NEMO_JOBS_HOST": server.url, "NEMO_JOBS_DEADLINE": "500ms"}
    process = start(env, "x1", "--", "sh", "-c", "echo first; read line; echo $line", stdin=subprocess.PIPE)
    assert is_readable(process.stdout.fileno(), LIMIT)  # the command waits for a line until then
    assert process.stdout.readline() == b"first\n"
    out, _ = process.communicate(b"second\n", LIMIT)
    assert (process.returncode, out) == (0, b"second\n")


@pytest.mark.parametrize("words", LISTENING)
def test_input_and_output_are_unchanged(env, platform, words):
    """They may be binary and end without a line break; stderr stays apart from stdout."""
    data = bytes(range(256)) * 4000 + b"\r\r\n\x1b[31mz"
    ran = run(env, "x1", *words, "--", "sh", "-c", r"cat; printf 'err\0\376' >&2; exit 5", input=data)
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, data, b"err\0\xfe")


@pytest.mark.slow
@pytest.mark.parametrize("words", LISTENING)
def test_a_hundred_megabytes_of_output(env, platform, words):
    """No byte is lost."""
    script = "head -c 100000000 /dev/zero | tr '\\0' '\\n'"
    process = start(env, "x1", *words, "--", "sh", "-c", script)
    count = 0
    while piece := process.stdout.read(1 << 20):
        count += piece.count(b"\n")
    assert (process.wait(LIMIT), count) == (0, 100_000_000)
    warning = b"nemo-jobs: output comes faster than --match can read it: some of it is skipped\n"
    assert process.stderr.read() in ({b"", warning} if "--match" in words else {b""})


@pytest.mark.parametrize("words", LISTENING)
def test_output_is_not_buffered_and_closing_it_ends_the_command(env, platform, words):
    """Half a line comes at once too; as in `| head -1`, the command gets SIGPIPE as it would without `run`."""
    script = "printf half; read line; exec yes"
    process = start(env, "x1", *words, "--", "sh", "-c", script, stdin=subprocess.PIPE)
    assert is_readable(process.stdout.fileno(), LIMIT)  # the command waits for a line until then
    assert process.stdout.read(4) == b"half"
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(LIMIT) == 128 + signal.SIGPIPE
    assert bodies(platform)[-1]["run"]["signal"] == "SIGPIPE"


@pytest.mark.parametrize(
    ("words", "closed"), [(LISTENING[1], "<&-"), (LISTENING[1], ">&-"), (LISTENING[1], "2>&-"), ((), "<&- >&- 2>&-")]
)
def test_a_closed_stream(env, platform, words, closed):
    """With `<&-`, `>&-` and `2>&-` the command runs and is reported."""
    process = start(
        env, "x1", *words, "--", "sh", "-c", "exit 4", tool=["sh", "-c", f'exec "$@" {closed}', "sh", *TOOL]
    )
    process.communicate(timeout=LIMIT)
    assert process.returncode == 4
    assert bodies(platform)[-1]["run"]["exitCode"] == 4


def test_output_on_a_full_disk(env, platform):
    """The command gets SIGPIPE, and its end is reported."""
    with open("/dev/full", "wb") as full:
        ran = run_process(env, "x1", "--match", "(?P<a>x)", "--", "yes", stdout=full)
    assert ran.returncode == 128 + signal.SIGPIPE
    assert bodies(platform)[-1]["status"] == "failed"
