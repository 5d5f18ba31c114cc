"""`nemo-jobs show`: its options, a job once, and following it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from raw import CHILD_ENVIRONMENT, response
from waiting import LIMIT

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.commands import show
from nemo_jobs_cli.core import deadline, times
from nemo_jobs_cli.core.errors import ExitCode, JobFailedError, NotFoundError, UsageError, WaitedError
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

SETTINGS = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"))
NOW = 1_800_000_000.0
PIPE = Screen()
JSON = Screen(output="json")
URL = "http://nmp.test/apis/jobs/v2/workspaces/research/jobs/train-x/status"


def body(status="active", **details):
    """Return the body of a status response."""
    return {"name": "train-x", "status": status, "status_details": details}


def log_page(messages):
    """Return the newest page of a log with these lines."""
    rows = [
        {"timestamp": f"2027-01-15T07:00:{n:02}", "job_step": "train", "job_task": "task-1", "message": message}
        for n, message in enumerate(messages)
    ]
    return {"data": rows, "total": len(rows), "prev_page": None}


def make_options(**options):
    """Return options; times are written as on the command line."""
    seconds = {
        name: times.parse_duration(options[name], f"--{name}") for name in ("timeout", "interval") if name in options
    }
    return show.Options("train-x", **options | seconds)


@pytest.fixture
def run(fake_time, capsys):
    """Return a function that shows a job with these responses."""

    def go(bodies, screen=PIPE, log=(), **options):
        responses = [Response(200, json.dumps(body).encode()) for body in bodies]
        go.log_timeouts = []

        class Server:
            trace_id = "trace1"

            def send(self, request, timeout):
                if request.path.endswith("/logs"):
                    go.log_timeouts.append(timeout)
                    if log == "overloaded":
                        return Response(503, b"")
                    if log is None:
                        return Response(422, b'{"detail": "no"}')
                    assert dict(request.query) in [{"tail": n} for n in ("20", "10", "100")]
                    return Response(200, json.dumps(log_page(log)).encode())
                return responses.pop(0)

        session = Session(SETTINGS, Server(), deadline.start(10, fake_time.now, fake_time.clock))
        parsed = make_options(**options)
        show.run(parsed, show.make_plan(parsed), session, screen, now=lambda: NOW, sleep=fake_time.sleep)
        assert responses == []
        out, go.err = capsys.readouterr()
        return out

    return go


def test_options_become_a_plan():
    """Times in seconds, and the parsed condition."""
    plan = show.make_plan(make_options(until="progress>=50", timeout="2m", interval="500ms"))
    assert (plan.interval, plan.timeout, plan.until.text, plan.must_succeed) == (0.5, 120.0, "progress>=50", True)
    assert show.make_plan(make_options(wait=True, interval="200ms")).interval == 0.2
    assert show.make_plan(show.Options()) is None


@pytest.mark.parametrize(
    ("options", "must_succeed"),
    [({"wait": True}, True), ({"watch": True}, False), ({"watch": True, "wait": True}, True), ({"until": "a=1"}, True)],
)
def test_only_wait_and_until_need_success(options, must_succeed):
    """Also together with --watch."""
    plan = show.make_plan(make_options(**options))
    assert (plan.interval, plan.timeout, plan.must_succeed) == (2.0, None, must_succeed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": ""}, "--field is empty"),
        ({"default": "x"}, "--default needs --field"),
        ({"state": True, "field": "status"}, "cannot combine --state and --field"),
        ({"watch": True, "field": "status"}, "cannot combine --watch"),
        ({"watch": True, "state": True}, "cannot combine --watch"),
        ({"wait": True, "logs": True}, "--logs needs --watch"),
        ({"timeout": "5"}, "--timeout needs"),
        ({"interval": "5"}, "--interval needs"),
        ({"wait": True, "interval": "0.1"}, "--interval is too short"),
        ({"wait": True, "interval": "soon"}, "invalid duration in --interval"),
        ({"wait": True, "timeout": "later"}, "invalid duration in --timeout"),
        ({"until": "progress"}, "invalid --until: no comparison"),
    ],
)
def test_contradictory_options_are_a_usage_error(options, message):
    """Before the first request."""
    with pytest.raises(UsageError, match=message):
        show.make_plan(make_options(**options))


def test_a_job_in_a_pipe_is_a_fact_per_line(run):
    """The platform's status and the reported one are two facts."""
    out = run([{"name": "train-x", "status": "active", "status_details": {"progress": 45, "status": "running"}}])
    assert out == "job\ttrain-x\nid\t\nstate\tactive\ncreated\t\ndetails.progress\t45\ndetails.status\trunning\n"


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"field": "progress"}, "45"),
        ({"field": "message"}, "a\tb"),
        ({"field": "tags"}, '["a"]'),
        ({"field": "epoch", "default": "0"}, "0"),
        ({"state": True}, "active"),
    ],
)
def test_one_value_is_printed_bare(run, options, value):
    """A script needs no parser; -o json has it under `result`."""
    bodies = [body(progress=45, message="a\tb", tags=["a"])]
    assert run(bodies, **options) == value + "\n"
    result = json.loads(run(bodies, JSON, **options))["result"]
    assert result == value or json.dumps(result) == value


