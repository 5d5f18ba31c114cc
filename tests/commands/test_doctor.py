"""`nemo-jobs doctor`: why an update does not arrive, end to end."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response
from terminals import Terminal

from nemo_jobs_cli.doctor import tab

SECRET = "tok-123456789"


@pytest.fixture(autouse=True)
def _no_shell(monkeypatch):
    """Unset SHELL, as in a container, and fake the time of a TAB."""
    monkeypatch.delenv("SHELL", raising=False)
    monkeypatch.setattr(tab, "measure", lambda _: 0.02)


@pytest.fixture
def serve(start_sandbox):
    """Return a function that starts a sandbox and returns its URL."""
    return lambda **options: start_sandbox(**options).url


@pytest.fixture
def doctor(nemo_jobs):
    """Return a function that runs doctor -o json; it returns the exit code, and level and code by check."""

    def run(*words):
        ran = nemo_jobs("doctor", "-o", "json", *words)
        assert SECRET not in ran.out + ran.err
        assert ran.json["exit_code"] == ran.code
        return ran.code, {row["name"]: (row["level"], row["exit_code"]) for row in ran.json["result"]}

    return run


def bad(checks):
    """Return the checks that are not ok."""
    return {name: check for name, check in checks.items() if check[0] in {"warn", "fail"}}


def test_without_problems_the_exit_code_is_zero(nemo_jobs, serve, monkeypatch):
    """Every check is ok or skipped, from local to remote."""
    monkeypatch.setenv("NEMO_JOBS_JOB", "train-x")
    ran = nemo_jobs("doctor", "--host", serve(jobs=("train-x",)))
    rows = [row.split("\t") for row in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert all(len(row) == 4 for row in rows)
    assert [row[1] for row in rows] == [
        "host", "workspace", "job", "config", "token", "outbox", "dns", "tcp", "tls", "http", "clock", "auth",
        "version", "expiry", "read", "write", "pace", "exists", "completion", "tab",
    ]  # fmt: skip
    rows = [row for row in rows if row[1] != "pace"]  # which depends on how busy the machine is
    assert {row[0] for row in rows} == {"ok", "skip"}
    assert all(row[3] == "" for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "failed"),
    [
        (("--host", "http://127.0.0.1:9"), 7, {"tcp": ("fail", 7)}),
        (("--host", "http://nowhere.invalid"), 7, {"dns": ("fail", 7)}),
        (("--host", "ftp://x"), 3, {"settings": ("fail", 3)}),
        (("--host", "http://nowhere.invalid", "-w", "My Team"), 2, {"workspace": ("fail", 2), "dns": ("fail", 7)}),
        (("--deadline", "soon"), 2, {"settings": ("fail", 2)}),
        (("--profile", "nope"), 3, {"settings": ("fail", 3)}),
        (
            ("--host", "http://127.0.0.1:9", "--token-file", "/dev/null/none"),
            3,
            {"token": ("fail", 3), "tcp": ("fail", 7)},
        ),
    ],
)
def test_the_exit_code_is_that_of_the_worst_check(doctor, words, code, failed):
    """Each failed check has the exit code that an update would have."""
    exit_code, checks = doctor(*words)
    assert (exit_code, bad(checks)) == (code, failed)


def test_a_wrong_token_and_a_wrong_workspace(doctor, serve, monkeypatch):
    """Exit codes 4 and 5."""
    url, strict = serve(auth=True), serve(strict=True)
    code, checks = doctor("--host", url)
    assert (code, bad(checks)) == (4, {"read": ("fail", 4)})
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, checks = doctor("--host", url)
    assert (code, bad(checks)) == (4, {"read": ("fail", 4)})
    code, checks = doctor("--host", strict, "-w", "nope")
    assert (code, bad(checks)) == (5, {"read": ("fail", 5)})


def test_a_token_of_another_host_is_not_sent(doctor, raw_server, monkeypatch):
    """Checks that need no token still run."""
    server = raw_server([response(404, '{"detail":"Not Found"}')])
    monkeypatch.setenv("NMP_BASE_URL", "https://nmp.example.com")
    monkeypatch.setenv("NMP_ACCESS_TOKEN", SECRET)
    code, checks = doctor("--host", server.url)
    assert (code, bad(checks)) == (3, {"token": ("fail", 3)})
    assert (checks["http"][0], checks["read"][0], checks["write"][0]) == ("ok", "skip", "skip")
    assert not any(SECRET.encode() in request for request in server.seen)
    assert not any(request.startswith(b"PATCH") for request in server.seen)


def test_with_a_broken_file_no_token_goes_to_the_default_host(doctor, tmp_path, monkeypatch):
    """The file may name another host."""
    path = tmp_path / "c.toml"
    path.write_text("x = [", encoding="utf-8")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, checks = doctor()
    assert (code, bad(checks)) == (3, {"settings": ("fail", 3)})
    assert {checks[name][0] for name in ("host", "token", "dns", "http", "read", "write")} == {"skip"}


@pytest.mark.parametrize(
    ("words", "text"),
    [((), 'deadlin = "5s"'), (("--profile", "lba"), 'deadline = "5s"')],
    ids=["unknown key", "unknown profile"],
)
def test_with_a_broken_profile_no_token_goes_to_the_official_context(
    doctor, raw_server, tmp_path, monkeypatch, words, text
):
    """The profile names the host; an update would fail too."""
    server = raw_server([response(200, "{}")])
    (tmp_path / "c.toml").write_text(f'[profiles.default]\nhost = "http://localhost:1"\n{text}\n', encoding="utf-8")
    (tmp_path / "c.yaml").write_text(
        f"current_context: x\nclusters: [{{name: x, base_url: '{server.url}'}}]\ncontexts: [{{name: x, cluster: x}}]\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("NMP_CONFIG_FILE", str(tmp_path / "c.yaml"))
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, checks = doctor(*words)
    assert (code, bad(checks), server.seen) == (3, {"settings": ("fail", 3)}, [])
    assert {checks[name][0] for name in ("host", "token", "dns", "http", "read")} == {"skip"}


def test_the_deadline_ends_the_wait_for_a_silent_server(doctor):
    """It limits all requests together."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        code, checks = doctor("--host", f"http://127.0.0.1:{listener.getsockname()[1]}", "--deadline", "400ms")
    assert (code, set(bad(checks)) <= {"dns", "tcp", "http"}) == (7, True)  # which one fails depends on the machine
    assert time.monotonic() - began < 50


