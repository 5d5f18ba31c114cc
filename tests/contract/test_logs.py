"""Logs: the pages that the server gives, and a job that prints while it is followed."""

from __future__ import annotations

import json
import sys
import time
import uuid

import httpx
import pytest
import real_platform
from contract.conftest import REAL, SERVERS

FILES = "/apis/files/v2/workspaces/default/filesets"
JOBS = "/apis/jobs/v2/workspaces/default/jobs"
BEGIN = 1_790_000_000  # 2026-09-21T14:13:20Z


@pytest.fixture
def logs(api, jobs, job):
    """Return a function that asks for the log of `job`."""

    def get(name=job, **query):
        response = api.get(f"{jobs}/{name}/logs", params=query)
        return response.json() if response.status_code == 200 else (response.status_code, response.json()["detail"])

    return get


@pytest.fixture
def upload(api, jobs, job):
    """Return a function that stores lines, `(seconds, text)`, as the controller of the platform does."""
    record = api.get(f"{jobs}/{job}").json()

    def post(*lines, step="train", task="task-1", attempt=record["attempt_id"]):
        labels = {"job": job, "job_attempt": attempt, "job_step": step, "job_task": task}
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in labels.items()]
        records = [
            {"timeUnixNano": str(round((BEGIN + seconds) * 1_000_000) * 1000), "body": {"stringValue": text}}
            for seconds, text in lines
        ]
        scope = {"scope": {"name": "test"}, "logRecords": records}
        body = {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [scope]}]}
        response = api.post(f"{FILES}/{record['fileset']}/otlp/v1/logs", json=body)
        assert (response.status_code, response.json()) == (200, {"partialSuccess": None})

    return post


def messages(page):
    """Return the text of the lines of a page."""
    return [line["message"] for line in page["data"]]


def test_a_job_without_a_log(logs):
    """It has an empty page."""
    assert logs() == {"data": [], "total": 0, "next_page": None, "prev_page": None}


def test_a_line(logs, upload, job):
    """A time in UTC without a zone, its step and task, and the text as it is."""
    upload((0.25, "tab\t\x1b[1mbold\x1b[0m ü\r\nmore"), (1, ""))
    line = {"job": job, "job_step": "train", "job_task": "task-1"}
    assert logs()["data"] == [
        {**line, "timestamp": "2026-09-21T14:13:20.250000", "message": "tab\t\x1b[1mbold\x1b[0m ü\r\nmore"},
        {**line, "timestamp": "2026-09-21T14:13:21", "message": ""},
    ]


def test_pages_forward(logs, upload):
    """By time, not by arrival; the cursor counts pages, so a page grows until it is full."""
    upload(*((n, f"line {n}") for n in (4, 2, 0)))
    upload(*((n, f"line {n}") for n in (1, 3)))
    first = logs(limit=2)
    assert (messages(first), first["total"], first["prev_page"]) == (["line 0", "line 1"], 5, None)
    second = logs(limit=2, page_cursor=first["next_page"])
    last = logs(limit=2, page_cursor=second["next_page"])
    assert (messages(second), messages(last), last["next_page"]) == (["line 2", "line 3"], ["line 4"], None)
    assert messages(logs(limit=2, page_cursor=last["prev_page"])) == messages(second)
    upload((5, "line 5"))
    assert messages(logs(limit=2, page_cursor=second["next_page"])) == ["line 4", "line 5"]


def test_pages_backward(logs, upload):
    """From the newest lines; none of the same time is lost."""
    for part in range(4):
        upload(*((0, f"line {part}.{n}") for n in range(100)))
    page = logs(tail=150)
    pages = [messages(page)]
    assert (page["total"], page["next_page"]) == (400, None)
    while page["prev_page"] is not None:
        page = logs(limit=150, page_cursor=page["prev_page"])
        pages.append(messages(page))
    assert list(map(len, pages)) == [150, 150, 100]
    assert {text for texts in pages for text in texts} == {f"line {part}.{n}" for part in range(4) for n in range(100)}


def test_a_page_backward_may_have_another_size(logs, upload):
    """It ends where its cursor says, whatever has been added since."""
    upload(*((n, f"line {n}") for n in range(10)))
    cursor = logs(tail=2)["prev_page"]
    upload((20, "later"))
    assert messages(logs(limit=3, page_cursor=cursor)) == ["line 5", "line 6", "line 7"]
    assert messages(logs(limit=1, page_cursor=cursor)) == ["line 7"]


def test_filters(logs, upload):
    """By the name of a step and of a task; only lines of the current attempt."""
    upload((0, "one"), step="train", task="task-1")
    upload((1, "two"), step="eval", task="task-2")
    upload((2, "old"), attempt="platform-job-attempt-0")
    assert messages(logs()) == ["one", "two"]
    assert messages(logs(step_id="eval")) == messages(logs(task_id="task-2")) == ["two"]
    assert logs(step_id="eval")["total"] == 1
    assert logs(step_id="test")["data"] == logs(task_id="task-9")["data"] == logs(attempt_id=1)["data"] == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"limit": 0}, ("greater_than", "limit", "Input should be greater than 0")),
        ({"tail": 10_001}, ("less_than_equal", "tail", "Input should be less than or equal to 10000")),
        ({"tail": "x"}, ("int_parsing", "tail", "Input should be a valid integer, unable to parse string as an integer")),
        ({"attempt_id": "platform-job-attempt-1"}, ("int_parsing", "attempt_id", "Input should be a valid integer, unable to parse string as an integer")),
    ],
)  # fmt: skip
def test_invalid_parameters(logs, query, problem):
    """A 422, also for the id of an attempt, which is no number."""
    status, detail = logs(**query)
    assert (status, [(entry["type"], entry["loc"][1], entry["msg"]) for entry in detail]) == (422, [problem])


