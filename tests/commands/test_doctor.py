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
from nemo_jobs_cli.sandbox import server as sandbox

SECRET = "tok-123456789"


@pytest.fixture(autouse=True)
def _no_shell(monkeypatch):
    """Have no shell of one's own, as in a container, and a machine that is idle."""
    monkeypatch.delenv("SHELL", raising=False)
    monkeypatch.setattr(tab, "_measure", lambda _: 0.02)


@pytest.fixture
def serve():
    """Return a function that starts a sandbox and gives its URL."""
    running = []

    def start(**options):
        running.append(sandbox.start(sandbox.Options(**options)))
        return running[-1].url

    yield start
    for server in running:
        sandbox.stop(server)


@pytest.fixture
def doctor(nemo_jobs):
    """Return a function that runs it with -o json: its exit code, and level and code of each check."""

    def run(*words):
        ran = nemo_jobs("doctor", "-o", "json", *words)
        assert SECRET not in ran.out + ran.err
        assert ran.json["exit_code"] == ran.code
        return ran.code, {one["name"]: (one["level"], one["exit_code"]) for one in ran.json["result"]}

    return run


def bad(found):
    """Return the checks that are not ok."""
    return {name: said for name, said in found.items() if said[0] in {"warn", "fail"}}


def test_where_all_is_well_the_exit_code_is_zero(nemo_jobs, serve, monkeypatch):
    """And every line says so, in one order, from near to far."""
    monkeypatch.setenv("NEMO_JOBS_JOB", "train-x")
    ran = nemo_jobs("doctor", "--host", serve(jobs=("train-x",)))
    rows = [row.split("\t") for row in ran.out.splitlines()]
    assert (ran.code, ran.err) == (0, "")
    assert all(len(row) == 4 for row in rows)
    assert [row[1] for row in rows] == [
        "host", "workspace", "job", "config", "token", "outbox", "dns", "tcp", "tls", "http", "clock", "auth",
        "version", "expiry", "read", "write", "exists", "completion", "tab",
    ]  # fmt: skip
    assert {row[0] for row in rows} == {"ok", "skip"}
    assert all(row[3] == "" for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "trouble"),
    [
        (("--host", "http://127.0.0.1:9"), 7, {"tcp": ("fail", 7)}),
        (("--host", "http://nowhere.invalid"), 7, {"dns": ("fail", 7)}),
        (("--host", "ftp://x"), 3, {"settings": ("fail", 3)}),
        (("--host", "http://nowhere.invalid", "-w", "My Team"), 2, {"workspace": ("fail", 2), "dns": ("fail", 7)}),
        (("--deadline", "soon"), 2, {"settings": ("fail", 2)}),
        (("--profile", "nope"), 3, {"settings": ("fail", 3)}),
        (
            ("--host", "http://127.0.0.1:9", "--token-file", "/nonexistent"),
            3,
            {"token": ("fail", 3), "tcp": ("fail", 7)},
        ),
    ],
)
def test_the_exit_code_is_that_of_the_worst(doctor, words, code, trouble):
    """Each failure has the code that an update would end with."""
    found = doctor(*words)
    assert (found[0], bad(found[1])) == (code, trouble)


def test_a_wrong_token_and_a_wrong_workspace(doctor, serve, monkeypatch):
    """4 and 5."""
    url, strict = serve(auth=True), serve(strict=True)
    code, found = doctor("--host", url)
    assert (code, bad(found)) == (4, {"read": ("fail", 4)})
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, found = doctor("--host", url)
    assert (code, bad(found)) == (4, {"read": ("fail", 4)})
    code, found = doctor("--host", strict, "-w", "nope")
    assert (code, bad(found)) == (5, {"read": ("fail", 5)})


def test_a_token_of_another_host_stays_here(doctor, raw_server, monkeypatch):
    """What anybody may ask is asked all the same, without it."""
    server = raw_server([response(404, '{"detail":"Not Found"}')])
    monkeypatch.setenv("NMP_BASE_URL", "https://nmp.example.com")
    monkeypatch.setenv("NMP_ACCESS_TOKEN", SECRET)
    code, found = doctor("--host", server.url)
    assert (code, bad(found)) == (3, {"token": ("fail", 3)})
    assert (found["http"][0], found["read"][0], found["write"][0]) == ("ok", "skip", "skip")
    assert not any(SECRET.encode() in request for request in server.seen)
    assert not any(request.startswith(b"PATCH") for request in server.seen)


