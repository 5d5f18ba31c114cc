"""`nemo-jobs update`, from the words to the request and back to the screen."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest

from nemo_jobs_cli.delivery.outbox import Outbox

JOBS = "http://nmp.test/apis/jobs/v2/workspaces/research/jobs"
URL = f"{JOBS}/train-x/status-details"
TO = ("--host", "http://localhost:1", "-w", "research")


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """Point the tool at a platform."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_WORKSPACE", "research")


@pytest.fixture
def platform(httpx_mock):
    """Return a platform that accepts the update."""
    httpx_mock.add_response(method="PATCH", url=URL, content=b"null")
    return httpx_mock


def sent(platform):
    """Return the one body that was sent."""
    (request,) = platform.get_requests()
    return json.loads(request.content)


def test_the_main_job(nemo_jobs, platform):
    """The line of README: three fields, one PATCH, one plain line."""
    ran = nemo_jobs("update", "train-x", "status=running", "progress=45", "message=batch 3 of 10")
    assert sent(platform) == {"status": "running", "progress": 45, "message": "batch 3 of 10"}
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == 'train-x: status=running progress=45 message="batch 3 of 10"\n'


def test_json_says_everything_once(nemo_jobs, platform):
    """`-o json` is one object: what was sent, where, and what the server said."""
    ran = nemo_jobs("update", "train-x", "progress=45", "-o", "json")
    assert ran.json | {"seconds": 0, "trace_id": ""} == {
        "schema": 1,
        "command": "update",
        "outcome": "delivered",
        "exit_code": 0,
        "host": "http://nmp.test",
        "workspace": "research",
        "job": "train-x",
        "status_details": {"progress": 45},
        "attempts": 1,
        "conflicts": 0,
        "seconds": 0,
        "trace_id": "",
        "result": None,
    }
    assert ran.json["trace_id"] in platform.get_requests()[0].headers["traceparent"]


def test_quiet_says_nothing(nemo_jobs, platform):
    """A script that only wants the exit code gets it."""
    assert nemo_jobs("update", "train-x", "progress=45", "-q") == type(nemo_jobs("--version"))(0, "", "")


