"""Check the completion script of the shell, and the time of a TAB."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.completion import answer, script_files, shell_startup
from nemo_jobs_cli.core import times
from nemo_jobs_cli.core.errors import NemoJobsError, UsageError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.doctor.check import Check
from nemo_jobs_cli.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nemo_jobs_cli.doctor.check import Diagnosis

# Folders of system packages that the shells search by themselves; zsh reports its own.
_SYSTEM_FOLDERS = {
    "bash": ("bash-completion/completions",),
    "fish": ("fish/vendor_completions.d", "fish/completions"),
    "zsh": (),
}

# A longer wait is noticeable, in seconds.
SLOW = 0.15
TIMEOUT = 5.0
_MEASUREMENTS = 3

# As in the completion scripts.
_CODE = "from nemo_jobs_cli.__main__ import main; main()"


def completion(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check the script of the user's shell, and measure one TAB."""
    environ = resolve.environment(secrets=False)
    try:
        shell = script_files.choose_shell(None, diagnosis.environ)
        yield _script(shell, environ, min(shell_startup.START_TIMEOUT, diagnosis.deadline.left()))
    except UsageError as error:
        yield Check.skip("completion", error.message)
    except NemoJobsError as error:  # no home folder, an unreadable startup file
        yield Check.warn("completion", error.message, error.hint)
    yield _response_time(environ)


def _script(shell: str, environ: Mapping[str, str], limit: float) -> Check:
    startup = shell_startup.inspect(shell, environ, limit)
    if not startup.known:
        return Check.skip("completion", f"unknown: {shell} did not start within {times.format_duration(limit)}")
    target = script_files.find_target(shell, environ, startup)
    fix = f"nemo-jobs completion install {shell}"
    system = [Path(root) / folder for root in ("/usr/share", "/usr/local/share") for folder in _SYSTEM_FOLDERS[shell]]
    scripts = script_files.find_installed(shell, environ, startup, [*startup.searched, *system])
    if not scripts:
        return Check.warn("completion", f"not installed for {shell}", fix, shell=shell, installed=False)
    path, is_current = next(iter(scripts.items()))
    message = f"{shell}: {display_path(path)}"
    facts = {"shell": shell, "installed": True, "current": is_current, "path": str(path)}
    if not is_current:
        return Check.warn("completion", f"{message} is from another version", fix, **facts)
    if path == target.path and not target.searches and not shell_startup.mentions(target.startup_file, path):
        return Check.warn("completion", f"{message} is not loaded by {shell}", f"{fix} --edit-rc", **facts)
    return Check.ok("completion", message, **facts)


def _response_time(environ: Mapping[str, str]) -> Check:
    """Measure one TAB: the best of several, as the first may read from disk."""
    measured, problem = [], ""
    for _ in range(_MEASUREMENTS):
        try:
            measured.append(measure(environ))
        except (OSError, subprocess.SubprocessError) as error:
            problem = type(error).__name__
    if not measured:
        return Check.warn("tab", f"no response to TAB: {problem}", "reinstall nemo-jobs")
    milliseconds = 1000 * min(measured)
    message, facts = f"{milliseconds:.0f} ms for one TAB", {"milliseconds": round(milliseconds, 1)}
    if min(measured) > SLOW:
        return Check.warn("tab", message, "install nemo-jobs on a local, fast disk", **facts)
    return Check.ok("tab", message, **facts)


def measure(environ: Mapping[str, str]) -> float:
    """Return the seconds of one TAB, run as in the completion scripts.

    If this Python cannot import the package, the tool is a zip file. Raise CalledProcessError if both fail.
    """
    began = time.monotonic()
    for program in (["-P", "-c", _CODE], [sys.argv[0]]):
        result = subprocess.run(  # noqa: S603 - this program
            [sys.executable, *program, answer.COMMAND, "fish", "", "update", "x", "st"],
            env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if result.returncode == 0:
            return time.monotonic() - began
    raise subprocess.CalledProcessError(result.returncode, result.args)
