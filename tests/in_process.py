"""Run a command line in this process, with streams, variables and signal handlers of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack

import pytest
from waiting import LIMIT

from nemo_jobs_cli.run import child, reaper


def run_here(env, *words, input=b"", stdin=None, encoding=None):  # noqa: A002 - as subprocess calls it
    """Run `nemo-jobs` with these words to its end, with the variables `env`; return what subprocess.run would.

    `stdin` is a file to read instead of `input`. With an `encoding` the output is text, else bytes.
    """
    from nemo_jobs_cli.cli import main

    with ExitStack() as restoring:
        given, out, err = (restoring.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(input)
        given.seek(0)
        patch = restoring.enter_context(pytest.MonkeyPatch.context())
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", None)  # cached, and found with other variables
        patch.setattr(reaper, "supervise", lambda work: work())  # the tests may be PID 1 of a container
        patch.setattr(child, "foreground_group", lambda: None)  # they may have a terminal
        for number, file in enumerate((stdin or given, out, err)):
            saved = os.dup(number)
            restoring.callback(os.close, saved)
            restoring.callback(os.dup2, saved, number)
            os.dup2(file.fileno(), number)
        for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
            stream = restoring.enter_context(open(number, mode, buffering=1, encoding="utf-8", closefd=False))
            patch.setattr(sys, name, stream)
        for number in child.FORWARDED:  # a signal that is not handled must not end the tests
            restoring.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        before = threading.enumerate()
        code = main.run(words, time.monotonic())
        for thread in threading.enumerate():
            if thread.name == "reporter" and thread not in before:  # a process would end it
                thread.join(LIMIT)
        sys.stdout.flush()
        sys.stderr.flush()
        written = []
        for file in (out, err):
            file.seek(0)
            written.append(file.read() if encoding is None else file.read().decode(encoding))
    return subprocess.CompletedProcess(words, int(code), *written)