@pytest.mark.parametrize("other", [{"limit": 5}, {"page_cursor": "x"}])
def test_tail_stands_alone(logs, other):
    """A 400, before a missing job."""
    status, detail = logs("no-such-job", tail=5, **other)
    assert (status, detail.partition(";")[0]) == (400, f"tail cannot be combined with {next(iter(other))}")


@pytest.mark.parametrize("query", [{"page_cursor": "0OIl"}, {"page_cursor": "zzz"}, {"step_id": "a step"}])
def test_what_cannot_be_a_cursor_or_a_step(server, logs, query):
    """Platform takes it for a fault of its own; Helix says so of a cursor."""
    is_helix = server.kind == "helix" and "page_cursor" in query
    assert logs(**query) == ((422, "Invalid page cursor") if is_helix else (500, "Failed to query job logs"))


def test_a_cursor_belongs_to_its_filters(server, logs, upload):
    """It is refused with others."""
    upload((0, "a"), (1, "b"))
    cursor = logs(tail=1)["prev_page"]
    assert messages(logs(page_cursor=cursor)) == ["a"]
    status, _ = logs(page_cursor=cursor, step_id="train")
    assert status == (422 if server.kind == "helix" else 500)


def test_an_id_is_no_name(server, api, jobs, job, logs, upload):
    """Helix finds the job, but no lines."""
    upload((0, "a"))
    answer = logs(api.get(f"{jobs}/{job}").json()["id"])
    assert answer["data"] == [] if server.kind == "helix" else answer[0] == 404


def test_a_missing_job(logs):
    """The same text as of the status."""
    assert logs("no-such-job") == (404, "Job 'no-such-job' not found in workspace 'default'.")


def test_logs_prints_all_lines(api, jobs, run, job, upload):
    """By name and by id; in a pipe as they are."""
    upload((0, "one\t\x1b[1m"), (1, "two"))
    record = api.get(f"{jobs}/{job}").json()
    for name in (job, record["id"]):
        assert run("logs", name) == (0, "one\t\x1b[1m\ntwo\n", "")
    code, out, _ = run("logs", job, "--tail", "1", "-o", "ndjson")
    line = {"time": "2026-09-21T14:13:21Z", "step": "train", "task": "task-1", "message": "two"}
    assert (code, json.loads(out)["result"]) == (0, line)
    assert run("logs", job, "--since", "2026-09-21T14:13:20.5Z")[1] == "two\n"


def test_logs_has_all_lines_of_the_same_time(run, job, upload):
    """Also if they are on two pages of ten thousand."""
    texts = [f"line {n}" for n in range(12_000)]
    for n in range(0, len(texts), 3000):
        upload(*((5, text) for text in texts[n : n + 3000]))
    upload((1, "first"), (9, "last"))
    code, out, err = run("logs", job)
    lines = out.splitlines()
    assert (code, err, lines[0], lines[-1]) == (0, "", "first", "last")
    assert sorted(lines[1:-1]) == sorted(texts)


def test_logs_of_a_step(run, job, upload):
    """A step that is not in the job is an error, not an empty log."""
    upload((0, "one"))
    assert run("logs", job, "--step", "train") == (0, "one\n", "")
    code, out, err = run("logs", job, "--step", "trian")
    assert (code, out) == (5, "")
    assert "next: did you mean train? use one of its steps: train" in err


PRINT = """
import sys, time
print("begin", flush=True)
print("warning", file=sys.stderr, flush=True)
for n in range(int(sys.argv[1])):
    print("line", n, flush=True)
    time.sleep(0.02)
print("10%\\r90%\\r", end="")
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture(scope="module", params=REAL)
def working(request):
    """Return the URL of a server that runs jobs."""
    product = real_platform.PRODUCTS[request.param]
    running = product.variable("URL")
    if running:
        yield running.rstrip("/")
        return
    try:
        with real_platform.running(product, controllers=True) as url:
            yield url
    except real_platform.MissingError as error:
        pytest.skip(f"no {product.name}: {error}")


@pytest.mark.parametrize("server_kind", [SERVERS[0]], indirect=True)
@pytest.mark.parametrize("code", [0, 3])
def test_a_job_that_prints_is_followed_to_its_end(working, start, tmp_path, code):
    """Every line once, in order; the exit code says how the job ended."""
    name = f"print-{uuid.uuid4().hex[:8]}"
    script = tmp_path / "print.py"
    script.write_text(PRINT, encoding="utf-8")
    step = {"provider": "subprocess", "profile": "default", "command": [sys.executable, str(script), "300", str(code)]}
    spec = {"steps": [{"name": "train", "executor": step}, {"name": "eval", "executor": {**step, "command": ["true"]}}]}
    body = {"name": name, "spec": {}, "source": "nemo-jobs", "platform_spec": spec}
    with httpx.Client(base_url=working, timeout=60, trust_env=False) as api:
        assert api.post(JOBS, json=body).status_code == 201
        process = start("logs", name, "--follow", "--timeout", "150", NEMO_JOBS_HOST=working)
        out, err = process.communicate(timeout=170)
        time.sleep(1)
        total = api.get(f"{JOBS}/{name}/logs", params={"tail": 1}).json()["total"]
    numbers = [f"line {n}" for n in range(300)]
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("line")] == numbers
    assert sorted(set(lines) - set(numbers)) == ["10%", "90%", "[stderr] warning", "begin"]
    assert len(lines) == total
    assert process.returncode == (8 if code else 0)
    assert ("ended in error: Job exited with code 3" in err) == bool(code)