def test_with_a_broken_file_no_token_goes_to_the_default_host(doctor, tmp_path, monkeypatch):
    """The user's own host may stand in the file."""
    path = tmp_path / "c.toml"
    path.write_text("x = [")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(path))
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, found = doctor()
    assert (code, bad(found)) == (3, {"settings": ("fail", 3)})
    assert {found[name][0] for name in ("host", "token", "dns", "http", "read", "write")} == {"skip"}


@pytest.mark.parametrize(
    ("words", "text"), [((), 'deadlin = "5s"'), (("--profile", "lba"), 'deadline = "5s"')], ids=["a typo", "misspelt"]
)
def test_with_a_broken_profile_no_token_goes_to_the_official_context(
    doctor, raw_server, tmp_path, monkeypatch, words, text
):
    """An update would refuse: the profile, not the context, says where it goes."""
    server = raw_server([response(200, "{}")])
    (tmp_path / "c.toml").write_text(f'[profiles.default]\nhost = "http://localhost:1"\n{text}\n')
    (tmp_path / "c.yaml").write_text(
        f"current_context: x\nclusters: [{{name: x, base_url: '{server.url}'}}]\ncontexts: [{{name: x, cluster: x}}]\n"
    )
    monkeypatch.setenv("NEMO_JOBS_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("NMP_CONFIG_FILE", str(tmp_path / "c.yaml"))
    monkeypatch.setenv("NEMO_JOBS_TOKEN", SECRET)
    code, found = doctor(*words)
    assert (code, bad(found), server.seen) == (3, {"settings": ("fail", 3)}, [])
    assert {found[name][0] for name in ("host", "token", "dns", "http", "read")} == {"skip"}


def test_quiet_says_nothing_where_nothing_needs_doing(nemo_jobs, serve):
    """For cron."""
    ran = nemo_jobs("doctor", "-q", "--host", serve())
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_a_server_that_takes_connections_and_says_nothing_ends_with_the_deadline(doctor):
    """Every request counts into one limit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        code, found = doctor("--host", f"http://127.0.0.1:{listener.getsockname()[1]}", "--deadline", "400ms")
    assert (code, set(bad(found)) <= {"dns", "tcp", "http"}) == (7, True)  # how far it comes is the machine's
    assert time.monotonic() - began < 50


def test_a_lookup_that_hangs_ends_with_the_deadline(doctor, monkeypatch):
    """No signal can end it; the thread is left behind."""
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(60))
    began = time.monotonic()
    code, found = doctor("--host", "http://slow.example", "--deadline", "300ms")
    assert (code, bad(found)) == (7, {"dns": ("fail", 7)})
    assert time.monotonic() - began < 50
    end.set()


def test_on_a_terminal_lines_come_as_they_are_found_and_ctrl_c_ends_it(tmp_path):
    """Whoever waits sees for what, in colours, and need not wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = [sys.executable, "-m", "nemo_jobs_cli", "doctor", "--host", url, "--deadline", "600"]
        env = {**CHILD_ENVIRONMENT, "HOME": str(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        with Terminal(words, env) as screen:
            assert "✓".encode() in screen.until(b"plain http://")  # the next line would tell of the first answer
            screen.type(b"\x03")
            assert screen.end() == 130
            assert b"interrupted" in screen.seen


def test_what_a_server_says_is_no_terminal_control(nemo_jobs, raw_server):
    """Neither in what is fine nor in what is not."""
    said = {
        b"/cluster-info": (200, {"platform_version": "0.6.0\x1b[2J", "revision": "\u202ex"}),
        b"/apis/auth/discovery": (200, {"auth_enabled": False}),
    }

    def answer(connection, seen, stop):
        request = read_request(connection)
        if not request:  # a look whether anybody listens
            return
        status, value = said.get(request.split(b" ")[1], (403, {"detail": "no\x1b]0;x\x07"}))
        connection.sendall(response(status, json.dumps(value)))

    ran = nemo_jobs("doctor", "--host", raw_server(answer).url)
    assert ran.code == 4
    assert not set("\x1b\u202e\x07") & set(ran.out + ran.err)
    assert "0.6.0\\x1b[2J" in ran.out


def test_help_has_examples(nemo_jobs):
    """Each a line of its own."""
    out = nemo_jobs("doctor", "--help").out
    assert "\n    nemo-jobs doctor -q --profile lab" in out
    assert "LEVEL<TAB>NAME<TAB>SAYS<TAB>FIX" in out


@pytest.mark.parametrize("word", ["diagnose", "ping"])
def test_other_words_for_it_lead_here(nemo_jobs, word):
    """Other tools call it otherwise."""
    assert "doctor" in nemo_jobs(word).err
