"""The process itself: streams, signals, the last flush."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from raw import CHILD_ENVIRONMENT, hang, read_request, response
from waiting import until

from nemo_jobs_cli import __version__

TOOL = [sys.executable, "-m", "nemo_jobs_cli"]


def start(*words, env=None, **more):
    """Start the tool in a process of its own."""
    return subprocess.Popen([*TOOL, *words], env={**CHILD_ENVIRONMENT, **(env or {})}, **more)


def test_the_version_is_that_of_the_package():
    """`--version` and `python -m` work without any setting."""
    ran = subprocess.run([*TOOL, "--version"], capture_output=True, encoding="utf-8", env=CHILD_ENVIRONMENT)
    assert (ran.returncode, ran.stdout) == (0, f"nemo-jobs {__version__}\n")


SIGNALS = [(signal.SIGINT, 130, "text"), (signal.SIGTERM, 143, "json")]


@pytest.mark.parametrize(("number", "code", "form"), SIGNALS)
def test_a_signal_has_its_own_exit_code(raw_server, number, code, form):
    """The hint says that the update may have arrived."""
    server = raw_server(hang)
    child = start("update", "train-x", "a=x", "-o", form, env={"NEMO_JOBS_HOST": server.url},
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")  # fmt: skip
    until(lambda: server.seen)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert "Traceback" not in err
    if form == "json":
        assert json.loads(out)["exit_code"] == code
    else:
        assert "next: " in err


def test_an_abandoned_request_does_not_delay_the_exit(raw_server):
    """The process ends at the deadline, though a thread still waits for the response."""
    began = time.monotonic()
    child = start("update", "train-x", "a=x", "--deadline", "1s", env={"NEMO_JOBS_HOST": raw_server(hang).url},
                  stderr=subprocess.PIPE, encoding="utf-8")  # fmt: skip
    _, err = child.communicate(timeout=60)
    assert child.returncode == 7
    assert "no response" in err
    assert time.monotonic() - began > 0.9


def test_output_to_a_full_disk_is_a_failure(raw_server):
    """A script must not take it for a success."""
    server = raw_server([response(200)])
    with open("/dev/full", "w", encoding="utf-8") as full:
        child = start("update", "train-x", "a=x", "-o", "json", env={"NEMO_JOBS_HOST": server.url},
                      stdout=full, stderr=subprocess.PIPE, encoding="utf-8")  # fmt: skip
        _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert err.startswith("error: cannot write the output: No space left on device")
    assert "Traceback" not in err


def test_a_closed_pipe_is_not_a_failure(raw_server):
    """`nemo-jobs ... | head -1` ends quietly."""
    server = raw_server([response(200)])
    reader, writer = os.pipe()
    os.close(reader)
    child = start("update", "train-x", "a=x", env={"NEMO_JOBS_HOST": server.url},
                  stdout=writer, stderr=subprocess.PIPE, encoding="utf-8")  # fmt: skip
    os.close(writer)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")


def test_closed_streams_do_not_fail_a_command(raw_server):
    """A daemon may start it without stdin, stdout or stderr."""
    server = raw_server([response(200)])
    call = " ".join([*TOOL, "update", "train-x", "a=1", "<&-", ">&-", "2>&-"])
    ran = subprocess.run(["sh", "-c", call], env={**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url})
    assert ran.returncode == 0
    assert len(server.seen) == 1


def test_an_ascii_locale_loses_nothing(raw_server):
    """Data is UTF-8 in any locale; a terminal gets escapes for other characters."""
    server = raw_server([response(200)])
    child = start("update", "train-x", "message=né 🚀".encode(), env={"NEMO_JOBS_HOST": server.url, "PYTHONIOENCODING": "ascii"},
                  stdout=subprocess.PIPE)  # fmt: skip
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "né 🚀".encode() in server.seen[0]
    assert b"n\\xe9" in out


def test_an_argument_that_is_not_utf8_is_a_usage_error(raw_server):
    """JSON cannot contain its bytes."""
    server = raw_server([response(200)])
    ran = subprocess.run(
        [*TOOL, b"update", b"train-x", b"message=caf\xe9"],
        env={**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url},
        capture_output=True,
    )
    assert ran.returncode == 2
    assert b"UTF-8" in ran.stderr
    assert server.seen == []


def test_a_terminal_gets_color_and_no_control_codes(raw_server):
    """The text of a field cannot control it."""
    server = raw_server([response(200)])
    main, side = pty.openpty()
    child = start("update", "train-x", "progress=45", "message=[red]x\x1b]0;title\x07", stdout=side, stderr=side,
                  env={"NEMO_JOBS_HOST": server.url, "TERM": "xterm-256color"})  # fmt: skip
    os.close(side)
    shown = b""
    while True:
        try:
            more = os.read(main, 65536)
        except OSError:
            break
        if not more:
            break
        shown += more
    assert child.wait(timeout=60) == 0
    assert b"train-x" in shown
    assert b"\x1b[" in shown
    assert b"[red]x" in shown
    assert b"\x1b]0;" not in shown


@pytest.mark.parametrize("sink", ["full", "broken"])
def test_a_broken_stderr_does_not_stop_an_update(raw_server, sink):
    """Full or closed, it changes neither the request nor the exit code."""
    server = raw_server([response(200)])
    reader, broken = os.pipe()
    os.close(reader)
    with open("/dev/full", "w", encoding="utf-8") as full:
        child = start("update", "train-x", "a=x", "progress=101/100", "-v", env={"NEMO_JOBS_HOST": server.url},
                      stdout=subprocess.DEVNULL, stderr=full if sink == "full" else broken)  # fmt: skip
        assert child.wait(timeout=60) == 0
    os.close(broken)
    assert len(server.seen) == 1


@pytest.mark.parametrize("sink", ["full", "broken"])
def test_a_failure_keeps_its_exit_code_without_output(raw_server, sink):
    """JSON that cannot be written becomes text on stderr."""
    server = raw_server([response(404, '{"detail":"Not Found"}')])
    reader, broken = os.pipe()
    os.close(reader)
    with open("/dev/full", "w", encoding="utf-8") as full:
        out = full if sink == "full" else broken
        for more in ({}, {"PYTHONUNBUFFERED": "1"}):  # it is written at the end, or at once
            child = start("update", "train-x", "a=x", "-o", "json", env={"NEMO_JOBS_HOST": server.url, **more},
                          stdout=out, stderr=subprocess.PIPE, encoding="utf-8")  # fmt: skip
            _, err = child.communicate(timeout=60)
            assert child.returncode == 3
            assert "Traceback" not in err
        child = start("update", "train-x", "a=x", env={"NEMO_JOBS_HOST": server.url}, stdout=out, stderr=out)
        assert child.wait(timeout=60) == 3
    os.close(broken)


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("list", "-o", "json")])
def test_failed_output_prints_no_traceback(raw_server, words):
    """For any command, wherever it is flushed."""
    server = raw_server([response(200, json.dumps({"data": [{"name": "x" * 9000}], "pagination": {"total_pages": 1}}))])
    for more in ({}, {"PYTHONUNBUFFERED": "1"}):
        with open("/dev/full", "w", encoding="utf-8") as full:
            child = start(
                *words,
                env={"NEMO_JOBS_HOST": server.url, **more},
                stdout=full,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
            _, err = child.communicate(timeout=60)
        assert child.returncode == 1
        assert err.startswith("error: cannot write the output: No space left on device"), err


INTERRUPTED = """
import sys
from nemo_jobs_cli import __main__
class Interrupt:
    def find_spec(self, name, *_):
        if name == "nemo_jobs_cli.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
