"""Run `nemo-jobs run`, here or in a process of its own, and read what it has reported."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from in_process import run_here
from raw import response
from waiting import LIMIT, until

from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.run import reports

TOOL = [sys.executable, "-m", "nemo_jobs_cli", "run"]
OK = response(200)

# Ends by itself: a test that fails leaves nothing running.
WAIT = "n=0; while [ $n -lt 400 ]; do sleep 0.05; n=$((n+1)); done"

# Prints "hit" for a signal, waits for a line of input, prints "hit" again if a second signal has come, and exits. A trap
# of a shell or a handler of Python could run only after the line, if the signal comes just before they block.
AWAIT_SIGNAL = """
import signal, sys
expected = {signal.Signals["SIG" + sys.argv[1]]}
signal.pthread_sigmask(signal.SIG_BLOCK, expected)
print("ready", flush=True)
signal.sigwait(expected)
print("hit", flush=True)
sys.stdin.readline()
if signal.sigpending() & expected:
    print("hit", flush=True)
sys.exit(int(sys.argv[2]))
"""


def await_signal(name, code):
    """Return a command that waits for a signal and a line of input, and exits with `code`."""
    return [sys.executable, "-c", AWAIT_SIGNAL, name, str(code)]


STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

STARTED = []


def start(env, *words, tool=TOOL, **streams):
    """Start `nemo-jobs run` in a session of its own, without a terminal."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    STARTED.append(subprocess.Popen([*tool, *words], env=env, start_new_session=True, **given))
    return STARTED[-1]


def run(env, *words, input=b"\n", when=None):  # noqa: A002 - as subprocess calls it
    """Run `nemo-jobs run` to its end, in this process; if `when` is given, write the input once it holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "MATCH_LIMIT", LIMIT)  # matching takes longer on a busy machine
        if when is None:
            return run_here(env, "run", *words, input=input)
        reader, writer = os.pipe()
        with open(reader, "rb") as stdin, ThreadPoolExecutor(1) as pool:
            written = pool.submit(_write, writer, input, when)
            ran = run_here(env, "run", *words, stdin=stdin)
            written.result()
        return ran


def _write(writer, data, when):
    with open(writer, "wb") as pipe:
        try:
            until(when)
        finally:  # a test that fails must end too
            pipe.write(data)


def run_process(env, *words, input=None, **streams):  # noqa: A002 - as subprocess calls it
    """Run `nemo-jobs run` to its end, in a process of its own."""
    if input is not None:
        streams["stdin"] = subprocess.PIPE
    process = start(env, *words, **streams)
    out, err = process.communicate(input, LIMIT)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def bodies(server):
    """Return the updates that a raw server has received."""
    return [json.loads(one.partition(b"\r\n\r\n")[2]) for one in server.seen if one.startswith(b"PATCH")]


def without_stamp(fields):
    """Return fields without the time at which they were sent."""
    return {key: value for key, value in fields.items() if key != "lastUpdated"}


def details(server, job="x1", workspace="default"):
    """Return what was reported of a job, without the time of the last report, and as `show` does without nulls."""
    reported = without_stamp(server.jobs[workspace, job].details)
    return {key: value for key, value in reported.items() if value is not None}


def stored_updates(folder):
    """Return the fields of each update in an outbox, also of one that the ended process has claimed to deliver it."""
    box = Outbox(folder)
    return [box.read(name).fields for name in box.names()]


# Without and with a copy of the output.
LISTENING = [(), ("-q", "--match", "(?P<step>[0-9]+) of", "--tail", "5")]


def state(pid):
    """Return a letter for the state of a process, as ps does."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
