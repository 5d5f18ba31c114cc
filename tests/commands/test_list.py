"""`nemo-jobs list`: filters, limits and output."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from raw import CHILD_ENVIRONMENT, read_request, response
from waiting import LIMIT

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.commands import list as command
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.settings.model import Screen, Settings, Sourced
from nemo_jobs_cli.transport.messages import Response

SETTINGS = Settings(host=Sourced("http://h", "--host"), workspace=Sourced("ws", "-w"))
NOW = 1_800_000_000.0
PIPE = Screen()
TERMINAL = Screen(terminal=True, width=80)


def entries(*states, first=0):
    """Return an entry of a list for each state."""
    return [{"name": f"job-{number}", "status": state} for number, state in enumerate(states, first)]


@pytest.fixture
def run(fake_time, capsys):
    """Return a function that lists these pages and returns stdout, stderr and the queries."""

    def go(pages, screen=PIPE, **options):
        queries = []

        class Server:
            trace_id = "trace1"

            def send(self, request, timeout):
                queries.append(dict(request.query))
                page = {"data": pages[len(queries) - 1], "pagination": {"total_pages": len(pages)}}
                return Response(200, json.dumps(page).encode())

        session = Session(SETTINGS, Server(), deadline.start(10, fake_time.now, fake_time.clock))
        command.run(command.Options(**options), session, screen, now=lambda: NOW)
        return *capsys.readouterr(), queries

    return go


@pytest.mark.parametrize(
    ("screen", "limit", "names", "expected"),
    [
        (TERMINAL, None, False, 20),
        (TERMINAL, None, True, 0),
        (TERMINAL, 0, False, 0),
        (TERMINAL, 7, False, 7),
        (PIPE, None, False, 0),
        (PIPE, 3, False, 3),
        (Screen(terminal=True, output="json"), None, False, 0),
    ],
)
def test_the_limit_is_20_on_a_terminal(screen, limit, names, expected):
    """A script gets all jobs."""
    assert command.effective_limit(command.Options(limit=limit, names=names), screen) == expected


def test_states_may_be_separated_by_commas_or_repeated():
    """Each counts once."""
    assert command.parse_filters(command.Options(state=("active, error", "error", "new"))).states == (
        "active",
        "error",
        "new",
    )


@pytest.mark.parametrize("states", [[""], ["active,"], [" "]])
def test_an_empty_state_is_a_usage_error(states):
    """An unset shell variable must not list everything."""
    with pytest.raises(UsageError, match="--state is empty"):
        command.parse_filters(command.Options(state=tuple(states)))


def test_every_page_is_read(run):
    """Sorted by the server, newest first."""
    out, err, queries = run([entries("active", "error"), [], entries("completed", first=2)])
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["job-0", "active"],
        ["job-1", "error"],
        ["job-2", "completed"],
    ]
    assert [query["page"] for query in queries] == ["1", "2", "3"]
    assert queries[0]["sort"] == "-created_at"
    assert not any(key.startswith("filter") for key in queries[0])
    assert err == ""


def test_no_page_is_read_after_the_limit(run):
    """Two jobs of a thousand take one page of two."""
    out, _, queries = run([entries("active", "active"), entries("active", first=2)], limit=2)
    assert out.count("\n") == 2
    assert [query["page_size"] for query in queries] == ["2"]


@pytest.mark.parametrize("limit", [sys.maxsize, sys.maxsize + 1, 10**30])
@pytest.mark.parametrize("screen", [PIPE, TERMINAL])
def test_a_limit_may_be_any_number(run, screen, limit):
    """Also one larger than the system's integers."""
    assert run([entries("active", "active")], screen, limit=limit)[0].count("job-") == 2


def test_states_are_filtered_by_the_server_and_again_here(run):
    """A server may ignore the filter, and its pages may be empty."""
    out, _, queries = run([entries("active", "error"), [], entries("paused", first=2)], state=["active,paused"])
    assert [line.split("\t")[0] for line in out.splitlines()] == ["job-0", "job-2"]
    assert {query["filter[status][$in]"] for query in queries} == {"active,paused"}


def test_the_limit_counts_only_matching_jobs(run):
    """Not those in other states, which the server removes after paging: a page of two may be empty."""
    out, _, queries = run([entries("error", "active", "active", "active")], state=["active"], limit=2)
    assert [line.split("\t")[0] for line in out.splitlines()] == ["job-1", "job-2"]
    assert [query["page_size"] for query in queries] == ["100"]


def test_names_are_filtered_by_the_server_and_again_here(run):
    """By a part of the name, in any case, as the platform does."""
    page = [{"name": name, "status": "active"} for name in ("train-llama", "eval-qwen", "LLAMA-2")]
    out, _, queries = run([page], names=True, name="Llama", limit=1)
    assert (out, queries[0]["filter[name][$like]"]) == ("train-llama\n", "Llama")
    assert run([page], names=True, name="Llama")[0] == "train-llama\nLLAMA-2\n"
    with pytest.raises(UsageError, match="--name is empty"):
        run([page], name="")