__main__.main()
"""


EARLY = """
import os, sys
from nemo_jobs_cli import __main__
class Interrupt:
    def find_spec(self, name, *_):
        if name == "nemo_jobs_cli.cli":
            os.kill(os.getpid(), int(sys.argv.pop()))
sys.meta_path.insert(0, Interrupt())
__main__.main()
"""


@pytest.mark.parametrize(("number", "code", "form"), SIGNALS)
def test_a_signal_during_the_imports_is_reported_like_later_ones(number, code, form):
    """With -o json as one object; nothing was sent."""
    words = ["update", "train-x", "a=1", "-o", form, "--host", "http://127.0.0.1:1", str(int(number))]
    ran = subprocess.run(
        [sys.executable, "-c", EARLY, *words], env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    assert ran.returncode == code
    if form == "json":
        assert (json.loads(ran.stdout)["exit_code"], ran.stderr) == (code, "")
    else:
        assert ran.stderr.endswith("next: run it again\n")


def test_a_second_signal_during_the_imports_ends_the_process():
    """They may hang, on a network file system."""
    code = EARLY.replace("os.kill(os.getpid(), int(sys.argv.pop()))", "[os.kill(os.getpid(), 15) for _ in range(2)]")
    ran = subprocess.run([sys.executable, "-c", code, "list"], env=CHILD_ENVIRONMENT, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGTERM, b"", b"")


@pytest.mark.parametrize(
    ("words", "hint"), [(("show", "train-x"), ""), (("update", "train-x", "a=1"), ": that is safe")]
)
def test_the_hint_after_a_signal(nemo_jobs, raw_server, words, hint):
    """Only a command that sends updates says that it can be repeated."""

    def serve(connection, seen, stop):
        read_request(connection)
        os.kill(os.getpid(), signal.SIGTERM)
        stop.wait()

    ran = nemo_jobs(*words, "--host", raw_server(serve).url)
    assert ran.code == 143
    assert ran.err.splitlines()[-1].startswith(f"next: run it again{hint}")
    assert ("safe" in ran.err) == bool(hint)


def test_an_interrupt_during_start_up_prints_no_traceback():
    """No other code can catch it while modules are imported."""
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    assert ran.returncode == 130
    assert ran.stderr.startswith("error: interrupted")
    assert "Traceback" not in ran.stderr


def test_a_second_signal_changes_nothing(raw_server):
    """Some supervisors send TERM twice at once."""
    for _ in range(3):  # the second comes at different moments
        server = raw_server(hang)
        child = start(
            "update", "train-x", "a=x", env={"NEMO_JOBS_HOST": server.url}, stderr=subprocess.PIPE, encoding="utf-8"
        )
        until(lambda seen=server.seen: seen)
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 143
        assert "Traceback" not in err


# Runs a command line in one child for each time that its main thread locks a condition, with TERM at that moment, and
# prints their exit codes; the last child gets no signal. A child that hangs ends with ALRM.
SIGNALLED = """
import os, signal, sys, threading
from nemo_jobs_cli import __main__
import nemo_jobs_cli.commands.apply, nemo_jobs_cli.commands.stream, httpx