def test_a_missing_field_is_not_found(run):
    """Exit code 5."""
    with pytest.raises(NotFoundError, match="epoch"):
        run([body()], field="epoch")


def test_a_wait_prints_the_job_at_its_end(run, fake_time):
    """And nothing before."""
    out = run([body("pending"), body(progress=99), body("completed", progress=100)], wait=True)
    assert out.splitlines()[2:] == ["state\tcompleted", "created\t", "details.progress\t100"]
    assert fake_time.slept == [2.0, 2.0]


def test_a_quiet_wait_prints_nothing(run):
    """Only the exit code counts; JSON is still one object."""
    bodies = [body(), body("completed")]
    assert run(bodies, Screen(quiet=True), wait=True) == ""
    assert json.loads(run(bodies, Screen(quiet=True, output="json"), wait=True))["result"]["status"] == "completed"


def test_a_wait_may_end_with_one_value(run):
    """The final loss of a job, for example."""
    assert run([body(), body("completed", val_loss=0.25)], wait=True, field="val_loss") == "0.25\n"


@pytest.mark.parametrize("status", ["error", "cancelled"])
@pytest.mark.parametrize("options", [{"wait": True}, {"wait": True, "watch": True}, {"until": "progress>=100"}])
def test_a_wait_fails_if_the_job_failed(run, status, options):
    """Exit code 8."""
    with pytest.raises(JobFailedError) as caught:
        run([body(), body(status, progress=99)], **options)
    assert caught.value.exit_code == ExitCode.JOB_FAILED


@pytest.mark.parametrize("options", [{"wait": True}, {"until": "progress>=100"}])
def test_a_failed_wait_prints_the_end_of_the_log(run, capsys, options):
    """On stderr and escaped, with the command for the rest; not for JSON, with --quiet, or if the job has completed."""
    with pytest.raises(JobFailedError) as caught:
        run([body("error")], log=["one", "\x1b[31mtwo\x1b[0m\x1b[2J"], **options)
    assert capsys.readouterr() == ("", "note: end of the log (2 lines):\none\ntwo\\x1b[2J\n")
    assert caught.value.hint.endswith("nemo-jobs show train-x; read its log: nemo-jobs logs train-x")
    for screen in (JSON, Screen(quiet=True)):
        with pytest.raises(JobFailedError):
            run([body("error")], screen, log=["one"], **options)
    with pytest.raises(JobFailedError):
        run([body("completed")], log=["one"], until="progress>=100")
    with pytest.raises(JobFailedError):
        run([body("error")], **options)
    assert capsys.readouterr() == ("", "")


def test_a_missing_log_does_not_hide_the_failure(run, capsys):
    """The error of the job is what counts."""
    with pytest.raises(JobFailedError) as caught:
        run([body("error")], log=None, wait=True)
    assert "logs" not in caught.value.hint
    assert capsys.readouterr() == ("", "")


def test_a_condition_ends_the_wait(run):
    """While the job is still running."""
    assert run([body(progress=10), body(progress=50)], until="progress>=50", state=True) == "active\n"


def test_a_silent_job_ends_a_wait_for_its_age(run):
    """At 08:00, ten minutes after the last report."""
    fresh, old = (body(lastUpdated=f"2027-01-15T07:{time}Z") for time in ("59:30", "49:59"))
    assert run([fresh, old], until="age>10m", state=True) == "active\n"
    with pytest.raises(WaitedError, match=r"age>10m does not hold: age is 30 s"):
        run([fresh], until="age>10m", timeout="0")
    with pytest.raises(WaitedError, match="age>10m does not hold: age is unknown"):
        run([body(age=700)], until="age>10m", timeout="0")