def test_jobs_are_filtered_by_what_they_report(run):
    """Here, since the server cannot: by the conditions of `show --until`, also on the age of the last report."""
    page = [
        {"name": "a", "status_details": {"status": "running", "lastUpdated": "2027-01-15T07:59:00Z"}},
        {"name": "b", "status_details": {"status": "running", "lastUpdated": "2027-01-15T07:49:00Z"}},
        {"name": "c", "status_details": {"status": "queued"}},
        {"name": "d"},
    ]
    out, _, queries = run([page], names=True, where="status=running", limit=2)
    assert (out, queries[0]["page_size"]) == ("a\nb\n", "100")
    assert run([page], names=True, where="age>10m")[0] == "b\n"
    assert run([page], where="progres>1")[1].startswith("warning: progres is not a key")


def test_an_invalid_condition_names_its_option(nemo_jobs):
    """Not that of `show`."""
    ran = nemo_jobs("list", "--where", "status")
    assert ran.code == 2
    assert ran.err.startswith("error: invalid --where: no comparison\n  --where: status\n")
    assert "--until" not in ran.err + nemo_jobs("list", "--where", "age>old").err


def test_names_are_printed_one_per_line(run):
    """For a loop in a shell."""
    assert run([entries("active", "error")], names=True)[0] == "job-0\njob-1\n"
    assert run([entries("active", "error")], TERMINAL, names=True)[0] == "job-0\njob-1\n"


def test_json_has_the_unchanged_entries(run):
    """In one object, also if there are none."""
    screen = Screen(output="json")
    assert json.loads(run([entries("active")], screen)[0])["result"] == entries("active")
    out, err, _ = run([[]], screen)
    assert (json.loads(out)["result"], err) == ([], "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no jobs in workspace 'ws' on http://h"),
        ({"state": ["active,error"]}, "no jobs in state active or error in workspace 'ws' on http://h"),
        ({"where": "a=1"}, "no jobs with a=1 in workspace 'ws' on http://h; list all: nemo-jobs list"),
        ({"name": "x"}, "no jobs with 'x' in the name in workspace 'ws' on http://h; list all: nemo-jobs list"),
    ],
)
@pytest.mark.parametrize("screen", [PIPE, TERMINAL])
def test_an_empty_list_prints_a_message_on_stderr(run, screen, options, message):
    """It is not an error; stdout stays empty, and -q hides the message."""
    out, err, _ = run([[]], screen, **options)
    assert out == ""
    assert err.startswith(message)
    assert run([[]], Screen(quiet=True), **options)[:2] == ("", "")


def test_a_reached_limit_is_noted_on_a_terminal(run):
    """With the option for more."""
    assert (
        run([entries("active", "active")], TERMINAL, limit=2)[1] == "showing the 2 newest jobs; show all: --limit 0\n"
    )
    assert run([entries("active", "active")], TERMINAL, limit=3)[1] == ""
    assert run([entries("active", "active")], PIPE, limit=2)[1] == ""


@pytest.mark.parametrize(
    ("state", "warning"),
    [
        ("actve", "unknown --state 'actve': did you mean active?\n"),
        ("running", "unknown --state 'running': did you mean active?\n"),
        ("succeeded", "unknown --state 'succeeded': did you mean completed?\n"),
        ("failed", "unknown --state 'failed': did you mean error?\n"),
        ("zzz", "unknown --state 'zzz': use one of created, pending"),
        ("\x1b[31m", "unknown --state '\\x1b[31m'"),
    ],
)
def test_an_unknown_state_is_a_warning(run, state, warning):
    """It is sent anyway, since a newer platform may have it."""
    out, err, queries = run([entries(state)], state=[state])
    assert err.startswith(f"warning: {warning}")
    assert queries[0]["filter[status][$in]"] == state
    assert out.startswith("job-0\t")


@pytest.mark.parametrize("state", jobs.STATES)
def test_a_known_state_has_no_warning(state):
    """Also those of newer platforms."""
    assert jobs.unknown_state(state) is None


def test_no_page_is_read_after_the_reader_has_left(raw_server):
    """`list | head -1` of a thousand pages."""
    left = threading.Event()

    def handler(connection, seen, _stop):
        seen.append(read_request(connection))
        if len(seen) == 2:
            left.wait(LIMIT)
        page = {"data": entries("active", first=len(seen)), "pagination": {"total_pages": 1000}}
        connection.sendall(response(200, json.dumps(page)))

    server = raw_server(handler)
    words = [sys.executable, "-m", "nemo_jobs_cli", "list", "--host", server.url]
    child = subprocess.Popen(words, env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE)
    assert child.stdout.readline().startswith(b"job-1\t")
    child.stdout.close()
    left.set()
    assert (child.wait(LIMIT), len(server.seen)) == (0, 2)


def test_the_command_line_reaches_the_platform(nemo_jobs, httpx_mock, monkeypatch):
    """From the command line to a request and back; a negative limit is a usage error."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "http://nmp.test")
    httpx_mock.add_response(json={"data": entries("active"), "pagination": {"total_pages": 1}})
    ran = nemo_jobs("list", "-w", "research", "--state", "active", "--names")
    assert (ran.code, ran.out, ran.err) == (0, "job-0\n", "")
    (request,) = httpx_mock.get_requests()
    assert request.url.path == "/apis/jobs/v2/workspaces/research/jobs"
    assert request.url.params["filter[status][$in]"] == "active"
    assert nemo_jobs("list", "--limit", "-1").code == 2


def test_help_describes_the_piped_output(nemo_jobs):
    """Scripts rely on it."""
    out = nemo_jobs("list", "--help").out
    assert "\n    nemo-jobs list --state active,pending -w research\n" in out
    assert "name, state, progress, created (UTC), message, status, stage" in " ".join(out.split())
