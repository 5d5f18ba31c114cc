"""`nemo-jobs update`, from the command line to the request and the output."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from raw import response

from nemo_jobs_cli.cli import main
from nemo_jobs_cli.commands import update
from nemo_jobs_cli.delivery.outbox import Outbox

JOBS = "http://nmp.test/apis/jobs/v2/workspaces/research/jobs"
URL = f"{JOBS}/train-x/status-details"


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """Configure host and workspace."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_WORKSPACE", "research")


@pytest.fixture
def platform(httpx_mock):
    """Return a platform that accepts the update."""
    httpx_mock.add_response(method="PATCH", url=URL, content=b"null")
    return httpx_mock


def sent(platform):
    """Return the body of the only request."""
    (request,) = platform.get_requests()
    return json.loads(request.content)


def test_three_fields_are_one_request_and_one_line(nemo_jobs, platform):
    """As in README; the line is plain text in a pipe."""
    ran = nemo_jobs("update", "train-x", "status=running", "progress=45", "message=batch 3 of 10")
    assert sent(platform) == {"status": "running", "progress": 45, "message": "batch 3 of 10"}
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == 'train-x: status=running progress=45 message="batch 3 of 10"\n'


def test_text_that_looks_like_a_number_gets_a_note(nemo_jobs, platform):
    """In a pipe too: in CI nobody would notice that `--until 'bleu>30'` never holds."""
    ran = nemo_jobs("update", "train-x", "loss=0.31", "bleu=31.5", "message=404")
    assert sent(platform) == {"loss": 0.31, "bleu": "31.5", "message": "404"}
    assert ran.err == "note: bleu=31.5 is sent as text; bleu:=31.5 sends a number (or --number bleu)\n"


def test_a_misspelled_key_has_one_warning(nemo_jobs, platform):
    """And no note about its number besides."""
    ran = nemo_jobs("update", "train-x", "progres=45", "bleu=1")
    assert ran.err == (
        "warning: progres is not a key that the platform shows; did you mean progress?\n"
        "note: bleu=1 is sent as text; bleu:=1 sends a number (or --number bleu)\n"
    )


@pytest.mark.parametrize(("waited", "code"), [(95.0, 0), (30.0, 7)])
def test_the_wait_for_stdin_does_not_count_against_the_deadline(monkeypatch, raw_server, waited, code):
    """As in `long-command | nemo-jobs update -f -`: so much of the 100 seconds since the start was spent waiting."""
    server = raw_server([response(503, "{}"), response(200)])
    times = iter([50.0, 50.0 + waited])
    monkeypatch.setattr(update, "time", SimpleNamespace(time=time.time, monotonic=lambda: next(times)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    words = ["update", "train-x", "-f", "-", "--deadline", "60", "--host", server.url]
    assert main.run(words, time.monotonic() - 100) == code


def test_a_too_large_update_needs_allow_large(nemo_jobs, platform):
    """It slows down every later update of the job; nothing is sent without the option."""
    message = f"message={'x' * (4 << 20)}"
    assert nemo_jobs("update", "train-x", message).code == 2
    assert nemo_jobs("update", "train-x", message, "--allow-large").code == 0
    assert len(sent(platform)["message"]) == 4 << 20


@pytest.mark.parametrize("word", ["train_loss=nan", "a:=NaN"])
def test_nan_is_refused(nemo_jobs, word):
    """JSON has no NaN, and a single update is typed by hand."""
    assert nemo_jobs("update", "train-x", word).code == 2


def test_json_output_is_one_object(nemo_jobs, platform):
    """It holds the fields, the destination and the result of the server."""
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


def test_quiet_prints_nothing(nemo_jobs, platform):
    """The exit code is all that a script needs."""
    assert nemo_jobs("update", "train-x", "progress=45", "-q") == type(nemo_jobs("--version"))(0, "", "")


def test_verbose_prints_requests_and_retries_but_no_token(nemo_jobs, httpx_mock, monkeypatch):
    """URL, body and number of attempts; for each failed attempt, the time to the next."""
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    httpx_mock.add_response(**BUSY)
    httpx_mock.add_response(content=b"null")
    ran = nemo_jobs("update", "train-x", "progress=45", "-v", "--header", "X-Team: llm", "--anonymous")
    assert ran.code == 0
    for text in (f"PATCH {URL}", '{"progress":45}', "HTTP 503", "retrying in", "attempts 2"):
        assert text in ran.err
    assert "s3cret" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "file", "expected"),
    [
        (["progress=3/10"], '{"loss": 0.5, "progress": 10}', {"loss": 0.5, "progress": 30}),
        ([], "{}", {}),
        (["--number", "bleu", "bleu=31.5"], None, {"bleu": 31.5}),
    ],
)
def test_fields_of_files_and_arguments_are_sent(nemo_jobs, platform, tmp_path, monkeypatch, words, file, expected):
    """Arguments override files; a generated file may be empty; in a job, which has NEMO_JOB_ID, no name is needed."""
    monkeypatch.setenv("NEMO_JOB_ID", "train-x")
    if file is not None:
        (tmp_path / "m.json").write_text(file, encoding="utf-8")
        words = [*words, "-f", str(tmp_path / "m.json")]
    assert nemo_jobs("update", *words).code == 0
    assert sent(platform) == expected


