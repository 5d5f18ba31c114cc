"""`nemo-jobs show`: options, one look, and following."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from raw import CHILD_ENVIRONMENT, response

from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.api.wait import WaitPlan
from nemo_jobs_cli.commands import show
from nemo_jobs_cli.core import deadline, times
from nemo_jobs_cli.core.errors import ExitCode, JobFailedError, NotFoundError, UsageError, WaitedError
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

WHERE = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"))
NOW = 1_800_000_000.0
PIPE = Screen()
JSON = Screen(output="json")
URL = "http://nmp.test/apis/jobs/v2/workspaces/research/jobs/train-x/status"


def answer(status="active", **details):
    """Return a status answer."""
    return {"name": "train-x", "status": status, "status_details": details}


def make_options(**options):
    """Return the options of a command line; times are written as users write them."""
    seconds = {
        name: times.parse_duration(options[name], f"--{name}") for name in ("timeout", "interval") if name in options
    }
    return show.Options("train-x", **options | seconds)


@pytest.fixture
def run(fake_time, capsys):
    """Return a function that shows a job whose looks are scripted."""

    def go(script, screen=PIPE, **options):
        answers = [Response(200, json.dumps(one).encode()) for one in script]

        class Server:
            trace_id = "trace1"

            def send(self, request, timeout):
                return answers.pop(0)

        talk = Session(WHERE, Server(), deadline.start(10, fake_time.now, fake_time.clock))
        parsed = make_options(**options)
        show.run(parsed, show.make_plan(parsed), talk, screen, now=lambda: NOW)
        assert answers == []
        return capsys.readouterr().out

    return go


def test_options_become_a_plan():
    """Times are seconds, the condition is parsed, and the defaults are filled in."""
    plan = show.make_plan(make_options(until="progress>=50", timeout="2m", interval="500ms"))
    assert (plan.interval, plan.timeout, plan.until.key, plan.must_succeed) == (0.5, 120.0, "progress", True)
    assert show.make_plan(show.Options()) is None


@pytest.mark.parametrize(
    ("options", "gate"),
    [({"wait": True}, True), ({"watch": True}, False), ({"watch": True, "wait": True}, True), ({"until": "a=1"}, True)],
)
def test_watch_alone_judges_nothing(options, gate):
    """--wait and --until are gates, also together with --watch."""
    plan = show.make_plan(make_options(**options))
    assert (plan.interval, plan.timeout, plan.must_succeed) == (2.0, None, gate)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"field": ""}, "--field is empty"),
        ({"default": "x"}, "--default needs --field"),
        ({"state": True, "field": "status"}, "cannot combine --state and --field"),
        ({"watch": True, "field": "status"}, "cannot combine --watch"),
        ({"watch": True, "state": True}, "cannot combine --watch"),
        ({"timeout": "5"}, "--timeout needs"),
        ({"interval": "5"}, "--interval needs"),
        ({"wait": True, "interval": "0.1"}, "--interval is too short"),
        ({"wait": True, "interval": "soon"}, "invalid duration in --interval"),
        ({"wait": True, "timeout": "later"}, "invalid duration in --timeout"),
        ({"until": "progress"}, "invalid --until: no comparison"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(options, says):
    """Before anything is sent."""
    with pytest.raises(UsageError, match=says):
        show.make_plan(make_options(**options))


def test_a_workspace_that_cannot_be_one_is_a_usage_error():
    """It names where the workspace came from."""
    with pytest.raises(UsageError, match="workspace \\(-w\\)"):
        resolve.require_target("train-x", Settings(workspace=Sourced("A B", "-w")), "nemo-jobs show JOB")


def test_a_job_is_one_look_and_its_facts(run):
    """In a pipe, a fact a line; the platform's status and the reported one are two."""
    out = run([{"name": "train-x", "status": "active", "status_details": {"progress": 45, "status": "running"}}])
    assert out == "job\ttrain-x\nid\t\nstate\tactive\ncreated\t\ndetails.progress\t45\ndetails.status\trunning\n"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"field": "progress"}, "45"),
        ({"field": "message"}, "a\tb"),
        ({"field": "tags"}, '["a"]'),
        ({"field": "epoch", "default": "0"}, "0"),
        ({"state": True}, "active"),
    ],
)
def test_one_value_is_printed_bare(run, options, shown):
    """A script needs no parser; -o json has it under `result`."""
    script = [answer(progress=45, message="a\tb", tags=["a"])]
    assert run(script, **options) == shown + "\n"
    result = json.loads(run(script, JSON, **options))["result"]
    assert result == shown or json.dumps(result) == shown


def test_a_missing_field_is_not_found(run):
    """Exit code 5."""
    with pytest.raises(NotFoundError, match="epoch"):
        run([answer()], field="epoch")


def test_waiting_is_silent_and_ends_with_the_job_as_it_is(run, fake_time):
    """Nothing on the way; then what `show` shows."""
    out = run([answer("pending"), answer(progress=99), answer("completed", progress=100)], wait=True)
    assert out.splitlines()[2:] == ["state\tcompleted", "created\t", "details.progress\t100"]
    assert fake_time.slept == [2.0, 2.0]


def test_a_quiet_wait_prints_nothing(run):
    """The exit code says it all; JSON is still one object."""
    script = [answer(), answer("completed")]
    assert run(script, Screen(quiet=True), wait=True) == ""
    assert json.loads(run(script, Screen(quiet=True, output="json"), wait=True))["result"]["status"] == "completed"


def test_a_wait_may_end_with_one_value(run):
    """The loss of a job when it is done."""
    assert run([answer(), answer("completed", val_loss=0.25)], wait=True, field="val_loss") == "0.25\n"