def test_verbose_says_what_is_sent_and_never_the_token(nemo_jobs, platform, monkeypatch):
    """-v is for finding out; a token is not among what can be found out."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    ran = nemo_jobs("update", "train-x", "progress=45", "-v", "--header", "X-Team: llm", "--anonymous")
    assert f"PATCH {URL}" in ran.err
    assert '{"progress":45}' in ran.err
    assert "attempts 1" in ran.err
    assert "s3cret" not in ran.out + ran.err


def test_files_come_first_and_fields_win(nemo_jobs, platform, tmp_path):
    """A file gives the base; the words on the command line have the last say."""
    file = tmp_path / "m.json"
    file.write_text('{"loss": 0.5, "progress": 10}')
    ran = nemo_jobs("update", "train-x", "progress=3/10", "-f", str(file))
    assert ran.code == 0
    assert sent(platform) == {"loss": 0.5, "progress": 30}


def test_a_stamp_alone_is_an_update(nemo_jobs, platform):
    """A heartbeat needs no field; the time is UTC as RFC 3339 writes it."""
    assert nemo_jobs("update", "train-x", "--stamp").code == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", sent(platform)["lastUpdated"])


def test_an_empty_object_may_be_sent(nemo_jobs, platform, tmp_path):
    """The server accepts {} (measured); a generated file may hold no keys today."""
    file = tmp_path / "m.json"
    file.write_text("{}")
    assert nemo_jobs("update", "train-x", "-f", str(file)).code == 0
    assert sent(platform) == {}


def test_numbers_can_be_declared(nemo_jobs, platform):
    """--number makes a key a number for this call."""
    assert nemo_jobs("update", "train-x", "--number", "bleu", "bleu=31.5").code == 0
    assert sent(platform) == {"bleu": 31.5}


def test_inside_a_job_no_name_is_needed(nemo_jobs, platform, monkeypatch):
    """The platform tells each step its job's name."""
    monkeypatch.setenv("NEMO_JOB_ID", "train-x")
    assert nemo_jobs("update", "progress=45").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-x"], "nothing to send"),
        ([], "which job?"),
        (["progress=45"], "which job?"),
        (["", "progress=45"], "empty"),
        (["Train-X", "progress=45"], "not a job name"),
        (["train-x", "running"], "running"),
        (["train-x", "progress=abc"], "progress"),
        (["train-x", "=45"], "key"),
        (["train-x", "a:={"], "JSON"),
        (["train-x", "a=1", "-w", "no/such"], "not a workspace name"),
        (["train-x", "a=1", "--deadline", "soon"], "soon"),
        (["train-x", "a=1", "--nonsense"], "nonsense"),
        (["train-x", "a=1", "-o", "xml"], "xml"),
        (["train-x", "-f", "/nonexistent/m.json"], "/nonexistent/m.json"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_bad_usage_is_one_error_and_sends_nothing(nemo_jobs, httpx_mock, words, message, form):
    """Every mistake on the command line: code 2, a sentence, a next step, in both forms."""
    ran = nemo_jobs("update", *words, *(["-o", "json"] if form == "json" and "xml" not in words else []))
    assert ran.code == 2
    assert httpx_mock.get_requests() == []
    if form == "json" and "xml" not in words:
        assert ran.json["exit_code"] == 2
        assert message in ran.json["error"]["message"]
        assert ran.json["error"]["hint"]
        assert ran.err == ""
    else:
        assert ran.out == ""
        assert ran.err.startswith("error: ")
        assert message in ran.err
        assert ran.err.splitlines()[-1].startswith("next: ")


def test_a_422_is_mapped_back_to_what_was_written(nemo_jobs, httpx_mock, tmp_path):
    """The server names a path; the user sees the argument, or the line of the file."""
    file = tmp_path / "m.json"
    file.write_text('{\n  "metrics": {\n    "loss": "high"\n  }\n}')
    complaints = [
        {"loc": ["body", "metrics", "loss"], "msg": "Input should be a number", "input": "high"},
        {"loc": ["body", "progress"], "msg": "Too \u001b[31mmuch", "input": 45},
        {"loc": ["body"], "msg": "Field required", "input": "x" * 5000},
        {"loc": ["body", 3], "msg": "JSON decode error"},
    ]
    httpx_mock.add_response(status_code=422, json={"detail": complaints}, is_reusable=True)
    ran = nemo_jobs("update", "train-x", "progress=45", "-f", str(file), "-o", "json")
    assert ran.code == 6
    assert ran.json["outcome"] == "rejected"
    rows = ran.json["error"]["problems"]
    assert rows[0] == {
        "wrote": '"loss": "high"',
        "where": f"{file}:3:13",
        "says": "Input should be a number",
        "loc": ["body", "metrics", "loss"],
    }
    assert (rows[1]["wrote"], rows[1]["where"]) == ("progress=45", "argument 2")
    assert "\x1b" not in rows[1]["says"]
    assert len(rows[2]["wrote"]) <= 60
    assert rows[3]["where"].startswith("the body as sent")
    text = nemo_jobs("update", "train-x", "progress=45", "-f", str(file))
    assert f"{file}:3:13" in text.err


def test_an_unauthorised_update_names_the_tokens_source(nemo_jobs, httpx_mock, monkeypatch):
    """Which of five possible tokens was it? And never the token itself."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "https://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    httpx_mock.add_response(status_code=401, json={"detail": "Invalid or expired token"})
    ran = nemo_jobs("update", "train-x", "progress=45")
    assert ran.code == 4
    assert "NEMO_JOBS_TOKEN" in ran.err
    assert "s3cret" not in ran.err
    assert httpx_mock.get_requests()[0].headers["authorization"] == "Bearer s3cret-token"


def test_retries_are_told_to_who_asks(nemo_jobs, httpx_mock):
    """-v names each failed try and the wait."""
    httpx_mock.add_response(status_code=503, json={})
    httpx_mock.add_response(status_code=200, content=b"null")
    ran = nemo_jobs("update", "train-x", "progress=45", "-v")
    assert ran.code == 0
    assert "retrying in" in ran.err
    assert "HTTP 503" in ran.err


def test_a_dry_run_shows_all_and_sends_nothing(nemo_jobs, httpx_mock, tmp_path):
    """Where, as whom, and how each value was understood."""
    file = tmp_path / "m.json"
    file.write_text('{"lr": 1e-5}')
    ran = nemo_jobs("update", "train-x", "progress=45%", "version=1.10", "-f", str(file), "--dry-run")
    assert ran.code == 0
    assert httpx_mock.get_requests() == []
    assert f"would PATCH {URL}" in ran.out
    assert "workspace research (NEMO_JOBS_WORKSPACE)" in ran.out
    assert 'version\t"1.10"\ttext\targument 3' in ran.out
    assert f"lr\t1e-05\tJSON number\t{file}:1:8" in ran.out


def test_a_dry_run_as_json_holds_the_body(nemo_jobs, httpx_mock):
    """A program can look before it leaps, too."""
    facts = nemo_jobs("update", "train-x", "progress=45", "--dry-run", "-o", "json").json
    assert facts["outcome"] == "dry-run"
    assert facts["request"] == {"method": "PATCH", "url": URL, "body": {"progress": 45}}


def test_the_curl_command_is_one_that_a_shell_understands(nemo_jobs, httpx_mock, monkeypatch):
    """Quotes, dollars and emoji survive; the token stays a variable."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "https://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    message = 'it\'s $HOME `x` "q" 🚀\n'
    ran = nemo_jobs("update", "train-x", f"message={message}", "--curl", "--header", "X-A: $b")
    assert httpx_mock.get_requests() == []
    assert "s3cret" not in ran.out
    shown = subprocess.run(
        ["sh", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}; {ran.out}"],
        env={"NEMO_JOBS_TOKEN": "tok"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    assert shown[:4] == ["--fail-with-body", "-X", "PATCH", URL.replace("http:", "https:")]
    assert "Authorization: Bearer tok" in shown
    assert "X-A: $b" in shown
    assert json.loads(shown[shown.index("--data-binary") + 1]) == {"message": message}
    assert shlex.split(ran.out)


def test_warnings_go_to_stderr(nemo_jobs, platform):
    """An overshoot is clamped and said; the data on stdout stays clean."""
    ran = nemo_jobs("update", "train-x", "progress=101/100")
    assert ran.err.startswith("warning: ")
    assert sent(platform) == {"progress": 100}


def test_control_characters_in_a_field_reach_the_server_but_not_the_screen(nemo_jobs, platform):
    """What a CI variable holds is data."""
    ran = nemo_jobs("update", "train-x", "message=\x1b[31mred\x07")
    assert sent(platform) == {"message": "\x1b[31mred\x07"}
    assert "\x1b" not in ran.out


BUSY = {"status_code": 503, "json": {}}
LATE = ("--deadline", "0")


def kept(tmp_path):
    """Return the entries in the outbox of this test's home."""
    box = Outbox(tmp_path / "home/.local/state/nemo-jobs/outbox")
    return [box.read(name) for name in box.names()]


@pytest.mark.parametrize(
    ("words", "variable", "keeps"),
    [
        (("--outbox",), None, True),
        ((), "1", True),
        (("--outbox",), "0", True),
        (("--no-outbox",), "1", False),
        ((), "false", False),
        ((), None, False),
    ],
)
def test_what_is_late_is_kept_where_that_is_asked_for(
    nemo_jobs, httpx_mock, tmp_path, monkeypatch, words, variable, keeps
):
    """Flag over variable; exit 0 with one line on stderr, else exit 7."""
    httpx_mock.add_response(**BUSY)
    if variable is not None:
        monkeypatch.setenv("NEMO_JOBS_OUTBOX", variable)
    ran = nemo_jobs("update", "train-x", "progress=45", *LATE, *words)
    assert (ran.code, ran.out) == ((0 if keeps else 7), "")
    assert ran.err.startswith("kept train-x: " if keeps else "error: ")
    assert [entry.fields["progress"] for entry in kept(tmp_path)] == ([45] if keeps else [])


def test_the_outbox_stamps_what_it_sends(nemo_jobs, platform):
    """Else nobody could tell later what is newer."""
    nemo_jobs("update", "train-x", "progress=45", "--outbox")
    assert set(sent(platform)) == {"progress", "lastUpdated"}


def test_a_kept_update_is_json_too(nemo_jobs, httpx_mock, tmp_path):
    """With the file, and why."""
    httpx_mock.add_response(**BUSY)
    found = nemo_jobs("update", "train-x", "progress=45", "--outbox", *LATE, "-o", "json").json
    assert (found["outcome"], found["exit_code"], found["status_details"]["progress"]) == ("kept", 0, 45)
    assert found["path"].startswith(str(tmp_path))
    assert "http://nmp.test" in found["error"]["message"]


def test_older_updates_go_first_in_one_patch(nemo_jobs, httpx_mock, tmp_path):
    """Folded, the new one on top; only the new one is shown as sent, the others are counted."""
    httpx_mock.add_response(**BUSY)
    nemo_jobs("update", "train-x", "progress=45", "phase=train", "--outbox", *LATE)
    httpx_mock.add_response(url=f"{JOBS}/train-x/status", json={"status": "active", "status_details": {}})
    httpx_mock.add_response(method="PATCH", url=URL, content=b"null")
    ran = nemo_jobs("update", "train-x", "progress=50")
    assert (ran.out, ran.err) == ("train-x: progress=50\n", "1 update delivered from the outbox\n")
    body = json.loads(httpx_mock.get_requests()[-1].content)
    assert body.pop("lastUpdated")
    assert body == {"progress": 50, "phase": "train"}
    assert kept(tmp_path) == []


def test_a_kept_status_revives_no_finished_job(nemo_jobs, httpx_mock, tmp_path):
    """What is late only adds; the rest is set aside and said."""
    httpx_mock.add_response(**BUSY)
    nemo_jobs("update", "train-x", "status=running", "val_loss=0.5", "--outbox", *LATE)
    httpx_mock.add_response(
        url=f"{JOBS}/train-x/status", json={"status": "completed", "status_details": {"status": "completed"}}
    )
    httpx_mock.add_response(method="PATCH", url=URL, content=b"null")
    ran = nemo_jobs("update", "train-x", "note=x", "-o", "json")
    body = json.loads(httpx_mock.get_requests()[-1].content)
    assert body.keys() == {"val_loss", "lastUpdated", "note"}
    assert ran.json["older"] == {"delivered": 1, "aside": 1}


@pytest.mark.parametrize("github", [True, False])
def test_best_effort_forgives_in_one_line(nemo_jobs, httpx_mock, monkeypatch, github):
    """Where GitHub reads along, as an annotation that nothing in it can end."""
    httpx_mock.add_response(**BUSY)
    if github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    ran = nemo_jobs("update", "train-x", "m=50%\n::error::x", "--best-effort", *LATE)
    assert (ran.code, ran.out, ran.err.count("\n")) == (0, "", 1)
    assert ran.err.startswith("::warning::dropped train-x: m=" if github else "dropped train-x: m=")
    assert ("50%25" if github else "50%\\n") in ran.err


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (422, 6), (302, 3)])
def test_best_effort_forgives_nothing_else(nemo_jobs, httpx_mock, tmp_path, status, code):
    """A mistake stays one, in a pipeline too."""
    httpx_mock.add_response(status_code=status, json={}, is_reusable=True)
    assert nemo_jobs("update", "train-x", "a=1", "--best-effort", "--outbox").code == code
    assert kept(tmp_path) == []
