"""`nemo-jobs sandbox`: its options, the environment of its command, its exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from in_process import run_here

from nemo_jobs_cli.commands import sandbox as under_test
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.fields import files
from nemo_jobs_cli.sandbox import faults, server

TOOL = [sys.executable, "-m", "nemo_jobs_cli", "sandbox"]


def tool(*words: str, **env: str) -> subprocess.CompletedProcess:
    """Run `nemo-jobs sandbox` in this process."""
    return run_here({**os.environ, **env}, "sandbox", *words, encoding="utf-8")


def environment_of_child(*words: str, **env: str) -> dict[str, str]:
    """Return the environment of a command on the sandbox."""
    ran = tool(*words, "--", "env", "-0", **env)
    assert ran.returncode == 0, ran.stderr
    return dict(row.split("=", 1) for row in ran.stdout.split("\0")[:-1])


def test_an_update_can_be_read_back():
    """The first command of README."""
    ran = tool("--", "sh", "-c", "nemo-jobs update demo progress=45 && nemo-jobs show demo --field progress")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "demo: progress=45\n45\n", "")


def test_the_command_gets_the_sandbox_and_no_settings_of_the_user(tmp_path):
    """Settings, tokens and folders are hidden; other variables stay."""
    environ = environment_of_child(
        NEMO_JOBS_HOST="http://mine",
        NEMO_JOBS_TOKEN="secret-1",
        NEMO_JOB_ID="job",
        NMP_ACCESS_TOKEN="secret-2",
        NHX_BASE_URL="http://x",
        XDG_CONFIG_HOME=str(tmp_path),
        NO_PROXY="corp.example",
        MINE="stays",
    )
    assert {name for name in environ if name.startswith(("NEMO_JOB", "NMP_", "NHX_"))} == {"NEMO_JOBS_HOST"}
    assert environ["NEMO_JOBS_HOST"].startswith("http://127.0.0.1:")
    assert environ["MINE"] == "stays"
    assert environ["NO_PROXY"] == "corp.example,127.0.0.1,localhost"
    assert environ["no_proxy"] == "127.0.0.1,localhost"
    assert environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    folders = {environ[f"XDG_{kind}_HOME"] for kind in ("CONFIG", "STATE", "CACHE")}
    assert len(folders) == 3
    assert str(tmp_path) not in folders
    assert not any(Path(folder).exists() for folder in folders)


def test_the_sandbox_is_reached_without_a_proxy(raw_server):
    """Even if the user has set one."""
    proxy = raw_server([b""])
    assert (
        tool("--", "nemo-jobs", "update", "demo", "progress=1", HTTP_PROXY=proxy.url, http_proxy=proxy.url).returncode
        == 0
    )
    assert not proxy.seen


def test_the_official_configuration_is_not_read(tmp_path):
    """A context in HOME has no effect on the requests, which -v prints."""
    place = tmp_path / ".config/nmp/config.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(
        "current_context: a\nclusters: [{name: c, base_url: https://nmp.example.com}]\n"
        "users: [{name: u, type: oauth, token: eyJx}]\n"
        "contexts: [{name: a, cluster: c, user: u, workspace: research}]\n",
        encoding="utf-8",
    )
    ran = tool("-v", "--", "sh", "-c", "nemo-jobs update demo progress=1; exit 3", HOME=str(tmp_path))
    assert (ran.returncode, ran.stdout) == (3, "demo: progress=1\n")
    assert ran.stderr == "PATCH /apis/jobs/v2/workspaces/default/jobs/demo/status-details -> 200\n"


def test_with_auth_the_command_has_the_token():
    """Another token is refused."""
    assert environment_of_child("--auth")["NEMO_JOBS_TOKEN"] == "sandbox"
    code = "nemo-jobs update demo a=1; NEMO_JOBS_TOKEN=wrong nemo-jobs update demo a=1 2>/dev/null"
    assert tool("--auth", "--", "sh", "-c", code).returncode == 4


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("no-such-command",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_exit_codes(words, code):
    """That of the command, or that of a shell if it cannot be run."""
    ran = tool("--", *words)
    assert ran.returncode == code
    assert bool(re.match("error: .*\nnext: ", ran.stderr)) == (code in {126, 127})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--",), "missing command after --"),
        (("--", ""), "the command after -- is empty"),
        (("sh",), "unexpected argument before --: sh"),
        (("sh", "--", "sh"), "unexpected argument before --: sh"),
        (("--fault", "503:2", "--", "true"), "--fault: 503:2"),
        (("--job", "Bad Name", "--", "true"), "invalid job name in --job"),
        (("--port", "65536"), "65536"),
        (("--port", "65535", "--api", "x"), "invalid --api"),
        (("--seed", "x", "--", "true"), "x"),
        (("--log", "Demo=/dev/null", "--", "true"), "invalid job name in --log"),
        (("--log", "demo=no-such-file", "--", "true"), "no-such-file"),
    ],
)
def test_usage_errors(nemo_jobs, words, message):
    """The exit code is 2, with a message and a hint."""
    ran = nemo_jobs("sandbox", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "next: " in ran.err


def test_a_log_from_a_file(tmp_path):
    """Its lines, without the empty ones, which the platform does not store; the job is created."""
    file = tmp_path / "train.log"
    file.write_bytes("one\n\n10%\r\x1b[1mtwo ü".encode())
    ran = tool("--strict", "--log", f"demo={file}", "--", "nemo-jobs", "logs", "demo", "--step", "train")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "one\n10%\r\x1b[1mtwo ü\n", "")


def test_a_log_may_be_larger_than_an_update(tmp_path):
    """It is one of a training."""
    file = tmp_path / "train.log"
    file.write_text(f"{'x' * files.TOO_LARGE}\nlast", encoding="utf-8")
    ((job, lines),) = under_test.parse(under_test.Options(log=(f"demo={file}",)), ["x"]).logs
    assert (job, lines[1:]) == ("demo", ("last",))


def test_a_folder_that_cannot_be_deleted_is_no_failure(monkeypatch, tmp_path):
    """A background process of the command may still write there."""

    def fail(*_words, **_more):
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(os, "rmdir", fail)
    ran = tool("--", "sh", "-c", "exit 3", TMPDIR=str(tmp_path))
    assert (ran.returncode, ran.stderr) == (3, "")
    assert list(tmp_path.glob("nemo-jobs-sandbox-*"))


def test_a_taken_port(nemo_jobs):
    """Nothing is started."""
    taken = server.start(server.Options())
    try:
        ran = nemo_jobs("sandbox", "--port", str(taken.port), "--", "true")
    finally:
        server.stop(taken)
    assert ran.code == 2
    assert f"cannot listen on port {taken.port} of 127.0.0.1" in ran.err


SPECS = ("503:0.1", "conflicts", "delay:1", "reset:0.5")  # these do not need --api attempts


def test_options():
    """The port is 8080 without a command, and a free one with it."""
    options = under_test.Options(strict=True, job=("demo",), auth=True, fault=SPECS, seed=4)
    assert under_test.parse(options, ["x"]) == server.Options(0, True, ("demo",), True, faults.parse(SPECS), 4)
    assert under_test.parse(under_test.Options(), None).port == 8080
    assert under_test.parse(under_test.Options(port=9000), ["x"]).port == 9000
    with pytest.raises(UsageError):
        under_test.parse(under_test.Options(), [])


@pytest.mark.parametrize(("number", "auth"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_without_a_command_it_serves_until_a_signal(number, auth):
    """It prints its URL; the exit code is 0."""
    words = [*TOOL, "--port", "0", *(["--auth"] if auth else [])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    guard = threading.Timer(60, process.kill)  # lines that are not flushed would be waited for without end
    guard.start()
    first, export = process.stdout.readline(), process.stdout.readline()
    guard.cancel()
    url = first.split()[2].rstrip(",")
    assert export == f"export NEMO_JOBS_HOST={url}{' NEMO_JOBS_TOKEN=sandbox' if auth else ''}\n"
    with urllib.request.urlopen(f"{url}/apis/auth/discovery", timeout=60) as response:
        assert json.load(response) == {"auth_enabled": auth, "oidc": None}
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_signal_reaches_the_command():
    """TERM ends the command, sets the exit code, and removes the folders."""
    words = [*TOOL, "--", "sh", "-c", "echo $XDG_STATE_HOME; exec sleep 100"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8")
    folder = process.stdout.readline().strip()
    assert Path(folder).is_dir()
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    process.stdout.close()
    assert not Path(folder).exists()


def test_the_attempts_api_takes_updates_and_shows_them():
    """`update` finds the route, and `show` the details of the current attempt."""
    ran = tool(
        "--api",
        "attempts",
        "--",
        "sh",
        "-c",
        "nemo-jobs update demo progress=45 && nemo-jobs show demo --field progress",
    )
    assert (ran.returncode, ran.stdout.splitlines()[-1:], ran.stderr) == (0, ["45"], "")


def test_an_unknown_api_is_refused():
    """The error names the choices."""
    with pytest.raises(UsageError, match="invalid --api 'v2': use jobs or attempts"):
        under_test.parse(under_test.Options(api="v2"), None)


def test_a_missing_attempt_needs_the_attempts_api():
    """On the other one a job always has one."""
    with pytest.raises(UsageError, match="no-attempt needs --api attempts"):
        under_test.parse(under_test.Options(fault=("no-attempt:5",)), None)
    assert under_test.parse(under_test.Options(fault=("no-attempt:5",), api="attempts"), None).has_attempts
