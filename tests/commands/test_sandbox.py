"""`nemo-jobs sandbox`: its options, its child's environment, its ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from nemo_jobs_cli.commands import sandbox as under_test
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.sandbox import faults, server

TOOL = [sys.executable, "-m", "nemo_jobs_cli", "sandbox"]


def tool(*words: str, **env: str) -> subprocess.CompletedProcess:
    """Run `nemo-jobs sandbox` in a process of its own."""
    return subprocess.run(
        [*TOOL, *words], env={**os.environ, **env}, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


def seen_by_child(*words: str, **env: str) -> dict[str, str]:
    """Return the environment that a command on the sandbox sees."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    ran = tool(*words, "--", sys.executable, "-c", code, **env)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_main_job():
    """README's first command: an update and what `show` makes of it, on nothing but this Python."""
    ran = tool("--", "sh", "-c", "nemo-jobs update demo progress=45 && nemo-jobs show demo --field progress")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "demo: progress=45\n45\n", "")


def test_the_child_sees_the_sandbox_and_nothing_of_the_users(tmp_path):
    """Settings, tokens and folders of the user are hidden; everything else stays."""
    found = seen_by_child(
        NEMO_JOBS_HOST="http://mine",
        NEMO_JOBS_TOKEN="secret-1",
        NEMO_JOB_ID="job",
        NMP_ACCESS_TOKEN="secret-2",
        NHX_BASE_URL="http://x",
        XDG_CONFIG_HOME=str(tmp_path),
        NO_PROXY="corp.example",
        MINE="stays",
    )
    assert {name for name in found if name.startswith(("NEMO_JOB", "NMP_", "NHX_"))} == {"NEMO_JOBS_HOST"}
    assert found["NEMO_JOBS_HOST"].startswith("http://127.0.0.1:")
    assert found["MINE"] == "stays"
    assert found["NO_PROXY"] == "corp.example,127.0.0.1,localhost"
    assert found["no_proxy"] == "127.0.0.1,localhost"
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    folders = {found[f"XDG_{kind}_HOME"] for kind in ("CONFIG", "STATE", "CACHE")}
    assert len(folders) == 3
    assert str(tmp_path) not in folders
    assert not any(Path(folder).exists() for folder in folders)


def test_a_proxy_does_not_come_between(raw_server):
    """Where the user has a proxy, the sandbox is still reached directly."""
    proxy = raw_server([b""])
    words = ("--", sys.executable, "-m", "nemo_jobs_cli", "update", "demo", "progress=1")
    assert tool(*words, HTTP_PROXY=proxy.url, http_proxy=proxy.url).returncode == 0
    assert not proxy.seen


def test_the_users_official_configuration_is_not_read(tmp_path):
    """A context of the official tool in HOME changes nothing on the sandbox."""
    place = tmp_path / ".config/nmp/config.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(
        "current_context: a\nclusters: [{name: c, base_url: https://nmp.example.com}]\n"
        "users: [{name: u, type: oauth, token: eyJx}]\n"
        "contexts: [{name: a, cluster: c, user: u, workspace: research}]\n"
    )
    code = "nemo-jobs update demo progress=1 && nemo-jobs show demo -w default --field progress"
    ran = tool("--", "sh", "-c", code, HOME=str(tmp_path))
    assert (ran.returncode, ran.stdout) == (0, "demo: progress=1\n1\n")


def test_with_auth_the_child_has_the_token():
    """--auth guards the sandbox, and the command gets in."""
    assert seen_by_child("--auth")["NEMO_JOBS_TOKEN"] == "sandbox"
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
    """The exit code is the command's own, or the shell's where it can't run."""
    ran = tool("--", *words)
    assert ran.returncode == code
    assert ("next: " in ran.stderr) == (code in {126, 127})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--",), "missing command after --"),
        (("--", ""), "the command after -- is empty"),
        (("sh",), "unexpected argument before --: sh"),
        (("sh", "--", "sh"), "unexpected argument before --: sh"),
        (("--fault", "503:2", "--", "true"), "--fault: 503:2"),
        (("--job", "Bad Name", "--", "true"), "--job is not a job name"),
        (("--port", "70000"), "70000"),
        (("--seed", "x", "--", "true"), "x"),
    ],
)
def test_usage_errors(nemo_jobs, words, says):
    """What is wrong with the command line is one clear error with exit code 2."""
    ran = nemo_jobs("sandbox", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "next: " in ran.err


def test_a_taken_port(nemo_jobs):
    """A port in use is said so, before anything runs."""
    taken = server.start(server.Options())
    try:
        ran = nemo_jobs("sandbox", "--port", str(taken.port), "--", "true")
    finally:
        server.stop(taken)
    assert ran.code == 2
    assert f"cannot listen on port {taken.port} of 127.0.0.1" in ran.err


def test_options():
    """The options reach the sandbox; its port is 8080 by itself and any free one around a command."""
    options = under_test.Options(strict=True, job=("demo",), auth=True, fault=("conflicts",), seed=4)
    given = under_test.parse(options, ["x"])
    assert given == server.Options(0, True, ("demo",), True, faults.parse(["conflicts"]), 4)
    assert under_test.parse(under_test.Options(), None).port == 8080
    assert under_test.parse(under_test.Options(port=9000), ["x"]).port == 9000
    with pytest.raises(UsageError):
        under_test.parse(under_test.Options(), [])


def test_around_a_command(nemo_jobs):
    """In one process: the command runs on a sandbox, requests are logged, its exit code comes back."""
    code = "import os, urllib.request as r; r.urlopen(os.environ['NEMO_JOBS_HOST'] + '/apis/auth/discovery'); exit(3)"
    ran = nemo_jobs("sandbox", "-v", "--", sys.executable, "-c", code)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "GET /apis/auth/discovery -> 200\n"


def test_a_command_that_can_not_run(nemo_jobs):
    """In one process: the complaint has the next step, and the code is the shell's."""
    ran = nemo_jobs("sandbox", "--", "no-such-command")
    assert (ran.code, ran.out) == (127, "")
    assert ran.err.startswith("error: command not found: 'no-such-command'\nnext: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("auth", [False, True])
def test_by_itself_it_serves_until_a_signal(number, auth):
    """Without a command it says where it is, serves, and ends well with INT or TERM."""
    words = [*TOOL, "--port", "0", *(["--auth"] if auth else [])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first, export = process.stdout.readline(), process.stdout.readline()
    url = first.split()[2].rstrip(",")
    assert export == f"export NEMO_JOBS_HOST={url}{' NEMO_JOBS_TOKEN=sandbox' if auth else ''}\n"
    with urllib.request.urlopen(f"{url}/apis/auth/discovery", timeout=10) as answer:
        assert json.load(answer) == {"auth_enabled": auth, "oidc": None}
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_signal_reaches_the_command():
    """TERM to the sandbox ends the command, and its code tells so; nothing is left behind."""
    code = "import os, time; print(os.environ['XDG_STATE_HOME'], flush=True); time.sleep(30)"
    process = subprocess.Popen([*TOOL, "--", sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    folder = process.stdout.readline().strip()
    assert Path(folder).is_dir()
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    process.stdout.close()
    assert not Path(folder).exists()
