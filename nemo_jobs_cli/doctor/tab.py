"""Check that TAB works: a script that the user's shell finds and that is of this version, and an answer in no time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.completion import answer, install, shell_startup
from nemo_jobs_cli.core import times as durations
from nemo_jobs_cli.core.errors import NemoJobsError, UsageError
from nemo_jobs_cli.doctor import check
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.doctor.checkup import Case

# Where system packages put scripts that the shells find by themselves; zsh tells its own.
_SHARED = {
    "bash": ("bash-completion/completions",),
    "fish": ("fish/vendor_completions.d", "fish/completions"),
    "zsh": (),
}

# A person feels what takes longer than this, in seconds.
SLOW = 0.15
LONGEST_ANSWER = 5.0
_TRIES = 3

# As the scripts do it.
_CODE = "from nemo_jobs_cli.__main__ import main; main()"


def tab(case: Case) -> Iterator[Check]:
    """Look for the script of the user's shell, and measure one TAB."""
    environ = resolve.environment(secrets=False)
    try:
        shell = install.chosen(None, case.environ)
        yield _script(shell, environ, min(shell_startup.LONGEST_START, case.limit.left()))
    except UsageError as error:
        yield check.skip("completion", error.message)
    except NemoJobsError as error:  # no home, a start file that can't be read
        yield check.warn("completion", error.message, error.hint)
    yield _time(environ)


def _script(shell: str, environ: Mapping[str, str], limit: float) -> Check:
    start = shell_startup.ask(shell, environ, limit)
    if not start.known:
        return check.skip("completion", f"not known: {shell} did not start within {durations.human(limit)}")
    spot = install.spot(shell, environ, start)
    fix = f"nemo-jobs completion install {shell}"
    shared = [Path(root) / folder for root in ("/usr/share", "/usr/local/share") for folder in _SHARED[shell]]
    found = install.installed(shell, environ, start, [*start.searched, *shared])
    if not found:
        return check.warn("completion", f"not installed for {shell}", fix, shell=shell, installed=False)
    state = found[0]
    says = f"{shell}: {profiles.shown(state.path)}"
    facts = {"shell": shell, "installed": True, "current": state.current, "path": str(state.path)}
    if not state.current:
        return check.warn("completion", f"{says} is of another version", fix, **facts)
    if state.path == spot.path and not spot.finds and not shell_startup.names(spot.rc, spot.path):
        return check.warn("completion", f"{says}, where {shell} does not look", f"{fix} --edit-rc", **facts)
    return check.ok("completion", says, **facts)


def _time(environ: Mapping[str, str]) -> Check:
    """Return how long one TAB takes: the best of three, as the first may have to read the disk."""
    times, trouble = [], ""
    for _ in range(_TRIES):
        try:
            times.append(_answer(environ))
        except (OSError, subprocess.SubprocessError) as error:
            trouble = type(error).__name__
    if not times:
        return check.warn("tab", f"TAB gets no answer: {trouble}", "install nemo-jobs anew")
    best = min(times)
    says, facts = f"{1000 * best:.0f} ms for one TAB", {"milliseconds": round(1000 * best, 1)}
    if best > SLOW:
        return check.warn("tab", says, "is the disk slow? install nemo-jobs on this machine's own", **facts)
    return check.ok("tab", says, **facts)


def _answer(environ: Mapping[str, str]) -> float:
    """Return the seconds until an answer comes, as a script gets it: where the Python does not know us, from the tool.

    That is a zip file. Raise CalledProcessError where neither knows one.
    """
    began = time.monotonic()
    for program in (["-P", "-c", _CODE], [sys.argv[0]]):
        ran = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, *program, answer.COMMAND, "fish", "", "update", "x", "st"],
            env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=LONGEST_ANSWER, check=False,
        )  # fmt: skip
        if ran.returncode == 0:
            return time.monotonic() - began
    raise subprocess.CalledProcessError(ran.returncode, ran.args)