def test_the_deadline_ends_a_hanging_dns_lookup(doctor, monkeypatch):
    """Its thread cannot be stopped, and is left running."""
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(60))
    began = time.monotonic()
    code, checks = doctor("--host", "http://slow.example", "--deadline", "300ms")
    assert (code, bad(checks)) == (7, {"dns": ("fail", 7)})
    assert time.monotonic() - began < 50
    end.set()


def test_on_a_terminal_each_check_is_printed_at_once(tmp_path):
    """In color; Ctrl-C ends the checks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = [sys.executable, "-m", "nemo_jobs_cli", "doctor", "--host", url, "--deadline", "600"]
        env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        with Terminal(words, env) as screen:
            assert "✓".encode() in screen.until(b"plain http://")  # the next line would be about the first response
            screen.type(b"\x03")
            assert screen.end() == 130
            assert b"interrupted" in screen.seen


def test_text_of_the_server_is_no_terminal_control(nemo_jobs, raw_server):
    """Neither in a check that is ok nor in one that failed."""
    responses = {
        b"/cluster-info": (200, {"platform_version": "0.6.0\x1b[2J", "revision": "\u202ex"}),
        b"/apis/auth/discovery": (200, {"auth_enabled": False}),
    }

    def answer(connection, seen, stop):
        request = read_request(connection)
        if not request:  # a TCP check without a request
            return
        status, value = responses.get(request.split(b" ")[1], (403, {"detail": "no\x1b]0;x\x07"}))
        connection.sendall(response(status, json.dumps(value)))

    ran = nemo_jobs("doctor", "--host", raw_server(answer).url)
    assert ran.code == 4
    assert not set("\x1b\u202e\x07") & set(ran.out + ran.err)
    assert "0.6.0\\x1b[2J" in ran.out


def test_help_has_examples(nemo_jobs):
    """One per line."""
    out = nemo_jobs("doctor", "--help").out
    assert "\n    nemo-jobs doctor -q --profile lab" in out
    assert "LEVEL<TAB>NAME<TAB>MESSAGE<TAB>FIX" in out