def test_a_timeout_has_its_own_exit_code(run, fake_time):
    """After exactly the given time."""
    with pytest.raises(WaitedError) as caught:
        run([body()] * 4, wait=True, timeout="5s")
    assert caught.value.exit_code == ExitCode.WAITED
    assert sum(fake_time.slept) == 5.0


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_a_watch_prints_changes_until_the_end(run, status):
    """No end of the job is an error."""
    out = run([body(), body(), body(progress=1), body(status, progress=1)], watch=True)
    assert [line.split("\t")[1:] for line in out.splitlines()] == [
        ["state=active"],
        ["state=active", "details.progress=1"],
        [f"state={status}"],
    ]


def test_a_watch_with_json_is_one_object_at_the_end(run):
    """With ndjson it is one object per change."""
    bodies = [body(), body(progress=1), body("completed", progress=1)]
    assert json.loads(run(bodies, JSON, watch=True))["result"] == bodies[-1]
    lines = run(bodies, Screen(output="ndjson"), watch=True).splitlines()
    assert [json.loads(line)["result"] for line in lines] == bodies


def test_a_watch_with_the_log(run, capsys):
    """In a pipe each new line is a fact; a failed wait does not print the log again."""
    with pytest.raises(JobFailedError):
        run([body(), body("error")], log=["one", "\x1b[1mtwo\tx\x1b[0m"], watch=True, wait=True, logs=True)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "2027-01-15T07:00:00Z\tlog=one",
        "2027-01-15T07:00:01Z\tlog=two\\tx",
        "2027-01-15T08:00:00Z\tstate=active",
        "2027-01-15T08:00:00Z\tstate=error",
    ]
    assert err == ""


@pytest.mark.parametrize(("timeout", "limit"), [("60s", 10), ("4s", 4)])
def test_a_request_for_the_log_lasts_up_to_the_timeout(run, timeout, limit):
    """Or up to the deadline if that is earlier."""
    run([body("completed")], log=["one"], watch=True, logs=True, timeout=timeout)
    assert run.log_timeouts == [limit]


def test_a_watch_outlives_its_log(run):
    """The job is shown, and its end seen, while the log cannot be read; that is said once."""
    out = run([body(), body(progress=1), body("completed")], log="overloaded", watch=True, wait=True, logs=True)
    assert [line.split("\t")[1] for line in out.splitlines()] == ["state=active", "state=active", "state=completed"]
    assert re.fullmatch(r"warning: cannot read the log: .*503.*; still trying\n", run.err)


def test_a_log_is_no_json(nemo_jobs):
    """`logs` prints that."""
    ran = nemo_jobs("show", "train-x", "--watch", "--logs", "-o", "ndjson", "--host", "http://127.0.0.1:9")
    assert (ran.code, ran.json["error"]["message"]) == (2, "cannot combine --logs and -o ndjson")


def test_a_wait_enables_garbage_collection(run, monkeypatch):
    """It is off for short calls; a wait may last for days."""
    called = []
    monkeypatch.setattr(show.gc, "enable", lambda: called.append(True))
    run([body()])
    assert called == []
    run([body("completed")], wait=True)
    assert called == [True]