@pytest.mark.parametrize("status", ["error", "cancelled"])
@pytest.mark.parametrize("options", [{"wait": True}, {"wait": True, "watch": True}, {"until": "progress>=100"}])
def test_a_gate_stays_shut_for_a_job_that_failed(run, status, options):
    """Exit code 8."""
    with pytest.raises(JobFailedError) as caught:
        run([answer(), answer(status, progress=99)], **options)
    assert caught.value.exit_code == ExitCode.JOB_FAILED


def test_a_condition_ends_the_wait(run):
    """The job goes on; the wait does not."""
    assert run([answer(progress=10), answer(progress=50)], until="progress>=50", state=True) == "active\n"


def test_time_over_is_an_error_of_its_own(run, fake_time):
    """Exit code 9, after exactly the time that was given."""
    with pytest.raises(WaitedError) as caught:
        run([answer()] * 4, wait=True, timeout="5s")
    assert caught.value.exit_code == ExitCode.WAITED
    assert sum(fake_time.slept) == 5.0


@pytest.mark.parametrize("status", ["completed", "error", "cancelled"])
def test_a_watch_prints_changes_and_ends_well(run, status):
    """Any end is an end."""
    out = run([answer(), answer(), answer(progress=1), answer(status, progress=1)], watch=True)
    assert [line.split("\t")[1:] for line in out.splitlines()] == [
        ["state=active"],
        ["state=active", "details.progress=1"],
        [f"state={status}"],
    ]


def test_a_watch_with_json_is_one_object_at_the_end(run):
    """-o json promises exactly one; ndjson has one a change."""
    script = [answer(), answer(progress=1), answer("completed", progress=1)]
    assert json.loads(run(script, JSON, watch=True))["result"] == script[-1]
    lines = run(script, Screen(output="ndjson"), watch=True).splitlines()
    assert [json.loads(line)["result"] for line in lines] == script


def test_a_long_wait_collects_its_garbage(run, monkeypatch):
    """The collector is off for one-shot calls; a wait may last for days."""
    called = []
    monkeypatch.setattr(show.gc, "enable", lambda: called.append(True))
    run([answer()])
    assert called == []
    run([answer("completed")], wait=True)
    assert called == [True]


@pytest.fixture
def platform(httpx_mock, monkeypatch):
    """Return a platform with one job, and settings that point at it."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://nmp.test")
    monkeypatch.setenv("NEMO_JOBS_WORKSPACE", "research")
    return httpx_mock


def test_the_command_line_reaches_the_platform(nemo_jobs, platform):
    """From words to a request and back."""
    platform.add_response(method="GET", url=URL, json=answer("completed", progress=100))
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
def test_failures_have_exit_codes_for_scripts(nemo_jobs, platform, words, status, code):
    """The same in text and in JSON, where the platform's answer is part of the error."""
    if status is not None:
        platform.add_response(method="GET", url=URL, json=answer(status), is_reusable=True)
    ran = nemo_jobs("show", "train-x", *words)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert "\nnext: " in ran.err
    document = nemo_jobs("show", "train-x", *words, "-o", "json").json
    assert (document["command"], document["outcome"], document["exit_code"]) == ("show", "failed", code)
    if code in {8, 9}:
        assert document["error"]["result"] == answer(status)


def test_verbose_hears_of_retries_while_waiting_and_others_do_not(nemo_jobs, platform):
    """A gate is quiet; -v is for those who want to know."""
    for _ in range(2):
        platform.add_response(method="GET", url=URL, status_code=503)
        platform.add_response(method="GET", url=URL, json=answer("completed"))
    assert nemo_jobs("show", "train-x", "--wait", "-q").err == ""
    assert "retrying in" in nemo_jobs("show", "train-x", "--wait", "-v").err


def test_waiting_for_a_misspelt_key_is_warned_of(nemo_jobs, platform):
    """It would be waited for in vain."""
    platform.add_response(method="GET", url=URL, json=answer("active", progress=45))
    ran = nemo_jobs("show", "train-x", "--until", "progres>=50", "--timeout", "0")
    assert ran.code == 9
    assert ran.err.startswith("warning: progres is not a key that the platform shows; did you mean progress?")


def test_help_has_examples_and_says_what_a_pipe_gets(nemo_jobs):
    """Everything that a script relies on is documented."""
    out = nemo_jobs("show", "--help").out
    assert "\n    nemo-jobs show train-llama --wait --timeout 2h && ./evaluate.sh\n" in out
    for word in ("KEY<TAB>VALUE", "details.KEY", "error.KEY", "step.NAME", "Exit codes"):
        assert word in out
    assert WaitPlan(2.0).interval == show.INTERVAL
    assert "[default: 2s]" in " ".join(out.split())


def test_ctrl_c_ends_a_watch_quietly(raw_server, tmp_path):
    """It is how one stops looking; nothing was being sent."""
    server = raw_server([response(200, json.dumps({"name": "train-x", "status": "active"}))])
    child = subprocess.Popen(
        [sys.executable, "-m", "nemo_jobs_cli", "show", "train-x", "--watch", "--host", server.url],
        env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "active" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=10)
    assert (child.returncode, err) == (130, "")


@pytest.mark.parametrize("words", [("show", "train-x"), ("list",)])
def test_verbose_says_whom_it_asks(nemo_jobs, httpx_mock, words):
    """Host, credential, and the id under which the server logs it."""
    httpx_mock.add_response(json={"name": "train-x", "data": []})
    ran = nemo_jobs(*words, "-v", "--host", "http://nmp.test")
    assert ran.code == 0
    assert ran.err.startswith("connecting to http://nmp.test as nobody (no token), trace id ")