def test_a_stamp_alone_is_an_update(nemo_jobs, platform):
    """A heartbeat needs no field; the time is UTC in the format of RFC 3339."""
    assert nemo_jobs("update", "train-x", "--stamp").code == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", sent(platform)["lastUpdated"])


@pytest.mark.parametrize(
    ("stamp", "words", "expected"),
    [
        (None, [], False),
        (None, ["--stamp"], True),
        ("1", [], True),
        ("1", ["--no-stamp"], False),
        ("0", ["--stamp"], True),
        (None, ["--outbox"], True),
        (None, ["--outbox", "--no-stamp"], False),
        ("0", ["--outbox"], False),
    ],
)
def test_an_update_has_the_time_if_a_flag_or_a_setting_says_so(
    nemo_jobs, platform, monkeypatch, stamp, words, expected
):
    """The flag wins; the outbox implies it."""
    if stamp is not None:
        monkeypatch.setenv("NEMO_JOBS_STAMP", stamp)
    assert nemo_jobs("update", "train-x", "a=1", *words).code == 0
    assert ("lastUpdated" in sent(platform)) == expected


@pytest.mark.parametrize(
    ("variable", "words", "message"),
    [
        ("NEMO_JOBS_STAMP", ["train-x"], "nothing to send: no fields given"),
        ("NEMO_JOBS_STAMP", ["progress"], "nothing to send: progress was read as the job"),
        ("NEMO_JOBS_OUTBOX", ["train-x"], "nothing to send: no fields given"),
    ],
)
def test_a_stamp_that_a_setting_adds_is_no_field(nemo_jobs, httpx_mock, monkeypatch, variable, words, message):
    """Forgotten fields stay a mistake."""
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("NEMO_JOBS_JOB", "train-x")
    ran = nemo_jobs("update", *words)
    assert (ran.code, httpx_mock.get_requests()) == (2, [])
    assert message in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train-x"], "nothing to send"),
        ([], "no job given"),
        (["progress=45"], "no job given"),
        (["", "progress=45"], "empty"),
        (["Train-X", "progress=45"], "invalid job name"),
        (["train-x", "running"], "running"),
        (["train-x", "progress=abc"], "progress"),
        (["train-x", "=45"], "key"),
        (["train-x", "a:={"], "JSON"),
        (["train-x", "a=1", "-w", "no/such"], "invalid workspace name"),
        (["train-x", "a=1", "--deadline", "soon"], "soon"),
        (["train-x", "a=1", "--nonsense"], "nonsense"),
        (["train-x", "a=1", "-o", "xml"], "xml"),
        (["train-x", "-f", "/dev/null/m.json"], "/dev/null/m.json"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_bad_usage_is_one_error_and_sends_nothing(nemo_jobs, httpx_mock, words, message, form):
    """The exit code is 2, with a message and a hint, as text and as JSON."""
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


def test_a_422_names_what_the_user_wrote(nemo_jobs, httpx_mock, tmp_path):
    """The argument, or the line of the file, instead of the path in the body."""
    file = tmp_path / "m.json"
    file.write_text('{\n  "metrics": {\n    "loss": "high"\n  }\n}', encoding="utf-8")
    problems = [
        {"loc": ["body", "metrics", "loss"], "msg": "Input should be a number", "input": "high"},
        {"loc": ["body", "progress"], "msg": "Too \u001b[31mmuch", "input": 45},
        {"loc": ["body"], "msg": "Field required", "input": "x" * 5000},
        {"loc": ["body", 3], "msg": "JSON decode error"},
    ]
    httpx_mock.add_response(status_code=422, json={"detail": problems}, is_reusable=True)
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


def test_an_unauthorized_update_names_the_source_of_the_token(nemo_jobs, httpx_mock, monkeypatch):
    """Never the token itself."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "https://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret-token")
    httpx_mock.add_response(status_code=401, json={"detail": "Invalid or expired token"})
    ran = nemo_jobs("update", "train-x", "progress=45")
    assert ran.code == 4
    assert "NEMO_JOBS_TOKEN" in ran.err
    assert "s3cret" not in ran.err
    assert httpx_mock.get_requests()[0].headers["authorization"] == "Bearer s3cret-token"


def test_a_dry_run_prints_the_request_and_sends_nothing(nemo_jobs, httpx_mock, tmp_path):
    """The URL, the settings, and the type and place of each value; as JSON, method, URL and body."""
    file = tmp_path / "m.json"
    file.write_text('{"lr": 1e-5}', encoding="utf-8")
    ran = nemo_jobs("update", "train-x", "progress=45%", "version=1.10", "-f", str(file), "--dry-run")
    assert ran.code == 0
    assert httpx_mock.get_requests() == []
    assert f"would PATCH {URL}" in ran.out
    assert "workspace research (NEMO_JOBS_WORKSPACE)" in ran.out
    assert 'version\t"1.10"\ttext\targument 3' in ran.out
    assert f"lr\t1e-05\tJSON number\t{file}:1:8" in ran.out
    facts = nemo_jobs("update", "train-x", "progress=45", "--dry-run", "-o", "json").json
    assert facts["outcome"] == "dry-run"
    assert facts["request"] == {"method": "PATCH", "url": URL, "body": {"progress": 45}}


def test_the_curl_command_runs_in_a_shell(nemo_jobs, httpx_mock, monkeypatch):
    """Quotes, dollars and emoji are unchanged; the token stays a variable."""
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
        encoding="utf-8",
        check=True,
    ).stdout.split("\0")
    assert shown[:4] == ["--fail-with-body", "-X", "PATCH", URL.replace("http:", "https:")]
    assert "Authorization: Bearer tok" in shown
    assert "X-A: $b" in shown
    assert json.loads(shown[shown.index("--data-binary") + 1]) == {"message": message}
    assert shlex.split(ran.out)


def test_warnings_go_to_stderr_and_control_characters_only_to_the_server(nemo_jobs, platform):
    """Progress over 100 % is clamped with a warning; the value of a CI variable is data."""
    ran = nemo_jobs("update", "train-x", "progress=101/100", "message=\x1b[31mred\x07")
    assert ran.err.startswith("warning: ")
    assert sent(platform) == {"progress": 100, "message": "\x1b[31mred\x07"}
    assert "\x1b" not in ran.out


IN_JOB = {"NEMO_JOB_ID": "train-x", "NEMO_JOB_WORKSPACE": "research"}
ON_KUBERNETES = IN_JOB | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "fields", "note"),
    [
        (IN_JOB, ["message=x", "stage=y"], "message does not last: the platform overwrites it while this job runs"),
        (
            IN_JOB,
            ["pid:=1", "subprocess_work_dir=x"],
            "pid, subprocess_work_dir do not last: the platform overwrites them",
        ),
        (IN_JOB, ["phase=x", "stage=y", "progress=4", "subprocesses=x"], ""),
        (ON_KUBERNETES, ["phase=x", "stage=y"], "phase does not last: "),
        ({}, ["message=x"], ""),
        (IN_JOB | {"NEMO_JOB_ID": "other"}, ["message=x"], ""),
        (IN_JOB | {"NEMO_JOB_WORKSPACE": "other"}, ["message=x"], ""),
    ],
)
def test_a_key_that_does_not_last_in_a_running_job_gets_a_note(nemo_jobs, platform, monkeypatch, environ, fields, note):
    """The platform's controller writes it too; the hint is a key that lasts."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ran = nemo_jobs("update", "train-x", *fields)
    assert (ran.code, ran.err.count("\n")) == (0, bool(note))
    assert ran.err.startswith(f"note: {note}" if note else "")
    instead = "stage" if environ is ON_KUBERNETES else "stage or phase"
    assert ran.err.endswith(f"report {instead} instead\n" if note else "")


BUSY = {"status_code": 503, "json": {}}
LATE = ("--deadline", "0")


def kept():
    """Return the entries in the outbox of this test's home."""
    box = Outbox(Path(os.environ["HOME"], ".local/state/nemo-jobs/outbox"))
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
def test_an_undelivered_update_is_stored_if_configured(nemo_jobs, httpx_mock, monkeypatch, words, variable, keeps):
    """The flag overrides the variable; exit code 0 with a note on stderr, else 7."""
    httpx_mock.add_response(**BUSY)
    if variable is not None:
        monkeypatch.setenv("NEMO_JOBS_OUTBOX", variable)
    ran = nemo_jobs("update", "train-x", "progress=45", *LATE, *words)
    assert (ran.code, ran.out) == ((0 if keeps else 7), "")
    assert ran.err.startswith("kept train-x: " if keeps else "error: ")
    assert [entry.fields["progress"] for entry in kept()] == ([45] if keeps else [])


def test_a_stored_update_as_json(nemo_jobs, httpx_mock):
    """With a stamp, which orders stored updates, the path of the entry, and the error."""
    httpx_mock.add_response(**BUSY)
    document = nemo_jobs("update", "train-x", "progress=45", "--outbox", *LATE, "-o", "json").json
    assert (document["outcome"], document["exit_code"]) == ("kept", 0)
    assert document["status_details"].keys() == {"progress", "lastUpdated"}
    assert document["path"].startswith(os.environ["HOME"])
    assert "http://nmp.test" in document["error"]["message"]


def test_older_updates_go_first_in_one_patch(nemo_jobs, httpx_mock):
    """Merged, with the new one last; only the new one is printed, the others are counted."""
    httpx_mock.add_response(**BUSY)
    nemo_jobs("update", "train-x", "progress=45", "phase=train", "--outbox", *LATE)
    httpx_mock.add_response(url=f"{JOBS}/train-x/status", json={"status": "active", "status_details": {}})
    httpx_mock.add_response(method="PATCH", url=URL, content=b"null")
    ran = nemo_jobs("update", "train-x", "progress=50")
    assert (ran.out, ran.err) == ("train-x: progress=50\n", "1 update delivered from the outbox\n")
    body = json.loads(httpx_mock.get_requests()[-1].content)
    assert body.pop("lastUpdated")
    assert body == {"progress": 50, "phase": "train"}
    assert kept() == []


def test_a_stored_status_does_not_change_a_finished_job(nemo_jobs, httpx_mock):
    """A late update only adds keys; the rest is set aside and counted."""
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
def test_best_effort_drops_with_a_note(nemo_jobs, httpx_mock, monkeypatch, github):
    """On GitHub the note is an annotation, whose text cannot start another one."""
    httpx_mock.add_response(**BUSY)
    if github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    ran = nemo_jobs("update", "train-x", "m=50%\n::error::x", "--best-effort", *LATE)
    assert (ran.code, ran.out, ran.err.count("\n")) == (0, "", 1)
    assert ran.err.startswith("::warning::dropped train-x: m=" if github else "dropped train-x: m=")
    assert ("50%25" if github else "50%\\n") in ran.err


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (422, 6), (302, 3)])
def test_best_effort_ignores_no_other_error(nemo_jobs, httpx_mock, status, code):
    """Nor does the outbox store such an update."""
    httpx_mock.add_response(status_code=status, json={}, is_reusable=True)
    assert nemo_jobs("update", "train-x", "a=1", "--best-effort", "--outbox").code == code
    assert kept() == []