@pytest.fixture
def platform(httpx_mock, monkeypatch):
    """Return a mock of the platform, which the settings name."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_WORKSPACE", "research")
    return httpx_mock


def test_the_command_line_reaches_the_platform(nemo_jobs, platform):
    """From the command line to a request and back."""
    platform.add_response(method="GET", url=URL, json=body("completed", progress=100))
    ran = nemo_jobs("show", "train-x", "--wait", "--timeout", "5s", "--field", "progress")
    assert (ran.code, ran.out, ran.err) == (0, "100\n", "")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--wait",), "error", 8),
        (("--wait", "--timeout", "0"), "active", 9),
        (("--field", "epoch"), "active", 5),
        (("--field", ""), None, 2),
    ],
)
def test_failures_have_exit_codes(nemo_jobs, platform, words, status, code):
    """The same in text and in JSON, where the last response is part of the error."""
    if status is not None:
        platform.add_response(method="GET", url=URL, json=body(status), is_reusable=True)
    if code == 8:
        platform.add_response(method="GET", url=URL.replace("/status", "/logs?tail=20"), json=log_page([]))
    ran = nemo_jobs("show", "train-x", *words)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert "\nnext: " in ran.err
    document = nemo_jobs("show", "train-x", *words, "-o", "json").json
    assert (document["command"], document["outcome"], document["exit_code"]) == ("show", "failed", code)
    if code in {8, 9}:
        assert document["error"]["result"] == body(status)


def test_only_verbose_prints_retries_of_a_wait(nemo_jobs, platform):
    """Without it only an outage is printed."""
    for _ in range(2):
        platform.add_response(method="GET", url=URL, status_code=503)
        platform.add_response(method="GET", url=URL, json=body("completed"))
    assert nemo_jobs("show", "train-x", "--wait", "-q").err == ""
    assert "retrying in" in nemo_jobs("show", "train-x", "--wait", "-v").err


def test_a_misspelled_key_of_a_condition_is_a_warning(nemo_jobs, platform):
    """The condition would never hold."""
    platform.add_response(method="GET", url=URL, json=body("active", progress=45))
    ran = nemo_jobs("show", "train-x", "--until", "progres>=50", "--timeout", "0")
    assert ran.code == 9
    assert ran.err.startswith("warning: progres is not a key that the platform shows; did you mean progress?")


def test_an_unknown_state_in_a_condition_is_a_warning(nemo_jobs, platform):
    """The condition would never hold; other conditions may."""
    platform.add_response(method="GET", url=URL, json=body("active", progress=45))
    ran = nemo_jobs("show", "train-x", "--until", "state=running or progress>=40")
    assert (ran.code, ran.err) == (0, "warning: unknown state in --until 'running': did you mean active?\n")


def test_a_nested_value_is_a_field(nemo_jobs, platform):
    """A key of that name comes first."""
    details = {"metrics": {"a": [1, 2]}, "x.y": 1, "x": {"y": 2}}
    platform.add_response(
        method="GET", url=URL, json={"name": "train-x", "status": "active", "status_details": details}
    )
    assert nemo_jobs("show", "train-x", "--field", "metrics.a.-1").out == "2\n"


def test_help_describes_the_piped_output(nemo_jobs):
    """Scripts rely on it."""
    out = nemo_jobs("show", "--help").out
    assert "\n    nemo-jobs show train-llama --wait --timeout 2h && ./evaluate.sh\n" in out
    for word in ("KEY<TAB>VALUE", "details.KEY", "error.KEY", "step.NAME", "Exit codes"):
        assert word in out


def test_ctrl_c_ends_a_watch_quietly(raw_server, tmp_path):
    """That is its normal end."""
    server = raw_server([response(200, json.dumps({"name": "train-x", "status": "active"}))])
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--watch", "--host", server.url],
        env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert "active" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "")


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 0), (("-o", "ndjson"), 0), (("--wait",), 141), (("--until", "progress>=50", "-o", "ndjson"), 141)],
)
def test_a_watch_ends_if_its_reader_has_left(raw_server, words, code):
    """At once, as in `| head -1`; with a gate not with 0, since the condition has not been met."""
    server = raw_server([response(200, json.dumps(body()))])
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--watch", "--interval", "1h", *words,
         "--host", server.url],
        env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert "active" in child.stdout.readline()
    child.stdout.close()
    assert (child.wait(LIMIT), child.stderr.read(), len(server.seen)) == (code, "", 1)
    child.stderr.close()


def test_a_gate_that_prints_nothing_needs_no_reader(raw_server):
    """`show --wait | true`: the exit code says how the job ended."""
    server = raw_server([response(200, json.dumps(body())), response(200, json.dumps(body("error")))])
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--wait", "--interval", "1s", "--host", server.url],
        env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    child.stdout.close()
    assert (child.wait(LIMIT), len(server.seen)) == (8, 3)  # two polls, then the log


@pytest.mark.parametrize("words", [("show", "train-x"), ("list",)])
def test_verbose_prints_the_connection(nemo_jobs, httpx_mock, words):
    """Host, credential and trace id."""
    httpx_mock.add_response(json={"name": "train-x", "data": []})
    ran = nemo_jobs(*words, "-v", "--host", "http://nmp.test")
    assert ran.code == 0
    assert ran.err.startswith("connecting to http://nmp.test with no token, trace id ")


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("words", [("show", "train-x", "--wait"), ("logs", "train-x", "--follow")])
def test_a_command_that_follows_warns_of_a_token_that_expires_soon(nemo_jobs, httpx_mock, monkeypatch, words, follow):
    """A short one ends before that."""
    monkeypatch.setattr(Session, "expiry_warning", lambda _: "the token expires in 9 min")
    httpx_mock.add_response(json={"name": "train-x", "status": "completed", "data": []}, is_reusable=True)
    ran = nemo_jobs(*words[: None if follow else -1], "--host", "http://nmp.test")
    assert (ran.code, ran.err) == (0, "warning: the token expires in 9 min\n" if follow else "")