class Condition(threading.Condition):
    left = -1
    def __enter__(self):
        entered = super().__enter__()
        if threading.get_ident() == threading.main_thread().ident:
            Condition.left -= 1
            if not Condition.left:
                signal.raise_signal(signal.SIGTERM)
        return entered

lines, *words = sys.argv[1:]
threading.Condition, sys.argv = Condition, ["nemo-jobs", *words]
code, count = 143, 0
while code == 143:
    count += 1
    reader, writer = os.pipe()
    os.write(writer, lines.encode())
    os.close(writer)
    if not (pid := os.fork()):
        signal.alarm(60)
        os.dup2(reader, 0)
        Condition.left = count
        __main__.main()
    os.close(reader)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(count, code)
"""


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("step=1\n", ("stream", "x1")),
        ('{"job": "x1", "status_details": {"step": 1}}\n', ("apply", "-")),
    ],
)
def test_a_signal_while_a_lock_is_held(raw_server, lines, words):
    """The lock is released: nothing waits for it for ever, and no error hides the signal."""
    env = {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": raw_server([response(200)]).url, "NEMO_JOBS_DEADLINE": "60"}
    ran = subprocess.run(
        [sys.executable, "-c", SIGNALLED, lines, *words], capture_output=True, encoding="utf-8", env=env
    )
    count, code = map(int, ran.stdout.split()[-2:])
    assert code == 0, ran.stderr
    assert count > 1


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ("render.error = lambda *_: signal.raise_signal(signal.SIGTERM)", 143),
        ("leave = __main__.leave; __main__.leave = lambda code: leave(signal.raise_signal(signal.SIGTERM))", -15),
    ],
)
def test_a_signal_at_the_end_prints_no_traceback(patch, code):
    """It may come while an error is printed, or when there is only output left to flush."""
    program = f"import signal; from nemo_jobs_cli import __main__; from nemo_jobs_cli.output import render; {patch}; __main__.main()"
    ran = subprocess.run([sys.executable, "-c", program, "update"], capture_output=True, env=CHILD_ENVIRONMENT)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (code, False), ran.stderr


def test_a_closed_stdin_is_not_an_empty_text(raw_server):
    """`message@=-` without a stdin is an error."""
    server = raw_server([response(200)])
    call = " ".join([*TOOL, "update", "train-x", "a@=-", "<&-"])
    ran = subprocess.run(
        ["sh", "-c", call], env={**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url}, capture_output=True
    )
    assert ran.returncode == 2
    assert b"cannot read stdin" in ran.stderr
    assert server.seen == []


def test_typers_own_completion_is_off(raw_server):
    """A stray variable must not change an update."""
    server = raw_server([response(200)])
    env = {"NEMO_JOBS_HOST": server.url, "_NEMO_JOBS_COMPLETE": "complete_bash"}
    assert start("update", "train-x", "a=1", env=env, stdout=subprocess.DEVNULL).wait(timeout=60) == 0
    assert len(server.seen) == 1


@pytest.fixture
def foreign_typer(tmp_path):
    """Return a folder with another Typer, as cluster modules put it on PYTHONPATH."""
    package = tmp_path / "foreign" / "typer"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "0.9"\n', encoding="utf-8")
    return package.parent


@pytest.mark.parametrize(
    "words", [["run", "demo", "--", "echo", "RAN"], ["update", "demo", "a=1"], ["show", "demo"], ["list"]]
)
def test_foreign_packages_on_pythonpath_are_ignored(foreign_typer, start_sandbox, words):
    """The tool uses its own libraries; a wrapped command sees the variable."""
    server = start_sandbox(jobs=("demo",))
    env = {**CHILD_ENVIRONMENT, "PYTHONPATH": str(foreign_typer), "NEMO_JOBS_HOST": server.url}
    ran = subprocess.run([*TOOL, *words], env=env, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert "Traceback" not in ran.stderr
    assert (ran.returncode, "RAN" in ran.stdout) == (0, words[0] == "run"), ran.stderr


def test_a_wrapped_command_sees_pythonpath(foreign_typer):
    """The variable belongs to the user's own programs."""
    env = {**CHILD_ENVIRONMENT, "PYTHONPATH": str(foreign_typer)}
    words = [*TOOL, "sandbox", "--", sys.executable, "-c", "import typer; print(typer.__version__)"]
    ran = subprocess.run(words, env=env, capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert ran.stdout == "0.9\n"


@pytest.mark.parametrize("with_tool", [True, False])
def test_a_tool_that_lives_on_pythonpath_finds_its_libraries(tmp_path, with_tool):
    """`pip install --target` and a checkout are used this way; its own site-packages may be there too."""
    import typer

    from nemo_jobs_cli import __main__ as module

    libraries = [str(Path(module.__file__).parents[1]), str(Path(typer.__file__).parents[1])]
    env = {**CHILD_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(libraries if with_tool else libraries[1:])}
    ran = subprocess.run(
        [*TOOL, "list", "--help"], env=env, capture_output=True, encoding="utf-8", check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr


BROKEN = "import sys; sys.modules['typer'] = None; from nemo_jobs_cli.__main__ import main; main()"


def test_run_executes_the_command_even_if_the_tool_cannot_be_loaded():
    """A broken installation does not stop a training."""
    words = [sys.executable, "-c", BROKEN, "run", "demo", "--", "sh", "-c", "echo RAN; exit 3"]
    ran = subprocess.run(words, env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stdout) == (3, "RAN\n")
    assert ran.stderr.startswith("error: cannot load nemo-jobs: ")
    assert "running the command without reports" in ran.stderr


@pytest.mark.parametrize(("program", "code"), [("/etc/passwd", 126), ("no-such-program", 127)])
def test_a_command_that_cannot_start_either(program, code):
    """The exit codes of a shell."""
    words = [sys.executable, "-c", BROKEN, "run", "demo", "--", program]
    ran = subprocess.run(words, env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8", check=False)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.splitlines()[-1].startswith(f"error: cannot run '{program}': ")


@pytest.mark.parametrize("words", [["update", "demo", "a=1"], ["run", "demo"]])
def test_a_tool_that_cannot_be_loaded_prints_a_next_step(words):
    """One error line and a next step, no traceback."""
    ran = subprocess.run(
        [sys.executable, "-c", BROKEN, *words],
        env=CHILD_ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: cannot load nemo-jobs: ")
    assert "next: reinstall nemo-jobs" in ran.stderr


def test_a_library_that_is_missing_later_is_a_broken_installation_too():
    """As in a zip file whose compiled modules are for another Python."""
    code = BROKEN.replace("typer", "regex")
    words = [sys.executable, "-c", code, "stream", "demo", "--match", r"(?P<progress>\d+)%"]
    ran = subprocess.run(words, env=CHILD_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: cannot load nemo-jobs: ModuleNotFoundError: import of regex halted")
    assert f"(Python {sys.version.split()[0]})\nnext: reinstall nemo-jobs" in ran.stderr
